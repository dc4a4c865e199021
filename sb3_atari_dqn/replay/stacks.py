"""How stacked observations come apart into frames, and which frames make them up again. Pure: numpy only.

B: batch, K: frames in a stack, N: environments, F: numbers in a frame.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

# Frames of a stack before the first frame of an episode.
ZEROS, REPEATED, OVERFLOW = 0, 1, 2


@dataclass(frozen=True)
class StackShape:
    """
    Geometry of a stack.

    :param obs_shape: of one observation, the K frames along one of its axes
    :param n_stack: K
    :param axis: of the frames, counted without the batch axis
    :raises ValueError: if the axis cannot be cut into K parts
    """

    obs_shape: tuple[int, ...]
    n_stack: int
    axis: int

    def __post_init__(self) -> None:
        if self.n_stack < 1 or self.n_stack > 254 or self.obs_shape[self.axis] % self.n_stack:
            raise ValueError(
                f"n_stack={self.n_stack} does not fit observations of shape {self.obs_shape}, whose axis {self.axis} "
                f"holds {self.obs_shape[self.axis]} channels; give the number of frames in a stack, or 1 to store "
                "every observation whole."
            )

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        shape = list(self.obs_shape)
        shape[self.axis] //= self.n_stack
        return tuple(shape)

    @property
    def frame_size(self) -> int:
        """F"""
        return math.prod(self.frame_shape)

    def split(self, observations: np.ndarray) -> np.ndarray:
        """
        :param observations: [N, *obs_shape]
        :return: view of their frames, oldest first, [N, K, *frame_shape]
        """
        before, after = self.obs_shape[: self.axis], self.obs_shape[self.axis + 1 :]
        channels = self.frame_shape[self.axis]
        parts = observations.reshape(len(observations), *before, self.n_stack, channels, *after)
        return np.moveaxis(parts, self.axis + 1, 1)

    def newest(self, observations: np.ndarray) -> np.ndarray:
        """
        :param observations: [N, *obs_shape]
        :return: view of their newest frames, [N, *frame_shape]
        """
        return observations[self._newest]

    @cached_property
    def _newest(self) -> tuple[slice, ...]:
        return (slice(None),) * (self.axis + 1) + (slice(-self.frame_shape[self.axis], None),)

    def join(self, frames: torch.Tensor) -> torch.Tensor:
        """
        :param frames: oldest first, [B, K, F]
        :return: observations, a view where the stack is the first axis, [B, *obs_shape]
        """
        parts = frames.unflatten(2, self.frame_shape)
        return torch.movedim(parts, 1, self.axis + 1).reshape(len(frames), *self.obs_shape)


class Snapshot(NamedTuple):
    """
    The bytes of some observations, for the quickest comparison there is.

    :param channel_last: the channel is the last axis in memory, as a camera gives images, whatever the shape says
    :param data: the bytes, in the order of memory
    """

    channel_last: bool
    data: bytes

    @classmethod
    def of(cls, observations: np.ndarray) -> "Snapshot":
        """:param observations: [N, ...]"""
        if observations.flags.c_contiguous:
            return cls(False, observations.tobytes())
        return cls(True, observations.transpose(0, *range(2, observations.ndim), 1).tobytes())

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """
        :param shape: of the observations, [N, ...]
        :return: them, to read
        """
        if not self.channel_last:
            return np.frombuffer(self.data, dtype).reshape(shape)
        stored = (shape[0], *shape[2:], shape[1])
        return np.moveaxis(np.frombuffer(self.data, dtype).reshape(stored), -1, 1)


def classify_start(older: np.ndarray, newest: np.ndarray, continued: np.ndarray | None) -> int | None:
    """
    What the first stack of an episode holds beside its newest frame, read from the stack itself.

    :param older: its other frames, oldest first, [K - 1, F]
    :param newest: its newest frame, [F]
    :param continued: frames that would stand there if the stack had simply moved on (a life was lost and nothing
        was reset), [K - 1, F], or None before the first transition
    :return: `ZEROS`, `REPEATED` (the newest frame again), `OVERFLOW` (frames seen nowhere else) or None: moved on
    """
    if not older.any():
        return ZEROS
    if (older == newest).all():
        return REPEATED
    if continued is not None and np.array_equal(older, continued):
        return None
    return OVERFLOW
