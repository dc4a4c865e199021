"""The way of TD errors back into the memory, without making the host wait for the device. B: batch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sb3_atari_dqn.checkpoints.state import check_form
from sb3_atari_dqn.transfers import fetched

_NOTHING = {"indices": None, "td_errors": None}


def arrives_at_once(errors: torch.Tensor) -> bool:
    """:return: whether nothing is to be waited for"""
    return errors.device.type == "cpu"


class PriorityUpdates:
    """
    On the host, errors arrive at once. From another device they are fetched while it goes on computing, and arrive when
    the next ones are given, one update late, or at :meth:`flush`: never when the device happens to be ready, so that a
    run stays repeatable.

    :param deliver: takes indices, int64 [B], and TD errors, float32 [B]
    """

    def __init__(self, deliver: Callable[[np.ndarray, np.ndarray], None]) -> None:
        self._deliver = deliver
        self.reset()

    def reset(self) -> None:
        """Forget what is on its way."""
        self._on_the_way: tuple[np.ndarray, Callable[[], np.ndarray]] | None = None

    def push(self, indices: np.ndarray, td_errors: torch.Tensor | np.ndarray) -> None:
        """
        :param indices: int64 [B]
        :param td_errors: of any sign, [B]; the memory of a tensor may be written to afterwards
        """
        errors = torch.as_tensor(td_errors).detach()
        if arrives_at_once(errors):
            self._deliver(indices, errors.numpy())
            return
        self.flush()
        self._on_the_way = indices, fetched(errors)

    def flush(self) -> None:
        """Let everything arrive."""
        if self._on_the_way is not None:
            (indices, arrived), self._on_the_way = self._on_the_way, None
            self._deliver(indices, arrived())

    def pending(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """:return: indices and TD errors that are still to be delivered, which they stay; waits for the device"""
        return [] if self._on_the_way is None else [(self._on_the_way[0], self._on_the_way[1]())]

    def state_dict(self) -> dict[str, Any]:
        """:return: what is to be delivered yet"""
        for indices, errors in self.pending():
            return {"indices": indices.copy(), "td_errors": errors.copy()}
        return dict(_NOTHING)

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        check_form(state, _NOTHING, "queue of TD errors")
        indices, errors = (None if each is None else np.shape(each) for each in state.values())
        if indices != errors:
            raise ValueError(
                f"The state has indices of shape {indices} and TD errors of shape {errors}: it is damaged."
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`; what was on its way is forgotten
        :raises ValueError: if it does not fit; what is on its way then stays so
        """
        self.check_state(state)
        self.reset()
        if state["indices"] is not None:
            errors = np.asarray(state["td_errors"])
            self._on_the_way = np.asarray(state["indices"]), lambda: errors
