"""n-step returns over a window of consecutive transitions. Pure: numpy only.

B: batch, n: steps of the return.
"""

import numpy as np


def window_lengths(stops: np.ndarray) -> np.ndarray:
    """
    How many transitions of each window belong together.

    :param stops: whether nothing follows a transition: its episode ended there, or nothing newer is stored,
        bool [B, n]
    :return: transitions up to the first stop, that one included; n without any, int64 [B]
    """
    return np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, stops.shape[1])


def n_step_returns(rewards: np.ndarray, lengths: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """
    Discounted sum of the rewards of each window, and the discount of the value that follows it.

    :param rewards: of consecutive transitions, those after the end of the window are not counted, float32 [B, n]
    :param lengths: transitions k in each window, 1 to n, int64 [B]
    :param gamma: discount per transition
    :return: sum of gamma**i * reward_i, float32 [B, 1], and gamma**k, float32 [B, 1]
    Source: Sutton and Barto 2018, section 7.1. Deviation: none; the arithmetic is that of SB3's NStepReplayBuffer,
    to the last bit.
    """
    counted = np.arange(rewards.shape[1]).reshape(1, -1) < lengths[:, None]  # [B, n]
    discounts = gamma ** np.arange(rewards.shape[1], dtype=np.float32).reshape(1, -1)  # [1, n]
    returns = (rewards * discounts * counted).sum(axis=1, keepdims=True)
    return returns, gamma ** lengths[:, None].astype(np.float32)
