"""What is known of a run of a study: one small JSON file beside its run folder, and what the folder says itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.studies.plan import Run

#: How runs end; a run that has not ended has state "partial" in tables.
STEPS, GOAL, HOURS = "steps", "goal", "hours"
_CHECKPOINT = re.compile(r"\d+-step(\d+)")
_AT_GOAL = re.compile(r"^Stopped at \d+ steps: a mean return", re.MULTILINE)


@dataclass
class Record:
    """
    :param commits: of the code, of every process
    :param machines: likewise
    :param threads: of torch and OpenMP
    :param periods: begin and end of every process, seconds since the epoch; the end is None while it runs
    :param ended: "steps", "goal", "hours", or None
    :param status: of the last process that ended by itself; negative: it was killed by this signal
    :param settings: that the run began with; empty in records of older versions
    """

    commits: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    threads: int = 1
    periods: list[list[float | None]] = field(default_factory=list)
    ended: str | None = None
    status: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class Place:
    """
    Files of one run.

    :param run: of a study
    :param folder: of the study
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.study = folder
        self.folder = folder / run.folder
        self.log = self.folder / f"{run.game}.log"
        self._json = self.folder / f"{run.game}.json"

    def record(self) -> Record:
        """:raises ValueError: if its file is damaged"""
        if not self._json.is_file():
            return Record()
        try:
            return Record(**json.loads(self._json.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self._json} is damaged ({error}): repair it, or remove it with its run") from error

    @property
    def continues(self) -> bool:
        """Whether the run goes on from a checkpoint; it begins anew otherwise"""
        return self.run.resumable and self.checkpoint_steps is not None

    def check_settings(self) -> None:
        """:raises ValueError: if a run that has ended or goes on began with other settings than its study has now"""
        record = self.record()
        if record.ended is None and not self.continues:
            return
        began = record.settings
        now = json.loads(json.dumps(self.run.settings, default=str))
        if changed := [key for key in now if began and began.get(key) != now[key]]:
            raise ValueError(
                f"{self.run.name} began with other {', '.join(changed)} ({began[changed[0]]!r}) than the study has now "
                f"({now[changed[0]]!r}): give the changed setting another name, or use another folder with --runs"
            )

    def save(self, record: Record) -> None:
        """:param record: replaces the file"""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._json) as file:
            file.write(f"{json.dumps(asdict(record), indent=1, default=str)}\n".encode())

    @property
    def run_folder(self) -> Path | None:
        """The newest run folder of the zoo, None before the run has begun"""
        found = [(int(path.name.rpartition("_")[2]), path) for path in self._folders()]
        return max(found)[1] if found else None

    def _folders(self) -> Sequence[Path]:
        pattern = re.compile(re.escape(self.run.env.replace("/", "-")) + r"_\d+")  # as the zoo names it
        above = self.folder / self.run.algorithm
        return [path for path in above.iterdir() if pattern.fullmatch(path.name)] if above.is_dir() else []

    @property
    def checkpoint_steps(self) -> int | None:
        """Environment steps of the newest checkpoint, None without one"""
        checkpoints = self.run_folder and self.run_folder / "checkpoints"
        if not checkpoints or not checkpoints.is_dir():
            return None
        found = [match for match in (_CHECKPOINT.fullmatch(path.name) for path in checkpoints.iterdir()) if match]
        return max((int(match[1]) for match in found), default=None)

    def close_period(self, record: Record, end: float | None = None) -> None:
        """
        End the last period of a record, if a process was cut off: at the last change of its files.

        :param end: seconds since the epoch, None: unknown
        """
        if not record.periods or record.periods[-1][1] is not None:
            return
        begin = record.periods[-1][0] or 0.0
        files = [self.log, *(self.run_folder.glob("*.monitor.csv") if self.run_folder else ())]
        times = [path.stat().st_mtime for path in files if path.is_file()]
        record.periods[-1][1] = end or max([begin, *times])

    def outcome(self) -> str | None:
        """:return: how the run has ended, according to its own files"""
        if self.run.goal is not None and self.log.is_file() and _AT_GOAL.search(self.log.read_text(errors="replace")):
            return GOAL
        steps = self.checkpoint_steps
        return STEPS if steps is not None and steps >= self.run.steps else None


def seconds_trained(record: Record, now: float) -> float:
    """
    :param now: end of a period that has not ended
    :return: sum of all periods
    """
    return sum((now if end is None else end) - (begin or 0.0) for begin, end in record.periods)


def active_seconds(record: Record, times: np.ndarray) -> np.ndarray:
    """
    :param times: seconds since the epoch [n]
    :return: seconds of training until then, without pauses between processes [n]
    """
    total = np.zeros(len(times))
    for begin, end in record.periods:
        total += np.clip(times, begin, np.inf if end is None else end) - (begin or 0.0)
    return total


def as_text(values: Sequence[Any]) -> str:
    """:return: distinct values, for a cell"""
    return " + ".join(dict.fromkeys(str(value) for value in values))
