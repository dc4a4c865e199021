"""Which transitions to learn from, by their priorities.

B: batch, L: leaves, one per place in the buffer.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from sb3_atari_dqn.checkpoints.state import check_form, load_generator_state
from sb3_atari_dqn.replay.sum_tree import SumTree

# Apart from the streams of others that are seeded with the same number.
_STREAM = 0x5E1EC7

_OWNER = "sampler"  # in messages


def stream_of(seed: int) -> np.random.Generator:
    """:return: the random generator of a sampler"""
    return np.random.default_rng((seed, _STREAM))


def seed_from_numpy() -> int:
    """:return: from the global generator, which SB3 seeds: draws follow the seed of the training"""
    return int(np.random.randint(2**31))


def _go_on(rng: np.random.Generator, state: Any) -> None:
    """:raises ValueError: if it is not the state of such a generator, which then stays as it was"""
    load_generator_state(rng, {"kind": "numpy", "state": state})


def check_filled(filled: float) -> None:
    """:raises ValueError: if nothing can be drawn"""
    if not filled > 0:
        raise ValueError("There is nothing to sample from yet: the replay buffer is empty.")


class UniformSampler:
    """
    Draws every transition with the same probability.

    :param n_envs: N
    :param seed: of its random generator
    """

    def __init__(self, n_envs: int, seed: int) -> None:
        self._n_envs = n_envs
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """:param seed: of the random generator"""
        self.rng = stream_of(seed)

    def draw_slots(self, batch_size: int, n_slots: int) -> np.ndarray:
        """
        :param batch_size: B
        :param n_slots: filled ones, of each environment
        :return: int64 [B]
        :raises ValueError: if nothing is stored yet
        """
        check_filled(n_slots)
        return self.rng.integers(n_slots, size=batch_size)

    def draw_envs(self, batch_size: int) -> np.ndarray:
        """
        :param batch_size: B
        :return: numbers of environments, int64 [B]
        """
        return self.rng.integers(self._n_envs, size=batch_size)

    def state_dict(self) -> dict[str, Any]:
        """:return: its random generator"""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: if it does not fit; the generator is then as it was
        """
        check_form(state, {"rng": ...}, _OWNER)
        _go_on(self.rng, state["rng"])


class SB3Sampler:
    """
    Draws what SB3's ReplayBuffer draws, from numpy's global generator.

    :param n_envs: N
    """

    def __init__(self, n_envs: int) -> None:
        self._n_envs = n_envs

    def seed(self, seed: int) -> None:
        """:param seed: without effect: SB3 seeds the global generator"""

    def draw_slots(self, batch_size: int, n_slots: int) -> np.ndarray:
        """Parameters as in :class:`UniformSampler`."""
        check_filled(n_slots)
        return np.random.randint(0, n_slots, size=batch_size)

    def draw_envs(self, batch_size: int) -> np.ndarray:
        """Parameters as in :class:`UniformSampler`."""
        return np.random.randint(0, high=self._n_envs, size=(batch_size,))

    def state_dict(self) -> dict[str, Any]:
        """:return: nothing: it draws from the global generator"""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`
        :raises ValueError: if there is anything in it
        """
        check_form(state, {}, _OWNER)


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
        self.seed(seed)
        self._n_leaves = n_leaves
        self.reset()

    def seed(self, seed: int) -> None:
        """:param seed: of the random generator"""
        self.rng = stream_of(seed)

    def reset(self) -> None:
        """Forget all priorities."""
        self.tree = SumTree(self._n_leaves)
        self.max_priority = 1.0

    def insert(self, leaves: np.ndarray) -> None:
        """:param leaves: of new transitions, which get the highest priority there has been, int64 [any]"""
        self.tree[leaves] = self.max_priority**self.alpha

    def rescale(self, alpha: float) -> None:
        """
        Adapt leaves that were set with another exponent.

        :param alpha: that exponent; 0 has left nothing of the priorities, which then become the highest there has been
        """
        values = self.tree.leaves
        stored = np.flatnonzero(values)
        if alpha == 0:
            self.insert(stored)
        else:
            self.tree[stored] = values[stored] ** (self.alpha / alpha)

    def update(self, leaves: np.ndarray, td_errors: np.ndarray) -> None:
        """
        :param leaves: int64 [B]; for one that was drawn twice the larger error counts
        :param td_errors: of any sign, [B]
        :raises ValueError: if one of them is not finite: nothing could be drawn any more
        """
        priorities = self._priorities(td_errors)
        self.max_priority = max(self.max_priority, float(priorities.max()))
        self.tree[leaves] = priorities**self.alpha

    def after(self, updates: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, float]:
        """
        What :meth:`update` would lead to, without a change.

        :param updates: its arguments, in order
        :return: values of all leaves, float64 [L], and the highest priority
        """
        values, highest = self.tree.leaves, self.max_priority
        for leaves, td_errors in updates:
            priorities = self._priorities(td_errors)
            highest = max(highest, float(priorities.max()))
            values[leaves] = 0
            np.maximum.at(values, leaves, priorities**self.alpha)
        return values, highest

    def _priorities(self, td_errors: np.ndarray) -> np.ndarray:
        priorities = np.abs(td_errors, dtype=np.float64) + self.epsilon
        if not np.isfinite(priorities).all():
            raise ValueError(f"TD errors must be finite to become priorities, got {td_errors}; the training diverged.")
        return priorities

    def draw(self, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """
        :param batch_size: B; the line of all priorities is cut into B equal parts, with one draw from each
        :return: leaves, int64 [B], and the probability of each, float64 [B]
        :raises ValueError: if nothing has a priority yet
        """
        total = self.tree.total
        check_filled(total)
        positions = (np.arange(batch_size) + self.rng.random(batch_size)) * (total / batch_size)
        leaves = self.tree.find(np.minimum(positions, np.nextafter(total, 0)))
        return leaves, self.tree[leaves] / total

    def state_dict(self) -> dict[str, Any]:
        """:return: everything that draws depend on"""
        return {
            "max_priority": self.max_priority,
            "rng": self.rng.bit_generator.state,
            "tree": self.tree.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        :param state: from `state_dict`, of as many leaves
        :raises ValueError: if it does not fit; everything is then as it was
        """
        check_form(state, {**self.state_dict(), "rng": ...}, _OWNER)
        self.tree.check_state(state["tree"])
        _go_on(self.rng, state["rng"])
        self.tree.load_state_dict(state["tree"])
        self.max_priority = float(state["max_priority"])


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
