"""One game beside training, which leaves no trace in it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization


@contextmanager
def global_generators_kept() -> Iterator[None]:
    """Put the global generators of Python, numpy and torch (CUDA's too) back to where they stood."""
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
    :param env: that an evaluation would be played in
    :param model: that would play
    :raises ValueError: if it has been trained with other spaces, or around another normalization
    """
    env = _as_the_model_wraps_it(env)
    for name in ("observation_space", "action_space"):
        theirs, ours = getattr(env, name), getattr(model, name)
        if theirs != ours:
            raise ValueError(
                f"make_env builds an environment with {name} {theirs}, the model is trained with {ours}: build it with "
                "the wrappers of the training"
            )
    try:
        _normalize(env, model)
    except AssertionError as error:
        raise ValueError(
            "make_env builds an environment that is not wrapped as the training's, so VecNormalize cannot share its "
            f"statistics ({error}): wrap it in VecNormalize(training=False, norm_reward=False) likewise"
        ) from error


def play(
    model: Any,
    make_env: Callable[[], VecEnv],
    seed: int,
    max_steps: int,
    show: Callable[[np.ndarray], None],
) -> float | None:
    """
    Play one game greedily, over all its lives.

    :param model: any of SB3's algorithms; what it has learnt, its generators and the mode of its networks stay
    :param make_env: builds one environment that renders and says ``info["episode"]`` when a game ends
    :param seed: of the game
    :param max_steps: environment steps after which the game is cut
    :param show: gets each picture, uint8 [H, W, 3]
    :return: raw return, None for a game that was cut
    """
    training_mode = model.policy.training
    with global_generators_kept():
        env = _as_the_model_wraps_it(make_env())
        try:
            _normalize(env, model)
            env.seed(seed)
            return _play_to_the_end(model, env, max_steps, show)
        finally:
            env.close()
            model.policy.set_training_mode(training_mode)


def _as_the_model_wraps_it(env: VecEnv) -> VecEnv:
    """:return: with the channels of pictures first, if they are not yet"""
    return BaseAlgorithm._wrap_env(env, verbose=0, monitor_wrapper=False)


def _normalize(env: VecEnv, model: Any) -> None:
    """:raises AssertionError: if the environments are wrapped in different ways"""
    if model.get_vec_normalize_env() is not None:
        sync_envs_normalization(model.get_env(), env)


def _play_to_the_end(model: Any, env: VecEnv, max_steps: int, show: Callable[[np.ndarray], None]) -> float | None:
    observations, states, starts = env.reset(), None, np.ones(1, bool)
    for _ in range(max_steps):
        show(env.env_method("render")[0])
        actions, states = model.predict(observations, state=states, episode_start=starts, deterministic=True)
        observations, _, starts, infos = env.step(actions)
        if "episode" in infos[0]:
            return float(infos[0]["episode"]["r"])
    return None
