"""The progress of a study as a table for the terminal: a row per run, redrawn in place while they train."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sb3_atari_dqn.plotting.runs import RunLog
from sb3_atari_dqn.plotting.statistics import running_mean
from sb3_atari_dqn.studies.job import Job
from sb3_atari_dqn.studies.plan import Run
from sb3_atari_dqn.studies.record import GOAL, Place, Record, seconds_trained
from sb3_atari_dqn.studies.table import episode_seconds, log_of

RUNNING, WAITING, FAILED, STOPPED, DONE = "running", "waiting", "failed", "stopped", "done"
_CUT_OFF = "cut off"

_HEAD = ("setting", "game", "seed", "state", "steps", "score", "time", "left")
_TEXTS = 2  # of which the first columns consist; they are shortened where the terminal is narrow
_SHORTEST = 6
_COLORS = {DONE: "32", GOAL: "32", FAILED: "31", RUNNING: "36"}
_BAR = 20
_REDRAW_S, _REREAD_S = 1.0, 5.0


@dataclass(frozen=True)
class Line:
    """
    One run.

    :param state: done, running, waiting, failed, stopped or cut off
    :param share: of its steps
    :param cells: as they are shown, one for each column
    """

    state: str
    share: float
    cells: tuple[str, ...]


def line_of(place: Place, running: bool, now: float) -> Line:
    """
    :param place: of a run
    :param running: whether this program runs it
    :param now: seconds since the epoch
    """
    run, record, log = place.run, place.record(), log_of(place)
    steps = max(0.0 if log is None else float(log.episodes.env_steps[-1]), place.checkpoint_steps or 0)
    state = _state(record, running)
    share = 1.0 if state == DONE else min(steps / run.steps, 1.0)
    seconds = seconds_trained(record, now) if running else _seconds_kept(place, record, now)
    cells = (
        *(run.system, run.game, str(run.seed)),
        str(record.ended) if state == DONE and record.ended == GOAL else state,
        f"{share:.0%}" if 0 < share < 1 else f"{steps:,.0f}" if steps else "",
        "" if log is None else _score(log, run.window),
        _hours(seconds) if seconds else "",
        _hours(left) if running and (left := _seconds_left(log, record, run.steps)) else "",
    )
    return Line(state, share, cells)


def _state(record: Record, running: bool) -> str:
    if record.ended:
        return DONE
    if running:
        return RUNNING
    if not record.periods:
        return WAITING
    if record.periods[-1][1] is None:
        return _CUT_OFF
    return FAILED if record.status else STOPPED


def _seconds_kept(place: Place, record: Record, now: float) -> float:
    """:return: of training; a period that was cut off ends with the last change of a file"""
    place.close_period(record)
    return seconds_trained(record, now)


def _score(log: RunLog, window: int) -> str:
    score = running_mean(log.episodes.returns, window)[-1]
    return f"{score:,.1f}" if abs(score) < 1e5 else f"{score:.2e}"


def _seconds_left(log: RunLog | None, record: Record, total: int) -> float:
    """:return: at the speed of the second half of the run"""
    if log is None:
        return 0.0
    steps, seconds = log.episodes.env_steps, episode_seconds(log, record)
    half = len(steps) // 2
    speed = (steps[-1] - steps[half]) / max(seconds[-1] - seconds[half], 1e-9)
    return float(max(total - steps[-1], 0) / speed) if speed > 0 else 0.0


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def drawn(title: str, lines: Sequence[Line], width: int, height: int | None = None, color: bool = False) -> list[str]:
    """
    :param title: of the study
    :param lines: of its runs
    :param width: of the terminal, in characters
    :param height: in lines, None: unlimited; runs that wait or are done are then left out first
    :param color: mark states by colors
    :return: the table
    """
    counts = Counter(line.state for line in lines)
    share = sum(line.share for line in lines) / max(len(lines), 1)
    filled = round(share * _BAR)
    states = ", ".join(
        f"{counts[state]} {state}" for state in (RUNNING, WAITING, STOPPED, _CUT_OFF, FAILED) if counts[state]
    )
    head = f"{title} [{'#' * filled}{'.' * (_BAR - filled)}] {counts[DONE]} of {len(lines)} done"
    head = (f"{head}, {states}" if states else head)[:width]
    shown, hidden = _fitting(lines, None if height is None else max(height - 4, 1))
    table = _table([_HEAD, *(line.cells for line in shown)], width)
    if color:
        table[1:] = [_colored(text, line) for text, line in zip(table[1:], shown, strict=True)]
    rest = Counter(line.state for line in hidden)
    more = [f"... and {', '.join(f'{n} {state}' for state, n in rest.items())}"[:width]] if hidden else []
    return [head, *table, *more]


def _fitting(lines: Sequence[Line], most: int | None) -> tuple[list[Line], list[Line]]:
    """:return: the lines that are shown, in their order, and the others"""
    shown = list(range(len(lines)))
    for states in ((WAITING,), (DONE,), (STOPPED, _CUT_OFF), (FAILED,), (RUNNING,)):
        for place in reversed([place for place in shown if lines[place].state in states]):
            if most is not None and len(shown) > most:
                shown.remove(place)
    return [lines[place] for place in shown], [line for place, line in enumerate(lines) if place not in shown]


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    for column in range(_TEXTS):
        cut = min(max(excess, 0), max(widths[column] - _SHORTEST, 0))
        widths[column] -= cut
        excess -= cut
    return ["  ".join(_cells(row, widths)).rstrip()[:width] for row in rows]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    left = (0, 1, _HEAD.index("state"))
    return [
        _short(cell, width).ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _colored(text: str, line: Line) -> str:
    state = line.cells[_HEAD.index("state")]
    color = _COLORS.get(state)
    place = text.rfind(state)
    if color is None or place < 0:  # the terminal is too narrow for it
        return text
    return f"{text[:place]}\x1b[{color}m{state}\x1b[0m{text[place + len(state) :]}"


class EventLog:
    """
    Says what happens, a line each. Jobs go on if it cannot be written, since a terminal may be closed before they end.

    :param file: standard output
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout

    def begun(self, job: Job, text: str) -> None:
        """:param text: what it does, after its name"""
        self.note(f"{job.name}: {text}")

    def ended(self, job: Job, text: str) -> None:
        """:param text: how it has ended, or what follows"""
        self.note(f"{job.name}: {text}")

    def note(self, text: str) -> None:
        """:param text: a line"""
        self._print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def refresh(self) -> None:
        """There is nothing to draw."""

    def _print(self, text: str) -> None:
        with suppress(OSError):
            print(text, end="", file=self._file, flush=True)


