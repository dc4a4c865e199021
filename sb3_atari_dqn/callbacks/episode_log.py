"""``episodes.csv``: one row per episode. The file is closed between rows and never holds a partial one."""

import csv
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_atari_dqn.files import replacing

FILE_NAME = "episodes.csv"
COLUMNS = ("episode", "env", "env_steps", "seconds", "return", "length", "mean_loss", "epsilon")
#: Up to 0.1.0 the file and its first column had these names.
OLD_FILE_NAME = "games.csv"
_OLD_COLUMNS = ("game", *COLUMNS[1:])


def append(path: Path, rows: Sequence[Sequence[Any]]) -> bool:
    """
    Add rows, with the header before the first one. A folder that was removed is created again.

    :return: whether this call created the file
    :raises OSError: if the rows cannot be written; the file is unchanged then
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:  # a buffer would write the rest of failed rows when it is closed
        size = file.tell()
        left = memoryview(_lines(rows if size else [COLUMNS, *rows]))
        try:
            while left:
                left = left[file.write(left) :]
        except BaseException:
            os.ftruncate(file.fileno(), size)
            raise
    return size == 0


def adopt_old_file(folder: Path) -> None:
    """
    Continue the ``games.csv`` of an older version as ``episodes.csv``, unless there is one.

    :raises ValueError: if the old file is not a log of ``LogEpisodes``; nothing changes then
    """
    old, new = folder / OLD_FILE_NAME, folder / FILE_NAME
    if not old.is_file() or new.exists():
        return
    rows = _checked_rows(old, _OLD_COLUMNS)
    with replacing(new) as file:
        file.write(_lines([COLUMNS, *rows[1:]]))
    old.unlink()  # a process killed before this line leaves both: the new one is complete, and has precedence
    warnings.warn(f"{OLD_FILE_NAME} was renamed: {old} is continued as {FILE_NAME}", FutureWarning, stacklevel=2)


def resume(path: Path) -> float:
    """
    Prepare an existing file for more rows: drop a partial last row, which a killed process may have left.

    :return: seconds since the start in its last row
    :raises ValueError: if the file is not a log of ``LogEpisodes``
    """
    rows = _checked_rows(path, COLUMNS)
    content = path.read_bytes()
    complete = content.rfind(b"\n") + 1
    if complete != len(content):
        with path.open("rb+") as file:
            file.truncate(complete)
    return float(rows[-1][COLUMNS.index("seconds")]) if len(rows) > 1 else 0.0


def last_episode(folder: Path) -> int:
    """:return: highest episode number in the log of this folder, 0 without a log; a partial row does not count"""
    path = next((folder / name for name in (FILE_NAME, OLD_FILE_NAME) if (folder / name).is_file()), None)
    if path is None:
        return 0
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    numbers = [line.split(",")[0] for line in lines if line.endswith("\n")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _checked_rows(path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    """
    :return: header and complete rows
    :raises ValueError: on another header, or a last row without a time
    """
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    rows = list(csv.reader(complete.decode(errors="replace").splitlines()))
    try:
        if tuple(rows[0]) != columns:
            raise ValueError(f"columns {rows[0]}")
        if len(rows) > 1:
            float(rows[-1][columns.index("seconds")])
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is not a log of LogEpisodes ({error}): move it, or give another folder=") from error
    return rows


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
