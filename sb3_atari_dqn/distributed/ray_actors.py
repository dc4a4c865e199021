"""Actors in processes of a Ray cluster, replaced when they are lost. G: groups.

An actor gets its orders ahead of time, each with a reference to the weights, and answers with blocks; Ray carries both
through its object store. When an actor is lost, another one plays its games again from their seeds and actions, up to
the last block that was taken, and gets the open orders once more: it answers them as the lost one would have. A spare
process waits for that, since to start one and to load its libraries takes longer than to play again.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from sb3_atari_dqn.distributed.acting import PolicySpec
from sb3_atari_dqn.distributed.actor_process import ActorProcess
from sb3_atari_dqn.distributed.actors import Recall
from sb3_atari_dqn.distributed.blocks import Order, Reply
from sb3_atari_dqn.distributed.cluster import Cluster
from sb3_atari_dqn.distributed.game_group import GroupSpec
from sb3_atari_dqn.distributed.settings import ActorSettings

#: Replacements of one actor without a block between them: then something else is wrong
_MOST_REPLACEMENTS = 5
#: Seconds for a process to start on a node with a free CPU and to build its games
_START_TIMEOUT_S = 120.0


@dataclass
class _Call:
    """An open order, or a reset: how to send it again, and where its answer will be."""

    order: Order | None
    method: str
    arguments: tuple[Any, ...]
    answer: Any


@dataclass
class _Process:
    """
    An actor.

    :param handle: of Ray
    :param starting: answers to what it was asked before its first order
    :param lost: when the loss of the process before it was noticed; None: it is back, or nothing was lost
    :param failures: of its predecessors since the last answer
    """

    handle: Any
    starting: list[Any] = field(default_factory=list)
    lost: float | None = None
    failures: int = 0


class RayActors:
    """
    :param cluster: connected
    :param settings: number of actors, their CPUs, and when they count as lost
    :param specs: of the groups, [G]
    :param policy: of their networks
    :param recall: what rebuilds a group
    :raises ValueError: if a group cannot be built
    :raises RuntimeError: if an actor does not start
    """

    def __init__(
        self, cluster: Cluster, settings: ActorSettings, specs: Sequence[GroupSpec], policy: PolicySpec, recall: Recall
    ) -> None:
        self._ray, self._settings, self._policy, self._recall = cluster.ray, settings, policy, recall
        self._groups: list[dict[int, GroupSpec]] = [{} for _ in range(settings.actors)]
        for group, spec in enumerate(specs):
            self._groups[group % settings.actors][group] = spec
        self._open: list[deque[_Call]] = [deque() for _ in specs]
        self._weights: tuple[int, Any] = (-1, None)
        self._waited_s, self._received_bytes = 0.0, 0
        #: Seconds from each loss being noticed to the first block of the other process
        self.replaced_in_s: list[float] = []
        self._spares: list[Any] = []
        self._processes = [self._started(number) for number in range(settings.actors)]
        try:
            for number in range(settings.actors):
                self._until_started(number)
            self._start_spares()
        except BaseException:
            self.close()  # they would keep their CPUs
            raise

    def reset(self, seeds: Sequence[int | None]) -> None:
        for group, seed in enumerate(seeds):
            self._send(group, None, "reset", (seed,))

    def order(self, orders: Mapping[int, Order], weights: np.ndarray) -> None:
        for group, order in orders.items():
            if self._weights[0] != order.version:
                self._weights = order.version, self._ray.put(weights)
            self._send(group, order, "play", (order, self._weights[1]))

    def open(self, group: int) -> Sequence[Order | None]:
        return [call.order for call in self._open[group]]

    def ready(self, groups: Sequence[int]) -> list[int]:
        start = time.perf_counter()
        while not (there := self._answered(groups)):
            pass  # those that answered were lost
        self._waited_s += time.perf_counter() - start
        return there

    def _answered(self, groups: Sequence[int]) -> list[int]:
        """:return: those whose oldest answer is there; waits for one, and replaces those that are lost"""
        answers = [self._open[group][0].answer for group in groups]
        if not self._ray.wait(answers, num_returns=1, timeout=self._settings.timeout_s)[0]:
            for number in {group % self._settings.actors for group in groups}:
                self._late(number)
        self._replace_lost()
        by_answer = {self._open[group][0].answer: group for group in groups}
        there, _ = self._ray.wait(list(by_answer), num_returns=len(by_answer), timeout=0)
        return [by_answer[each] for each in there]

    def _late(self, number: int) -> None:
        """Called after `timeout_s` without an answer; the start of a process does not count."""
        if self._processes[number].starting:
            self._until_started(number)
        else:
            self._replace(number, self._ray.exceptions.GetTimeoutError())

    def take(self, group: int) -> Reply:
        start = time.perf_counter()
        reply = self._answer(group)
        self._open[group].popleft()
        self._waited_s += time.perf_counter() - start
        self._received_bytes += 0 if reply.block is None else reply.block.nbytes
        return reply

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        for calls in self._open:
            calls.clear()
        for group, state in enumerate(states):
            process = self._process(group)
            process.starting.append(process.handle.restore.remote(group, state))
        for number in range(len(self._processes)):
            self._until_started(number)

    def statistics(self) -> dict[str, float]:
        found = {
            "actor_wait_s": self._waited_s,
            "received_mb": self._received_bytes / 1e6,
            "actors_replaced": float(len(self.replaced_in_s)),
        }
        self._waited_s, self._received_bytes = 0.0, 0
        return found

    def processes(self) -> list[dict[str, Any]]:
        """:return: host and process of each actor"""
        return self._ray.get([each.handle.where.remote() for each in self._processes], timeout=_START_TIMEOUT_S)

    def close(self) -> None:
        for handle in (*(each.handle for each in self._processes), *self._spares):
            self._ray.kill(handle, no_restart=True)
        self._processes, self._spares = [], []

    # --- calls

    def _process(self, group: int) -> _Process:
        return self._processes[group % self._settings.actors]

    def _send(self, group: int, order: Order | None, method: str, arguments: tuple[Any, ...]) -> None:
        answer = getattr(self._process(group).handle, method).remote(group, *arguments)
        self._open[group].append(_Call(order, method, arguments, answer))

    def _answer(self, group: int) -> Reply:
        """:return: the oldest, which stays open; lost processes are replaced until it is there"""
        number = group % self._settings.actors
        while True:
            try:
                self._wait_for_start(number)
                reply = self._ray.get(self._open[group][0].answer, timeout=self._settings.timeout_s)
            except self._losses as error:
                self._replace(number, error)
                self._replace_lost()
            except self._ray.exceptions.RayTaskError as error:
                raise self._explained(number, error) from None
            else:
                self._is_back(number)
                return reply

    @property
    def _losses(self) -> tuple[type[Exception], ...]:
        errors = self._ray.exceptions
        return errors.RayActorError, errors.GetTimeoutError, errors.ObjectLostError, errors.NodeDiedError

    # --- processes

    def _new(self, cpus: int) -> Any:
        """:return: a new process, which may still be starting"""
        options = {"num_cpus": cpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return self._ray.remote(**options)(ActorProcess).remote()

    def _started(self, number: int) -> _Process:
        """:return: a spare one where there is any, or a new one, on its way to play the groups of an actor"""
        handle = self._spares.pop() if self._spares else self._new(self._settings.cpus_per_actor)
        return _Process(handle, [handle.prepare.remote(self._groups[number], self._policy)])

    def _start_spares(self) -> None:
        while len(self._spares) < self._settings.spares:
            self._spares.append(self._new(cpus=0))
            self._spares[-1].prepare.remote({}, self._policy)

    def _wait_for_start(self, number: int) -> None:
        """
        :raises ValueError: if a group cannot be built
        :raises RuntimeError: if the process does not start
        """
        process = self._processes[number]
        try:
            self._ray.get(process.starting, timeout=_START_TIMEOUT_S)
            process.starting = []
        except self._ray.exceptions.GetTimeoutError:
            raise RuntimeError(
                f"Actor {number} did not start within {_START_TIMEOUT_S:.0f} s: no node of the cluster has "
                f"{self._settings.cpus_per_actor} free CPUs; add a node, or lower ray: actors."
            ) from None
        except self._ray.exceptions.RayTaskError as error:
            raise self._explained(number, error) from None

    def _until_started(self, number: int) -> None:
        """As :meth:`_wait_for_start`; a lost process is replaced."""
        while True:
            try:
                self._wait_for_start(number)
            except self._losses as error:
                self._replace(number, error)
            else:
                return

    def _replace(self, number: int, error: Exception) -> None:
        """
        Let another process play the games up to the last block that was taken, and send it the open orders again; it is
        not waited for.

        :param error: by which the loss was noticed
        :raises RuntimeError: if processes are lost again and again
        """
        old = self._processes[number]
        if old.failures == _MOST_REPLACEMENTS:
            raise RuntimeError(
                f"Actor {number} was lost {old.failures + 1} times without a block between: "
                f"{_first_line(error)}. The logs of Ray on its node say why; often the node lacks memory."
            )
        self._ray.kill(old.handle, no_restart=True)  # it may only be slow, or cut off
        new = self._processes[number] = self._started(number)
        new.lost, new.failures = old.lost or time.perf_counter(), old.failures + 1
        print(f"Actor {number} was lost ({_first_line(error)}): another process plays its games again", flush=True)
        for group in self._groups[number]:
            if (state := self._recall(group)) is not None:
                new.starting.append(new.handle.restore.remote(group, state))
        for calls in zip_longest(*([(group, call) for call in self._open[group]] for group in self._groups[number])):
            for group, call in filter(None, calls):  # the oldest of all groups first, as they were sent
                call.answer = getattr(new.handle, call.method).remote(group, *call.arguments)

    def _replace_lost(self) -> None:
        """Those whose answers say so. A node takes all its actors along: they start again together."""
        for number, groups in enumerate(self._groups):
            answers = [self._open[group][0].answer for group in groups if self._open[group]]
            if not answers:
                continue
            try:
                self._ray.get(self._ray.wait(answers, num_returns=len(answers), timeout=0)[0])
            except self._losses as error:
                self._replace(number, error)
            except self._ray.exceptions.RayTaskError:
                pass  # raised when it is taken

    def _is_back(self, number: int) -> None:
        """Called after each answer."""
        process = self._processes[number]
        process.failures = 0
        if process.lost is not None:
            self.replaced_in_s.append(time.perf_counter() - process.lost)
            process.lost = None
            print(f"Actor {number} is back after {self.replaced_in_s[-1]:.1f} s", flush=True)
        self._start_spares()

    def _explained(self, number: int, error: Any) -> Exception:
        """:return: what the actor raised, as the learner's process would have raised it"""
        cause = getattr(error, "cause", None) or error
        kind = ValueError if isinstance(cause, ValueError) else RuntimeError
        return kind(f"Actor {number} failed: {type(cause).__name__}: {cause}")


def _first_line(error: Exception) -> str:
    name = type(error).__name__
    return {
        "GetTimeoutError": "no block in time",
        "ActorDiedError": "its process ended",
        "ActorUnavailableError": "it cannot be reached",
    }.get(name, name)
