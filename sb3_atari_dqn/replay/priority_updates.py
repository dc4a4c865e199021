"""The way of TD errors back into the memory, without making the host wait for the device. B: batch."""

from collections import deque
from collections.abc import Callable

import numpy as np
import torch

from sb3_atari_dqn.transfers import fetched


class PriorityUpdates:
    """
    On the host, errors arrive at once. From another device they are fetched while it goes on computing, and arrive when
    the next ones are given, one update late, or at :meth:`flush`: never when the device happens to be ready, so that a
    run stays repeatable.

    :param deliver: takes indices, int64 [B], and TD errors, float32 [B]
    """

    def __init__(self, deliver: Callable[[np.ndarray, np.ndarray], None]) -> None:
        self._deliver = deliver
        self._on_the_way: deque[tuple[np.ndarray, Callable[[], np.ndarray]]] = deque()

    def push(self, indices: np.ndarray, td_errors: torch.Tensor | np.ndarray) -> None:
        """
        :param indices: int64 [B]
        :param td_errors: of any sign, [B]; the memory of a tensor may be written to afterwards
        """
        errors = torch.as_tensor(td_errors).detach()
        if errors.device.type == "cpu":
            self._deliver(indices, errors.numpy())
            return
        self.flush()
        self._on_the_way.append((indices, fetched(errors)))

    def flush(self) -> None:
        """Let everything arrive."""
        while self._on_the_way:
            indices, arrived = self._on_the_way.popleft()
            self._deliver(indices, arrived())
