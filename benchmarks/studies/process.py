"""Runs the runs of a study as processes: so many at a time, until all are done or a signal stops them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from studies.plan import Run, resume
from studies.record import GOAL, HOURS, STEPS, Place, Record, seconds_trained

_PAUSE = 0.2  # seconds between two looks at the processes
_SET_PARENT_DEATH_SIGNAL = 1  # of Linux' prctl


@dataclass
class _Running:
    place: Place
    record: Record
    process: subprocess.Popen[bytes]
    out_of_time: bool = False
    signals: int = 0  # of the user, passed on


class Runner:
    """
    :param folder: of the study
    :param about: commit and machine, of `report.circumstances`
    :param threads: per process
    :param after_each: called when a run has ended or stopped
    """

    def __init__(self, folder: Path, about: dict[str, Any], threads: int, after_each: Callable[[], None]) -> None:
        self._folder, self._about, self._threads, self._after_each = folder, about, threads, after_each
        self._running: list[_Running] = []
        self.stopping = 0  # signals so far
        self.failed: list[str] = []

    def run(self, runs: Sequence[Run], parallel: int) -> None:
        """
        :param runs: those that have ended are left out
        :param parallel: how many at a time
        """
        waiting = list(runs)
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self._running or (waiting and not self.stopping):
                while waiting and len(self._running) < parallel and not self.stopping:
                    self._begin(waiting.pop(0))
                time.sleep(_PAUSE)
                for each in list(self._running):
                    self._pass_on(each)
                    self._look_at(each)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _begin(self, run: Run) -> None:
        place = Place(run, self._folder)
        record = place.record()
        place.close_period(record)
        record.ended = record.ended or place.outcome()
        if record.ended:
            place.save(record)
            return
        run_folder = place.run_folder
        if run.resumable and run_folder is not None and place.checkpoint_steps is not None:
            command, verb = resume(run_folder), "continued"
        else:
            command, verb, record = run.begin(self._folder), "begun", Record()
            place.log.unlink(missing_ok=True)
        record.commits.append(self._about["commit"])
        record.machines.append(self._about["machine"])
        record.threads, record.status = self._threads, None
        record.periods.append([time.time(), None])
        place.save(record)
        self._running.append(_Running(place, record, self._start(command, place.log)))
        print(f"{_now()} {run.name}: {verb}", flush=True)

    def _start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        threads = {"OMP_NUM_THREADS": str(self._threads), "GOMP_SPINCOUNT": "10000", "PYTHONUNBUFFERED": "1"}
        with log.open("ab") as out:
            # A session of its own: Ctrl-C reaches it through us, once.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads},
                start_new_session=True,
                preexec_fn=_stop_with_parent,
            )

    def _look_at(self, each: _Running) -> None:
        hours = each.place.run.hours
        if hours is not None and not each.out_of_time and seconds_trained(each.record, time.time()) >= hours * 3600:
            each.out_of_time = True
            each.process.send_signal(signal.SIGTERM)
        status = each.process.poll()
        if status is None:
            return
        self._running.remove(each)
        self._ended(each, status)

    def _ended(self, each: _Running, status: int) -> None:
        place, record = each.place, each.record
        place.close_period(record, time.time())
        if status == 0:
            record.ended = GOAL if place.outcome() == GOAL else STEPS
        elif each.out_of_time:
            record.ended = HOURS
        elif not each.signals:
            record.status = status
            self.failed.append(place.run.name)
        place.save(record)
        what = f"done ({record.ended})" if record.ended else "stopped" if each.signals else f"failed, see {place.log}"
        print(f"{_now()} {place.run.name}: {what}", flush=True)
        self._after_each()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping += 1
        if self.stopping == 1:
            os.write(2, b"\nStopping the runs, with a checkpoint each; once more kills them.\n")

    def _pass_on(self, each: _Running) -> None:
        if each.signals < self.stopping:
            each.signals = self.stopping
            each.process.send_signal(signal.SIGTERM if self.stopping == 1 else signal.SIGKILL)


def _stop_with_parent() -> None:
    """A run that outlived this program, killed by `kill -9` too, would be continued a second time."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
