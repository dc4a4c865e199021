"""Which blocks the learner takes, and in which order.

N: games, G: groups of them, k: vector steps of a block, K: frames in a stack, C: channels of a frame.

The learner takes blocks in *rounds* of G, which stand side by side in G *lanes*. In lock-step a round has one block of
each group, and lane g always has group g. Free-running, it has those G blocks that came first, unless an order is open
for too long (the stale synchronous parallel of Ho et al. 2013): a group may then have no block in a round, or several
beside each other. A lane goes on with the group it had, where that is possible; where it is not, its games change.

    lock-step       lane 0   group 0 | group 0 | group 0       free-running     group 0 | group 0 | group 0
                    lane 1   group 1 | group 1 | group 1       (1 is slow)      group 1 | group 0 | group 1
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sb3_atari_dqn.distributed.actors import Actors, Recall
from sb3_atari_dqn.distributed.behaviour import Behaviour
from sb3_atari_dqn.distributed.blocks import Block, Order, Reply, side_by_side, stacks_after
from sb3_atari_dqn.distributed.game_group import GroupRecord
from sb3_atari_dqn.distributed.settings import FREE_RUNNING, ActorSettings


class Round(NamedTuple):
    """
    :param block: the blocks of all lanes, side by side
    :param groups: of the lanes, int64 [G]
    :param stacks: before the block, uint8 [N, K * C, H, W]
    """

    block: Block
    groups: np.ndarray
    stacks: np.ndarray


class _Arrival(NamedTuple):
    """
    :param group: that played it
    :param number: of the block, counted from 0 for each group
    :param ordered: round before which it was ordered
    :param stacks: before it, uint8 [N / G, K * C, H, W]
    """

    group: int
    number: int
    ordered: int
    block: Block
    stacks: np.ndarray


class Rounds:
    """
    :param settings: divided
    :param make_actors: given what rebuilds a group
    :param frame_shape: C, H, W
    """

    def __init__(
        self, settings: ActorSettings, make_actors: Callable[[Recall], Actors], frame_shape: tuple[int, ...]
    ) -> None:
        assert settings.groups is not None
        self._settings, self._frame_shape = settings, frame_shape
        self._groups = range(settings.groups)
        self._records = [GroupRecord() for _ in self._groups]
        self.actors = make_actors(self._recall)
        self._weights: tuple[Behaviour | None, int, int] = (None, 0, 0)  # whose, after how many updates; their version
        self._staleness: list[int] = []  # of the blocks since the last statistics, in rounds
        self._forget()

    def _forget(self) -> None:
        self._arrived: deque[_Arrival] = deque()  # taken from the actors, in no round yet
        self._taken = [0] * len(self._groups)  # blocks of each group
        self._lanes = [(group, -1) for group in self._groups]  # group and number of the last block of each
        self._round = 0

    def reset(self, seeds: Sequence[int | None]) -> np.ndarray:
        """
        Start an episode in every game; blocks that are on their way are thrown away.

        :param seeds: of the first game of each group; None: go on with the random numbers as they are, [G]
        :return: uint8 [N, K * C, H, W]
        """
        for group in self._groups:
            while self.actors.open(group):
                self._record(group, self.actors.take(group))
        self._forget()
        self.actors.reset(seeds)
        for group in self._groups:
            self._record(group, self.actors.take(group))
        return np.concatenate([record.stacks for record in self._records])

    def next(self, behaviour: Behaviour) -> Round:
        """
        Order what comes after it, and wait for the blocks of the next round.

        :param behaviour: of the model that learns
        """
        self._order(behaviour)
        if self._settings.mode == FREE_RUNNING:
            self._receive_first()
        else:
            self._receive_each()
        chosen = [self._arrived.popleft() for _ in self._groups]
        lanes = self._in_lanes(chosen)
        self._staleness += [self._round - each.ordered for each in lanes]
        self._lanes = [(each.group, each.number) for each in lanes]
        self._round += 1
        return Round(
            side_by_side([each.block for each in lanes]),
            np.array([each.group for each in lanes]),
            np.concatenate([each.stacks for each in lanes]),
        )

    def statistics(self) -> dict[str, float]:
        """:return: numbers for the logs, since they were asked for last"""
        staleness, self._staleness = self._staleness, []
        ages = {"staleness": float(np.mean(staleness)), "max_staleness": float(max(staleness))} if staleness else {}
        return {**ages, **self.actors.statistics()}

    # --- orders

    def _order(self, behaviour: Behaviour) -> None:
        """Order until `blocks_ahead` blocks beside the next one of each group are played or there."""
        wanted, steps = self._settings.blocks_ahead + 1, self._settings.block_steps
        weights = None
        while missing := [group for group in self._groups if self._ahead(group) < wanted]:
            since, updates, version = self._weights
            if since is not behaviour or updates != behaviour.n_updates:
                self._weights = behaviour, behaviour.n_updates, version + 1
            ahead = min(self._ahead(group) for group in missing) * steps
            epsilons = np.split(behaviour.epsilons(ahead, steps), len(self._groups), axis=1)
            orders = {group: Order(self._round, self._weights[2], epsilons[group]) for group in missing}
            weights = behaviour.weights() if weights is None else weights
            self.actors.order(orders, weights)

    def _ahead(self, group: int) -> int:
        """:return: its blocks that are on their way or there"""
        return len(self.actors.open(group)) + sum(each.group == group for each in self._arrived)

    # --- answers

    def _receive_each(self) -> None:
        """Lock-step: wait for the next block of each group, and put them in the order of the groups."""
        there = {each.group for each in self._arrived}
        for group in self._groups:
            if group not in there:
                self._receive(group)
        self._sort_arrived(lambda each: (each.number, each.group))

    def _receive_first(self) -> None:
        """Free-running: take what is there, and wait for a full round and for orders that are open too long."""
        while True:
            waiting = [group for group in self._groups if self.actors.open(group)]
            overdue = [group for group in waiting if self._is_overdue(group)]
            short = len(self._arrived) < len(self._groups)
            if not overdue and not short:
                break
            for group in self.actors.ready(overdue or waiting):
                self._receive(group)
        self._sort_arrived(lambda each: (each.ordered, (each.group, each.number - 1) not in self._lanes))

    def _sort_arrived(self, key: Callable[[_Arrival], Any]) -> None:
        self._arrived = deque(sorted(self._arrived, key=key))

    def _is_overdue(self, group: int) -> bool:
        order = self.actors.open(group)[0]
        return order is not None and self._round - order.round >= self._settings.max_staleness

    def _receive(self, group: int) -> None:
        before = self._records[group].stacks
        reply = self.actors.take(group)
        block = self._record(group, reply)
        assert block is not None
        assert reply.order is not None
        self._arrived.append(_Arrival(group, self._taken[group], reply.order.round, block, before))
        self._taken[group] += 1

    def _record(self, group: int, reply: Reply) -> Block | None:
        """:return: its block, uncompressed; None after a reset"""
        record = self._records[group]
        if reply.block is None:
            record.add(reply.memo, np.asarray(reply.stacks))
            return None
        block = reply.block.uncompressed(self._frame_shape)
        record.add(reply.memo, stacks_after(block, record.stacks))
        return block

    def _recall(self, group: int) -> dict[str, Any] | None:
        return self._records[group].state_dict(self._frame_shape[0])

    def _in_lanes(self, chosen: list[_Arrival]) -> list[_Arrival]:
        """:return: in the order of the lanes: those that go on where they were, and the others in what is left"""
        by_last = {(each.group, each.number - 1): each for each in chosen}
        lanes = [by_last.pop(last, None) for last in self._lanes]
        others = iter(by_last.values())
        return [next(others) if each is None else each for each in lanes]

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """
        Waits for the blocks that are on their way, and keeps them.

        :return: plain values and arrays; a copy
        """
        for group in self._groups:
            while self.actors.open(group):
                self._receive(group)
        return {
            "arrived": [
                {**each._asdict(), "block": each.block.state_dict(), "stacks": each.stacks.copy()}
                for each in self._arrived
            ],
            "taken": list(self._taken),
            "lanes": [list(lane) for lane in self._lanes],
            "round": self._round,
            "groups": [self._recall(group) for group in self._groups],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Rebuild all games by replay, see :meth:`NativeAtariVecEnv.load_state_dict`.

        :param state: from `state_dict`, of as many groups of as many games
        """
        self._forget()
        for record, each in zip(self._records, state["groups"], strict=True):
            record.load_state_dict(each)
        self.actors.restore([self._recall(group) or {} for group in self._groups])
        self._arrived.extend(
            _Arrival(**{**each, "block": Block.from_state(each["block"]), "stacks": np.asarray(each["stacks"])})
            for each in state["arrived"]
        )
        self._taken, self._round = list(state["taken"]), state["round"]
        self._lanes = [(group, number) for group, number in state["lanes"]]
