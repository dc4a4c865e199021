"""The connection to Ray: a private one on this machine, or a cluster; checked before anything is trained.

Ray Core is imported here only, and only when a training asks for it.
"""

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from sb3_atari_dqn.distributed.settings import AUTO, IN_PROCESS, LOCAL, ActorSettings

#: Of which the learner and every node must have the same: numbers, games and messages depend on them
PACKAGES = ("ray", "sb3-atari-dqn", "torch", "numpy", "ale-py", "stable-baselines3", "gymnasium")

#: A Ray of our own listens on this machine's loopback only, and answers only who knows its token. Ray has the former
#: as a setting for desktop systems, which it reads when it is imported (ray 2.60, `ray_constants.ENABLE_RAY_CLUSTER`).
#: Its processes get as much of a busy machine as the learner, where Ray's have nice level 15.
_PRIVATE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}

_CONNECT_TIMEOUT_S, _PROBE_TIMEOUT_S, _CPUS_TIMEOUT_S = 5.0, 60.0, 10.0
#: What a machine needs to join a cluster with a token
_TOKEN = "copy ~/.ray/auth_token from its head to this machine, and export RAY_AUTH_MODE=token"
#: Memory for blocks and weights on their way, on this machine
_STORE_BYTES = 512 * 2**20


class Connection:
    """
    :param address: local, auto or HOST:PORT
    :raises ValueError: if Ray is not installed, no cluster is there, or a node has other packages
    """

    def __init__(self, address: str) -> None:
        self._environment: dict[str, str | None] = {}
        self._own = False
        _check_installed()
        if address == LOCAL:
            self._keep_private()
        elif not _is_connected():
            check_address(address)  # before Ray is imported, which reads the settings of a private one then
        import ray
        import ray.exceptions

        self.ray = ray
        try:
            self._connect(address)
            self._check_resources()
            self._check_nodes()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the cluster, or end the private one; a second call does nothing."""
        if self._own:
            self._own = False
            self.ray.shutdown()
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._environment:
            self._set_loopback_only(False)
        self._environment = {}

    @staticmethod
    def _set_loopback_only(loopback: bool) -> None:
        """What the environment says at Ray's import, for a Ray that was imported before."""
        if (constants := sys.modules.get("ray._private.ray_constants")) is not None:
            vars(constants)["ENABLE_RAY_CLUSTER"] = not loopback

    def _keep_private(self) -> None:
        """Before Ray is imported: it reads its settings then. If the user imported it before, there is no token."""
        ray, settings = sys.modules.get("ray"), dict(_PRIVATE)
        if _is_connected():
            return
        if ray is None or _token.cache_info().currsize:
            settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
        for name, value in settings.items():
            self._environment[name] = os.environ.get(name)
            os.environ[name] = value
        self._set_loopback_only(True)

    def _connect(self, address: str) -> None:
        if self.ray.is_initialized():  # by the user, who will also end it
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            n_cpus = len(os.sched_getaffinity(0))
            options |= {"address": "local", "num_cpus": n_cpus, "object_store_memory": _STORE_BYTES}
            options["include_dashboard"] = False
        else:
            options["address"] = address
        self._own = True  # from here on: an interrupted start leaves processes behind otherwise
        try:
            with _signals_as_they_are():
                self.ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            raise ValueError(f"ray: {_connection_problem(address, error)}") from None

    def _check_resources(self) -> None:
        """:raises ValueError: if the cluster has too few for what it is wanted for"""

    def _check_nodes(self) -> None:
        """:raises ValueError: if Python or a package of a node is of another version than here, or missing"""
        own = _versions(PACKAGES)
        for node, there in self.on_each_node(_probe(), PACKAGES):
            check_versions(node, own, there)

    def on_each_node(self, function: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, Any]]:
        """
        :param function: that Ray can send whole, so that it runs on nodes without this package
        :return: address and answer of every node
        :raises ValueError: if a node runs no task
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self.ray.remote(num_cpus=0)(function)
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        answers = [
            remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                *arguments
            )
            for node in nodes
        ]
        for node, answer in zip(nodes, answers, strict=True):
            name = node["NodeManagerAddress"]
            try:
                yield name, self.ray.get(answer, timeout=_PROBE_TIMEOUT_S)
            except self.ray.exceptions.RayError as error:
                raise ValueError(f"ray: node {name} runs no task ({type(error).__name__}): see its logs.") from None


class Cluster(Connection):
    """
    :param settings: address, and the CPUs that the actors will take
    :raises ValueError: see :class:`Connection`, and if the cluster has too few CPUs
    """

    def __init__(self, settings: ActorSettings) -> None:
        self._settings = settings
        super().__init__(settings.address)

    def _check_resources(self) -> None:
        settings = self._settings
        wanted = settings.actors * settings.cpus_per_actor
        whole = int(self.ray.cluster_resources().get("CPU", 0))
        end = time.monotonic() + _CPUS_TIMEOUT_S
        while (free := self._free_cpus()) < wanted <= whole and time.monotonic() < end:
            time.sleep(0.1)  # those of actors that just ended are not free at once
        if free < wanted:
            raise ValueError(
                f"ray: {settings.actors} actors take {wanted} CPUs, and {free} of the cluster's {whole} are free: add "
                f"nodes (ray start --address=...), or set actors to at most {free // settings.cpus_per_actor}."
            )

    def _free_cpus(self) -> int:
        return int(self.ray.available_resources().get("CPU", 0))


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """`ray.init` takes SIGTERM over, with which a training writes a checkpoint (ray 2.60, `worker.connect`)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@cache
def _token() -> str:
    """:return: one per process: Ray reads it once"""
    return secrets.token_hex(32)


