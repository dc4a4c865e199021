"""A user's mistake is one line that names the way out, not a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_in_one_line(command: str) -> Iterator[None]:
    """
    Put around what checks the user's words, not around the work: a traceback from there is our mistake.

    :param command: as typed after ``python -m sb3_atari_dqn``
    :raises SystemExit: with status 2, instead of a ValueError
    """
    try:
        yield
    except ValueError as error:
        print(f"{command}: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
