"""The presets on real games: equal to SB3 where they claim to be, and loud where they do not fit."""

import random
from typing import Any

import ale_py
import cv2
import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium.wrappers import MaxAndSkipObservation
from rl_zoo3.utils import get_wrapper_class
from stable_baselines3.common.atari_wrappers import AtariWrapper, MaxAndSkipEnv, StickyActionEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecFrameStack, VecTransposeImage

from sb3_atari_dqn.atari import AtariPreset, AtariPresetWrapper, NatureAtari, env_kwargs_for
from sb3_atari_dqn.atari.skipping import SkipAndPoolEnv

gym.register_envs(ale_py)


class ScriptedEnv(gym.Env):
    """Shows given frames one after the other, pays 1, 2, 3, ... and ends with the last frame."""

    observation_space = gym.spaces.Box(0, 255, (2, 3, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, frames: np.ndarray, truncates: bool) -> None:
        self.frames = frames
        self.truncates = truncates
        self.actions: list[int] = []

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict]:
        self.actions = []
        return np.zeros((2, 3, 3), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.actions.append(action)
        count = len(self.actions)
        ended = count == len(self.frames)
        return self.frames[count - 1], count, ended and not self.truncates, ended and self.truncates, {"count": count}


class Ledger(gym.Wrapper):
    """Writes down what the game itself paid, frame by frame, and how often it was really reset."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.rewards: list[float] = []
        self.resets = 0

    def reset(self, **kwargs: Any):
        self.rewards = []
        self.resets += 1
        return self.env.reset(**kwargs)

    def step(self, action):
        result = self.env.step(action)
        self.rewards.append(float(result[1]))
        return result


def episode_frame(env: gym.Env) -> int:
    return env.unwrapped.ale.getEpisodeFrameNumber()  # type: ignore[attr-defined]


def clumsy_action(env: gym.Env, rng: random.Random) -> int:
    """Random play, which in Breakout mostly follows the ball so that it reaches the bricks worth 4 points."""
    ram = env.unwrapped.ale.getRAM()  # type: ignore[attr-defined]
    if "Breakout" in str(env) and rng.random() < 0.8:
        ball_x, paddle_x = int(ram[99]), int(ram[72])
        return 2 if ball_x > paddle_x + 8 else 3
    return rng.randrange(int(env.action_space.n))  # type: ignore[attr-defined]


def play_both(ours: gym.Env, theirs: gym.Env, steps: int) -> dict[str, int]:
    """
    The same seeded actions in both environments, every output compared.

    :return: how many lives were lost without the end of the game, and how many games ended
    """
    tally = {"lives": 0, "games": 0}
    first, twin = ours.reset(seed=3), theirs.reset(seed=3)
    np.testing.assert_array_equal(first[0], twin[0])
    assert first[1] == twin[1]
    rng = random.Random(5)
    for _ in range(steps):
        action = rng.randrange(int(ours.action_space.n))  # type: ignore[attr-defined]
        observation, reward, terminated, truncated, info = ours.step(action)
        expected = theirs.step(action)
        np.testing.assert_array_equal(observation, expected[0])
        assert (reward, terminated, truncated, info) == expected[1:]
        if terminated or truncated:
            tally["lives" if info["lives"] > 0 and terminated else "games"] += 1
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    return tally


@pytest.mark.parametrize(
    "game", ["Pong", *(pytest.param(game, marks=pytest.mark.slow) for game in ("Breakout", "MsPacman"))]
)
def test_nature_equals_sb3_frame_by_frame(game):
    ours = NatureAtari(gym.make(f"{game}NoFrameskip-v4"))
    theirs = AtariWrapper(gym.make(f"{game}NoFrameskip-v4"))
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    tally = play_both(ours, theirs, 1100)
    assert tally["games"] >= 1
    assert tally["lives"] >= 4 or game == "Pong"  # which has none


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"noop_max": 0}, {"noop_max": 0}),
        ({"noop_max": 7, "frame_skip": 3}, {"noop_max": 7, "frame_skip": 3}),
        ({"frame_skip": 1, "max_pool_frames": 1}, {"frame_skip": 1}),
        ({"size": [64, 64]}, {"screen_size": 64}),
        (
            {"terminal_on_life_loss": False, "clip_reward": False},
            {"terminal_on_life_loss": False, "clip_reward": False},
        ),
        ({"action_repeat_probability": 0.25}, {"action_repeat_probability": 0.25}),
        ({"action_repeat_probability": 0.0}, {}),
    ],
)
def test_nature_with_overrides_equals_sb3_with_the_same_settings(ours, theirs):
    wrapped = NatureAtari(gym.make("BreakoutNoFrameskip-v4"), **ours)
    twin = AtariWrapper(gym.make("BreakoutNoFrameskip-v4"), **theirs)
    tally = play_both(wrapped, twin, 300)
    if wrapped.preset.frame_skip > 1:
        assert tally["lives"] + tally["games"] >= 1


def test_no_fire_leaves_the_first_frame_after_reset_alone():
    env = NatureAtari(gym.make("BreakoutNoFrameskip-v4"), noop_max=0, fire_on_reset=False, size=(105, 80))
    raw, _ = gym.make("BreakoutNoFrameskip-v4").reset(seed=1)
    expected = cv2.resize(cv2.cvtColor(raw, cv2.COLOR_RGB2GRAY), (80, 105), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(env.reset(seed=1)[0][:, :, 0], expected)


def test_overrides_belong_to_one_environment_and_leave_the_class_alone():
    env = NatureAtari(gym.make("PongNoFrameskip-v4"), size=[105, 80], noop_max=0)
    assert env.preset == NatureAtari.preset.with_overrides({"size": (105, 80), "noop_max": 0})
    assert NatureAtari.preset.size == (84, 84)
    assert env.observation_space.shape == (105, 80, 1)


def test_a_new_named_preset_is_a_subclass_of_two_lines():
    class Strided(AtariPresetWrapper):
        preset = AtariPreset(size=(105, 80), resize="stride")

    assert Strided(gym.make("SpaceInvaders-v0")).observation_space.shape == (105, 80, 3)


@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize(("skip", "pool"), [(2, 1), (3, 3), (4, 1), (4, 3), (16, 16)])
@pytest.mark.parametrize("length", [1, 9, 32])
def test_skip_and_pool_equals_the_obvious_twin(skip, pool, length, truncates):
    frames = np.random.default_rng(length).integers(0, 256, (length, 2, 3, 3), np.uint8)
    inner = ScriptedEnv(frames, truncates)
    env = SkipAndPoolEnv(inner, skip, pool)
    env.reset()
    for start in range(0, length, skip):
        end = min(start + skip, length)
        observation, reward, terminated, truncated, info = env.step(1)
        np.testing.assert_array_equal(observation, frames[max(start, end - pool) : end].max(axis=0))
        assert reward == sum(range(start + 1, end + 1))
        assert (terminated, truncated) == (end == length and not truncates, end == length and truncates)
        assert info == {"count": end}
    assert inner.actions == [1] * length


def test_the_pool_is_taken_over_rgb_before_the_gray_and_leaves_the_sticky_actions_of_the_environment():
    preset = {"frame_skip": 16, "max_pool_frames": 16, "grayscale": "luma", "size": [84, 84]}
    env = AtariPresetWrapper(gym.make("MsPacman-v0", frameskip=1), **preset)
    raw = gym.make("MsPacman-v0", frameskip=1)
    env.reset(seed=0)
    raw.reset(seed=0)
    gray_first = []
    for action in [1, 2, 3, 4, 5, 0, 7, 2, 3, 1] * 2:
        held = [raw.step(action) for _ in range(16)]
        pooled = np.max([frame for frame, *_ in held], axis=0)
        expected = cv2.resize(cv2.cvtColor(pooled, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_AREA)
        observation, reward, terminated, truncated, info = env.step(action)
        np.testing.assert_array_equal(observation[:, :, 0], expected)
        assert (reward, terminated, truncated) == (sum(float(step[1]) for step in held), False, False)
        assert info == held[-1][4]
        grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame, *_ in held]
        gray_first.append(cv2.resize(np.max(grays, axis=0), (84, 84), interpolation=cv2.INTER_AREA) != expected)
    assert np.any(gray_first)  # the order shows in these frames


def test_a_preset_without_a_skip_keeps_the_random_skip_of_the_environment():
    env = AtariPresetWrapper(gym.make("Pong-v4"), grayscale="mean", size=(105, 80), resize="stride")
    raw = gym.make("Pong-v4")
    env.reset(seed=0)
    frame_numbers = [raw.reset(seed=0)[1]["episode_frame_number"]]
    for action in [2, 3, 0, 5, 1] * 8:
        observation, reward, terminated, truncated, info = env.step(action)
        expected = raw.step(action)
        np.testing.assert_array_equal(observation[:, :, 0], np.mean(expected[0][::2, ::2], axis=2).astype(np.uint8))
        assert (reward, terminated, truncated, info) == expected[1:]
        frame_numbers.append(info["episode_frame_number"])
    assert set(np.diff(frame_numbers)) == {2, 3, 4}


def test_the_reward_scale_multiplies_the_sum_over_the_held_frames():
    options: dict[str, Any] = {"frame_skip": 4, "max_pool_frames": 2}
    scaled = AtariPresetWrapper(gym.make("MsPacmanNoFrameskip-v4"), reward_scale=0.01, **options)
    plain = AtariPresetWrapper(gym.make("MsPacmanNoFrameskip-v4"), **options)
    scaled.reset(seed=0)
    plain.reset(seed=0)
    rewards = [(float(scaled.step(action)[1]), float(plain.step(action)[1])) for action in [2] * 100]
    assert max(plain_reward for _, plain_reward in rewards) >= 10
    assert all(reward == pytest.approx(0.01 * plain_reward) for reward, plain_reward in rewards)


@pytest.mark.slow
@pytest.mark.parametrize(("game", "lives"), [("Breakout", 5), ("MsPacman", 3)])
def test_the_logged_score_is_the_raw_score_of_the_whole_game_and_its_length_counts_raw_frames(game, lives):
    ledger = Ledger(gym.make(f"{game}NoFrameskip-v4"))
    env = NatureAtari(Monitor(ledger))
    env.reset(seed=0)
    rng = random.Random(0)
    clipped, lost_lives = 0.0, 0
    info: dict[str, Any] = {}
    while "episode" not in info:
        _, reward, terminated, _, info = env.step(clumsy_action(env, rng))
        clipped += float(reward)
        if terminated and "episode" not in info:
            lost_lives += 1
            env.reset()
    assert lost_lives == lives - 1
    assert ledger.resets == 1
    assert info["episode"]["r"] == sum(ledger.rewards)
    assert info["episode"]["l"] == len(ledger.rewards) == info["episode_frame_number"]
    assert info["episode"]["r"] > clipped  # the clip did take something from what the learner sees


def test_the_reset_after_a_lost_life_goes_on_with_the_same_game():
    env = NatureAtari(gym.make("BreakoutNoFrameskip-v4"), fire_on_reset=False)
    env.reset(seed=0)
    rng, terminated = random.Random(0), False
    while not terminated:
        _, _, terminated, truncated, info = env.step(rng.randrange(4))
    assert not truncated
    assert info["lives"] == 4
    _, after = env.reset()
    assert after["lives"] == info["lives"]
    assert after["episode_frame_number"] == info["episode_frame_number"] + 4


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{"max_num_frames_per_episode": 120}, {"max_episode_steps": 120}])
def test_a_truncated_game_stays_truncated_and_shows_its_last_frame(limit):
    options: dict[str, Any] = {"grayscale": "luma", "size": (84, 84), "terminal_on_life_loss": True}
    env = AtariPresetWrapper(gym.make("PongNoFrameskip-v4", **limit), frame_skip=7, max_pool_frames=3, **options)
    raw = gym.make("PongNoFrameskip-v4", **limit)
    env.reset(seed=0)
    raw.reset(seed=0)
    held: list[tuple] = []
    ended = False
    while not ended:
        observation, _, terminated, truncated, _ = env.step(2)
        ended = terminated or truncated
    while not (held and (held[-1][2] or held[-1][3])):
        held.append(raw.step(2))
    assert (terminated, truncated) == (held[-1][2], held[-1][3]) == (False, True)
    last_step = held[len(held) // 7 * 7 :][-3:]
    pooled = np.max([frame for frame, *_ in last_step], axis=0)
    expected = cv2.resize(cv2.cvtColor(pooled, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(observation[:, :, 0], expected)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "colour"), [((105, 80), False), ((84, 84), False), ((105, 80), True)])
def test_the_stack_is_channels_first_with_the_newest_frame_last(size, colour):
    options = {"size": size, "noop_max": 0, **({"grayscale": None} if colour else {})}
    channels = 3 if colour else 1
    env = VecTransposeImage(
        VecFrameStack(
            make_vec_env("PongNoFrameskip-v4", n_envs=2, seed=0, wrapper_class=NatureAtari, wrapper_kwargs=options), 4
        )
    )
    single = NatureAtari(gym.make("PongNoFrameskip-v4"), **options)
    first, _ = single.reset(seed=0)
    assert env.observation_space.shape == (4 * channels, *size)
    stack = env.reset()
    assert isinstance(stack, np.ndarray)
    assert stack.shape == (2, 4 * channels, *size)
    assert not stack[:, : 3 * channels].any()
    np.testing.assert_array_equal(stack[0, 3 * channels :], first.transpose(2, 0, 1))


def test_the_zoo_builds_the_preset_from_its_yaml():
    config = yaml.safe_load(
        """
        env_wrapper:
          - sb3_atari_dqn.atari.NatureAtari: {size: [105, 80], noop_max: 0}
        """
    )
    wrap = get_wrapper_class(config)
    assert wrap is not None
    env = wrap(gym.make("PongNoFrameskip-v4"))
    assert isinstance(env, NatureAtari)
    assert env.observation_space.shape == (105, 80, 1)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs", "overrides", "message"),
    [
        ("CartPole-v1", {}, {}, "NatureAtari .*CartPole-v1.*env_wrapper"),
        ("ALE/Pong-v5", {}, {}, r"ALE/Pong-v5 .*frameskip=4.*env_kwargs=dict\(frameskip=1\)"),
        ("Pong-v4", {}, {}, r"Pong-v4 .*frameskip=\(2, 5\).*NoFrameskip"),
        ("PongNoFrameskip-v4", {"obs_type": "ram"}, {}, r"obs_type='ram'.*dict\(obs_type='rgb'\)"),
        ("PongNoFrameskip-v4", {"obs_type": "grayscale"}, {}, r"obs_type='grayscale'.*dict\(obs_type='rgb'\)"),
        ("PongNoFrameskip-v4", {"sound_obs": True}, {}, r"NatureAtari .*sound"),
        (
            "PongNoFrameskip-v0",
            {},
            {"action_repeat_probability": 0.25},
            r"=0.25.*repeat_action_probability=0.25.*dict\(repeat_action_probability=0.0\)",
        ),
        ("PongNoFrameskip-v0", {}, {"action_repeat_probability": 0.0}, r"action_repeat_probability=0.0.*=0.25"),
        ("PongNoFrameskip-v4", {}, {"screen_size": 84}, "option screen_size"),
        ("PongNoFrameskip-v4", {}, {"crop": (0, 300, 0, 160)}, r"crop=\(0, 300, 0, 160\).*210 x 160"),
    ],
)
def test_a_preset_that_does_not_fit_says_so_with_the_way_out(env_id, env_kwargs, overrides, message):
    with pytest.raises(ValueError, match=message):
        NatureAtari(gym.make(env_id, **env_kwargs), **overrides)


@pytest.mark.parametrize(
    ("layer", "overrides", "message"),
    [
        (NatureAtari, {}, "NatureAtari wraps .*NatureAtari"),
        (AtariPresetWrapper, {}, "NatureAtari wraps .*AtariPresetWrapper"),
        (AtariWrapper, {}, "RGB"),
        (MaxAndSkipEnv, {}, "frame_skip=4.* MaxAndSkipEnv"),
        (MaxAndSkipObservation, {}, "frame_skip=4.* MaxAndSkipObservation"),
        (
            lambda env: StickyActionEnv(env, 0.25),
            {"action_repeat_probability": 0.25},
            "action_repeat_probability=0.25.* StickyActionEnv",
        ),
    ],
)
def test_nothing_is_applied_twice(layer, overrides, message):
    inner = layer(gym.make("PongNoFrameskip-v4"))
    with pytest.raises(ValueError, match=message):
        NatureAtari(Monitor(inner), **overrides)


@pytest.mark.parametrize(
    ("wrapper_class", "overrides", "env_id", "expected"),
    [
        (NatureAtari, {}, "ALE/Pong-v5", {"frameskip": 1}),
        (NatureAtari, {"size": [105, 80]}, "Pong-v4", {"frameskip": 1}),
        (NatureAtari, {}, "PongNoFrameskip-v4", {}),
        (NatureAtari, {"frame_skip": 1, "max_pool_frames": 1}, "Pong-v4", {}),
        (AtariPresetWrapper, {}, "Pong-v4", {}),
        (AtariPresetWrapper, {"frame_skip": 2}, "Pong-v4", {"frameskip": 1}),
        (NatureAtari, {}, "CartPole-v1", {}),
        (AtariWrapper, {}, "Pong-v4", {}),
    ],
)
def test_the_environment_is_asked_for_frameskip_1_where_both_would_skip(wrapper_class, overrides, env_id, expected):
    assert env_kwargs_for(wrapper_class, overrides, gym.spec(env_id).kwargs) == expected


def test_an_environment_built_with_these_keywords_steps_four_frames_at_a_time():
    env_kwargs = env_kwargs_for(NatureAtari, {}, gym.spec("ALE/Pong-v5").kwargs)
    env = NatureAtari(gym.make("ALE/Pong-v5", **env_kwargs))
    env.reset(seed=0)
    before = episode_frame(env)
    env.step(0)
    assert episode_frame(env) == before + 4
