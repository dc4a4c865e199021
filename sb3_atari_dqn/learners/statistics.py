"""Means of the updates' statistics, accumulated on the device and read once."""

from typing import Any

from torch import Tensor


class Statistics:
    """A running sum; adding to it does not synchronize with the device."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0
        self._taken: list[float] = []
        self._taken_count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, numbers: Tensor) -> None:
        """:param numbers: of one update, float32 [any]"""
        self._sum = numbers.clone() if self._sum is None else self._sum.to(numbers.device).add_(numbers)
        self._count += 1

    def take(self) -> list[float]:
        """:return: the means since the last call"""
        assert self._sum is not None
        means = (self._sum / self._count).tolist()
        self._taken, self._taken_count = self._sums(), self._taken_count + self._count
        self._sum, self._count = None, 0
        return means

    def totals(self) -> tuple[int, list[float]]:
        """:return: number of updates so far, taken or not, and the sums of their statistics, [] before the first"""
        return self._taken_count + self._count, self._sums()

    def state_dict(self) -> dict[str, Any]:
        """:return: the running sums, plain"""
        sums = None if self._sum is None else self._sum.cpu().clone()
        return {"sum": sums, "count": self._count, "taken": list(self._taken), "taken_count": self._taken_count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self._sum, self._count = state["sum"], state["count"]
        self._taken, self._taken_count = list(state["taken"]), state["taken_count"]

    def _sums(self) -> list[float]:
        if self._sum is None:
            return self._taken
        new = self._sum.tolist()
        return [old + added for old, added in zip(self._taken, new, strict=True)] if self._taken else new
