"""Play an environment, take its state, and play on in another one: every result is compared."""

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.checkpoints.env_state import env_state, load_env_state, record_actions
from sb3_atari_dqn.checkpoints.state import State, joined, split


def through_json(state: State) -> State:
    """:return: a state as a file would give it back"""
    values, arrays = split(state)
    return joined(json.loads(json.dumps(values)), arrays)


def play(env: VecEnv, rng: np.random.Generator, steps: int) -> list[Any]:
    """:return: everything that random actions give, without the clock; terminal observations too"""
    results: list[Any] = []
    for _ in range(steps):
        actions = np.array([rng.integers(env.action_space.n) for _ in range(env.num_envs)])  # type: ignore[attr-defined]
        observations, rewards, dones, infos = env.step(actions)
        for info in infos:
            info.get("episode", {}).pop("t", None)
        results.append([deepcopy(observations), rewards.copy(), dones.copy(), infos])
    return results


def assert_equal(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        ours, theirs = list(ours.values()), list(theirs.values())
    if isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(ours, theirs)


def play_to_the_end_of_an_episode(env: VecEnv, rng: np.random.Generator, most: int = 3000) -> None:
    for _ in range(most):
        if play(env, rng, 1)[0][2].any():
            return
    raise AssertionError(f"no episode ended within {most} steps")


def assert_continues(
    make: Callable[[], VecEnv], before: int, at_an_end: bool = False, steps: int = 300, seed: int = 5
) -> list[Any]:
    """:return: the results after the state was taken"""
    original, other = make(), make()
    for env in (original, other):
        assert record_actions(env) is None
    original.seed(seed)
    original.reset()
    rng = np.random.default_rng(seed)
    play(original, rng, before)
    if at_an_end:
        play_to_the_end_of_an_episode(original, rng)
    state = through_json(env_state(original))
    then = np.random.default_rng(seed + 1)
    expected = play(original, then, steps)
    assert load_env_state(other, state) is None
    assert_equal(play(other, np.random.default_rng(seed + 1), steps), expected)
    for env in (original, other):
        env.close()
    return expected


def continue_elsewhere(make: Callable[[], VecEnv], state: State, seed: int, steps: int) -> list[Any]:
    """:return: the results of an environment in another process, which loads the state"""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_continue, make, state, seed, steps).result()


def _continue(make: Callable[[], VecEnv], state: State, seed: int, steps: int) -> list[Any]:
    env = make()
    record_actions(env)
    assert load_env_state(env, state) is None
    return play(env, np.random.default_rng(seed), steps)
