"""A capture that runs on any machine, in place of a CUDA graph's."""

from collections.abc import Callable
from typing import Any

import pytest

from sb3_atari_dqn.learners import fast


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


def record_on_tape(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """Let fast learners record on this machine.

    :return: their tapes, in the order in which they are made
    """
    tapes: list[Tape] = []

    def capture(device: Any, generators: Any) -> Tape:
        tapes.append(Tape(generators))
        return tapes[-1]

    monkeypatch.setattr(fast, "CudaGraphCapture", capture)
    return tapes


def let_capture(model: Any, captures: bool) -> None:
    """Have the learner of a model record its updates, or not, whatever its device."""
    model._get_learner().captures = captures
