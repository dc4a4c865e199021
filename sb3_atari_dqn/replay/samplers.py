"""Which transitions to learn from, by their priorities. Pure: numpy only.

B: batch, L: leaves, one per place in the buffer.
"""

from typing import Any

import numpy as np

from sb3_atari_dqn.replay.sum_tree import SumTree


class ProportionalSampler:
    """
    Draws a leaf with probability priority**alpha / sum of all priority**alpha, stratified over the batch.

    Source: Schaul et al. 2016, section 3.3 and appendix B.2.1. Deviation: none.

    :param n_leaves: L; leaves that hold nothing have no priority
    :param alpha: 0: uniform, 1: in proportion to the priority
    :param epsilon: added to every absolute TD error, so that no transition is lost for ever
    :param seed: of its random generator
    :raises ValueError: on a negative alpha or an epsilon that is not positive
    """

    def __init__(self, n_leaves: int, alpha: float, epsilon: float, seed: int) -> None:
        if not alpha >= 0:
            raise ValueError(f"alpha must be 0 (uniform) or more, got {alpha!r}.")
        if not epsilon > 0:
            raise ValueError(f"epsilon must be more than 0, got {epsilon!r}.")
        self.alpha, self.epsilon = alpha, epsilon
        self.rng = np.random.default_rng(seed)
        self._n_leaves = n_leaves
        self.reset()

    def reset(self) -> None:
        """Forget all priorities."""
        self.tree = SumTree(self._n_leaves)
        self.max_priority = 1.0

    def insert(self, leaves: np.ndarray) -> None:
        """:param leaves: of new transitions, which get the highest priority there has been, int64 [any]"""
        self.tree[leaves] = self.max_priority**self.alpha

    def update(self, leaves: np.ndarray, td_errors: np.ndarray) -> None:
        """
        :param leaves: int64 [B]; for one that was drawn twice the larger error counts
        :param td_errors: of any sign, [B]
        :raises ValueError: if one of them is not finite: nothing could be drawn any more
        """
        priorities = np.abs(td_errors, dtype=np.float64) + self.epsilon
        if not np.isfinite(priorities).all():
            raise ValueError(f"TD errors must be finite to become priorities, got {td_errors}; the training diverged.")
        self.max_priority = max(self.max_priority, float(priorities.max()))
        self.tree[leaves] = priorities**self.alpha

    def draw(self, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """
        :param batch_size: B; the line of all priorities is cut into B equal parts, with one draw from each
        :return: leaves, int64 [B], and the probability of each, float64 [B]
        :raises ValueError: if nothing has a priority yet
        """
        total = self.tree.total
        if not total > 0:
            raise ValueError("There is nothing to sample from yet: the replay buffer is empty.")
        positions = (np.arange(batch_size) + self.rng.random(batch_size)) * (total / batch_size)
        leaves = self.tree.find(np.minimum(positions, np.nextafter(total, 0)))
        return leaves, self.tree[leaves] / total

    def state(self) -> dict[str, Any]:
        """:return: what draws depend on beside the tree; goes into JSON"""
        return {"max_priority": self.max_priority, "rng": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.max_priority = float(state["max_priority"])
        self.rng.bit_generator.state = state["rng"]


def importance_weights(probabilities: np.ndarray, n_stored: int, beta: float) -> np.ndarray:
    """
    (n * P)**-beta, divided by the largest of the batch.

    :param probabilities: with which the samples were drawn, float64 [B]
    :param n_stored: n, transitions that could be drawn
    :param beta: 0: no correction, 1: full correction of the bias
    :return: in (0, 1], float32 [B]
    Source: Schaul et al. 2016, section 3.4 and algorithm 1. Deviation: none.
    """
    weights = (n_stored * probabilities) ** -beta
    return (weights / weights.max()).astype(np.float32)
