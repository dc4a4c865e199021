"""Sampling in proportion to priorities.

B: batch, L: leaves, F: children of a node.
"""

from typing import Any

import numpy as np

from sb3_atari_dqn.checkpoints.state import check_form

# Few levels, each a short row that numpy adds up at once: a million leaves take four steps and not twenty.
_FAN_OUT = 32


def _nodes_per_level(n_leaves: int) -> list[int]:
    """:return: parents of the leaves first, the root last"""
    nodes = [-(-n_leaves // _FAN_OUT)]
    while nodes[-1] > 1:
        nodes.append(-(-nodes[-1] // _FAN_OUT))
    return nodes


class SumTree:
    """
    Every node holds the sum of its F children, added up from left to right anew whenever one of them changes: nothing
    drifts, and a descent meets the very numbers that made the sums.

    :param n_leaves: L
    """

    def __init__(self, n_leaves: int) -> None:
        self.n_leaves = n_leaves
        # Leaves first, the root's children last; float64 [nodes, F].
        self._levels = [np.zeros((nodes, _FAN_OUT)) for nodes in _nodes_per_level(n_leaves)]

    @property
    def total(self) -> float:
        return float(self._levels[-1][0].cumsum()[-1])

    @staticmethod
    def nbytes_for(n_leaves: int) -> int:
        """:return: memory of a tree"""
        return 8 * _FAN_OUT * sum(_nodes_per_level(n_leaves))

    @property
    def leaves(self) -> np.ndarray:
        """A copy of the values of all leaves, float64 [L]."""
        return self._levels[0].reshape(-1)[: self.n_leaves].copy()

    def state_dict(self) -> dict[str, Any]:
        """:return: the leaves; what stands above them follows from them"""
        return {"leaves": self.leaves}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: if it comes from a tree of another size, or from something else
        """
        self.check_state(state)
        self[np.arange(self.n_leaves)] = np.asarray(state["leaves"])

    def check_state(self, state: dict[str, Any]) -> None:
        """:raises ValueError: if :meth:`load_state_dict` cannot take it"""
        check_form(state, self.state_dict(), "tree of priorities")
        leaves = np.asarray(state["leaves"])
        if leaves.shape != (self.n_leaves,):
            raise ValueError(f"The state has priorities of shape {leaves.shape}, this memory {(self.n_leaves,)}.")

    def __getitem__(self, leaves: np.ndarray) -> np.ndarray:
        """:return: values of these leaves, float64, shaped as they are"""
        return self._levels[0].reshape(-1)[leaves]

    def __setitem__(self, leaves: np.ndarray, values: np.ndarray | float) -> None:
        """
        :param leaves: int64 [B]; of a leaf named twice the larger value counts
        :param values: not negative, float64 [B]
        """
        flat = self._levels[0].reshape(-1)
        flat[leaves] = 0
        np.maximum.at(flat, leaves, values)
        nodes = leaves // _FAN_OUT
        for children, parents in zip(self._levels[:-1], self._levels[1:], strict=True):
            parents.reshape(-1)[nodes] = children[nodes].cumsum(axis=1)[:, -1]
            nodes = nodes // _FAN_OUT

    def find(self, positions: np.ndarray) -> np.ndarray:
        """
        :param positions: on the line on which the values of the leaves lie end to end, each in [0, total), float64 [B]
        :return: the leaves they fall on, none of which has the value 0, int64 [B]
        """
        nodes = np.zeros(len(positions), dtype=np.int64)
        batch = np.arange(len(positions))
        for children in reversed(self._levels):
            ends = children[nodes].cumsum(axis=1)  # [B, F]
            child = (ends <= positions[:, None]).sum(axis=1)
            # Where subtraction rounds up to the child's whole value, stay inside it.
            inside = np.nextafter(children[nodes, child], 0)
            before = np.where(child > 0, ends[batch, child - 1], 0)
            positions = np.minimum(positions - before, inside)
            nodes = nodes * _FAN_OUT + child
        return nodes
