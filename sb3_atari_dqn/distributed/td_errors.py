"""First priorities of transitions, from the values by which an actor chose its actions.

k: vector steps of a block, G: games of a group, n: steps of the return.
"""

from typing import NamedTuple

import numpy as np

from sb3_atari_dqn.replay.n_step import n_step_returns, window_lengths


class Returns(NamedTuple):
    """
    :param n_steps: n
    :param gamma: discount
    """

    n_steps: int
    gamma: float


def td_errors(
    rewards: np.ndarray,
    dones: np.ndarray,
    truncated: np.ndarray,
    taken: np.ndarray,
    best: np.ndarray,
    returns: Returns,
) -> np.ndarray:
    """
    n-step returns with the largest value of the state that follows, less the value of the action.

    Source: Horgan et al. 2018, section 3 and appendix F. Deviations: windows end with the block, so that its last
    transitions have shorter ones; and after a truncation, whose last state no actor looks at, the value of the state
    before stands in.

    :param rewards: float32 [k, G]
    :param dones: bool [k, G]
    :param truncated: by a time limit, bool [k, G]
    :param taken: values of the actions taken, float32 [k, G]
    :param best: largest values of the states before each step, and after the last one, float32 [k + 1, G]
    :param returns: n and gamma
    :return: float32 [k, G]
    """
    steps, games = rewards.shape
    stops = dones.copy()
    stops[-1] = True
    window = np.arange(steps)[:, None] + np.arange(returns.n_steps)  # [k, n]
    inside = np.minimum(window, steps - 1)
    lengths = window_lengths(_windows(stops[inside]))
    sums, discounts = n_step_returns(_windows(rewards[inside]), lengths, returns.gamma)
    first, game = np.repeat(np.arange(steps), games), np.tile(np.arange(games), steps)
    last = first + lengths - 1
    follows = np.where(truncated[last, game], best[last, game], best[last + 1, game])
    follows[dones[last, game] & ~truncated[last, game]] = 0
    errors = sums[:, 0] + discounts[:, 0] * follows - taken.ravel()
    return errors.reshape(steps, games).astype(np.float32)


def _windows(numbers: np.ndarray) -> np.ndarray:
    """
    :param numbers: [k, n, G]
    :return: [k * G, n]
    """
    return numbers.transpose(0, 2, 1).reshape(-1, numbers.shape[1])
