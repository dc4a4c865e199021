"""Stacked observations of many environments, every frame kept once.

B: batch, K: frames in a stack, N: environments, F: numbers in a frame.

All environments step together, so that one counter of vector steps serves all of them. The observation of step t ends
in frame t; it holds the `depth` frames since its episode began, and before these whatever the first stack of the
episode held: zeros, the first frame again, or frames seen nowhere else, which are put aside.

    step            t-3   t-2   t-1 |  t    t+1   t+2        an episode begins at t, K = 4
    observation                       000t  00t,  0t,,       depth 1, 2, 3
    next one              ...,  f     00t,  0t,,             f: put aside if the episode was truncated at t-1
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore, HostFrameStore
from sb3_atari_dqn.replay.sparse_rows import SparseRows
from sb3_atari_dqn.replay.stacks import ASIDE, REPEATED, ZEROS, Snapshot, StackShape, classify_start

# One byte per transition: two flags, and above them what stands before the first frame.
_TERMINATED, _CUT, _KIND_SHIFT = 1, 2, 2

# Steps between full comparisons of the stacks inside an episode.
_CHECK_EVERY_STEPS = 64

METADATA_BYTES = 2  # per transition: depth and flags


class CheckedStep(NamedTuple):
    """
    One vector step, found to be stacks. Its first four fields: see :meth:`StackMemory.push`.

    :param restarted: where the observation does not go on from the one before, bool [N]; None: nowhere
    :param ends: whether an episode ended
    """

    obs: np.ndarray
    next_obs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    restarted: np.ndarray | None
    ends: bool


class StackMemory:
    """
    Ring of the last observations and of what followed them.

    :param n_slots: transitions kept of each environment
    :param shape: geometry of the stacks
    :param n_envs: N
    :param dtype: of the observations
    :param make_store: gives the frames their place
    :param name: of the part of a dictionary observation that is kept here, for messages
    """

    _some_shallow: bool

    #: Whether the last observation of a truncated episode is what the environment gave. Behind a VecNormalize it has
    #: been there and back, rounded and clipped: only its newest frame is then taken.
    ends_are_exact = True

    def __init__(
        self,
        n_slots: int,
        shape: StackShape,
        n_envs: int,
        dtype: np.dtype,
        make_store: Callable[[FrameLayout], FrameStore] = HostFrameStore,
        name: str = "",
    ) -> None:
        self.n_slots, self.shape, self.n_envs, self.dtype, self.name = n_slots, shape, n_envs, dtype, name
        self.layout = self.layout_of(n_slots, shape, n_envs, dtype)
        self.store = make_store(self.layout)
        self.depths = np.zeros((n_slots, n_envs), dtype=np.uint8)
        self.flags = np.zeros((n_slots, n_envs), dtype=np.uint8)
        self._ages = np.arange(shape.n_stack - 1, -2, -1)  # of the frames of an observation and of the one after it
        self.reset()

    @staticmethod
    def layout_of(n_slots: int, shape: StackShape, n_envs: int, dtype: np.dtype) -> FrameLayout:
        """The oldest observation keeps its whole stack (K - 1 more frames), the newest its successor (1 more)."""
        return FrameLayout(n_slots + shape.n_stack, n_envs, shape.frame_size, np.dtype(dtype))

    def reset(self) -> None:
        """Forget everything."""
        self.store.reset()
        self.steps = 0
        self.first_frame = 0  # step of the first frame there ever was
        self.final_frames = SparseRows(
            1
        )  # newest frame of the observation that follows, where it is not the next in the ring
        self.prefixes = SparseRows(self.shape.n_stack - 1)  # frames before the first one of an episode, oldest first
        self._expected: Snapshot | None = None  # what the next observation is unless something ended
        self._depths = np.zeros(self.n_envs, dtype=np.uint8)  # of the last step
        self._kinds = np.zeros(self.n_envs, dtype=np.uint8)  # likewise
        self._ended = np.zeros(self.n_envs, dtype=bool)  # likewise
        self._any_ended = False
        self._set_flags()

    # --- writing

    def push(self, obs: np.ndarray, next_obs: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
        """
        Store one vector step.

        :param obs: [N, *obs_shape]
        :param next_obs: the observations reached, final ones where an episode ended, [N, *obs_shape]
        :param terminated: no value follows, bool [N]
        :param truncated: the episode stopped, but values follow, bool [N]
        :raises ValueError: if the observations are no stacks; nothing is stored then
        """
        self.write(self.check(obs, next_obs, terminated, truncated))

    def check(
        self, obs: np.ndarray, next_obs: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> "CheckedStep":
        """
        The first half of :meth:`push`, which stores nothing: several memories can agree before one of them writes.

        :return: what :meth:`write` takes
        """
        ends = bool(np.count_nonzero(terminated) or np.count_nonzero(truncated))  # several times quicker than any()
        moves_on = not self._any_ended and Snapshot.of(obs) == self._expected
        restarted = None if moves_on else self._restarted(obs)
        if ends or restarted is not None or self.steps % _CHECK_EVERY_STEPS == 0:
            self._check_stacks(obs, next_obs, restarted, terminated, truncated)
        return CheckedStep(obs, next_obs, terminated, truncated, restarted, ends)

    def write(self, step: "CheckedStep") -> None:
        """:param step: as :meth:`check` returned it"""
        obs, next_obs, terminated, truncated, restarted, ends = step
        if self._some_shallow:
            self._depths += self._depths < self.shape.n_stack
        if restarted is not None:
            self._begin(np.flatnonzero(restarted), self.shape.split(obs))
            self._set_flags()
        self._forget_below(self.steps - self.n_slots + 1)
        slot = self.steps % self.n_slots
        self.depths[slot] = self._depths
        self.flags[slot] = self._kind_flags | terminated if ends else self._kind_flags
        if self._some_shallow:
            self._some_shallow = bool((self._depths < self.shape.n_stack).any())
        newest = self.shape.newest(next_obs)  # [N, *frame_shape]
        if ends:
            for env in np.flatnonzero(truncated):
                self._keep_final(self.steps, env, newest[env])
        self.store.write_step(self.steps + 1, newest)
        self._expected = Snapshot.of(next_obs)
        if ends or self._any_ended:
            self._ended, self._any_ended = terminated | truncated, ends
        self.steps += 1

    def _set_flags(self) -> None:
        """What stays the same from step to step until an episode begins."""
        self._kind_flags = self._kinds << _KIND_SHIFT
        self._some_shallow = True  # perhaps: some depth still grows

    @property
    def expected(self) -> np.ndarray | None:
        """What the next observations are unless something ended, [N, *obs_shape]; None at the very beginning."""
        if self._expected is None:
            return None
        return self._expected.array((self.n_envs, *self.shape.obs_shape), self.dtype)

    @expected.setter
    def expected(self, observations: np.ndarray) -> None:
        self._expected = Snapshot.of(observations)

    def _restarted(self, obs: np.ndarray) -> np.ndarray:
        """:return: where the observation does not simply go on from the one before, bool [N]"""
        expected = self.expected
        if expected is None:
            return np.ones(self.n_envs, dtype=bool)
        return self._ended | (obs != expected).any(axis=tuple(range(1, obs.ndim)))

    def _check_stacks(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        restarted: np.ndarray | None,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """
        Compare at the starts and ends of episodes, and everywhere once in a while.

        :param restarted: None: nowhere
        :raises ValueError: if a next observation is not its observation moved by a frame
        """
        if self.steps % _CHECK_EVERY_STEPS == 0:
            due = ~terminated
        else:
            due = truncated if restarted is None else (restarted | truncated) & ~terminated
        if not self.ends_are_exact:
            due = due & ~truncated
        frames, following = self.shape.split(obs), self.shape.split(next_obs)  # [N, K, *frame_shape]
        for env in np.flatnonzero(due):
            if not np.array_equal(following[env, :-1], frames[env, 1:]):
                hint = " (or its info lacks the terminal_observation)" if truncated[env] else ""
                part = f" {self.name!r}" if self.name else ""
                raise ValueError(
                    f"The next observation{part} of environment {env} at step {self.steps} is not its observation "
                    f"moved by one frame{hint}: it is no stack of n_stack={self.shape.n_stack} frames of shape "
                    f"{self.shape.frame_shape}; give the right n_stack, or n_stack=1 to store every observation whole."
                )

    def _begin(self, envs: np.ndarray, stacks: np.ndarray) -> None:
        """
        Take in stacks that need not follow from those before.

        :param envs: which restarted, int64 [any]
        :param stacks: of all environments, [N, K, *frame_shape]
        """
        now = np.array([self.steps])
        for env in envs:
            stack = stacks[env].reshape(self.shape.n_stack, -1)  # [K, F]
            if self.steps > 0 and not self._ended[env]:
                # Nothing ended, and yet the stream broke off: somebody reset the environment from outside.
                self._keep_final(self.steps - 1, env, self.store.read(now, env)[0])
            self.store.write(now, env, stack[-1:])
            # Before zeros nothing needs to be read: from a device that would wait for all it still computes.
            continued = self._newest_frames(env) if stack[:-1].any() else None
            start = classify_start(stack[:-1], stack[-1], continued)
            if start is None:
                continue
            if start == ASIDE:
                self.prefixes.add(self._key(self.steps, env), self.store.write_overflow(stack[:-1]))
            self._depths[env], self._kinds[env] = 1, start

    def _newest_frames(self, env: int) -> np.ndarray | None:
        """:return: of the last observation, all but its oldest frame, [K - 1, F]"""
        if self.steps == 0:
            return None
        return self.store.frames_of(self.rows(np.array([self.steps - 1]), np.array([env]))[0, 1:-1])

    def _key(self, steps: Any, envs: Any) -> Any:
        """:return: number of a transition, ascending with time; of one, or of an array of them"""
        return steps * self.n_envs + envs

    def _keep_final(self, step: int, env: Any, frame: np.ndarray) -> None:
        """Cut the stream after a transition; what follows it is no longer the next frame in the ring."""
        self.flags[step % self.n_slots, env] |= _CUT
        self.final_frames.add(self._key(step, env), self.store.write_overflow(frame.reshape(1, -1)))

    def _forget_below(self, oldest: int) -> None:
        """:param oldest: step of the oldest transition kept; the heads serve K - 1 observations each"""
        for sparse, needed in ((self.final_frames, oldest), (self.prefixes, oldest - self.shape.n_stack + 2)):
            if len(sparse) and len(rows := sparse.drop_below(needed * self.n_envs)):
                self.store.release(rows)

    def set_position(self, steps: int, first_frame: int) -> None:
        """
        Go on after transitions that were written from outside.

        :param steps: vector steps up to here
        :param first_frame: step of the oldest frame
        """
        self.steps, self.first_frame = steps, first_frame
        last = (steps - 1) % self.n_slots
        self._depths, self._kinds = self.depths[last].copy(), self.flags[last] >> _KIND_SHIFT
        self._ended = (self.flags[last] & (_TERMINATED | _CUT)) > 0
        self._any_ended = bool(self._ended.any())
        self._set_flags()

    # --- reading

    def oldest_frame(self, filled: int) -> int:
        """:return: step of the oldest frame that the last `filled` observations may need"""
        return max(self.steps - filled - self.shape.n_stack + 1, self.first_frame)

    def terminated(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """:return: bool, as the broadcast of steps and envs"""
        return (self.flags[steps % self.n_slots, envs] & _TERMINATED) > 0

    def stops(self, steps: np.ndarray, envs: np.ndarray) -> np.ndarray:
        """:return: whether the transitions of these steps are followed by none, bool, as the broadcast"""
        return ((self.flags[steps % self.n_slots, envs] & (_TERMINATED | _CUT)) > 0) | (steps >= self.steps - 1)

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
        terminated, cut = (flags & _TERMINATED) > 0, (flags & _CUT) > 0
        if terminated.any():
            rows[terminated, -1] = rows[terminated, -2]
        if cut.any():
            rows[cut, -1] = self.final_frames.find(self._key(steps[cut], envs[cut]))[:, 0]
        if (depths < self.shape.n_stack).any():
            self._pad(rows, steps, envs, depths, flags >> _KIND_SHIFT)
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
        sample, place = np.nonzero(missing & (kinds == ASIDE)[:, None])
        if len(sample):
            heads = self.prefixes.find(self._key(starts[sample], envs[sample]))  # [., K - 1]
            before_start = self._ages[place] - depths[sample]  # 0: the frame right before the first one
            rows[sample, place] = heads[np.arange(len(sample)), self.shape.n_stack - 2 - before_start]
