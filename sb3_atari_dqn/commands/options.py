"""Option types shared by several commands."""

import argparse
import warnings
from collections.abc import Callable
from typing import Any


def int_at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """
    :param least: the smallest valid number
    :param most: the largest, None: no limit
    :return: a ``type`` for argparse
    """

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            limit = "" if most is None else f" and at most {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}{limit}")
        return int(text)

    return number


#: A seed for all generators; numpy accepts 32 bits.
seed = int_at_least(0, 2**32 - 1)


class Renamed(argparse.Action):
    """
    An old name of an option: hidden, and still accepted for one release with a warning.

    ``add_argument("--old", action=Renamed, dest="new", ...)``: ``dest`` is the new name.
    """

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        new = f"--{self.dest.replace('_', '-')}"
        warnings.warn(f"{self.option_strings[0]} was renamed to {new}: use {new} {values}", FutureWarning, stacklevel=2)
        setattr(namespace, self.dest, values)


def share(text: str) -> float:
    """
    A number of GPUs, for argparse.

    :return: 0 to 1, or a whole number
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 <= value <= 1 or (value < 1e4 and value == int(value) and value > 0)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither between 0 and 1 nor a whole number")
    return value


def add_pool_options(parser: argparse.ArgumentParser, job: str) -> None:
    """
    Where processes run.

    :param job: what each of them is, such as "run"
    """
    parser.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster: HOST:PORT, auto, or local")
    parser.add_argument("--threads", type=int_at_least(1), default=1, metavar="N", help=f"CPUs of a {job} (default: 1)")
    parser.add_argument("--gpus", type=share, default=0.0, metavar="N", help=f"of a {job}, with --ray, such as 0.25")
