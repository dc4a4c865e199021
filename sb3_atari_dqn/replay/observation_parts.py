"""Which parts an observation space has, and how the arrays that an environment returns come apart into them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_obs_shape, is_image_space, is_image_space_channels_first

from sb3_atari_dqn.replay.observation_memory import PLAIN
from sb3_atari_dqn.replay.stacks import StackShape
from sb3_atari_dqn.validation import as_int

# What SB3's networks take as one part of an observation.
PART_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


@dataclass(frozen=True)
class ObservationPart:
    """
    :param shape: geometry of its stacks
    :param dtype: of its numbers
    """

    shape: StackShape
    dtype: np.dtype


def spaces_of(space: spaces.Space) -> dict[str, spaces.Space]:
    """
    :param space: of the observations
    :return: the space of each part; of an observation that is not a dictionary the only one, under the name ""
    :raises ValueError: on a space that SB3's networks cannot take either
    """
    found = dict(space.spaces) if isinstance(space, spaces.Dict) else {PLAIN: space}
    for name, part in found.items():
        if not isinstance(part, PART_SPACES):
            known = ", ".join(kind.__name__ for kind in PART_SPACES)
            where = f" under {name!r}" if name else ""
            raise ValueError(f"Observations must be of {known}, or a flat Dict of these; got {part}{where}.")
    return found


def stack_axis(space: spaces.Space) -> int:
    """:return: the axis along which SB3's VecFrameStack puts the frames, after SB3's transposition of images"""
    if isinstance(space, spaces.Box) and is_image_space(space) and is_image_space_channels_first(space):
        return 0
    return max(len(get_obs_shape(space)) - 1, 0)


def parts_of(space: spaces.Space, n_stack: Any = 1, axis: Any = None) -> dict[str, ObservationPart]:
    """
    :param space: of the observations
    :param n_stack: frames in a stack; a mapping gives it for each key of a dictionary, 1 for those it leaves out
    :param axis: along which they lie, counted without the batch axis, negative from the end; a mapping likewise; None:
        where SB3's VecFrameStack puts them by default
    :return: the parts by name
    :raises ValueError: on a space without frames, a key that the space does not have, or stacks that do not fit it
    """
    found = spaces_of(space)
    for argument, given in (("n_stack", n_stack), ("stack_axis", axis)):
        unknown = sorted(set(given) - set(found)) if isinstance(given, Mapping) else []
        if unknown:
            raise ValueError(f"{argument} names {unknown[0]!r}, which {space} does not have.")
    return {name: _part(part, _entry(n_stack, name, 1), _entry(axis, name, None), name) for name, part in found.items()}


def _entry(given: Any, name: str, default: Any) -> Any:
    return given.get(name, default) if isinstance(given, Mapping) else given


def _part(space: spaces.Space, n_stack: Any, axis: Any, name: str) -> ObservationPart:
    shape: Any = tuple(get_obs_shape(space)) or (1,)  # a scalar is stored as a row of one
    n_stack = as_int("n_stack", n_stack, 1)
    axis = stack_axis(space) if axis is None else as_int("stack_axis", axis, -len(shape))
    if axis >= len(shape):
        raise ValueError(f"stack_axis={axis} does not fit observations of shape {shape}.")
    try:
        stacked = StackShape(shape, n_stack, axis % len(shape))
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}" if name else str(error)) from error
    assert space.dtype is not None
    return ObservationPart(stacked, np.dtype(space.dtype))
