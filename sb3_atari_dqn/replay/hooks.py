"""What an algorithm tells a replay buffer and asks of it beside adding and sampling, whatever class it is.

B: batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor


class ReplayHooks:
    """
    The hooks of a buffer. A hook that its class does not have does nothing: SB3's buffers have none, a buffer of the
    user's may have any of them.

    :param buffer: has methods of these names and parameters, or not; None has none
    """

    def __init__(self, buffer: ReplayBuffer | None) -> None:
        self._buffer = buffer

    @property
    def sees_resets(self) -> bool:
        """Whether it notices a reset between two transitions, so that SB3 need not cut off the last trajectory."""
        return getattr(self._buffer, "sees_resets", False)

    def seed(self, seed: int) -> None:
        """
        Called when the algorithm is seeded anew.

        :param seed: for the random generator of the buffer
        """
        if (hook := self._hook("seed")) is not None:
            hook(seed)

    def learning_starts(self, normalizes_observations: bool) -> None:
        """
        Called before the first transition of each learn().

        :param normalizes_observations: a VecNormalize does, so that final observations come back rounded and clipped
        """
        if (hook := self._hook("learning_starts")) is not None:
            hook(normalizes_observations)

    def anneal(self, progress_remaining: float) -> None:
        """
        Called before a training samples.

        :param progress_remaining: 1 at the start of the training, 0 at its end
        """
        if (hook := self._hook("anneal")) is not None:
            hook(progress_remaining)

    def learned_from(self, batch: Any, priorities: Tensor) -> None:
        """
        Called after each update.

        :param batch: what `sample` returned
        :param priorities: of its transitions: their TD errors, [B]; may lie on the device and be overwritten later
        """
        if (hook := self._hook("learned_from")) is not None:
            hook(batch, priorities)

    def statistics(self) -> dict[str, float]:
        """:return: what the algorithm logs under `train/`"""
        hook = self._hook("statistics")
        return {} if hook is None else hook()

    def gathering_later(self) -> AbstractContextManager[None]:
        """:return: in here samples may name rows of frames (`StackRows`) instead of bringing images"""
        hook = self._hook("gathering_later")
        return nullcontext() if hook is None else hook()

    def sample(self, batch_size: int, env: VecNormalize | None, learner_gathers: bool) -> Any:
        """
        :param batch_size: B
        :param env: normalizes observations and rewards
        :param learner_gathers: whether the learner takes rows of frames instead of images
        :return: what the buffer's `sample` returns
        """
        with self.gathering_later() if learner_gathers else nullcontext():
            return cast(ReplayBuffer, self._buffer).sample(batch_size, env=env)

    def _hook(self, name: str) -> Callable[..., Any] | None:
        return getattr(self._buffer, name, None)


def hooks_of(buffer: ReplayBuffer | None) -> ReplayHooks:
    """:return: the hooks of any replay buffer: ours, SB3's or a user's own"""
    return ReplayHooks(buffer)
