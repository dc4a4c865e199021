"""The running statistics of VecNormalize, kept from before a step that turned out to be bad."""

from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

_STATISTICS = ("obs_rms", "ret_rms", "returns")


class NormalizationSnapshot:
    """
    VecNormalize takes every number into its statistics before anybody can look at it, and one that is not finite
    stays in them for ever.

    :param env: None: there is nothing to keep
    """

    def __init__(self, env: VecNormalize | None) -> None:
        self._env = env
        self.take()

    def take(self) -> None:
        """Keep the statistics as they are now."""
        self._kept: dict[str, Any] = {}
        if self._env is not None and self._env.training:
            self._kept = {name: deepcopy(getattr(self._env, name)) for name in _STATISTICS if hasattr(self._env, name)}

    def restore(self) -> None:
        """Put back what was kept last."""
        for name, value in self._kept.items():
            setattr(self._env, name, deepcopy(value))

    def state_dict(self) -> dict[str, Any]:
        """:return: what was kept last"""
        return {name: _plain(value) for name, value in self._kept.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`; :meth:`restore` brings it into the environment"""
        self._kept = {name: _statistics(value) for name, value in state.items()}


def _plain(value: Any) -> Any:
    """:return: statistics as arrays and numbers, of each key of a dictionary observation"""
    if isinstance(value, dict):
        return {"parts": {name: _plain(each) for name, each in value.items()}}
    if isinstance(value, RunningMeanStd):
        return {"mean": np.array(value.mean), "var": np.array(value.var), "count": float(value.count)}
    return np.array(value)


def _statistics(state: Any) -> Any:
    """:return: what `_plain` took apart"""
    if not isinstance(state, dict):
        return np.array(state)
    if "parts" in state:
        return {name: _statistics(each) for name, each in state["parts"].items()}
    statistics = RunningMeanStd(shape=np.shape(state["mean"]))
    statistics.mean, statistics.var = np.array(state["mean"]), np.array(state["var"])
    statistics.count = state["count"]
    return statistics
