"""A run of a study as a job: begun, or continued from its newest checkpoint."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from sb3_atari_dqn.checkpoints.lock import FolderLock
from sb3_atari_dqn.studies import origin
from sb3_atari_dqn.studies.job import DONE, FAILED, STOPPED, Outcome, Process, ProcessAttempt
from sb3_atari_dqn.studies.plan import Run, resume
from sb3_atari_dqn.studies.record import GOAL, HOURS, STEPS, Place, Record, seconds_trained

#: Seconds that the process of a lost attempt may take to end; a lost machine keeps its locks on NFS for about 90
_RELEASE_S = 120.0
#: Of a training that ended as it was asked to: by our checkpoint, by SIGTERM before that, or killed.
_AS_ASKED = {128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL}


@dataclass(frozen=True)
class Training:
    """
    :param run: of a study
    :param folder: of the study, on a file system that every node sees
    :param threads: of its process
    """

    run: Run
    folder: Path
    threads: int

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def place(self) -> Place:
        """Its files"""
        return Place(self.run, self.folder)

    @property
    def progress(self) -> int:
        """Environment steps of the newest checkpoint"""
        return self.place.checkpoint_steps or 0

    def is_done(self) -> bool:
        """Whether there is nothing left to do; notes it in the record if a lost attempt could not."""
        place = self.place
        record = place.record()
        if record.ended is None and (outcome := place.outcome()) is not None:
            place.close_period(record)
            record.ended = outcome
            place.save(record)
        return record.ended is not None

    def announcement(self) -> str:
        return f"continues from step {self.progress:,}" if self.place.continues else "begins"

    def attempt(self, death_signal: int) -> TrainingAttempt:
        return TrainingAttempt(self, death_signal)


class TrainingAttempt(ProcessAttempt):
    """
    Stopped, it writes a checkpoint first.

    :param job: of this attempt
    :param death_signal: that its process gets if this one ends
    """

    stop_signal = signal.SIGTERM

    def __init__(self, job: Training, death_signal: int) -> None:
        super().__init__()
        self._job, self._place, self._death_signal = job, job.place, death_signal
        self._record = Record()
        self._out_of_time = False
        self._last_wait = time.monotonic() + _RELEASE_S

    def poll(self) -> Outcome | None:
        """:return: None while it runs"""
        try:
            return self._poll()
        except OSError as error:  # such as a full disk; other jobs go on
            return Outcome(FAILED, f"failed: {error.filename or self._place.folder}: {error.strerror or error}")

    def _poll(self) -> Outcome | None:
        if self._process is None:
            return self._begin()
        status = self._process.poll()
        if status is None:
            self._check_time()
            return None
        return self._ended(self._process, status)

    def _begin(self) -> Outcome | None:
        if self._stopped:
            return Outcome(STOPPED, "stopped")
        place = self._place
        run_folder = place.run_folder
        if run_folder is not None and _is_trained(run_folder):
            if time.monotonic() < self._last_wait:
                return None  # by a process of an attempt that was lost
            return Outcome(FAILED, f"failed: another process still trains in {run_folder}: end it")
        if self._job.is_done():
            return Outcome(DONE, f"done ({place.record().ended})")
        command, record = self._command(run_folder)
        record.commits.append(origin.commit())
        record.machines.append(origin.machine())
        record.threads, record.status, record.settings = self._job.threads, None, self._job.run.settings
        record.periods.append([time.time(), None])
        place.save(record)
        self._record = record
        self._process = Process(command, place.log, self._job.threads, self._death_signal)
        return None

    def _command(self, run_folder: Path | None) -> tuple[list[str], Record]:
        place = self._place
        if run_folder is not None and place.continues:
            record = place.record()
            place.close_period(record)
            return resume(run_folder), record
        place.log.unlink(missing_ok=True)
        return self._job.run.begin(self._job.folder), Record()

    def _check_time(self) -> None:
        hours = self._job.run.hours
        if hours is None or self._out_of_time or self._process is None:
            return
        if seconds_trained(self._record, time.time()) >= hours * 3600:
            self._out_of_time = True
            self._process.signal(signal.SIGTERM)

    def _ended(self, process: Process, status: int) -> Outcome:
        place, record = self._place, self._record
        place.close_period(record, time.time())
        outcome = Outcome(STOPPED, "stopped")
        as_asked = status in _AS_ASKED
        if status == 0:
            record.ended = GOAL if place.outcome() == GOAL else STEPS
        elif self._out_of_time and as_asked:
            record.ended = HOURS
        elif not (self._stopped and as_asked):  # such as a disk that is too full for its checkpoint
            record.status = status
            outcome = process.failure(status)
        place.save(record)
        return outcome if record.ended is None else Outcome(DONE, f"done ({record.ended})")


def _is_trained(run_folder: Path) -> bool:
    """:return: whether a process writes its checkpoints at this moment"""
    checkpoints = run_folder / "checkpoints"
    if not checkpoints.is_dir():
        return False
    try:
        FolderLock(checkpoints).release()
    except ValueError:
        return True
    return False