def check_versions(node: str, own: dict[str, str | None], there: dict[str, str | None]) -> None:
    """
    :param node: its name, for the message
    :param own: versions here, by package
    :param there: likewise; None: not installed
    :raises ValueError: at the first that differs
    """
    for name, here in own.items():
        if there.get(name) != here:
            found = f"has {name} {there[name]}" if there.get(name) else f"lacks {name}"
            raise ValueError(f"ray: node {node} {found}, this machine {here or 'none'}: install {name} {here} there.")


def _check_installed() -> None:
    """:raises ValueError: if Ray is not"""
    if find_spec("ray") is None:
        raise ValueError(
            "ray: Ray is not installed: pip install 'sb3-atari-dqn[ray]', or go on without it (actors: ray: {address: "
            "in-process})."
        )


def _is_connected() -> bool:
    """:return: whether the user has connected to a Ray before"""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def check_address_form(address: str) -> None:
    """:raises ValueError: if it is not an address; what may be a password is not repeated"""
    if address in (AUTO, LOCAL, IN_PROCESS):
        return
    if "://" in address or "@" in address:
        raise ValueError(
            "ray: address must be HOST:PORT of the cluster's head; Ray's client protocol (ray://) and credentials in "
            "addresses are not supported, use Ray's token authentication."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"ray: address {address!r} is not HOST:PORT, {LOCAL!r} or {AUTO!r}.")


def check_cluster(address: str) -> None:
    """:raises ValueError: if it is not the address of a cluster"""
    if address == IN_PROCESS:
        raise ValueError(f"--ray {IN_PROCESS} is for the actors of one training: leave it out to run here")
    check_address_form(address)


def check_address(address: str) -> None:
    """:raises ValueError: if it is not an address, or nothing answers there"""
    check_address_form(address)
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"ray: no cluster at {address} ({reason}): start one with ray start --head, or take {LOCAL!r} as address."
        ) from None


def _connection_problem(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return f"the cluster runs another Ray or Python than this process ({text[:300]}): install the same on both."
    if address == AUTO:
        return f"no cluster runs on this machine: start one with ray start --head, or take {LOCAL!r} as address."
    if "oken" in type(error).__name__ + text:
        return f"the cluster's token is missing or wrong here ({text[:120]}): {_TOKEN}."
    return f"cannot join the cluster ({type(error).__name__}: {text[:300]}). If it has a token: {_TOKEN}."


def _versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    return _probe()(packages)


def _probe() -> Callable[[tuple[str, ...]], dict[str, str | None]]:
    """:return: a function that Ray sends whole, so that it runs on nodes without this package"""

    def versions(packages: tuple[str, ...]) -> dict[str, str | None]:
        found: dict[str, str | None] = {"Python": "%d.%d" % sys.version_info[:2]}  # noqa: UP031
        for name in packages:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
        return found

    return versions
