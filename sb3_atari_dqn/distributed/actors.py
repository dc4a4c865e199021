"""Who plays the groups of games: the interface, and the same without Ray. G: groups."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from sb3_atari_dqn.distributed.acting import ActingNetwork, PolicySpec
from sb3_atari_dqn.distributed.blocks import Order, Reply
from sb3_atari_dqn.distributed.game_group import GameGroup, GroupSpec

#: Of a group, by its number: what rebuilds it after the last reply that was taken; None before the first
Recall = Callable[[int], dict[str, Any] | None]


class Actors(Protocol):
    """Groups of games that get orders and answer them in the order in which they got them."""

    def reset(self, seeds: Sequence[int | None]) -> None:
        """
        Ask for new episodes; to be taken.

        :param seeds: of the first game of each group, None: go on with the random numbers as they are, [G]
        """

    def order(self, orders: Sequence[Order], weights: np.ndarray) -> None:
        """
        Ask for a block of each group; to be taken.

        :param orders: [G]
        :param weights: of the version in the orders, not changed afterwards
        """

    def take(self) -> list[Reply]:
        """
        :return: the oldest answers that have not been taken, [G]
        :raises RuntimeError: if actors cannot be replaced
        """

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """:param states: see :meth:`GameGroup.restore`, [G]"""

    def statistics(self) -> dict[str, float]:
        """:return: numbers for the logs, since they were asked for last"""

    def close(self) -> None:
        """End what plays."""


class LocalActors:
    """
    All groups in this process, one after another: what any number of actors must equal.

    :param specs: of the groups, [G]
    :param policy: of their networks
    """

    def __init__(self, specs: Sequence[GroupSpec], policy: PolicySpec) -> None:
        network = ActingNetwork(policy)
        self._groups = [GameGroup(spec, network) for spec in specs]
        self._waiting: deque[list[Callable[[], Reply]]] = deque()

    def reset(self, seeds: Sequence[int | None]) -> None:
        self._ask("reset", [(seed,) for seed in seeds])

    def order(self, orders: Sequence[Order], weights: np.ndarray) -> None:
        self._ask("play", [(order, weights) for order in orders])

    def take(self) -> list[Reply]:
        return [answer() for answer in self._waiting.popleft()]

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        self._waiting.clear()
        for group, state in zip(self._groups, states, strict=True):
            group.restore(state)

    def statistics(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        for group in self._groups:
            group.close()

    def _ask(self, method: str, arguments: list[tuple[Any, ...]]) -> None:
        self._waiting.append(
            [_later(getattr(group, method), given) for group, given in zip(self._groups, arguments, strict=True)]
        )


def _later(method: Callable[..., Reply], arguments: tuple[Any, ...]) -> Callable[[], Reply]:
    return lambda: method(*arguments)
