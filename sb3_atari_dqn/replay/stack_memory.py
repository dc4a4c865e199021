"""Stacked observations on their way into a memory that keeps every frame once.

N: environments, K: frames in a stack, F: numbers in a frame.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sb3_atari_dqn.checkpoints.state import check_form, check_sizes
from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore, HostFrameStore
from sb3_atari_dqn.replay.stack_checks import CheckedStep, check_successors
from sb3_atari_dqn.replay.stack_ring import CUT, KIND_SHIFT, TERMINATED, StackRing
from sb3_atari_dqn.replay.stacks import OVERFLOW, Snapshot, StackShape, classify_start

# Steps between full comparisons of the stacks inside an episode.
_CHECK_EVERY_STEPS = 64


class StackMemory(StackRing):
    """
    Ring of the last observations and of what followed them; parameters as in :class:`StackRing`.

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
        super().__init__(n_slots, shape, n_envs, dtype, make_store)
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
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
    ) -> CheckedStep:
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

    def write(self, step: CheckedStep) -> None:
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
        self._kind_flags = self._kinds << KIND_SHIFT
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
        check_successors(self.shape, obs, next_obs, due, truncated, self.steps, self.name)

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
            if start == OVERFLOW:
                self.prefixes.add(self._key(self.steps, env), self.store.write_overflow(stack[:-1]))
            self._depths[env], self._kinds[env] = 1, start

    def _newest_frames(self, env: int) -> np.ndarray | None:
        """:return: of the last observation, all but its oldest frame, [K - 1, F]"""
        if self.steps == 0:
            return None
        return self.store.frames_of(self.rows(np.array([self.steps - 1]), np.array([env]))[0, 1:-1])

    def _keep_final(self, step: int, env: Any, frame: np.ndarray) -> None:
        """Cut the stream after a transition; what follows it is no longer the next frame in the ring."""
        self.flags[step % self.n_slots, env] |= CUT
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
        self._depths, self._kinds = self.depths[last].copy(), self.flags[last] >> KIND_SHIFT
        self._ended = (self.flags[last] & (TERMINATED | CUT)) > 0
        self._any_ended = bool(self._ended.any())
        self._set_flags()

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """:return: everything but the frames in the ring, for which there is :meth:`frames_since`"""
        return {
            "steps": self.steps,
            "first_frame": self.first_frame,
            "depths": self.depths.copy(),
            "flags": self.flags.copy(),
            "expected": None if self._expected is None else np.ascontiguousarray(self.expected),
            "ends_are_exact": self.ends_are_exact,
            "final_frames": self.final_frames.state_dict(),
            "prefixes": self.prefixes.state_dict(),
            "store": self.store.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`, of a memory of the same sizes; the frames are written afterwards
        :raises ValueError: if it does not fit; everything is then as it was
        """
        self.check_state(state)
        self.reset()
        self.depths[:], self.flags[:] = state["depths"], state["flags"]
        if state["expected"] is not None:
            self.expected = np.asarray(state["expected"])
        self.ends_are_exact = state["ends_are_exact"]
        self.final_frames.load_state_dict(state["final_frames"])
        self.prefixes.load_state_dict(state["prefixes"])
        self.store.load_state_dict(state["store"])
        self.set_position(state["steps"], state["first_frame"])

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        owner = f"memory of {self.name!r}" if self.name else "replay memory"
        own = self.state_dict()
        check_form(state, own, owner)
        check_sizes(state, {"depths": self.depths, "flags": self.flags}, owner)
        for name, wanted in (("prefixes", own["prefixes"]["rows"]), ("frames", own["store"]["overflow"])):
            found = state["prefixes"]["rows"] if name == "prefixes" else state["store"]["overflow"]
            check_sizes({name: found[:0]}, {name: wanted[:0]}, owner)
        if state["expected"] is not None:
            check_sizes(state, {"expected": np.empty((self.n_envs, *self.shape.obs_shape), self.dtype)}, owner)
        self.final_frames.check_state(state["final_frames"])
        self.prefixes.check_state(state["prefixes"])
        self.store.check_state(state["store"])
