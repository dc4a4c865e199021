"""Random streams of stacked observations with every edge that episodes have, as a vectorized environment emits them.

K: frames in a stack, C: channels of a frame, N: environments.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

SIZE = 13  # height and width; more than any K * C here, so that the channel axis is recognized

STARTS = ("zeros", "repeated", "moved on", "unseen", "after the final frame")


@dataclass
class Stream:
    """
    :param n_stack: K
    :param channels: C
    :param n_envs: N
    :param seed: of everything random
    :param end: chance of an episode to end at a step; half of the ends are truncations
    :param starts: what the first stack of an episode may look like
    :param break_off: chance of a reset from outside, without any end
    :param channels_last: images as cameras give them
    """

    n_stack: int = 4
    channels: int = 1
    n_envs: int = 1
    seed: int = 0
    end: float = 0.2
    starts: tuple[str, ...] = STARTS
    break_off: float = 0.0
    channels_last: bool = False

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.stacks = [self._first_stack(None, None) for _ in range(self.n_envs)]

    @property
    def observation_space(self) -> spaces.Box:
        return spaces.Box(0, 255, self._image(np.zeros((self.n_stack * self.channels, SIZE, SIZE))).shape, np.uint8)

    @property
    def action_space(self) -> spaces.Discrete:
        return spaces.Discrete(5)

    def frame(self) -> np.ndarray:
        """:return: often a frame seen before, so that stacks of different histories look alike, [C, SIZE, SIZE]"""
        if self.rng.random() < 0.4:
            return np.full((self.channels, SIZE, SIZE), self.rng.integers(2), np.uint8)
        return self.rng.integers(256, size=(self.channels, SIZE, SIZE), dtype=np.uint8)

    def _first_stack(self, before: list[np.ndarray] | None, final: list[np.ndarray] | None) -> list[np.ndarray]:
        """:param before: last observation; :param final: the one reached after it"""
        newest, older = self.frame(), self.n_stack - 1
        start = self.rng.choice(self.starts) if before is not None else "zeros"
        if start == "unseen":
            return [*(self.frame() for _ in range(older)), newest]
        if start == "moved on":
            return [*before[1:], newest]  # type: ignore[index]
        if start == "after the final frame":
            return [*final[1:], newest]  # type: ignore[index]
        return [*([newest if start == "repeated" else np.zeros_like(newest)] * older), newest]

    def _image(self, stack: Any) -> np.ndarray:
        image = np.concatenate(stack) if isinstance(stack, list) else np.asarray(stack)
        return np.moveaxis(image, 0, -1) if self.channels_last else image

    def _batch(self, stacks: list[list[np.ndarray]]) -> np.ndarray:
        return np.stack([self._image(stack) for stack in stacks])

    def steps(self, n_steps: int) -> Iterator[tuple[Any, ...]]:
        """:return: the arguments of `add`, one vector step after the other"""
        for _ in range(n_steps):
            observations = self.stacks
            following = [[*stack[1:], self.frame()] for stack in observations]
            done = self.rng.random(self.n_envs) < self.end
            timeout = done & (self.rng.random(self.n_envs) < 0.5)
            self.stacks = [
                self._first_stack(before, after) if over or self.rng.random() < self.break_off else after
                for before, after, over in zip(observations, following, done, strict=True)
            ]
            # Some environments do not report the final observation: SB3 then stores the first one of the next episode.
            unreported = done & ~timeout & (self.rng.random(self.n_envs) < 0.3)
            following = [
                first if hidden else after
                for first, after, hidden in zip(self.stacks, following, unreported, strict=True)
            ]
            infos = [
                {"TimeLimit.truncated": bool(late)} if over else {} for late, over in zip(timeout, done, strict=True)
            ]
            actions = self.rng.integers(5, size=self.n_envs)
            rewards = self.rng.normal(size=self.n_envs).astype(np.float32)
            yield self._batch(observations), self._batch(following), actions, rewards, done, infos


#: Streams of every kind, for random tests.
STREAMS = st.builds(
    Stream,
    n_stack=st.integers(1, 4),
    n_envs=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    end=st.sampled_from([0.0, 0.3, 1.0]),
    break_off=st.sampled_from([0.0, 0.2]),
)
