"""Playing episodes and collecting statistics, with scripted models."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from sb3_atari_dqn.atari import AtariPresetWrapper, GameSpeed, NatureAtari
from sb3_atari_dqn.atari.skipping import actions_per_second
from sb3_atari_dqn.episodes import EpisodePlayer, action_names

BREAKOUT = "BreakoutNoFrameskip-v4"


class Script:
    """Takes the same actions again and again."""

    def __init__(self, *actions):
        self.actions, self.calls = actions, []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.calls.append((state, bool(episode_start[0]), deterministic))
        return np.array([self.actions[(len(self.calls) - 1) % len(self.actions)]]), len(self.calls)


class Countdown(gym.Env):
    """Three steps, rewards 1, 2 and 3; shows the number of the step."""

    observation_space = spaces.Box(0, 3, (1,), np.float32)
    action_space = spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None) -> tuple[Any, dict]:
        self.step_number = 0
        return np.zeros(1, np.float32), {}

    def step(self, action) -> Any:
        self.step_number += 1
        return np.full(1, self.step_number, np.float32), self.step_number, self.step_number == 3, False, {}

    def render(self) -> Any:
        return np.full((4, 4, 3), self.step_number, np.uint8)


def test_each_step_holds_the_observation_that_its_action_was_selected_from():
    player = EpisodePlayer(Script(1, 0, 0), make_vec_env(Countdown), deterministic=True)
    seen = [(m.number, m.picture[0, 0, 0], m.observation[0], m.action, m.episode.score) for m in player.steps(2)]
    first = [(1, 0, 0, 1, 0), (1, 1, 1, 0, 1), (1, 2, 2, 0, 3)]
    assert seen == [*first, *((2, *step[1:]) for step in first)]


def test_statistics_cover_full_episodes():
    player = EpisodePlayer(Script(1, 0, 0), make_vec_env(Countdown), deterministic=True)
    list(player.steps(2))
    assert [(episode.score, episode.env_steps, episode.finished) for episode in player.episodes] == [(6, 3, True)] * 2
    assert [dict(episode.actions) for episode in player.episodes] == [{"1": 1, "0": 2}] * 2
    assert player.episodes[0].raw_frames is None


def test_an_interrupted_episode_is_not_finished():
    player = EpisodePlayer(Script(0), make_vec_env(Countdown), deterministic=True)
    assert len(list(player.steps(5, max_steps=4))) == 4
    assert [(episode.score, episode.finished) for episode in player.episodes] == [(6, True), (1, False)]


def test_the_environments_own_score_replaces_the_return():
    class Scored(Countdown):
        def step(self, action) -> Any:
            observation, reward, terminated, truncated, _ = super().step(action)
            return observation, reward, terminated, truncated, {"score": 10 * self.step_number}

    player = EpisodePlayer(Script(0), make_vec_env(Scored), deterministic=True, score_key="score")
    assert [step.episode.score for step in player.steps(2)] == [0, 10, 20] * 2
    assert [episode.score for episode in player.episodes] == [30, 30]


def test_a_recurrent_model_gets_its_state_and_the_episode_starts():
    script = Script(0)
    list(EpisodePlayer(script, make_vec_env(Countdown), deterministic=False).steps(1))
    assert script.calls == [(None, True, False), (1, False, False), (2, False, False)]
    script = Script(0)
    list(EpisodePlayer(script, make_vec_env(Countdown), deterministic=True).steps(2))
    assert [start for _, start, _ in script.calls] == [True, False, False] * 2


def test_a_time_limit_around_the_monitor_ends_an_episode_too():
    env = make_vec_env(Countdown, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, 2))
    player = EpisodePlayer(Script(0), env, deterministic=True)
    list(player.steps(2))
    assert [(episode.score, episode.env_steps, episode.finished) for episode in player.episodes] == [(3, 2, True)] * 2


def test_an_atari_episode_that_a_time_limit_ends_counts_its_own_frames():
    env = make_vec_env(BREAKOUT, seed=1, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, 5))
    player = EpisodePlayer(Script(0), env, deterministic=True)
    list(player.steps(2))
    assert [(episode.env_steps, episode.raw_frames) for episode in player.episodes] == [(5, 5)] * 2


@pytest.fixture(scope="module")
def breakout():
    """A full episode of Breakout under a preset with terminal_on_life_loss: the player and its steps."""
    env = make_vec_env(BREAKOUT, seed=1, wrapper_class=NatureAtari)
    player = EpisodePlayer(Script(0, 2, 3, 3, 2, 2), VecFrameStack(env, 4), deterministic=True)
    steps = [(step.picture.shape, step.observation.shape) for step in player.steps(1)]
    return player, steps


def test_an_atari_episode_covers_all_lives(breakout):
    player, steps = breakout
    (episode,) = player.episodes
    assert episode.finished
    assert episode.env_steps == len(steps) == sum(episode.actions.values())
    assert set(episode.actions) == {"NOOP", "RIGHT", "LEFT"}
    # 4 frames to a step; lost lives and FIRE after them cost some more
    assert 4 * episode.env_steps < episode.raw_frames < 5 * episode.env_steps + 100
    assert set(steps) == {((210, 160, 3), (84, 84, 4))}


def test_the_score_is_raw_and_not_clipped():
    env = make_vec_env("MsPacmanNoFrameskip-v4", seed=1, wrapper_class=NatureAtari)
    player = EpisodePlayer(Script(3), env, deterministic=True)
    list(player.steps(1, max_steps=80))
    assert player.episodes[0].score >= 20
    assert player.episodes[0].score % 10 == 0


def test_actions_have_the_games_names_where_they_fit():
    env = gym.make(BREAKOUT)
    assert action_names(env, env.action_space) == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert action_names(env, spaces.Discrete(2)) == ["0", "1"]
    assert action_names(Countdown(), spaces.Box(-1, 1, (2,))) == []


@pytest.mark.parametrize(
    ("env", "fps"),
    [
        (lambda: gym.make("PongNoFrameskip-v4"), 60),
        (lambda: NatureAtari(gym.make("PongNoFrameskip-v4")), 15),
        (lambda: NatureAtari(gym.make("PongNoFrameskip-v4"), frame_skip=16, max_pool_frames=16), 3.75),
        (lambda: gym.make("Pong-v4"), 20),  # 2 to 4, 3 on the average
        (lambda: gym.make("ALE/Pong-v5"), 15),
        (Countdown, 7),
    ],
)
def test_videos_run_at_the_speed_of_the_game(env, fps):
    assert actions_per_second(env()) == fps


@pytest.mark.parametrize(
    ("env_id", "options", "fps"),
    [
        ("PongNoFrameskip-v4", dict(frame_skip=4), 15),
        ("PongNoFrameskip-v4", dict(frame_skip=16), 3.75),
        ("PongNoFrameskip-v4", {}, 60),
        ("Pong-v4", {}, 20),
    ],
)
def test_presets_pass_that_speed_to_other_recorders(env_id, options, fps):
    inside = gym.make(env_id)
    known = dict(inside.metadata)
    env = gym.wrappers.NormalizeReward(AtariPresetWrapper(inside, **options))
    assert env.metadata == {**known, "render_fps": fps}
    assert inside.metadata == known


def test_a_wrapper_sets_it_for_games_without_a_preset():
    ram = {"obs_type": "ram", "frameskip": 16}
    env = make_vec_env("MsPacman-v0", env_kwargs=ram, wrapper_class=GameSpeed)
    assert env.get_attr("metadata")[0]["render_fps"] == 3.75
    assert actions_per_second(env) == 3.75


@pytest.mark.slow
@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, SubprocVecEnv])
def test_the_speed_of_several_games_is_that_of_the_first(vec_env_cls):
    env = make_vec_env("CartPole-v1", n_envs=2, vec_env_cls=vec_env_cls)
    assert actions_per_second(env) == 50
    env.close()


def test_an_environment_that_does_not_render_raises():
    env = make_vec_env("PongNoFrameskip-v4", wrapper_class=NatureAtari, env_kwargs=dict(render_mode=None))
    with pytest.raises(ValueError, match="render_mode='rgb_array'"):
        next(EpisodePlayer(Script(0), env, deterministic=True).steps(1))
