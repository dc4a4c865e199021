"""Which runs are seeds of the same thing, and what to call it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sb3_atari_dqn.plotting.runs import RunLog

_MOST_KEYS = 2  # in a name: more of them are no name
_MOST_LETTERS = 40  # of a key and its value


@dataclass(frozen=True)
class Group:
    """
    :param label: for the legend
    :param runs: same algorithm, environment and configuration
    """

    label: str
    runs: list[RunLog]


def group(runs: Sequence[RunLog], labels: Sequence[str] | None = None) -> list[Group]:
    """
    :param runs: in the order of the legend
    :param labels: a name for each group; None: the algorithm, and what tells its configurations apart
    :raises ValueError: on runs of different environments, or another number of labels
    """
    by_env = {run.settings.env_id: str(run.path) for run in runs}
    if len(by_env) > 1:
        found = ", ".join(f"{env} ({path})" for env, path in by_env.items())
        raise ValueError(f"Runs of different environments do not belong in one picture: {found}; plot them one by one")
    together: dict[str, list[RunLog]] = {}
    for run in runs:
        together.setdefault(_identity(run), []).append(run)
    members = list(together.values())
    if labels is not None and len(labels) != len(members):
        found = "; ".join(", ".join(str(run.path) for run in one) for one in members)
        raise ValueError(f"--labels gives {len(labels)} names for {len(members)} groups of runs: {found}")
    return [Group(label, one) for label, one in zip(labels or _names(members), members, strict=True)]


def _identity(run: RunLog) -> str:
    settings = run.settings
    kwargs = settings.args.get("env_kwargs")
    return json.dumps([settings.algo, settings.env_id, settings.config, kwargs], sort_keys=True, default=str)


def _names(members: list[list[RunLog]]) -> list[str]:
    firsts = [(one[0].settings.algo, _leaves(one[0].settings.config)) for one in members]
    names = []
    for algo, own in firsts:
        rivals = [leaves for other, leaves in firsts if other == algo]
        differing = sorted({key for leaves in rivals for key in {*leaves, *own} if _differs(key, rivals)})
        told = [_shortened(f"{key} {own[key]}") for key in differing if key in own][:_MOST_KEYS]
        names.append(f"{algo}, {', '.join(told)}" if told else algo)
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, start=1)]


def _leaves(config: Mapping[str, Any]) -> dict[str, Any]:
    """:return: the single settings, without the callbacks, which take many words and change no learning"""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if key != "callback":
            leaves.update(_leaves(value) if isinstance(value, Mapping) and value else {key: value})
    return leaves


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 3]}..."


def _differs(key: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    return len({str(config.get(key)) for config in configs}) > 1
