"""Stacks of a batch before their frames are gathered: named by row numbers, for a device that gathers them itself.

B: batch, K: frames in a stack, F: numbers in a frame.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.stacks import StackShape


@dataclass(frozen=True)
class StackRows:
    """
    Which frames make up the stacks of a batch.

    :param store: holds the frames
    :param shape: geometry of the stacks
    :param rows: of the frames, oldest first, int64 [B, K]
    """

    store: DeviceFrameStore
    shape: StackShape
    rows: np.ndarray

    def with_memory(self) -> "StacksInPlace":
        """:return: takes over the rows of this batch and of others like it"""
        return StacksInPlace(self.store, self.shape, self.rows.shape)


class StacksInPlace:
    """
    Gathers stacks from the same memory each time, as a recording asks for.

    The rows are sent to the device; so are the few overflow frames, which stay in host memory.

    :param store: holds the frames
    :param shape: geometry of the stacks
    :param size: B, K
    """

    def __init__(self, store: DeviceFrameStore, shape: StackShape, size: tuple[int, ...]) -> None:
        self._store, self._shape, self._size = store, shape, size
        self._rows = torch.empty(int(np.prod(size)), dtype=torch.int64, device=store.device)
        self._guests = torch.zeros((len(self._rows), store.layout.frame_bytes), dtype=torch.uint8, device=store.device)

    def fits(self, given: object) -> bool:
        """:return: whether these are row numbers of the same frames, as many"""
        return isinstance(given, StackRows) and given.store is self._store and given.rows.shape == self._size

    def copy_(self, given: StackRows) -> None:
        """Send the rows of another batch to where those of the last one lie."""
        self._store.send(given.rows.ravel(), self._rows, self._guests)

    def gather(self) -> Tensor:
        """:return: the stacks, [B, *obs_shape]"""
        frames = self._store.gather_on_device(self._rows, self._guests)
        return self._shape.join(frames.view(*self._size, self._store.layout.frame_size))
