"""What a few transitions have and most do not, found again for a whole batch at once.

B: batch, M: entries asked for, m: rows of an entry.
"""

from typing import Any

import numpy as np

from sb3_atari_dqn.checkpoints.state import check_form


class SparseRows:
    """
    Sorted list of keys, each with m row numbers; old keys leave at the front, new ones come at the end.

    :param rows_per_entry: m
    """

    def __init__(self, rows_per_entry: int) -> None:
        self.rows_per_entry = rows_per_entry
        self._keys = np.empty(16, dtype=np.int64)
        self._rows = np.empty((16, rows_per_entry), dtype=np.int64)
        self._first = self._last = 0  # the entries stand in [first, last)

    def __len__(self) -> int:
        return self._last - self._first

    @property
    def keys(self) -> np.ndarray:
        """Ascending, int64 [entries]."""
        return self._keys[self._first : self._last]

    @property
    def rows(self) -> np.ndarray:
        """int64 [entries, m]"""
        return self._rows[self._first : self._last]

    def add(self, key: int, rows: np.ndarray) -> None:
        """
        :param key: not in the list yet
        :param rows: int64 [m]
        """
        if self._last == len(self._keys):
            self._make_room()
        place = self._first + int(np.searchsorted(self.keys, key))
        for array, value in ((self._keys, key), (self._rows, rows)):
            array[place + 1 : self._last + 1] = array[place : self._last].copy()
            array[place] = value
        self._last += 1

    def drop_below(self, key: int) -> np.ndarray:
        """
        Forget the entries with smaller keys.

        :return: their row numbers, int64 [any]
        """
        if not len(self) or self._keys[self._first] >= key:
            return np.empty(0, dtype=np.int64)
        dropped = int(np.searchsorted(self.keys, key))
        rows = self.rows[:dropped].ravel()
        self._first += dropped
        return rows

    def find(self, keys: np.ndarray) -> np.ndarray:
        """
        :param keys: all of them in the list, int64 [M]
        :return: their row numbers, int64 [M, m]
        """
        return self.rows[np.searchsorted(self.keys, keys)]

    def state_dict(self) -> dict[str, Any]:
        """:return: copies of all entries"""
        return {"keys": self.keys.copy(), "rows": self.rows.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: if it has rows of another length; the list is then as it was
        """
        self.check_state(state)
        count = len(state["keys"])
        size = max(16, count)
        self._keys = np.empty(size, dtype=np.int64)
        self._rows = np.empty((size, self.rows_per_entry), dtype=np.int64)
        self._first, self._last = 0, count
        self._keys[:count], self._rows[:count] = state["keys"], state["rows"]

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        check_form(state, self.state_dict(), "list of rows")
        wanted = (len(state["keys"]), self.rows_per_entry)
        if state["rows"].shape != wanted:
            raise ValueError(f"The state has rows of shape {state['rows'].shape}, this list of rows wants {wanted}.")

    def _make_room(self) -> None:
        """Move the entries to the front; into twice the space where more than half of it is in use."""
        keys, rows = self.keys.copy(), self.rows.copy()
        size = len(self._keys) * (2 if 2 * len(keys) > len(self._keys) else 1)
        self._keys, self._rows = np.empty(size, dtype=np.int64), np.empty((size, rows.shape[1]), dtype=np.int64)
        self._first, self._last = 0, len(keys)
        self._keys[: self._last], self._rows[: self._last] = keys, rows
