"""Preprocessing of the tutorials, pixel by pixel against plain numpy and OpenCV, on frames of real games.

Each recipe's own environment plays beside a bare game with the same seed and actions.
"""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest

from sb3_atari_dqn.recipes import find
from sb3_atari_dqn.zoo.training_env import training_env


def statement_of_pong(frames: list[np.ndarray]) -> np.ndarray:
    """ "img[::2, ::2]", "np.mean(img, axis=2).astype(np.uint8)" """
    return np.mean(frames[-1][::2, ::2], axis=2).astype(np.uint8)


def statement_of_ms_pacman(frames: list[np.ndarray]) -> np.ndarray:
    """Maximum over all held frames, 0.299 R + 0.587 G + 0.114 B, 84x84 by area."""
    red, green, blue = np.moveaxis(np.max(frames, axis=0).astype(float), -1, 0)
    gray = np.rint(0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)
    return cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA)


def statement_of_space_invaders(frames: list[np.ndarray]) -> np.ndarray:
    """Gray, then bilinear at half size, which is the mean of each 2x2 block, halves rounded up."""
    gray = cv2.cvtColor(frames[-1], cv2.COLOR_RGB2GRAY).astype(int)
    return (gray[::2, ::2] + gray[1::2, ::2] + gray[::2, 1::2] + gray[1::2, 1::2] + 2) // 4


STATEMENTS = {
    "pong_elu": (statement_of_pong, 4, "repeated"),
    "mspacman_skip16": (statement_of_ms_pacman, 4, "zeros"),
    "space_invaders_dueling": (statement_of_space_invaders, 3, "repeated"),
}


class BareGame:
    """
    The game itself, an action at a time, with all raw frames of the step.

    :param held: frames an action is held; 1 where the environment skips by itself
    """

    def __init__(self, env_id: str, held: int, seed: int) -> None:
        kwargs: dict[str, Any] = {"frameskip": 1} if held > 1 else {}
        self.env = gym.make(env_id, **kwargs)
        self.held = held
        self.frames = [self.env.reset(seed=seed)[0]]

    def step(self, action: int) -> tuple[float, bool]:
        self.frames, total = [], 0.0
        for _ in range(self.held):
            frame, reward, terminated, truncated, _ = self.env.step(action)
            self.frames.append(frame)
            total += float(reward)
            if terminated or truncated:
                return total, True
        return total, False


def play_both(name: str, env: Any, bare: BareGame, steps: int) -> dict[str, Any]:
    """Compare every stack; :return: what was met on the way"""
    statement, n_stack, start = STATEMENTS[name]
    rng = np.random.default_rng(0)
    stack = env.reset()[0]
    picture = statement(bare.frames)
    older = picture if start == "repeated" else np.zeros_like(picture)
    expected = [older] * (n_stack - 1) + [picture]
    met: dict[str, Any] = {"rewards": 0, "pictures": set()}
    for _ in range(steps):
        assert stack.dtype == np.uint8
        assert (stack == np.stack(expected)).all()
        action = int(rng.integers(env.action_space.n))
        stacks, rewards, dones, _ = env.step(np.array([action]))
        reward, over = bare.step(action)
        assert rewards[0] == np.float32(reward), "rewards are raw"
        assert dones[0] == over, "whole games"
        if over:
            return met
        expected = [*expected[1:], statement(bare.frames)]
        stack = stacks[0]
        met["rewards"] += reward != 0
        met["pictures"].add(stack.tobytes())
    return met


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEMENTS)
def test_every_stack_of_a_recipe_equals_the_plain_statement_of_its_text(name):
    recipe = find(name)
    held = 16 if name == "mspacman_skip16" else 1
    steps = 60 if held > 1 else 250
    met = play_both(name, training_env(recipe, seed=5), BareGame(recipe.env_id, held, seed=5), steps)
    assert met["rewards"] > 0
    assert len(met["pictures"]) > steps / 2


@pytest.mark.parametrize("name", ["pong_elu", "space_invaders_dueling"])
def test_the_random_skip_of_the_environment_stays(name):
    env = training_env(find(name), seed=5)
    env.reset()
    frames = [0]
    for _ in range(60):
        env.step(np.array([0]))
        frames.append(env.get_attr("unwrapped")[0].ale.getEpisodeFrameNumber())
    assert set(np.diff(frames)) == {2, 3, 4}


def test_an_action_of_ms_pacman_is_held_for_16_frames_and_stays_sticky():
    for name in ("mspacman_skip16", "mspacman_ram"):
        env = training_env(find(name), seed=5)
        env.reset()
        game = env.get_attr("unwrapped")[0]
        before = game.ale.getEpisodeFrameNumber()
        env.step(np.array([0]))
        assert game.ale.getEpisodeFrameNumber() - before == 16
        assert game.ale.getFloat("repeat_action_probability") == 0.25


def test_the_gray_of_space_invaders_is_the_one_of_tensorflow_up_to_rounding():
    game = BareGame("SpaceInvaders-v0", 1, seed=5)
    rng = np.random.default_rng(0)
    for _ in range(30):
        game.step(int(rng.integers(6)))
        gray = game.frames[-1] @ np.array([0.2989, 0.5870, 0.1140])  # tf.image.rgb_to_grayscale, in floats
        halves = gray.reshape(105, 2, 80, 2).mean(axis=(1, 3))  # tf.image.resize, bilinear at half size
        assert np.abs(statement_of_space_invaders(game.frames) - halves).max() <= 1


def test_the_ram_variant_shows_the_128_bytes_of_the_console():
    env: Any = training_env(find("mspacman_ram"), seed=5)
    observation = env.reset()
    assert observation.shape == (1, 128)
    for action in (2, 5, 1):
        observation = env.step(np.array([action]))[0]
        assert (observation[0] == env.get_attr("unwrapped")[0].ale.getRAM()).all()
