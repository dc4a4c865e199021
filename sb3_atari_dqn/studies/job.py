"""A job is a command that runs as a process of its own, on whichever machine has room, until it ends or is stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: How a job ends: with success; by a signal of the user, to go on later; with an error; by a loss, to be tried again
DONE, STOPPED, FAILED, LOST = "done", "stopped", "failed", "lost"

_SET_PARENT_DEATH_SIGNAL = 1  # of Linux' prctl
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # now: a new process must not wait for a loader's lock
_TAIL_BYTES, _LONGEST_LINE = 4096, 200


@dataclass(frozen=True)
class Outcome:
    """
    :param state: "done", "stopped", "failed" or "lost"
    :param text: for the user, after the name of the job
    """

    state: str
    text: str


class Attempt(Protocol):
    """A job that runs, on this machine."""

    def poll(self) -> Outcome | None:
        """:return: None while it runs"""

    def stop(self) -> None:
        """Ask it to end soon, and to keep what it has; can be called more than once."""

    def kill(self) -> None:
        """End it now."""


class Job(Protocol):
    """Is sent to other machines as it is."""

    @property
    def name(self) -> str:
        """For people"""

    @property
    def progress(self) -> int:
        """Grows when the job gets on, across attempts"""

    def announcement(self) -> str:
        """:return: what the next attempt will do, after the name of the job"""

    def attempt(self, death_signal: int) -> Attempt:
        """
        :param death_signal: that its process gets if this one ends, however that happens
        :return: the job, begun or continued
        """


class Process:
    """
    A command with its output in a file, in a session of its own: Ctrl-C reaches it through us, once.

    :param command: program and arguments
    :param log: is appended to
    :param threads: of torch and OpenMP
    :param death_signal: that it gets if this process ends
    :param environment: is added
    """

    def __init__(
        self, command: Sequence[str], log: Path, threads: int, death_signal: int, environment: Mapping[str, str] = {}
    ) -> None:
        self._log = log
        settings = {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "10000", "PYTHONUNBUFFERED": "1"}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings, **environment},
                start_new_session=True,
                preexec_fn=lambda: _prepare_signals(death_signal),
            )

    def poll(self) -> int | None:
        """:return: its status, None while it runs"""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """:param number: of a signal; nothing happens if the process has ended"""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it now, with the processes that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def failure(self, status: int) -> Outcome:
        """
        :param status: other than 0
        :return: lost if a signal ended it, failed if it ended itself
        """
        if status < 0:
            return Outcome(LOST, f"was killed by {signal.Signals(-status).name}")
        return Outcome(FAILED, f"failed with status {status}: {last_line(self._log)} (log: {self._log})")


class ProcessAttempt:
    """The end of an attempt that is one process."""

    #: What asks the process to end soon
    stop_signal: signal.Signals

    def __init__(self) -> None:
        self._process: Process | None = None
        self._stopped = False

    def stop(self) -> None:
        """Ask it to end soon, and to keep what it has; can be called more than once."""
        if self._process is not None and not self._stopped:
            self._process.signal(self.stop_signal)
        self._stopped = True

    def kill(self) -> None:
        """End it now."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()


def last_line(log: Path) -> str:
    """:return: the last line with text in a log, shortened"""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else "it printed nothing"


def _prepare_signals(death_signal: int) -> None:
    """In the new process: what ended its parent reaches it, and it can be stopped, though its parent may block that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if _LIBC is not None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, death_signal)
