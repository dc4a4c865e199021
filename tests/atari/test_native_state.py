"""Native games are rebuilt exactly from their seeds and actions, at any moment."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.atari import NativeAtariVecEnv, NatureAtari
from sb3_atari_dqn.checkpoints.env_state import env_state, load_env_state
from tests.support.continuing import assert_continues, assert_equal, play, play_to_the_end_of_an_episode, through_json

PONG, BREAKOUT = "PongNoFrameskip-v4", "BreakoutNoFrameskip-v4"
STICKY = {"repeat_action_probability": 0.25}


def native(env_id: str = BREAKOUT, n_envs: int = 1, seed: int = 0, **kwargs: Any) -> NativeAtariVecEnv:
    return NativeAtariVecEnv(env_id, n_envs, seed=seed, env_kwargs=STICKY, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "n_envs", "at_an_end", "steps"),
    [(PONG, 1, False, 150), (PONG, 8, False, 20), (BREAKOUT, 1, True, 100), (BREAKOUT, 8, False, 30)],
)
def test_native_games_continue(env_id, n_envs, at_an_end, steps):
    assert_continues(lambda: native(env_id, n_envs), 37, at_an_end=at_an_end, steps=steps)


@pytest.mark.slow
def test_a_whole_game_ends_with_the_score_and_length_it_would_have_had():
    results = assert_continues(lambda: native(BREAKOUT), before=57)
    assert any("episode" in info for *_, infos in results for info in infos)


@pytest.mark.slow
def test_long_journals_begin_anew_on_request_without_changing_what_is_counted():
    def reloading() -> NativeAtariVecEnv:
        env = native(BREAKOUT, 2)
        env.reload_after = 100
        return env

    env = reloading()
    env.reset()
    seeds = [journal.seed for journal in env._pool.journals if journal]
    frames = []
    rng = np.random.default_rng(0)
    for _ in range(300):
        frames.append([info["frame_number"] for info in play(env, rng, 1)[0][3]])
    assert all(journal and journal.seed != seed for journal, seed in zip(env._pool.journals, seeds, strict=True))
    assert all(len(journal.entries) < 400 for journal in env._pool.journals if journal)
    assert (np.diff(frames, axis=0) > 0).all()
    assert frames[-1][0] > 4 * 300
    assert_continues(reloading, before=250, steps=50)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_games_beyond_a_new_loading():
    def played() -> list[Any]:
        env = native(BREAKOUT, 1, seed=4)
        env.reload_after = 60
        env.reset()
        return play(env, np.random.default_rng(0), 400)

    assert_equal(played(), played())


@pytest.mark.slow
def test_a_state_holds_the_step_in_flight():
    original, other = native(BREAKOUT, 2), native(BREAKOUT, 2, seed=9)
    original.reset()
    rng = np.random.default_rng(0)
    play(original, rng, 40)
    original.step_async(np.array([1, 2]))
    state = through_json(original.state_dict())
    other.load_state_dict(state)
    results = []
    for env in (original, other):
        observations, rewards, dones, infos = env.step_wait()
        results.append([observations, rewards, dones, infos, play(env, np.random.default_rng(1), 30)])
    assert_equal(results[1], results[0])


def test_before_the_first_reset_the_seeds_are_the_state():
    original, other = native(seed=3), native(seed=8)
    other.load_state_dict(through_json(original.state_dict()))
    np.testing.assert_array_equal(original.reset(), other.reset())
    other.load_state_dict(through_json(native(seed=3).state_dict()))
    with pytest.raises(RuntimeError, match="before reset"):
        other.step(np.array([0]))


@pytest.mark.slow
def test_a_game_that_was_played_on_goes_back_and_pictures_with_it():
    env = native(BREAKOUT, 1, render_mode="rgb_array")
    env.reset()
    play(env, np.random.default_rng(0), 30)
    state, picture = env.state_dict(), env.render()
    expected = play(env, np.random.default_rng(1), 40)
    env.load_state_dict(state)
    np.testing.assert_array_equal(env.render(), picture)
    assert_equal(play(env, np.random.default_rng(1), 40), expected)


@pytest.mark.slow
def test_other_games_are_refused_and_everything_stays_as_it_was():
    env, twin = native(BREAKOUT, 1, seed=2), native(BREAKOUT, 1, seed=2)
    for each in (env, twin):
        each.reset()
        play(each, np.random.default_rng(0), 20)
    pong = native(PONG)
    pong.reset()
    with pytest.raises(ValueError, match="Game 0: the same seed and actions give another game of BreakoutNoFrameskip"):
        env.load_state_dict(pong.state_dict())
    with pytest.raises(ValueError, match=r"observations \[2, 4, 84, 84\] does not fit \[1, 4, 84, 84\]"):
        env.load_state_dict(native(BREAKOUT, 2).state_dict())
    assert_equal(play(env, np.random.default_rng(1), 20), play(twin, np.random.default_rng(1), 20))


def test_an_interrupted_step_has_no_state(monkeypatch):
    env = native()
    env.reset()
    env.step_async(np.array([0]))
    monkeypatch.setattr(env, "_pushed", lambda replies: raise_interrupt())
    with pytest.raises(KeyboardInterrupt):
        env.step_wait()
    with pytest.raises(RuntimeError, match="interrupted step_wait"):
        env.state_dict()
    monkeypatch.undo()
    env.step(np.array([0]))
    other = native(seed=1)
    other.load_state_dict(env.state_dict())
    assert_equal(play(other, np.random.default_rng(0), 5), play(env, np.random.default_rng(0), 5))


def raise_interrupt() -> Any:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_wrappers_around_native_games_continue():
    assert_continues(lambda: VecNormalize(native(BREAKOUT, 2), norm_obs=False), before=40, steps=60)


@pytest.mark.slow
def test_without_sticky_actions_and_pooling_games_continue():
    preset = NatureAtari.preset.with_overrides({"max_pool_frames": 1, "terminal_on_life_loss": False})
    env_id = "MsPacmanNoFrameskip-v4"
    assert_continues(lambda: NativeAtariVecEnv(env_id, 2, preset=preset), before=80, steps=60)


def test_a_state_taken_right_after_a_reset_continues():
    original, other = native(n_envs=1), native(n_envs=1, seed=7)
    original.reset()
    assert load_env_state(other, through_json(env_state(original))) is None
    assert_equal(play(other, np.random.default_rng(0), 5), play(original, np.random.default_rng(0), 5))


@pytest.mark.slow
def test_an_episode_that_just_ended_continues_with_the_next():
    original, other = native(), native(seed=7)
    original.reset()
    play_to_the_end_of_an_episode(original, np.random.default_rng(0))
    assert not original.state_dict()["stacks"][0, 0].any()  # a new stack
    other.load_state_dict(original.state_dict())
    assert_equal(play(other, np.random.default_rng(0), 30), play(original, np.random.default_rng(0), 30))
