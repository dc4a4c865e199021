"""Types of options that several commands take."""

import argparse
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """
    :param least: the smallest number that makes sense
    :return: what argparse reads an option with
    """

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return number
