"""A worker of a tuning study as a job: the zoo's ``-optimize`` with its share of the trials."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sb3_atari_dqn.studies.job import DONE, STOPPED, Outcome, Process, ProcessAttempt
from sb3_atari_dqn.validation import counted

_TRIAL = re.compile(rb"Trial \d+ (?:finished|pruned|failed)")  # as Optuna logs them


@dataclass(frozen=True)
class Worker:
    """
    :param number: 0, 1, ...
    :param arguments: of the zoo's train, without number of trials and folder of its reports
    :param share: trials that it runs, None: until the study has enough
    :param log: of its output
    :param threads: of its process
    :param password: of the database, which is no part of the command, since everybody sees that
    """

    number: int
    arguments: tuple[str, ...]
    share: int | None
    log: Path
    threads: int
    password: str | None

    @property
    def name(self) -> str:
        return f"worker {self.number}"

    @property
    def progress(self) -> int:
        """Trials that have ended"""
        return len(_TRIAL.findall(self.log.read_bytes())) if self.log.is_file() else 0

    def announcement(self) -> str:
        left = "" if self.share is None else f", {counted(max(self.share - self.progress, 0), 'trial')}"
        return f"begins{left} (log: {self.log})"

    def attempt(self, death_signal: int) -> WorkerAttempt:
        return WorkerAttempt(self, death_signal)

    def command(self) -> list[str]:
        """:return: for the trials that are left"""
        trials = [] if self.share is None else ["--n-trials", str(self.share - self.progress)]
        reports = ["-f", str(self.log.parent / f"worker{self.number}")]
        return [sys.executable, "-m", "sb3_atari_dqn", "train", *self.arguments, "-optimize", *trials, *reports]


class WorkerAttempt(ProcessAttempt):
    """
    Stopped, it lets Optuna note the trial as failed; killed, the trial stays as it is.

    :param job: of this attempt
    :param death_signal: that its process gets if this one ends
    """

    stop_signal = signal.SIGINT

    def __init__(self, job: Worker, death_signal: int) -> None:
        super().__init__()
        self._job = job
        if job.share is None or job.progress < job.share:
            environment = {} if job.password is None else {"PGPASSWORD": job.password}
            self._process = Process(job.command(), job.log, job.threads, death_signal, environment)

    def poll(self) -> Outcome | None:
        """:return: None while it runs"""
        status = 0 if self._process is None else self._process.poll()
        if status is None:
            return None
        if self._stopped:
            return Outcome(STOPPED, "stopped")
        if status == 0 or self._process is None:
            return Outcome(DONE, f"done, {counted(self._job.progress, 'trial')}")
        return self._process.failure(status)


def shares(trials: int, workers: int) -> Sequence[int]:
    """:return: of each worker, that differ by one at most; no worker has none"""
    return [trials // workers + (number < trials % workers) for number in range(min(workers, trials))]
