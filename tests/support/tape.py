"""A capture that runs on any machine, in place of a CUDA graph's."""

from collections.abc import Callable
from typing import Any


class Tape:
    """Records by keeping the function; counts what it is asked for."""

    def __init__(self) -> None:
        self.runs = self.recordings = self.replays = 0

    def run(self, function: Callable[[], Any]) -> Any:
        self.runs += 1
        return function()

    def capture(self, function: Callable[[], Any]) -> Callable[[], Any]:
        self.recordings += 1

        def replay() -> Any:
            self.replays += 1
            return function()

        return replay
