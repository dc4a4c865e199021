"""Stacked observations of many environments, every frame kept once.

B: batch, K: frames in a stack, N: environments, F: numbers in a frame.

All environments step together, so that one counter of vector steps serves all of them. The observation of step t ends
in frame t; it holds the `depth` frames since its episode began, and before these whatever the first stack of the
episode held: zeros, the first frame again, or frames seen nowhere else, which go into the overflow.

    step            t-3   t-2   t-1 |  t    t+1   t+2        an episode begins at t, K = 4
    observation                       000t  00t,  0t,,       depth 1, 2, 3
    next one              ...,  f     00t,  0t,,             f: kept apart if the episode was truncated at t-1
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore
from sb3_atari_dqn.replay.sparse_rows import SparseRows
from sb3_atari_dqn.replay.stacks import OVERFLOW, REPEATED, ZEROS, StackShape

# One byte per transition: two flags, and above them what stands before the first frame.
TERMINATED, CUT, KIND_SHIFT = 1, 2, 2

_FRAMES_AT_ONCE = 512  # copied out of the ring

METADATA_BYTES = 2  # per transition: depth and flags


class StackRing:
    """
    Ring of the last observations and of what followed them, to read; :class:`StackMemory` fills it.

    :param n_slots: transitions kept of each environment
    :param shape: geometry of the stacks
    :param n_envs: N
    :param dtype: of the observations
    :param make_store: gives the frames their place
    """

    def __init__(
        self,
        n_slots: int,
        shape: StackShape,
        n_envs: int,
        dtype: np.dtype,
        make_store: Callable[[FrameLayout], FrameStore],
    ) -> None:
        self.n_slots, self.shape, self.n_envs, self.dtype = n_slots, shape, n_envs, dtype
        self.layout = self.layout_of(n_slots, shape, n_envs, dtype)
        self.store = make_store(self.layout)
        self.depths = np.zeros((n_slots, n_envs), dtype=np.uint8)
        self.flags = np.zeros((n_slots, n_envs), dtype=np.uint8)
        self._ages = np.arange(shape.n_stack - 1, -2, -1)  # of the frames of an observation and of the one after it

    @staticmethod
    def layout_of(n_slots: int, shape: StackShape, n_envs: int, dtype: np.dtype) -> FrameLayout:
        """The oldest observation keeps its whole stack (K - 1 more frames), the newest its successor (1 more)."""
        return FrameLayout(n_slots + shape.n_stack, n_envs, shape.frame_size, np.dtype(dtype))

    def reset(self) -> None:
        """Forget everything."""
        self.store.reset()
        self.steps = 0
        self.first_frame = 0  # step of the first frame there ever was
        # The newest frame of the observation that follows, where it is not the next in the ring.
        self.final_frames = SparseRows(1)
        self.prefixes = SparseRows(self.shape.n_stack - 1)  # frames before the first one of an episode, oldest first

    def _key(self, steps: Any, envs: Any) -> Any:
        """:return: number of a transition, ascending with time; of one, or of an array of them"""
        return steps * self.n_envs + envs

    def oldest_frame(self, filled: int) -> int:
        """:return: step of the oldest frame that the last `filled` observations may need"""
        return max(self.steps - filled - self.shape.n_stack + 1, self.first_frame)

    def terminated(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """:return: bool, as the broadcast of steps and envs"""
        return (self.flags[steps % self.n_slots, envs] & TERMINATED) > 0

    def stops(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """:return: whether the transitions of these steps are followed by none, bool, as the broadcast"""
        return ((self.flags[steps % self.n_slots, envs] & (TERMINATED | CUT)) > 0) | (steps >= self.steps - 1)

    def rows(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """
        Rows of an observation's K frames and of the frame after it.

        After a termination, where no target looks, the newest frame stands once more.

        :param steps: of stored transitions, int64 [B]
        :param envs: int64 [B]
        :return: oldest first, int64 [B, K + 1]
        """
        slots = steps % self.n_slots
        depths, flags = self.depths[slots, envs].astype(np.int64), self.flags[slots, envs]
        rows = self.store.rows(steps[:, None] - self._ages, envs[:, None])
        terminated, cut = (flags & TERMINATED) > 0, (flags & CUT) > 0
        if terminated.any():
            rows[terminated, -1] = rows[terminated, -2]
        if cut.any():
            rows[cut, -1] = self.final_frames.find(self._key(steps[cut], envs[cut]))[:, 0]
        if (depths < self.shape.n_stack).any():
            self._pad(rows, steps, envs, depths, flags >> KIND_SHIFT)
        return rows

    def _pad(
        self, rows: np.ndarray, steps: np.ndarray, envs: np.ndarray, depths: np.ndarray, kinds: np.ndarray
    ) -> None:
        """Put in, for the frames before the first one of an episode, what stood there; arguments as in `rows`."""
        missing = self._ages >= depths[:, None]  # [B, K + 1]
        starts = steps - depths + 1
        rows[missing & (kinds == ZEROS)[:, None]] = self.layout.zero_row
        repeated = missing & (kinds == REPEATED)[:, None]
        rows[repeated] = np.broadcast_to(self.store.rows(starts, envs)[:, None], rows.shape)[repeated]
        sample, place = np.nonzero(missing & (kinds == OVERFLOW)[:, None])
        if len(sample):
            heads = self.prefixes.find(self._key(starts[sample], envs[sample]))  # [., K - 1]
            before_start = self._ages[place] - depths[sample]  # 0: the frame right before the first one
            rows[sample, place] = heads[np.arange(len(sample)), self.shape.n_stack - 2 - before_start]

    def frames_since(self, step: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """
        :param step: of the first frame; frames before the step at which a state was taken never change afterwards
        :return: some frames at a time, of one environment after the other: its number, their steps, int64 [any], and
            the frames, [any, F], for `store.write`
        """
        for env in range(self.n_envs):
            for begin in range(step, self.steps + 1, _FRAMES_AT_ONCE):
                steps = np.arange(begin, min(begin + _FRAMES_AT_ONCE, self.steps + 1))
                yield env, steps, self.store.read(steps, env)
