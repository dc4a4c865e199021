"""What runs are called in a report: algorithm and configuration, and the settings by which their names would clash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from sb3_atari_dqn.plotting.runs import RunLog
from sb3_atari_dqn.reports.human import game_of

_MODULES = re.compile(r"(?<![\w.])(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_MOST_KEYS, _MOST_LETTERS = 2, 30
_CALLBACK = "callback"  # those that end a run at a goal do not change how it learns until then


def label_runs(runs: Sequence[RunLog]) -> list[str]:
    """
    :param runs: of any games
    :return: a label for each; runs that differ only in game and seed get the same one

    Settings are named where runs of one algorithm and configuration differ: those of the command line (``-params``) in
    any two runs, the others in runs of the same game, because configurations may depend on the game.
    """
    names = [_name(run) for run in runs]
    typed = [_leaves(_mapping(run.settings.args.get("hyperparams"))) for run in runs]
    whole = [_configuration(run) | own for run, own in zip(runs, typed, strict=True)]
    games = [game_of(run.settings.env_id) for run in runs]
    labels = []
    for name, own in zip(names, whole, strict=True):
        same = [place for place, other in enumerate(names) if other == name]
        keys = _differing([typed[place] for place in same])
        for game in {games[place] for place in same}:
            keys |= _differing([whole[place] for place in same if games[place] == game])
        labels.append(_label(name, {key: own.get(key) for key in sorted(keys)}))
    return labels


def _label(name: str, settings: Mapping[str, str | None]) -> str:
    """:return: with a few of the settings, and a hash of all if there are more"""
    texts = [f"{_last(key)}={_shown(value)}" for key, value in settings.items()]
    if len(texts) > _MOST_KEYS:
        texts = [*texts[:_MOST_KEYS], f"and {len(texts) - _MOST_KEYS} more ({_hash(str(settings))})"]
    return " ".join([name, *texts])


def _name(run: RunLog) -> str:
    """:return: "dqn_qr short"; without -conf "dqn_qr" """
    conf = run.settings.args.get("conf_file")
    return f"{run.settings.algo} {PurePath(str(conf)).stem}" if conf else run.settings.algo


def _configuration(run: RunLog) -> dict[str, Any]:
    settings = run.settings
    env_kwargs = {key: value for key, value in settings.env_kwargs.items() if key != "render_mode"}
    kind = settings.env_id.replace(game_of(settings.env_id), "")
    more = {"env_kwargs": env_kwargs, "env": kind, "n_timesteps": settings.n_timesteps, "model": settings.continues}
    return _leaves({**settings.config, **more})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _leaves(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """:return: nested settings as "outer.inner" -> text, without callbacks"""
    leaves: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves |= _leaves(value, f"{above}{key}.")
        elif key != _CALLBACK:
            leaves[f"{above}{key}"] = str(value)
    return leaves


def _differing(configurations: Sequence[Mapping[str, str]]) -> set[str]:
    keys = set().union(*configurations)
    return {key for key in keys if len({each.get(key) for each in configurations}) > 1}


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _shown(value: str | None) -> str:
    text = "default" if value is None else _MODULES.sub("", value)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}... ({_hash(text)})"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]
