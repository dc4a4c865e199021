"""Strict readers for the files of a run: errors name the damage, and a line that is still being written is skipped."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

#: Columns that must not be negative: lengths, times and counts.
_UNSIGNED = ("l", "t", "env_steps", "seconds", "time/total_timesteps")
_LONGEST_REASON = 160
#: Largest absolute value: sums and axis limits of larger numbers would overflow.
MOST = 1e100


@contextmanager
def read_as(kind: str, path: Path) -> Iterator[None]:
    """
    Context for everything that reads one file.

    :param kind: what the file should be
    :raises ValueError: for any error of a damaged file (numpy, zip, YAML and CSV each raise their own), in one line
        with its name, the reason and the way out
    """
    try:
        yield
    except Exception as error:
        reason = " ".join((str(error) if isinstance(error, ValueError | OSError) else repr(error)).split())
        raise ValueError(
            f"{path} is not {kind}, or it is damaged ({reason[:_LONGEST_REASON]}): repair it or move it away"
        ) from error


def episode_log(run: Path) -> Path:
    """:return: the log of ``LogEpisodes`` in a run folder, under its name up to 0.1.0 if there is no newer one"""
    new, old = run / "episodes.csv", run / "games.csv"
    return old if old.is_file() and not new.is_file() else new


def finished_lines(path: Path) -> TextIO:
    """:return: the file without an unterminated last line"""
    text = path.read_text(encoding="utf-8")
    return io.StringIO(text[: text.rfind("\n") + 1])


def columns(lines: TextIO, names: Sequence[str], above: int = 0, optional: bool = False) -> np.ndarray:
    """
    :param lines: CSV, starting with its header
    :param names: of the columns to read
    :param above: number of lines of the file before the header
    :param optional: columns may be missing or empty: rows without all of them are skipped
    :return: float [n, len(names)]
    :raises ValueError: on a missing column, or, with the line number, on a row that is too short or too long or has
        a value that is not finite, too large to draw, or a negative length, time or count
    """
    reader = csv.reader(lines)
    header = next(reader, [])
    if not header or (optional and not {*names} <= {*header}):
        return np.empty((0, len(names)))
    places = [(header.index(name), name) for name in names]  # the same column may be requested twice
    rows = []
    for cells in filter(None, reader):
        line = above + reader.line_num
        if len(cells) != len(header):
            raise ValueError(f"line {line}: {len(cells)} cells instead of {len(header)}")
        if not optional or all(cells[place] for place, _ in places):
            rows.append([_number(cells[place], name, line) for place, name in places])
    return np.array(rows).reshape(-1, len(names))


def _number(cell: str, name: str, line: int) -> float:
    least = 0.0 if name in _UNSIGNED else -math.inf
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST or value < least:
        wanted = "a finite number of at least 0" if name in _UNSIGNED else "a finite number"
        wanted += f", at most {MOST:g}" if MOST < abs(value) < math.inf else ""
        raise ValueError(f"line {line}: {name} is {cell[:20]!r}, expected {wanted}")
    return value
