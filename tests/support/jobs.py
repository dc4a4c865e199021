"""Small programs as jobs of a pool: each can be stopped, killed and begun again, and notes what happens in a file."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from sb3_atari_dqn.studies.job import DONE, STOPPED, Job, Outcome, Process


@dataclass(frozen=True)
class Script:
    """
    :param name: of the job
    :param code: Python; `note(text)` writes a line, `notes` are the lines so far, `attempt` counts from 1
    :param folder: for the notes
    """

    name: str
    code: str
    folder: Path

    @property
    def notes(self) -> list[str]:
        file = self.folder / f"{self.name}.notes"
        return file.read_text().split() if file.is_file() else []

    @property
    def progress(self) -> int:
        """Notes that say so"""
        return self.notes.count("progress")

    def announcement(self) -> str:
        return "begins"

    def attempt(self, death_signal: int) -> "_Attempt":
        return _Attempt(self, death_signal)


_PROGRAM = """
import os, signal, sys, time
file = {file!r}
def note(text):
    with open(file, "a") as out:
        out.write(text + "\\n")
note("begun")
notes = open(file).read().split()
attempt = notes.count("begun")
{code}
"""

#: Waits for SIGTERM, and takes a moment to end
UNTIL_STOPPED = """
def stop(*_):
    time.sleep(0.3)
    note("stopped")
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
note(f"pid={os.getpid()}")
time.sleep(120)
"""
#: Does not end
DEAF = UNTIL_STOPPED.replace("sys.exit(1)", "time.sleep(120)")


class _Attempt:
    def __init__(self, job: Script, death_signal: int) -> None:
        program = _PROGRAM.format(file=str(job.folder / f"{job.name}.notes"), code=job.code)
        self._process = Process([sys.executable, "-c", program], job.folder / f"{job.name}.log", 1, death_signal)
        self._stopped = False

    def poll(self) -> Outcome | None:
        status = self._process.poll()
        if status is None:
            return None
        if self._stopped:
            return Outcome(STOPPED, "stopped")
        return self._process.failure(status) if status else Outcome(DONE, "done")

    def stop(self) -> None:
        if not self._stopped:
            self._process.signal(signal.SIGTERM)
        self._stopped = True

    def kill(self) -> None:
        self._stopped = True
        self._process.kill()


class Events:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begun(self, job: Job, text: str) -> None:
        self.note(f"{job.name}: {text}")

    def ended(self, job: Job, text: str) -> None:
        self.note(f"{job.name}: {text}")

    def note(self, text: str) -> None:
        self.lines.append(text)

    def refresh(self) -> None:
        pass
