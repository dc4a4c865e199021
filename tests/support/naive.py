"""Slow, obvious twins of the fast structures."""

from typing import Any

import numpy as np


class NaiveReplay:
    """
    Whole observations in lists, n-step returns in loops.

    An episode goes on where the next observation of a transition is the observation of the one after it.

    :param n_slots: transitions kept of each environment
    """

    def __init__(self, n_slots: int, n_envs: int, n_steps: int, gamma: float) -> None:
        self.n_slots, self.n_steps, self.gamma = n_slots, n_steps, gamma
        self.transitions: list[list[dict[str, Any]]] = [[] for _ in range(n_envs)]
        self.added = 0

    def add(self, obs, next_obs, action, reward, done, infos) -> None:
        for env, stored in enumerate(self.transitions):
            timeout = infos[env].get("TimeLimit.truncated", False)
            stored.append(
                dict(
                    slot=self.added % self.n_slots,
                    obs=obs[env].copy(),
                    next_obs=next_obs[env].copy(),
                    action=int(action[env]),
                    reward=float(reward[env]),
                    terminated=bool(done[env]) and not timeout,
                    over=bool(done[env]) or timeout,
                )
            )
            del stored[: -self.n_slots]
        self.added += 1

    def at(self, slot: int, env: int) -> dict[str, Any]:
        """:return: the sample that begins at this slot"""
        stored = self.transitions[env]
        begin = next(place for place, transition in enumerate(stored) if transition["slot"] == slot)
        last, total, discount = begin, 0.0, 1.0
        for place in range(begin, min(begin + self.n_steps, len(stored))):
            last = place
            total += discount * stored[place]["reward"]
            discount *= self.gamma
            if stored[place]["over"]:
                break
            follows = place + 1 < len(stored)
            if follows and not np.array_equal(stored[place]["next_obs"], stored[place + 1]["obs"]):
                break
        return dict(
            obs=stored[begin]["obs"],
            action=stored[begin]["action"],
            next_obs=stored[last]["next_obs"],
            terminated=stored[last]["terminated"],
            reward=total,
            discount=discount,
        )


class NaiveSumTree:
    """A list of values, summed from the start for every question."""

    def __init__(self, n_leaves: int) -> None:
        self.values = [0.0] * n_leaves

    def update(self, leaves, values) -> None:
        for leaf in leaves:
            self.values[leaf] = 0.0
        for leaf, value in zip(leaves, values, strict=True):
            self.values[leaf] = max(self.values[leaf], float(value))

    def middles(self) -> tuple[np.ndarray, list[int]]:
        """:return: a position in the middle of every leaf that has one, and the leaf"""
        total, positions, owners = 0.0, [], []
        for leaf, value in enumerate(self.values):
            if value > 1e-6 * max(self.values):
                positions.append(total + value / 2)
                owners.append(leaf)
            total += value
        return np.array(positions), owners


def naive_lambda_return(
    values: list[float], rewards: list[float], discounts: list[float], ends: list[bool], lambda_: float
) -> list[float]:
    """
    The definition: n-step returns weighted by (1 - lambda) * lambda**(n - 1), the longest one by what is left.

    :param values: of the states that the steps led to
    :param rewards: of one environment, as for the others
    :param discounts: gamma, and 0 where the episode terminated
    :param ends: whether the episode ended, for whatever reason
    :return: of each step
    """
    result = []
    for start in range(len(rewards)):
        n_step_returns, total, discount = [], 0.0, 1.0
        for t in range(start, len(rewards)):
            total += discount * rewards[t]
            discount *= discounts[t]
            n_step_returns.append(total + discount * values[t])
            if ends[t]:
                break
        longest = len(n_step_returns) - 1
        weights = [(1 - lambda_) * lambda_**n for n in range(longest)] + [lambda_**longest]
        result.append(sum(weight * each for weight, each in zip(weights, n_step_returns, strict=True)))
    return result
