"""Q-values beyond any possible return: a training that diverges long before its loss is infinite.

No discounted return is larger than r_max / (1 - gamma), where r_max is the largest |reward| that the training has seen,
in the units it learns in (clipped, normalized). This holds for n-step returns as well, for any policy and any length of
the episodes. (The returns of finished episodes would be a smaller bound, but one that a better policy exceeds.)
Overestimation and single batches may go a little beyond, and so may a network that has just been initialized: the mean
over all updates since the last logs must be twice the bound, and twice what it was at first. Without discount (gamma=1)
there is no bound.
"""

import math
from collections.abc import Iterable

import numpy as np

#: Mean Q-values beyond the bound by this factor cannot be a healthy training.
MARGIN = 2.0

#: After a warning, the next one follows only when the values have grown by this factor.
WORSE = 10.0

#: For so many numbers, a Python loop is faster than a numpy call.
_FEW = 256


def largest(rewards: Iterable[float] | np.ndarray) -> float:
    """:return: the largest absolute value, 0 of none"""
    numbers = rewards.ravel().tolist() if isinstance(rewards, np.ndarray) and rewards.size <= _FEW else rewards
    if isinstance(numbers, np.ndarray):
        return float(max(numbers.max(), -numbers.min()))
    return max(map(abs, numbers), default=0.0)


def extent(rewards: np.ndarray) -> tuple[float, float]:
    """:return: the smallest and the largest of at least one reward"""
    numbers = rewards.ravel()
    if numbers.size > _FEW:
        return float(numbers.min()), float(numbers.max())
    few = numbers.tolist()
    return min(few), max(few)


def return_bound(largest_reward: float, gamma: float) -> float:
    """
    :param largest_reward: absolute value
    :param gamma: discount per environment step
    :return: no return is larger, infinite without discount
    """
    return largest_reward / (1 - gamma) if gamma < 1 else math.inf


def is_worth_a_warning(mean_q: float, usual: float, warned_at: float) -> bool:
    """
    :param mean_q: mean over the updates since the last logs
    :param usual: absolute value of what is still possible
    :param warned_at: absolute value of the last warning, 0 before the first
    """
    return MARGIN * usual < abs(mean_q) and abs(mean_q) >= WORSE * warned_at


def warning(mean_q: float, largest_reward: float, bonus: float, gamma: float, step: int, update: int) -> str:
    """
    :param bonus: that the bootstrap rule adds to a reward at most, absolute value
    :param step: environment steps so far
    :param update: updates so far
    Other parameters: see :func:`return_bound` and :func:`is_worth_a_warning`
    :return: one sentence
    """
    bonuses = f" and bonuses of at most {bonus:.3g}" if bonus else ""
    bound = return_bound(largest_reward + bonus, gamma)
    return (
        f"The Q-values diverge: their mean is {mean_q:.4g} at step {step} (update {update}), but rewards of at most "
        f"{largest_reward:g}{bonuses} with gamma={gamma:g} give no return beyond {bound:.4g}."
    )
