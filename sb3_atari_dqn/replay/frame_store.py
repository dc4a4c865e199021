"""Frame storage: a ring of vector steps, one row of zeros, and a small overflow pool.

N: environments, B: batch, M: frames per sample, F: numbers in a frame.

Every frame has a row number: composing stacks is index arithmetic, whether the frames are in RAM, compressed, or on
another device:

    rows   0 ........................ N * ring_steps    N * ring_steps + 1 ......
           frame of (step, environment)  zeros          overflow frames
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.checkpoints.state import check_form

_FIRST_POOL_ROWS = 16


@dataclass(frozen=True)
class FrameLayout:
    """
    :param ring_steps: vector steps that the ring holds
    :param n_envs: N
    :param frame_size: F
    :param dtype: of the numbers in a frame
    """

    ring_steps: int
    n_envs: int
    frame_size: int
    dtype: np.dtype

    @property
    def zero_row(self) -> int:
        return self.ring_steps * self.n_envs

    @property
    def frame_bytes(self) -> int:
        return self.frame_size * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Memory of the ring when it is full and its frames lie there as they are."""
        return (self.zero_row + 1) * self.frame_bytes


class FrameStore(ABC):
    """
    What all stores have in common: row numbers, and the side pool, which stays in host memory.

    :param layout: sizes
    :param device: that of the batches; a store may keep its frames there
    """

    def __init__(self, layout: FrameLayout, device: torch.device | str = "cpu") -> None:
        self.layout, self.device = layout, torch.device(device)
        self.reset()

    @classmethod
    @abstractmethod
    def host_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        """:return: host memory of the full ring, known or expected"""

    @classmethod
    def device_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        """:return: memory of the full ring on a device that has a memory of its own"""
        return 0

    @abstractmethod
    def read(self, steps: np.ndarray, env: int) -> np.ndarray:
        """:return: a copy of one environment's frames at these steps, [any, F]"""

    @abstractmethod
    def write(self, steps: np.ndarray, env: int, frames: np.ndarray) -> None:
        """:param frames: of one environment at these steps, [any, F]"""

    @abstractmethod
    def write_step(self, step: int, frames: np.ndarray) -> None:
        """:param frames: of all environments at one step, in any order in memory, [N, ...]"""

    @abstractmethod
    def gather(self, rows: np.ndarray) -> torch.Tensor:
        """
        :param rows: int64 [B, M]
        :return: a copy of the frames, wherever it is made with the least effort, [B, M, F]
        """

    def frames_of(self, rows: np.ndarray) -> np.ndarray:
        """
        :param rows: int64 [M]
        :return: a copy of the frames in host memory, [M, F]
        """
        return self.gather(rows[None])[0].cpu().numpy()

    def rows(self, steps: np.ndarray, envs: np.ndarray | np.int64) -> np.ndarray:
        """:return: row numbers of the frames of these steps, counted from the first one ever, int64"""
        return steps % self.layout.ring_steps * self.layout.n_envs + envs

    # --- overflow frames

    @property
    def overflow_rows(self) -> int:
        """Frames in the side pool."""
        return len(self._pool) - len(self._free)

    @property
    def pool_nbytes(self) -> int:
        """Memory of the side pool, its free rows included."""
        return self._pool.nbytes

    def write_overflow(self, frames: np.ndarray) -> np.ndarray:
        """
        :param frames: [any, F]
        :return: their row numbers, int64 [any]
        """
        while len(self._free) < len(frames):
            self._grow()
        places = np.array([self._free.pop() for _ in frames], dtype=np.int64)
        self._pool[places] = frames
        return places + self.layout.zero_row + 1

    def release(self, rows: np.ndarray) -> None:
        """:param rows: numbers that `write_overflow` gave and are no longer needed"""
        self._free += (rows - self.layout.zero_row - 1).tolist()

    def reset(self) -> None:
        """Empty the side pool; what the ring holds is not needed any more."""
        self._pool = np.empty((_FIRST_POOL_ROWS, self.layout.frame_size), dtype=self.layout.dtype)
        self._free = list(range(_FIRST_POOL_ROWS))

    def _overflow(self, rows: np.ndarray) -> np.ndarray:
        """
        :param rows: numbers that `write_overflow` gave
        :return: the frames, [any, F]
        """
        return self._pool[rows - self.layout.zero_row - 1]

    def state_dict(self) -> dict[str, Any]:
        """:return: the overflow frames; the ring is read with :meth:`read` and written with :meth:`write`"""
        free = np.array(self._free, dtype=np.int64)
        places = np.setdiff1d(np.arange(len(self._pool)), free)
        return {"overflow": self._pool[places], "places": places, "free": free}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: if it has other frames; the side pool is then as it was
        """
        self.check_state(state)
        places, free = np.asarray(state["places"]), np.asarray(state["free"])
        self._pool = np.empty((len(places) + len(free), self.layout.frame_size), dtype=self.layout.dtype)
        self._pool[places] = state["overflow"]
        self._free = free.tolist()

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        check_form(state, self.state_dict(), "frame store")
        places, free = np.asarray(state["places"]), np.asarray(state["free"])
        wanted, found = (len(places), self.layout.frame_size), np.asarray(state["overflow"])
        if (found.shape, found.dtype) != (wanted, self.layout.dtype):
            raise ValueError(
                f"The state has frames of shape {found.shape} and type {found.dtype}, this frame store wants {wanted} "
                f"and {self.layout.dtype}."
            )
        if not np.array_equal(np.sort(np.concatenate([places, free])), np.arange(len(places) + len(free))):
            raise ValueError("The state names a place for overflow frames twice, or leaves one out: it is damaged.")

    def _grow(self) -> None:
        size = len(self._pool)
        self._pool = np.concatenate([self._pool, np.empty_like(self._pool)])
        self._free += range(size, 2 * size)


class HostFrameStore(FrameStore):
    """
    Frames in host memory, as they are; the system hands out the memory of the ring as it fills.

    :raises MemoryError: if the system refuses the address space
    """

    def __init__(self, layout: FrameLayout, device: torch.device | str = "cpu") -> None:
        super().__init__(layout, device)
        self._ring = np.empty((layout.zero_row + 1, layout.frame_size), dtype=layout.dtype)
        self._ring[layout.zero_row] = 0

    @classmethod
    def host_nbytes(cls, layout: FrameLayout, device: torch.device) -> int:
        return layout.nbytes

    def read(self, steps: np.ndarray, env: int) -> np.ndarray:
        return self._ring[self.rows(steps, np.int64(env))]

    def write(self, steps: np.ndarray, env: int, frames: np.ndarray) -> None:
        self._ring[self.rows(steps, np.int64(env))] = frames

    def write_step(self, step: int, frames: np.ndarray) -> None:
        n_envs = self.layout.n_envs
        first = step % self.layout.ring_steps * n_envs
        self._ring[first : first + n_envs].reshape(frames.shape)[...] = frames

    def gather(self, rows: np.ndarray) -> torch.Tensor:
        frames = np.take(self._ring, rows, axis=0, mode="clip")
        overflow = rows > self.layout.zero_row
        if overflow.any():
            frames[overflow] = self._overflow(rows[overflow])
        return torch.from_numpy(frames)
