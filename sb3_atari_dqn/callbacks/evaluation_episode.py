"""Evaluation episodes during training, without side effects on the training."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization


@contextmanager
def global_generators_restored() -> Iterator[None]:
    """Restore the state of the global generators of Python, numpy and torch (CUDA's too) afterwards."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def check_fits(env: VecEnv, model: BaseAlgorithm) -> None:
    """
    :param env: for evaluation episodes
    :param model: being trained
    :raises ValueError: if its spaces or its normalization differ from those of the training
    """
    env = _as_the_model_wraps_it(env)
    for name in ("observation_space", "action_space"):
        theirs, ours = getattr(env, name), getattr(model, name)
        if theirs != ours:
            raise ValueError(
                f"make_env builds an environment with {name} {theirs}, but the model is trained with {ours}: build it "
                "with the wrappers of the training"
            )
    try:
        _normalize(env, model)
    except AssertionError as error:
        raise ValueError(
            "make_env builds an environment that is wrapped differently from the training's, so VecNormalize cannot "
            f"share its statistics ({error}): wrap it in VecNormalize(training=False, norm_reward=False) too"
        ) from error


def play_episode(
    model: Any,
    make_env: Callable[[], VecEnv],
    seed: int,
    max_steps: int,
    show: Callable[[np.ndarray], None],
) -> float | None:
    """
    Play one full episode (over all lives) with the greedy policy.

    :param model: any algorithm of SB3; its parameters, generators and training mode do not change
    :param make_env: builds one environment that renders and adds ``info["episode"]`` at the end of an episode
    :param seed: of the episode
    :param max_steps: limit of environment steps
    :param show: called with each rendered image, uint8 [H, W, 3]
    :return: raw return, None if the limit was reached first
    """
    training_mode = model.policy.training
    with global_generators_restored():
        env = _as_the_model_wraps_it(make_env())
        try:
            _normalize(env, model)
            env.seed(seed)
            return _play_to_end(model, env, max_steps, show)
        finally:
            env.close()
            model.policy.set_training_mode(training_mode)


def play_episodes(
    model: Any,
    make_envs: Callable[[int], VecEnv],
    n_episodes: int,
    seed: int,
    epsilon: float,
    max_steps: int,
) -> tuple[np.ndarray, np.ndarray] | None:
    """
    Play full episodes (over all lives) side by side, one per environment, so that short ones are not preferred.

    :param model: any algorithm of SB3; its parameters, generators and training mode do not change
    :param make_envs: builds so many environments that add ``info["episode"]`` at the end of an episode
    :param n_episodes: n
    :param seed: of the first environment, the others count on; and of the random actions
    :param epsilon: probability of a random action in place of the greedy one
    :param max_steps: limit of environment steps per episode
    :return: raw returns, float64 [n], and lengths as the monitor counts them, int64 [n]; None if an episode reached
        the limit first
    """
    training_mode = model.policy.training
    with global_generators_restored():
        env = _as_the_model_wraps_it(make_envs(n_episodes))
        try:
            _normalize(env, model)
            env.seed(seed)
            return _play_all_to_end(model, env, np.random.default_rng(seed), epsilon, max_steps)
        finally:
            env.close()
            model.policy.set_training_mode(training_mode)


def _play_all_to_end(
    model: Any, env: VecEnv, generator: np.random.Generator, epsilon: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray] | None:
    n = env.num_envs
    returns, lengths = np.full(n, np.nan), np.zeros(n, np.int64)
    observations, states, starts = env.reset(), None, np.ones(n, bool)
    space = deepcopy(env.action_space)
    space.seed(int(generator.integers(2**31)))
    for _ in range(max_steps):
        actions, states = model.predict(observations, state=states, episode_start=starts, deterministic=True)
        for exploring in np.flatnonzero(generator.random(n) < epsilon):
            actions[exploring] = space.sample()
        observations, _, starts, infos = env.step(actions)
        for place, info in enumerate(infos):
            if "episode" in info and np.isnan(returns[place]):
                returns[place], lengths[place] = info["episode"]["r"], info["episode"]["l"]
        if not np.isnan(returns).any():
            return returns, lengths
    return None


def _as_the_model_wraps_it(env: VecEnv) -> VecEnv:
    """:return: with images channels-first, as SB3 wraps the training environments"""
    return BaseAlgorithm._wrap_env(env, verbose=0, monitor_wrapper=False)


def _normalize(env: VecEnv, model: Any) -> None:
    """:raises AssertionError: if the two environments are wrapped differently"""
    if model.get_vec_normalize_env() is not None:
        sync_envs_normalization(model.get_env(), env)


def _play_to_end(model: Any, env: VecEnv, max_steps: int, show: Callable[[np.ndarray], None]) -> float | None:
    observations, states, starts = env.reset(), None, np.ones(1, bool)
    for _ in range(max_steps):
        show(env.env_method("render")[0])
        actions, states = model.predict(observations, state=states, episode_start=starts, deterministic=True)
        observations, _, starts, infos = env.step(actions)
        if "episode" in infos[0]:
            return float(infos[0]["episode"]["r"])
    return None
