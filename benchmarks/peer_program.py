"""Trainings of other projects as peers, each in the interpreter of its project, stopped and continued with signals."""

import atexit
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

LINE = "SPS:"  # begins each line that is counted


class PeerProgram:
    """
    A program that prints a line beginning with ``SPS:`` after every so many environment steps.

    :param name: for messages
    :param command: the program and its arguments
    :param steps_per_line: environment steps between two lines
    :param lines_before: lines until updates are made as in the long run
    :param replay_ratio: updates per transition
    :param path: folder that its interpreter can import from
    :raises FileNotFoundError: if the interpreter is missing
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        steps_per_line: int,
        lines_before: int,
        replay_ratio: float,
        path: Path | None = None,
    ) -> None:
        if not Path(command[0]).exists():
            raise FileNotFoundError(f"{name}: there is no {command[0]}, see benchmarks/README.md")
        self._name, self._steps_per_line, self._replay_ratio = name, steps_per_line, replay_ratio
        self._command, self._path, self._lines_before = command, path, lines_before

    def start(self) -> "PeerProgram":
        """:return: itself, after its warm-up, with the program stopped"""
        self._folder = tempfile.TemporaryDirectory()  # they write their logs to the working directory
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, **({"PYTHONPATH": str(self._path)} if self._path else {})},
            cwd=self._folder.name,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # so that a signal reaches its environments' processes
        )
        atexit.register(self.close)  # if one fails, the others end too
        self._read(self._lines_before)
        self._signal(signal.SIGSTOP)
        return self

    def window(self, steps: int) -> dict[str, float]:
        """:return: environment steps and updates per second, and the peak memory of its processes so far"""
        self._signal(signal.SIGCONT)
        self._read(1)  # it was stopped between two lines
        begin = time.perf_counter()
        lines = max(steps // self._steps_per_line, 1)
        self._read(lines)
        elapsed = time.perf_counter() - begin
        self._signal(signal.SIGSTOP)
        speed = lines * self._steps_per_line / elapsed
        return {
            "env_steps_per_second": speed,
            "updates_per_second": speed * self._replay_ratio,
            "peak_memory_mb": self._peak_memory_mb(),
        }

    def breakdown(self, steps: int) -> None:
        """Not available: the process is not instrumented."""

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._signal(signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)

    def _read(self, lines: int) -> None:
        """Wait for this many lines."""
        assert self._process.stdout is not None
        while lines:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self._name} ended by itself (exit code {self._process.wait()})")
            lines -= line.startswith(LINE)

    def _peak_memory_mb(self) -> float:
        main = psutil.Process(self._process.pid)
        return sum(_peak_kb(each.pid) for each in (main, *main.children(recursive=True))) / 1024


def _peak_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])
