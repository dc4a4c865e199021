"""Other processes: whether they live, and waiting for what they do at a time of their own."""

import contextlib
import time
from collections.abc import Callable

import psutil


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """:raises AssertionError: if that takes longer"""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen within {seconds} s"
        time.sleep(0.01)
