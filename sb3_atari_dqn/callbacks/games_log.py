"""``games.csv``: a row per game, whole rows only, closed between them."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("game", "env", "env_steps", "seconds", "return", "length", "mean_loss", "epsilon")


def append(path: Path, rows: Sequence[Sequence[Any]]) -> bool:
    """
    Add rows, and before the first one the head; the folder is made again if somebody has removed it.

    :return: whether the file is a new one
    :raises OSError: if they cannot be written; the file is then as it was
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        size = file.tell()
        try:
            file.write(_lines(rows if size else [COLUMNS, *rows]))
            file.flush()
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise
    return size == 0


def resume(path: Path) -> float:
    """
    Make ready an older file, whose writer may have died within a row: that row goes.

    :return: seconds since the start in its last row
    :raises ValueError: if the file is not of this kind
    """
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = list(csv.reader(whole.decode(errors="replace").splitlines()))
    try:
        if tuple(rows[0]) != COLUMNS:
            raise ValueError(f"columns {rows[0]}")
        seconds = float(rows[-1][COLUMNS.index("seconds")]) if len(rows) > 1 else 0.0
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is not a log of LogEpisodes ({error}): move it, or give another folder=") from error
    if whole != content:
        with path.open("rb+") as file:
            file.truncate(len(whole))
    return seconds


def last_game(path: Path) -> int:
    """:return: number of the last game in it, 0 where there is none; a row that was cut counts for nothing"""
    if not path.is_file():
        return 0
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    numbers = [line.split(",")[0] for line in lines if line.endswith("\n")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
