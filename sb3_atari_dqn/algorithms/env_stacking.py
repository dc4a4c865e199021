"""How the training environment stacks frames: read from its wrappers, so that nothing has to be guessed."""

from typing import Any, NamedTuple

from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_obs_shape, is_image_space
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_dqn.replay.observation_memory import PLAIN

# SB3 moves the channels of images from the last axis to the first.
_TRANSPOSED = {0: 1, 1: 2, 2: 0}


class Stacking(NamedTuple):
    """
    How the frames of an observation are stacked.

    :param n_stack: K
    :param axis: along which the frames lie, counted without the batch axis
    """

    n_stack: int
    axis: int


def frame_stacking(env: VecEnv) -> dict[str, Stacking]:
    """
    :param env: the training environment, wrapped as the algorithm sees it
    :return: number and axis of the frames in each part of an observation that is stacked: the keys of a dictionary, or
        "" for the whole. What nothing stacks is left out, and so is what a wrapper unknown here has reshaped: such
        observations are stored whole, which is right for any and costs memory
    """
    if not isinstance(env, VecEnvWrapper):
        return _of_native_games(env)
    if isinstance(env, VecFrameStack):
        return _of_wrapper(env.stacked_obs)
    inner = frame_stacking(env.venv)
    if isinstance(env, VecTransposeImage):
        return inner if env.skip else _transposed(inner, env)
    if isinstance(env, VecExtractDictObs):
        return {PLAIN: inner[env.key]} if env.key in inner else {}
    keeps_shapes = isinstance(env, VecNormalize) or _shapes(env) == _shapes(env.venv)
    return inner if keeps_shapes else {}


def _of_native_games(env: VecEnv) -> dict[str, Stacking]:
    """They stack by themselves, along the first axis; an attribute of that name may mean anything elsewhere."""
    n_stack, space = getattr(env, "n_stack", 1), env.observation_space
    is_stack = isinstance(n_stack, int) and n_stack > 1 and isinstance(space, spaces.Box) and is_image_space(space)
    return {PLAIN: Stacking(n_stack, 0)} if is_stack and space.shape[0] % n_stack == 0 else {}  # type: ignore[index]


def _of_wrapper(stacked: StackedObservations) -> dict[str, Stacking]:
    parts = getattr(stacked, "sub_stacked_observations", {PLAIN: stacked})
    return {
        name: Stacking(part.n_stack, part.repeat_axis % len(part.stacked_shape))
        for name, part in parts.items()
        if part.stacked_shape  # a scalar has no axis
    }


def _transposed(inner: dict[str, Stacking], env: VecTransposeImage) -> dict[str, Stacking]:
    images = getattr(env, "image_space_keys", [PLAIN])
    return {
        name: Stacking(part.n_stack, _TRANSPOSED[part.axis]) if name in images else part for name, part in inner.items()
    }


def _shapes(env: VecEnv) -> Any:
    space = env.observation_space
    known = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Dict)
    return get_obs_shape(space) if isinstance(space, known) else None
