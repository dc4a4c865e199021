"""Types of options that several commands take."""

import argparse
from collections.abc import Callable


def int_at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """
    :param least: the smallest number that makes sense
    :param most: the largest, None for any
    :return: what argparse reads an option with
    """

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            limit = "" if most is None else f" and at most {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}{limit}")
        return int(text)

    return number


#: Of every generator; numpy's takes 32 bits.
seed = int_at_least(0, 2**32 - 1)
