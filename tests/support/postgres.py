"""A real PostgreSQL server on loopback, run as an ordinary user, gone when the test is over."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import markers

_ORDINARY_USER = "postgres"  # made by Debian's package; the server refuses to run as root


def _binaries() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if places:
        return places[-1]
    message = "PostgreSQL is not installed: apt-get install postgresql"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _as_ordinary_user(*command: str) -> None:
    prefix = ["runuser", "-u", _ORDINARY_USER, "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server() -> Iterator[str]:
    """:return: the URL of an empty database"""
    markers.require("PostgreSQL is started", "postgres")
    binaries, port = _binaries(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, _ORDINARY_USER)
        data = f"{folder}/data"
        _as_ordinary_user(f"{binaries}/initdb", "-D", data, "-A", "trust", "-U", "zoo", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = (f"{binaries}/pg_ctl", "-D", data, "-l", f"{folder}/log")
        _as_ordinary_user(*control, "-w", "-o", options, "start")
        try:
            yield f"postgresql://zoo@127.0.0.1:{port}/postgres"
        finally:
            _as_ordinary_user(*control, "-m", "immediate", "stop")
