"""Groups runs that differ only in their seed, and labels the groups."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sb3_atari_dqn.plotting.runs import RunLog

_MOST_KEYS = 2  # in a label
_MOST_LETTERS = 40  # of a key with its value
_MODULES = re.compile(r"(?<![\w.])(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_CONTINUES = "continues"  # not a key of the configuration
_LOGGING = ("sb3_atari_dqn.callbacks.", "stable_baselines3.common.callbacks.")


@dataclass(frozen=True)
class Group:
    """
    :param label: for the legend
    :param runs: same algorithm, environment, configuration, budget and initial model
    """

    label: str
    runs: list[RunLog]


def group(runs: Sequence[RunLog], labels: Sequence[str] | None = None) -> list[Group]:
    """
    :param runs: in the order of the legend
    :param labels: one for each group; None: the algorithm and the settings that differ
    :raises ValueError: on runs of different environments, or a wrong number of labels
    """
    by_env = {run.settings.env_id: str(run.path) for run in runs}
    if len(by_env) > 1:
        found = ", ".join(f"{env} ({path})" for env, path in by_env.items())
        raise ValueError(f"Runs of different environments cannot share a plot: {found}; plot them separately")
    together: dict[str, list[RunLog]] = {}
    for run in runs:
        together.setdefault(_identity(run), []).append(run)
    members = list(together.values())
    if labels is not None and len(labels) != len(members):
        found = "; ".join(", ".join(str(run.path) for run in one) for one in members)
        raise ValueError(f"--labels has {len(labels)} names for {len(members)} groups of runs: {found}")
    return [Group(label, one) for label, one in zip(labels or _names(members), members, strict=True)]


def _identity(run: RunLog) -> str:
    settings = run.settings
    callbacks = settings.config.get("callback")
    others = [each for each in (callbacks if isinstance(callbacks, list) else [callbacks]) if not _only_logs(each)]
    return json.dumps([settings.algo, settings.env_id, _learning(run), others], sort_keys=True, default=str)


def _learning(run: RunLog) -> dict[str, Any]:
    """:return: configuration, budget, initial model and environment arguments, without rendering and logging"""
    settings = run.settings
    env_kwargs = {key: value for key, value in settings.env_kwargs.items() if key != "render_mode"}
    whole = {**settings.config, "callback": None, "env_kwargs": env_kwargs}
    if settings.n_timesteps is not None:
        whole["n_timesteps"] = settings.n_timesteps
    if settings.continues:
        whole[_CONTINUES] = settings.continues
    return whole


def _only_logs(callback: Any) -> bool:
    """
    :param callback: a dotted name, or a mapping of one to its arguments
    :return: whether it only logs or saves, and does not affect learning
    """
    name = next(iter(callback), None) if isinstance(callback, Mapping) else callback
    return name is None or str(name).startswith(_LOGGING)


def _names(members: list[list[RunLog]]) -> list[str]:
    firsts = [(one[0].settings.algo, _leaves(_learning(one[0]))) for one in members]
    names = []
    for algo, own in firsts:
        keys = _distinguishing(own, [leaves for other, leaves in firsts if other == algo and leaves is not own])
        names.append(", ".join([algo, *(_shortened(key, own[key]) for key in keys)]))
    return [name if names.count(name) == 1 else f"{name} #{number}" for number, name in enumerate(names, start=1)]


def _distinguishing(own: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    """:return: a few keys that distinguish a configuration from the others, most distinctive first"""
    keys: list[str] = []
    while rivals and len(keys) < _MOST_KEYS:
        equal = {key: [rival for rival in rivals if str(rival.get(key)) == str(value)] for key, value in own.items()}
        if not (key := min(sorted(equal), key=lambda each: len(equal[each]), default="")) or equal[key] == rivals:
            break
        keys.append(key)
        rivals = equal[key]
    return keys


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """:return: the leaves of nested settings"""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves.update(_leaves(value) if isinstance(value, Mapping) and value else {key: value})
    return leaves


def _shortened(key: str, value: Any) -> str:
    """:return: key and value, without module names; for a model, its folder and name"""
    if key == _CONTINUES:
        value = "/".join(PurePath(value).with_suffix("").parts[-2:])
    text = f"{key} {_MODULES.sub('', str(value))}"
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 3]}..."
