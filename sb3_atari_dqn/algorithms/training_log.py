"""What a training reports of its updates and its speed, as means since the last report."""

import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sb3_atari_dqn.learners.statistics import Statistics


class TrainingLog:
    """Collects on the device; reads from it only when asked for means or totals."""

    def __init__(self) -> None:
        self._statistics = Statistics()
        self.open_speed_window(0, 0)

    def add(self, statistics: Tensor) -> None:
        """:param statistics: of one update, float32 [S]"""
        self._statistics.add(statistics)

    def take(self, names: Sequence[str]) -> dict[str, float]:
        """
        :param names: of the statistics, in their order
        :return: means over the updates since the last call; empty without updates
        """
        return dict(zip(names, self._statistics.take(), strict=True)) if self._statistics else {}

    def loss_totals(self) -> tuple[int, float]:
        """:return: number of updates so far, taken or not, and the sum of their losses"""
        updates, sums = self._statistics.totals()
        return updates, sums[0] if sums else 0.0

    def state_dict(self) -> dict[str, Any]:
        """:return: sums of the statistics, plain; speeds are not part of it"""
        return self._statistics.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self._statistics.load_state_dict(state)

    def open_speed_window(self, env_steps: int, updates: int) -> None:
        """
        Measure speeds from here on.

        :param env_steps: environment steps so far
        :param updates: gradient steps so far
        """
        self._window = time.perf_counter(), env_steps, updates

    def take_speeds(self, env_steps: int, updates: int) -> dict[str, float]:
        """
        :param env_steps: environment steps so far
        :param updates: gradient steps so far
        :return: both per second since the window was opened; a new one opens here
        """
        started, env_steps_then, updates_then = self._window
        elapsed = max(time.perf_counter() - started, 1e-9)
        self.open_speed_window(env_steps, updates)
        return {
            "env_steps_per_second": (env_steps - env_steps_then) / elapsed,
            "updates_per_second": (updates - updates_then) / elapsed,
        }
