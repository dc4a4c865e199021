"""Actors in processes of a Ray cluster, replaced when they are lost. G: groups.

An actor gets its orders ahead of time, each with a reference to the weights, and answers with blocks; Ray carries both
through its object store. Answers are taken in a fixed order. When an actor is lost, another one plays its games again
from their seeds and actions, up to the last block that was taken, and gets the open orders once more: it answers them
as the lost one would have.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
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
    """An open order: how to send it again, and where its answer will be."""

    method: str
    arguments: tuple[Any, ...]
    answer: Any


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
        self._ray, self._settings, self._recall = cluster.ray, settings, recall
        self._policy = policy
        self._groups = {number: {} for number in range(settings.actors)}  # type: ignore[var-annotated]
        for group, spec in enumerate(specs):
            self._groups[group % settings.actors][group] = spec
        self._open: list[deque[_Call]] = [deque() for _ in specs]
        self._weights: tuple[int, Any] = (-1, None)
        self._replacements, self._replacement_s, self._failures = 0, 0.0, [0] * settings.actors
        self._waited_s, self._received_bytes = 0.0, 0
        self._actors = [self._started() for _ in range(settings.actors)]
        for number in range(settings.actors):
            self._prepare(number)

    def reset(self, seeds: Sequence[int | None]) -> None:
        for group, seed in enumerate(seeds):
            self._send(group, "reset", (seed,))

    def order(self, orders: Sequence[Order], weights: np.ndarray) -> None:
        if self._weights[0] != orders[0].version:
            self._weights = orders[0].version, self._ray.put(weights)
        for group, order in enumerate(orders):
            self._send(group, "play", (order, self._weights[1]))

    def take(self) -> list[Reply]:
        start = time.perf_counter()
        replies = [self._answer(group) for group in range(len(self._open))]
        for calls in self._open:  # now: a Ctrl-C above loses nothing
            calls.popleft()
        self._waited_s += time.perf_counter() - start
        self._received_bytes += sum(reply.block.nbytes for reply in replies if reply.block is not None)
        return replies

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        for calls in self._open:
            calls.clear()
        self._get([self._actor(group).restore.remote(group, state) for group, state in enumerate(states)])

    def statistics(self) -> dict[str, float]:
        found = {
            "actor_wait_s": self._waited_s,
            "received_mb": self._received_bytes / 1e6,
            "actors_replaced": float(self._replacements),
        }
        self._waited_s, self._received_bytes = 0.0, 0
        return found

    def processes(self) -> list[dict[str, Any]]:
        """:return: host and process of each actor"""
        return self._get([actor.where.remote() for actor in self._actors])

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)
        self._actors = []

    # --- calls

    def _actor(self, group: int) -> Any:
        return self._actors[group % self._settings.actors]

    def _send(self, group: int, method: str, arguments: tuple[Any, ...]) -> None:
        answer = getattr(self._actor(group), method).remote(group, *arguments)
        self._open[group].append(_Call(method, arguments, answer))

    def _answer(self, group: int) -> Reply:
        errors = self._ray.exceptions
        losses = errors.RayActorError, errors.GetTimeoutError, errors.ObjectLostError, errors.NodeDiedError
        number = group % self._settings.actors
        while True:
            try:
                reply = self._ray.get(self._open[group][0].answer, timeout=self._settings.timeout_s)
            except losses as error:
                self._replace(number, error)
            except errors.RayTaskError as error:
                raise self._explained(number, error) from None
            else:
                self._failures[number] = 0
                return reply

    def _get(self, answers: list[Any]) -> list[Any]:
        try:
            return self._ray.get(answers, timeout=_START_TIMEOUT_S)
        except self._ray.exceptions.RayTaskError as error:
            raise self._explained(None, error) from None

    # --- processes

    def _started(self) -> Any:
        """:return: a new process, which may still be starting"""
        options = {"num_cpus": self._settings.cpus_per_actor, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        return self._ray.remote(**options)(ActorProcess).remote()

    def _prepare(self, number: int) -> None:
        """
        :raises ValueError: if a group cannot be built
        :raises RuntimeError: if the process does not start
        """
        try:
            self._ray.get(
                self._actors[number].prepare.remote(self._groups[number], self._policy), timeout=_START_TIMEOUT_S
            )
        except self._ray.exceptions.GetTimeoutError:
            raise RuntimeError(
                f"Actor {number} did not start within {_START_TIMEOUT_S:.0f} s: no node of the cluster has "
                f"{self._settings.cpus_per_actor} free CPUs; add a node, or lower ray: actors."
            ) from None
        except self._ray.exceptions.RayTaskError as error:
            raise self._explained(number, error) from None

    def _replace(self, number: int, error: Exception) -> None:
        """
        Start another process, let it play its games up to the last block that was taken, and send the open orders
        again.

        :param error: by which the loss was noticed
        :raises RuntimeError: if that fails again and again
        """
        self._failures[number] += 1
        if self._failures[number] > _MOST_REPLACEMENTS:
            raise RuntimeError(
                f"Actor {number} was lost {self._failures[number]} times without a block between: "
                f"{_first_line(error)} The logs of Ray on its node say why; often the node lacks memory."
            )
        start = time.perf_counter()
        self._ray.kill(self._actors[number], no_restart=True)  # it may only be slow, or cut off
        self._actors[number] = self._started()
        try:
            self._prepare(number)
            actor = self._actors[number]
            restored = [
                actor.restore.remote(group, state)
                for group in self._groups[number]
                if (state := self._recall(group)) is not None
            ]
            self._get(restored)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError) as again:
            self._replace(number, again)
            return
        for group in self._groups[number]:
            for call in self._open[group]:
                call.answer = getattr(actor, call.method).remote(group, *call.arguments)
        self._replacements += 1
        self._replacement_s = time.perf_counter() - start
        print(f"Actor {number} was lost ({_first_line(error)}) and replaced in {self._replacement_s:.1f} s")

    def _explained(self, number: int | None, error: Any) -> Exception:
        """:return: what the actor raised, as the learner's process would have raised it"""
        cause = getattr(error, "cause", None) or error
        who = "An actor" if number is None else f"Actor {number}"
        kind = ValueError if isinstance(cause, ValueError) else RuntimeError
        return kind(f"{who} failed: {type(cause).__name__}: {cause}")


def _first_line(error: Exception) -> str:
    name = type(error).__name__
    return {
        "GetTimeoutError": "no block in time",
        "ActorDiedError": "its process ended",
        "ActorUnavailableError": "it cannot be reached",
    }.get(name, name)