class Display(EventLog):
    """
    Shows a study while it runs: in a terminal the table, in place, with what happens above it; elsewhere what happens.

    :param runs: of the study
    :param folder: of the study
    :param file: standard output
    """

    def __init__(self, runs: Sequence[Run], folder: Path, file: TextIO | None = None) -> None:
        super().__init__(file)
        self._places = [Place(run, folder) for run in runs]
        self._live = self._file.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._running: set[str] = set()
        self._lines: dict[str, tuple[float, Line]] = {}
        self._height, self._next = 0, 0.0

    def begun(self, job: Job, text: str) -> None:
        """:param job: counts as running from now on"""
        self._running.add(job.name)
        self._lines.pop(job.name, None)
        super().begun(job, text)

    def ended(self, job: Job, text: str) -> None:
        """:param job: does not run any more"""
        self._running.discard(job.name)
        self._lines.pop(job.name, None)
        super().ended(job, text)

    def note(self, text: str) -> None:
        """:param text: a line above the table"""
        self._clear()
        super().note(text)
        self._next = 0.0

    def refresh(self) -> None:
        """Draw the table again, once a second."""
        now = time.time()
        if not self._live or now < self._next:
            return
        self._next = now + _REDRAW_S
        columns, rows = shutil.get_terminal_size()
        table = self._table(now, columns - 1, rows, "NO_COLOR" not in os.environ)
        self._clear()
        self._print("\n".join(table) + "\n")
        self._height = len(table)

    def finish(self) -> None:
        """Leave the whole table behind."""
        self._clear()
        width = shutil.get_terminal_size().columns - 1
        self._lines.clear()
        self._print("\n".join(self._table(time.time(), width, None, False)) + "\n")

    def _table(self, now: float, width: int, height: int | None, color: bool) -> list[str]:
        return drawn(
            self._places[0].run.study, [self._line(place, now) for place in self._places], width, height, color
        )

    def _line(self, place: Place, now: float) -> Line:
        """Files of runs that do not change are not read again."""
        name, running = place.run.name, place.run.name in self._running
        read, line = self._lines.get(name, (0.0, None))
        if line is None or (running and now - read >= _REREAD_S):
            line = line_of(place, running, now)
            self._lines[name] = now, line
        return line

    def _clear(self) -> None:
        if self._height:
            self._print(f"\r\x1b[{self._height}A\x1b[J")
            self._height = 0


def status(runs: Sequence[Run], folder: Path, now: float, width: int, running: Collection[str] = ()) -> str:
    """
    :param now: seconds since the epoch
    :param width: of the terminal
    :param running: names of runs that are known to run
    :return: the whole table
    """
    lines = [line_of(Place(run, folder), run.name in running, now) for run in runs]
    return "\n".join(drawn(runs[0].study, lines, width))
