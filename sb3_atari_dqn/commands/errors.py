"""A user's mistake is one line that names the way out, not a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def report_user_errors(command: str) -> Iterator[None]:
    """
    Put around what checks the user's words, not around the work: a traceback from there is our mistake.

    :param command: as typed after ``python -m sb3_atari_dqn``
    :raises SystemExit: with status 2, instead of a ValueError, or of a folder or file without permission
    """
    try:
        yield
    except (ValueError, PermissionError) as error:  # a folder that may not be searched says so wherever it is asked
        print(f"{command}: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """
    Put around what writes one file, inside of :func:`report_user_errors`.

    :param path: of the file
    :raises ValueError: with the way out, instead of an OSError such as that of a full disk
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror or error}): give another place with -o") from error


def report(command: str, lines: str, written: str = "") -> None:
    """
    Print what a command has to say, its last act.

    :param command: as typed after ``python -m sb3_atari_dqn``
    :param lines: for the standard output
    :param written: the files that are there, for the message
    :raises SystemExit: with status 2 and one line, where the output takes nothing: a pipe that was closed, a full disk
    """
    try:
        print(lines, flush=True)
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        kept = f"; written before: {written}" if written else ""
        with report_user_errors(command):
            raise ValueError(f"The standard output cannot be written ({error.strerror or error}){kept}") from error
