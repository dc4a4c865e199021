"""Who plays the groups of games: the interface, and the same without Ray. G: groups."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from sb3_atari_dqn.distributed.acting import ActingNetwork, PolicySpec
from sb3_atari_dqn.distributed.blocks import Order, Reply
from sb3_atari_dqn.distributed.game_group import GameGroup, GroupSpec

#: Of a group, by its number: what rebuilds it after the last reply that was taken; None before the first
Recall = Callable[[int], dict[str, Any] | None]


class Actors(Protocol):
    """Groups of games, each of which answers its orders in the order in which it got them."""

    def reset(self, seeds: Sequence[int | None]) -> None:
        """
        Ask for new episodes of all groups; to be taken.

        :param seeds: of the first game of each group, None: go on with the random numbers as they are, [G]
        """

    def order(self, orders: Mapping[int, Order], weights: np.ndarray) -> None:
        """
        Ask for blocks; to be taken.

        :param orders: by the numbers of the groups, all of one version
        :param weights: of that version, not changed afterwards
        """

    def open(self, group: int) -> Sequence[Order | None]:
        """:return: what was asked of it and not taken, oldest first; None stands for a reset"""

    def ready(self, groups: Sequence[int]) -> list[int]:
        """
        :param groups: with something open
        :return: those whose oldest answer is there; waits for one
        """

    def take(self, group: int) -> Reply:
        """
        :return: its oldest answer; waits for it
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
        self._open: list[deque[_Call]] = [deque() for _ in specs]

    def reset(self, seeds: Sequence[int | None]) -> None:
        for group, seed in enumerate(seeds):
            self._open[group].append(_Call(None, partial(self._groups[group].reset, seed)))

    def order(self, orders: Mapping[int, Order], weights: np.ndarray) -> None:
        for group, order in orders.items():
            self._open[group].append(_Call(order, partial(self._groups[group].play, order, weights)))

    def open(self, group: int) -> Sequence[Order | None]:
        return [call.order for call in self._open[group]]

    def ready(self, groups: Sequence[int]) -> list[int]:
        return list(groups)

    def take(self, group: int) -> Reply:
        return self._open[group].popleft().answer()

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        for group, state in enumerate(states):
            self._open[group].clear()
            self._groups[group].restore(state)

    def statistics(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        for group in self._groups:
            group.close()


class _Call(NamedTuple):
    order: Order | None
    answer: Callable[[], Reply]
