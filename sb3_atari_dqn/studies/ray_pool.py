"""Jobs as tasks of Ray: each starts its process on the node that has room for it, and waits for its end."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sb3_atari_dqn.distributed.cluster import Connection, check_cluster
from sb3_atari_dqn.studies.job import FAILED, LOST, STOPPED, Job, Outcome

_PAUSE_S = 0.2
_LOSSES = {
    "WorkerCrashedError": "its process of Ray ended",
    "NodeDiedError": "its node was lost",
    "OutOfMemoryError": "its node had no memory left",
}


class RayPool:
    """
    :param connection: to the cluster
    :param threads: CPUs that a job takes
    :param gpus: of a job, may be a fraction
    :param parallel: how many at a time, None: as many as there is room for
    :raises ValueError: if no node has enough for one job
    """

    def __init__(self, connection: Connection, threads: int, gpus: float = 0.0, parallel: int | None = None) -> None:
        self._ray, self._parallel = connection.ray, parallel
        self._wanted = {"CPU": float(threads), **({"GPU": gpus} if gpus else {})}
        # Losses are counted by the runner, which tells them and begins the job again.
        options = {"num_cpus": threads, "num_gpus": gpus, "max_retries": 0, "retry_exceptions": False}
        self._carry_out = self._ray.remote(**options)(carry_out)
        self._tasks: dict[Any, Job] = {}
        if self._room() == 0:
            most = max((node["Resources"].get("CPU", 0) for node in self._nodes()), default=0)
            raise ValueError(
                f"ray: a process takes {_listed(self._wanted)}, and no node of the cluster has that (most CPUs: "
                f"{most:.0f}): lower --threads or --gpus, or add a node (ray start --address=...)."
            )

    def has_room(self) -> bool:
        return len(self._tasks) < min(self._room(), self._parallel or self._room())

    def begin(self, job: Job) -> None:
        self._tasks[self._carry_out.remote(job)] = job

    def ended(self) -> Iterator[tuple[Job, Outcome]]:
        if not self._tasks:
            return
        ready, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        for task in ready:
            yield self._tasks.pop(task), self._outcome(task)

    def stop(self) -> None:
        for task in self._tasks:
            self._ray.cancel(task)

    def kill(self) -> None:
        """Ends the process of Ray, with which the job's process ends."""
        for task in self._tasks:
            with suppress(ValueError):
                self._ray.cancel(task, force=True)

    def _outcome(self, task: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return self._ray.get(task)
        except errors.TaskCancelledError:  # before it began, or by kill
            return Outcome(STOPPED, "stopped")
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            return Outcome(FAILED, f"failed: {type(cause).__name__}: {' '.join(str(cause).split())[:300]}")
        except errors.RayError as error:
            name = type(error).__name__
            return Outcome(LOST, f"was lost ({_LOSSES.get(name, name)})")

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _room(self) -> int:
        """:return: jobs that fit into all nodes, if nothing else uses them; grows when nodes are added"""
        return sum(
            int(min(node["Resources"].get(name, 0) / amount for name, amount in self._wanted.items()))
            for node in self._nodes()
        )


def carry_out(job: Job) -> Outcome:
    """In a process of Ray, whose main thread `ray.cancel` interrupts as Ctrl-C would."""
    attempt = job.attempt(signal.SIGKILL)  # if this process is lost, the job is begun again: two must not train
    before = signal.signal(signal.SIGINT, lambda *_: attempt.stop())
    try:
        while (outcome := attempt.poll()) is None:
            time.sleep(_PAUSE_S)
        return outcome
    finally:
        signal.signal(signal.SIGINT, before)


def check_options(address: str | None, gpus: float) -> None:
    """
    :param address: of a cluster, None: jobs run on this machine
    :param gpus: of a job
    :raises ValueError: on an address that is none, or GPUs that would be ignored
    """
    if address is not None:
        check_cluster(address)
    elif gpus:
        raise ValueError(f"--gpus {gpus:g} divides the GPUs of a cluster: add --ray, or leave it out")


def check_shared(connection: Connection, folder: Path, way_out: str) -> None:
    """
    :param folder: is made here
    :param way_out: for the message
    :raises ValueError: if a node does not see it, or cannot write into it; nothing is left in it
    """
    probe, token = folder / f".probe-{secrets.token_hex(8)}", secrets.token_hex(16)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text(token)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}): {way_out}.") from error
    try:
        for node, problem in connection.on_each_node(_looks_at_probe(), str(probe), token):
            if problem:
                raise ValueError(f"ray: node {node} {problem} {folder}: {way_out}.")
    finally:
        for path in folder.glob(f"{probe.name}*"):
            path.unlink(missing_ok=True)


def check_installed(connection: Connection, packages: Collection[str]) -> None:
    """
    :param packages: that are imported here
    :raises ValueError: if a node lacks one
    """
    for node, missing in connection.on_each_node(_looks_for_packages(), sorted(packages)):
        if missing:
            raise ValueError(f"ray: node {node} lacks the package {missing[0]} of the environments: install it there.")


def check_files(connection: Connection, files: Collection[str]) -> None:
    """
    :param files: configurations
    :raises ValueError: if a node does not see one
    """
    for node, missing in connection.on_each_node(_looks_for_files(), sorted(files)) if files else ():
        if missing:
            raise ValueError(f"ray: node {node} does not see {missing[0]}: put it where every node has this path.")


# Ray sends functions whole only if no module has them.


def _looks_at_probe() -> Callable[[str, str], str]:
    def look(probe: str, token: str) -> str:
        import secrets
        from pathlib import Path

        try:
            if Path(probe).read_text() != token:
                return "has another folder at"
        except OSError:
            return "does not see"
        answer = Path(f"{probe}-{secrets.token_hex(8)}")
        try:
            answer.touch()
            answer.unlink()
        except OSError:
            return "cannot write into"
        return ""

    return look


def _looks_for_packages() -> Callable[[list[str]], list[str]]:
    def look(packages: list[str]) -> list[str]:
        from importlib.util import find_spec

        return [name for name in packages if find_spec(name) is None]

    return look


def _looks_for_files() -> Callable[[list[str]], list[str]]:
    def look(files: list[str]) -> list[str]:
        import os

        return [path for path in files if not os.path.isfile(path)]

    return look


def _listed(wanted: dict[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
