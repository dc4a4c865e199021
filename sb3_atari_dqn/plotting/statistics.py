"""Learning curves as pure functions of numpy arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Curve = tuple[np.ndarray, np.ndarray]


class Blocks(NamedTuple):
    """
    :param ends: position of the last episode of each block [b]
    :param means: mean of each block [b]
    :param maxima: maximum of each block [b]
    """

    ends: np.ndarray
    means: np.ndarray
    maxima: np.ndarray


class Band(NamedTuple):
    """
    :param along: common positions [p]
    :param mean: over the runs present at a position; NaN where their number changes, to avoid artificial jumps [p]
    :param low: minimum over the runs [p]
    :param high: maximum over the runs [p]
    """

    along: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """
    :param values: [n]
    :return: mean over the last ``window`` values, fewer at the start [n]
    """
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def blocks(along: np.ndarray, values: np.ndarray, size: int) -> Blocks:
    """
    :param along: position of each value [n]
    :param values: [n]
    :param size: values per block; an incomplete last block is dropped, unless it is the only one
    """
    size = min(size, len(values))
    whole = len(values) // size
    table = values[: whole * size].reshape(whole, size)
    return Blocks(along[size - 1 : whole * size : size], table.mean(axis=1), table.max(axis=1))


def speed(
    env_steps: np.ndarray, seconds: np.ndarray, most: int = 40, episodes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """
    Environment steps per second, over intervals of equal duration.

    :param env_steps: at the end of each episode [n]
    :param seconds: likewise [n]
    :param most: maximum number of intervals
    :param episodes: minimum number per interval, on average
    :return: end of each interval in seconds, and its steps per second; empty if no time has passed
    """
    ends = np.linspace(0, seconds[-1], min(most, max(len(seconds) // episodes, 1)) + 1)
    if seconds[-1] <= 0:
        return np.empty(0), np.empty(0)
    done = np.interp(ends, np.concatenate([[0.0], seconds]), np.concatenate([[0.0], np.maximum.accumulate(env_steps)]))
    return ends[1:], np.diff(done) / np.diff(ends)


def band(curves: Sequence[Curve], points: int = 400) -> Band:
    """
    Mean and range of several runs; each counts between its first and last point.

    :param curves: (positions, values) of each run, positions increasing
    :param points: p
    """
    if len(curves) == 1:
        along, values = curves[0]
        return Band(along, values, values, values)
    along = np.linspace(min(c[0][0] for c in curves), max(c[0][-1] for c in curves), points)
    table = np.ma.masked_invalid([np.interp(along, *curve, left=np.nan, right=np.nan) for curve in curves])
    mean, low, high = (part.filled(np.nan) for part in (table.mean(axis=0), table.min(axis=0), table.max(axis=0)))
    mean[1:][np.diff(table.count(axis=0)) != 0] = np.nan
    return Band(along, mean, low, high)
