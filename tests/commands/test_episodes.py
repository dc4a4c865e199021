"""Playing games and keeping count, with models that do not think."""

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


def test_each_moment_shows_what_the_action_was_chosen_from():
    player = EpisodePlayer(Script(1, 0, 0), make_vec_env(Countdown), deterministic=True)
    seen = [(m.number, m.picture[0, 0, 0], m.observation[0], m.action, m.game.score) for m in player.steps(2)]
    first = [(1, 0, 0, 1, 0), (1, 1, 1, 0, 1), (1, 2, 2, 0, 3)]
    assert seen == [*first, *((2, *step[1:]) for step in first)]


def test_games_are_counted_to_their_end():
    player = EpisodePlayer(Script(1, 0, 0), make_vec_env(Countdown), deterministic=True)
    list(player.steps(2))
    assert [(game.score, game.env_steps, game.finished) for game in player.games] == [(6, 3, True)] * 2
    assert [dict(game.actions) for game in player.games] == [{"1": 1, "0": 2}] * 2
    assert player.games[0].raw_frames is None


def test_a_game_that_is_cut_short_is_not_finished():
    player = EpisodePlayer(Script(0), make_vec_env(Countdown), deterministic=True)
    assert len(list(player.steps(5, max_steps=4))) == 4
    assert [(game.score, game.finished) for game in player.games] == [(6, True), (1, False)]


def test_a_score_of_the_environments_own_is_told_instead_of_the_return():
    class Scored(Countdown):
        def step(self, action) -> Any:
            observation, reward, terminated, truncated, _ = super().step(action)
            return observation, reward, terminated, truncated, {"score": 10 * self.step_number}

    player = EpisodePlayer(Script(0), make_vec_env(Scored), deterministic=True, score_key="score")
    assert [step.game.score for step in player.steps(2)] == [0, 10, 20] * 2
    assert [game.score for game in player.games] == [30, 30]


def test_a_model_with_a_memory_gets_it_back_and_is_told_of_ends():
    script = Script(0)
    list(EpisodePlayer(script, make_vec_env(Countdown), deterministic=False).steps(1))
    assert script.calls == [(None, True, False), (1, False, False), (2, False, False)]
    script = Script(0)
    list(EpisodePlayer(script, make_vec_env(Countdown), deterministic=True).steps(2))
    assert [start for _, start, _ in script.calls] == [True, False, False] * 2


def test_a_time_limit_around_the_monitor_ends_a_game_too():
    env = make_vec_env(Countdown, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, 2))
    player = EpisodePlayer(Script(0), env, deterministic=True)
    list(player.steps(2))
    assert [(game.score, game.env_steps, game.finished) for game in player.games] == [(3, 2, True)] * 2


def test_a_game_of_atari_that_a_time_limit_ends_counts_its_own_frames():
    env = make_vec_env(BREAKOUT, seed=1, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, 5))
    player = EpisodePlayer(Script(0), env, deterministic=True)
    list(player.steps(2))
    assert [(game.env_steps, game.raw_frames) for game in player.games] == [(5, 5)] * 2


@pytest.fixture(scope="module")
def breakout():
    """A game of Breakout under a preset that ends episodes with a life: the player, and its steps."""
    env = make_vec_env(BREAKOUT, seed=1, wrapper_class=NatureAtari)
    player = EpisodePlayer(Script(0, 2, 3, 3, 2, 2), VecFrameStack(env, 4), deterministic=True)
    steps = [(step.picture.shape, step.observation.shape) for step in player.steps(1)]
    return player, steps


def test_a_game_of_atari_goes_over_all_its_lives(breakout):
    player, steps = breakout
    (game,) = player.games
    assert game.finished
    assert game.env_steps == len(steps) == sum(game.actions.values())
    assert set(game.actions) == {"NOOP", "RIGHT", "LEFT"}
    # 4 frames to a step; lost lives and FIRE after them cost some more
    assert 4 * game.env_steps < game.raw_frames < 5 * game.env_steps + 100
    assert set(steps) == {((210, 160, 3), (84, 84, 4))}


def test_a_score_is_the_games_own_and_not_clipped():
    env = make_vec_env("MsPacmanNoFrameskip-v4", seed=1, wrapper_class=NatureAtari)
    player = EpisodePlayer(Script(3), env, deterministic=True)
    list(player.steps(1, max_steps=80))
    assert player.games[0].score >= 20
    assert player.games[0].score % 10 == 0


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
def test_recorders_of_others_learn_that_speed_from_a_preset(env_id, options, fps):
    inside = gym.make(env_id)
    known = dict(inside.metadata)
    env = gym.wrappers.NormalizeReward(AtariPresetWrapper(inside, **options))
    assert env.metadata == {**known, "render_fps": fps}
    assert inside.metadata == known


def test_a_game_without_a_preset_tells_it_through_a_wrapper():
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


def test_an_environment_that_renders_nothing_is_refused():
    env = make_vec_env("PongNoFrameskip-v4", wrapper_class=NatureAtari, env_kwargs=dict(render_mode=None))
    with pytest.raises(ValueError, match="render_mode='rgb_array'"):
        next(EpisodePlayer(Script(0), env, deterministic=True).steps(1))
