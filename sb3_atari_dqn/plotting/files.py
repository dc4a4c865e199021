"""The files of a run, read with suspicion: damage is named, and a line that is still being written is left out."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

#: Names of the columns whose numbers are not negative: lengths, times and counts.
_UNSIGNED = ("l", "t", "env_steps", "seconds", "time/total_timesteps")
_LONGEST_REASON = 160
#: Largest size of a number: sums of larger ones, and axes that hold them, leave the range of floats.
MOST = 1e100


@contextmanager
def read_as(kind: str, path: Path) -> Iterator[None]:
    """
    Put around all that reads one file.

    :param kind: what the file should be
    :raises ValueError: whatever a damaged file leads to (numpy, zip, YAML and CSV have errors of their own), in one
        line with its name, the reason and the way out
    """
    try:
        yield
    except Exception as error:
        reason = " ".join((str(error) if isinstance(error, ValueError | OSError) else repr(error)).split())
        raise ValueError(
            f"{path} is not {kind}, or it is damaged ({reason[:_LONGEST_REASON]}): mend it or move it away"
        ) from error


def finished_lines(path: Path) -> TextIO:
    """:return: the file without a last line that has no end yet"""
    text = path.read_text(encoding="utf-8")
    return io.StringIO(text[: text.rfind("\n") + 1])


def columns(lines: TextIO, names: Sequence[str], above: int = 0, optional: bool = False) -> np.ndarray:
    """
    :param lines: CSV, from its head on
    :param names: of the columns wanted
    :param above: lines of the file that were read before
    :param optional: columns may be missing or empty: lines without all of them are passed over
    :return: float [n, len(names)]
    :raises ValueError: on a missing column, or with the number of a line that is too short or too long, or where a
        wanted cell is no finite number, is larger than can be drawn, or is a negative length, time or count
    """
    reader = csv.reader(lines)
    head = next(reader, [])
    if not head or (optional and not {*names} <= {*head}):
        return np.empty((0, len(names)))
    places = [(head.index(name), name) for name in names]  # the same column may be wanted twice
    rows = []
    for cells in filter(None, reader):
        line = above + reader.line_num
        if len(cells) != len(head):
            raise ValueError(f"line {line}: {len(cells)} cells instead of {len(head)}")
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
        wanted += f", not beyond {MOST:g}" if MOST < abs(value) < math.inf else ""
        raise ValueError(f"line {line}: {name} is {cell[:20]!r}, wanted {wanted}")
    return value
