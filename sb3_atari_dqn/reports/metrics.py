"""
Aggregate metrics over games and runs, with stratified bootstrap intervals, as pure functions of numpy arrays.

Scores are given as one array per game, [N_m] for the N_m runs of game m of M; a leading axis of bootstrap draws,
[R, N_m], is kept. Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
sections 4 and 4.3. Deviation: games may have different numbers of runs; only :func:`iqm` then weighs games by them.
"""

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]
Aggregate = Callable[[Scores], np.ndarray]

DRAWS = 5000
LEVEL = 0.95


def iqm(scores: Scores) -> np.ndarray:
    """:return: mean of the middle half of all runs: a quarter, rounded down, is dropped at both ends [...]"""
    pooled = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    runs = pooled.shape[-1]
    return pooled[..., runs // 4 : runs - runs // 4].mean(axis=-1)


def median(scores: Scores) -> np.ndarray:
    """:return: median over games of the mean score of each [...]"""
    return np.median(_means(scores), axis=-1)


def mean(scores: Scores) -> np.ndarray:
    """:return: mean over games of the mean score of each [...]"""
    return _means(scores).mean(axis=-1)


def optimality_gap(scores: Scores, target: float = 1.0) -> np.ndarray:
    """
    :param target: score beyond which more is worth nothing; 1 is human performance
    :return: by how much runs fall short of the target on average; smaller is better [...]
    """
    return target - _means([np.minimum(game, target) for game in scores]).mean(axis=-1)


#: Name in tables -> function.
AGGREGATES: dict[str, Aggregate] = {"IQM": iqm, "median": median, "mean": mean, "optimality gap": optimality_gap}


def _means(scores: Scores) -> np.ndarray:
    """:return: mean of each game [..., M]"""
    return np.stack([game.mean(axis=-1) for game in scores], axis=-1)


def resample(scores: Scores, rng: np.random.Generator, draws: int = DRAWS) -> list[np.ndarray]:
    """
    Stratified: the runs of each game are drawn with replacement, the games stay.

    :return: positions of the drawn runs, for each game int [R, N_m]
    """
    return [rng.integers(len(game), size=(draws, len(game))) for game in scores]


def drawn(scores: Scores, positions: Sequence[np.ndarray]) -> list[np.ndarray]:
    """:return: for each game [R, N_m]"""
    return [game[where] for game, where in zip(scores, positions, strict=True)]


def interval(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """
    :param values: of the draws [R, ...]
    :return: percentile interval, low and high [2, ...]
    """
    return np.percentile(values, [50 * (1 - level), 50 * (1 + level)], axis=0)


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """
    :param thresholds: tau [T]
    :return: fraction of runs with a score above each, averaged over games [T]
    """
    return np.mean([_above(game, thresholds).mean(axis=0) for game in scores], axis=0)


def drawn_profiles(scores: Scores, positions: Sequence[np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """:return: :func:`performance_profile` of each draw [R, T]"""
    parts = [_counts(where) @ _above(game, thresholds) for game, where in zip(scores, positions, strict=True)]
    return np.mean([part / len(game) for part, game in zip(parts, scores, strict=True)], axis=0)


def probability_of_improvement(first: Scores, second: Scores) -> float:
    """
    :param first: scores of X
    :param second: scores of Y on the same games, in the same order
    :return: probability that a run of X beats a run of Y on a random game; a tie counts half
    """
    return float(np.mean([_wins(x, y).mean() for x, y in zip(first, second, strict=True)]))


def drawn_probabilities(
    first: Scores, second: Scores, of_first: Sequence[np.ndarray], of_second: Sequence[np.ndarray]
) -> np.ndarray:
    """
    :param of_first: draws of X
    :param of_second: draws of Y
    :return: :func:`probability_of_improvement` of each draw [R]
    """
    games = zip(first, second, of_first, of_second, strict=True)
    return np.mean(
        [((_counts(p) @ _wins(x, y)) * _counts(q)).sum(axis=1) / (len(x) * len(y)) for x, y, p, q in games], axis=0
    )


def _above(game: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return (game[:, None] > thresholds).astype(float)


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """:return: 1 where x is larger, one half where equal [N, K]"""
    return (x[:, None] > y) + 0.5 * (x[:, None] == y)


def _counts(positions: np.ndarray) -> np.ndarray:
    """:return: how often each run was drawn [R, N]"""
    runs = positions.shape[1]
    return np.stack([(positions == run).sum(axis=1) for run in range(runs)], axis=1).astype(float)
