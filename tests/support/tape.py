"""A capture that runs on any machine, in place of a CUDA graph's."""

from collections.abc import Callable
from typing import Any


class Tape:
    """Records by keeping the function; counts what it is asked for."""

    def __init__(self, generators: Any = ()) -> None:
        self.runs = self.captures = self.replays = 0
        self.generators = generators

    def run(self, function: Callable[[], Any]) -> Any:
        self.runs += 1
        return function()

    def capture(self, function: Callable[[], Any]) -> Callable[[], Any]:
        self.captures += 1

        def replay() -> Any:
            self.replays += 1
            return function()

        return replay
