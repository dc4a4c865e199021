"""Sizes that a file asks for, checked before a model of such sizes is built."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.checkpoints.allowed_names import is_listed
from sb3_atari_dqn.checkpoints.brief import brief
from sb3_atari_dqn.checkpoints.plain_model import LARGEST_SPACE
from sb3_atari_dqn.checkpoints.safe_values import is_shape

#: Layers of a network, or other values in one list of `policy_kwargs`.
_MOST_LAYERS = 1000


def check_sizes(space: Any, policy_kwargs: Mapping[str, Any]) -> None:
    """
    :param space: of observations
    :param policy_kwargs: of the policy
    :raises ValueError: if a space has more elements than its bounds or than any game, or a network too many layers
    """
    for part in _parts(space):
        shape = getattr(part, "shape", None) or ()
        if not is_shape(shape) or math.prod(shape) > LARGEST_SPACE:
            raise ValueError(f"The observations have the shape {brief(shape)}: at most {LARGEST_SPACE:,} elements.")
        if isinstance(part, spaces.Box) and not np.shape(part.low) == np.shape(part.high) == shape:
            raise ValueError(f"The observations have the shape {brief(shape)}, and bounds of another shape.")
    for name, value in policy_kwargs.items():
        if isinstance(value, list | tuple | Mapping) and len(value) > _MOST_LAYERS:
            raise ValueError(f"policy_kwargs: {name} has {len(value):,} values: at most {_MOST_LAYERS:,}.")


def _parts(space: Any) -> list[Any]:
    return [part for each in space.values() for part in _parts(each)] if isinstance(space, spaces.Dict) else [space]


def knows_sizes(policy_class: Any, policy_kwargs: Mapping[str, Any]) -> bool:
    """:return: whether all classes of a network are those of this package and its dependencies, not of the user"""
    kinds = [policy_class, *(value for value in policy_kwargs.values() if isinstance(value, type))]
    return hasattr(policy_class, "shapes") and all(is_listed(kind) for kind in kinds)
