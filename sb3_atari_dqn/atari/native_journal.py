"""What was done to a C++ game since its ROM was loaded with a seed: enough to rebuild it exactly.

ALE's vectorized environment gives no state. But a game depends on the seed of its loading, on the actions and on the
resets since only (some games keep parts of their memory from game to game), and plays them again at about 10,000
frames a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

RESET = 255


class Journal:
    """
    :param seed: of the loading, in [0, 2**31)
    :param entries: actions and ``RESET``, one byte each, after the loading
    """

    def __init__(self, seed: int, entries: Iterable[int] = ()) -> None:
        self.seed = seed
        self.entries = bytearray(entries)

    def state_dict(self) -> dict[str, Any]:
        """:return: seed and entries, plain"""
        return {"seed": self.seed, "entries": np.frombuffer(bytes(self.entries), np.uint8).copy()}

    def next_seed(self) -> int:
        """:return: a seed to load the game again with, which begins a new journal; it depends on the last seed only"""
        return int(np.random.SeedSequence(self.seed).generate_state(1)[0]) & (2**31 - 1)

    def replay(self, interface: Any) -> tuple[bool, Any]:
        """
        :param interface: an ``ALEVectorInterface`` of one game, with the same settings
        :return: whether the last answer is that of a reset, and the answer
        """
        answer, is_reset = interface.reset([0], [self.seed]), True
        for entry in self.entries:
            is_reset = entry == RESET
            if is_reset:
                answer = interface.reset([0], [-1])
            else:
                interface.send([entry], [1.0])
                answer = interface.recv()
        return is_reset, answer
