"""User errors are printed as one line with a way out, not as a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path


@contextmanager
def report_user_errors(command: str) -> Iterator[None]:
    """
    Context for checks of user input, not for the work itself: an exception there is a bug and needs its traceback.

    :param command: as typed after ``python -m sb3_atari_dqn``
    :raises SystemExit: with status 2, in place of a ValueError or a PermissionError
    """
    try:
        yield
    except (ValueError, PermissionError) as error:  # any access to a protected folder may raise it
        print(f"{command}: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def written_to(path: Path, way_out: str = "give another path with -o") -> Iterator[None]:
    """
    Context for writing one file, inside :func:`report_user_errors`.

    :param path: of the file
    :param way_out: the end of the message
    :raises ValueError: with a way out, in place of an OSError such as a full disk
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror or error}): {way_out}") from error


def check_matplotlib(what: str) -> None:
    """
    :param what: needs it, such as "plots"
    :raises ValueError: if it is not installed
    """
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError(f"{what} need matplotlib ({error}): pip install 'sb3-atari-dqn[plots]'") from error


def report(command: str, lines: str, written: str = "") -> None:
    """
    Print the output of a command, as its last step.

    :param command: as typed after ``python -m sb3_atari_dqn``
    :param lines: for the standard output
    :param written: files written before, for the message
    :raises SystemExit: with status 2 and one line, if standard output is a closed pipe or a full disk
    """
    try:
        print(lines, flush=True)
    except OSError as error:
        # Otherwise flushing the rest of the buffer fails again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        kept = f"; already written: {written}" if written else ""
        with report_user_errors(command):
            raise ValueError(f"Standard output cannot be written ({error.strerror or error}){kept}") from error
