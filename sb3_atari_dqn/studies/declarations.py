"""Reads a file of studies, and checks every key of the one that is wanted. Errors name the key and the way out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.validation import as_int, check_between, check_finite, check_keys

_OF_FILE = ("protocols", "studies")
_REQUIRED = ("protocol", "games", "seeds", "steps", "settings")
_DEFAULTS: dict[str, Any] = {
    "about": "",
    "window": 100,
    "goal": None,
    "evaluation_games": 0,
    "hours": None,
    "params": {},
}
_OF_SETTINGS = ("algorithm", "conf", "setting", "params")
_OF_PROTOCOLS = ("env", "params")
_GAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)  # becomes part of file names
_LARGEST_SEED, _MOST_STEPS, _MOST_HOURS = 2**32 - 1, 10**15, 24 * 365


def read_studies(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    :param file: of studies
    :return: protocols and studies by name, of which only the names are checked
    :raises ValueError: if it cannot be read, or is not such a file
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{file} is not YAML ({' '.join(str(error).split())})") from error
    for key in _OF_FILE:
        if not isinstance(content, dict) or not isinstance(content.get(key), dict) or not content[key]:
            raise ValueError(f"{file} must have the keys protocols and studies, each with a name and its content below")
    check_keys(str(file), content, _OF_FILE)
    for name in content["studies"]:
        if not isinstance(name, str) or not _GAME.fullmatch(name):
            raise ValueError(f"{file}: a study cannot be named {name!r}: use letters, digits, dots, dashes and _")
    return content["protocols"], content["studies"]


def checked_study(name: str, study: Any, protocols: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param name: of the study
    :param study: as read
    :param protocols: by name
    :return: with defaults, whole numbers as such, and the protocol itself in place of its name
    :raises ValueError: on the first key that is missing, unknown or wrong
    """
    where = f"study {name}"
    _check_mapping(where, study, _REQUIRED, (*_REQUIRED, *_DEFAULTS))
    found = {**_DEFAULTS, **study}
    if not isinstance(found["protocol"], str) or found["protocol"] not in protocols:
        raise ValueError(f"{where} has protocol {found['protocol']!r}; known: {', '.join(map(str, protocols))}")
    found["games"] = _distinct(f"{where}: games", found["games"])
    for game in found["games"]:
        if not isinstance(game, str) or not _GAME.fullmatch(game):
            raise ValueError(
                f"{where}: games has {game!r}, which cannot be part of a file name: write what is around the name of "
                "the game into env of its protocol"
            )
    seeds = _distinct(f"{where}: seeds", found["seeds"])
    found["seeds"] = [as_int(f"{where}: seeds", seed, 0, _LARGEST_SEED) for seed in seeds]
    found["steps"] = as_int(f"{where}: steps", found["steps"], 1, _MOST_STEPS)
    found["window"] = as_int(f"{where}: window", found["window"], 1)
    found["evaluation_games"] = as_int(f"{where}: evaluation_games", found["evaluation_games"], 0)
    if found["goal"] is not None:
        check_finite(f"{where}: goal", found["goal"])
    if found["hours"] is not None:
        check_between(f"{where}: hours", found["hours"], 0, _MOST_HOURS, above_low=True)
    found["params"] = _params(where, found["params"])
    found["settings"] = [
        _setting(f"{where}: a setting", each) for each in _list(f"{where}: settings", found["settings"])
    ]
    found["protocol"] = _protocol(f"protocol {found['protocol']}", protocols[found["protocol"]])
    return found


def _setting(where: str, setting: Any) -> dict[str, Any]:
    _check_mapping(where, setting, ("algorithm",), _OF_SETTINGS)
    for key in ("algorithm", "conf"):
        if key in setting and (not isinstance(setting[key], str) or not setting[key]):
            raise ValueError(f"{where} has {key}: {setting[key]!r}; give a name, or leave it out")
    name = setting.get("setting", setting.get("conf") or "")
    return {"conf": None, **setting, "setting": str(name), "params": _params(where, setting.get("params", {}))}


def _protocol(where: str, protocol: Any) -> dict[str, Any]:
    _check_mapping(where, protocol, ("env",), _OF_PROTOCOLS)
    env = protocol["env"]
    if not isinstance(env, str) or "{game}" not in env or re.search(r"[{}]", env.replace("{game}", "")):
        raise ValueError(f"{where}: env must name an environment with {{game}} in it, such as {{game}}-v1, got {env!r}")
    return {"env": env, "params": _params(where, protocol.get("params", {}))}


def _params(where: str, params: Any) -> dict[str, Any]:
    if not isinstance(params, dict) or not all(isinstance(key, str) for key in params):
        raise ValueError(f"{where}: params must be a mapping such as {{gamma: 0.99}}, got {params!r}")
    for key, own in (("seed", "seeds"), ("n_timesteps", "steps")):
        if key in params:
            raise ValueError(f"{where}: params cannot have {key}: give {own} to the study")
    for key, value in params.items():
        for number in _floats(value):
            if not math.isfinite(number):
                raise ValueError(f"{where}: {key} of params must be finite, got {number}")
    return params


def _floats(value: Any) -> Iterator[float]:
    """:return: those in a value of YAML, at any depth"""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _floats(each)


def _list(where: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where} must be a list such as [a, b], got {values!r}")
    return values


def _distinct(where: str, values: Any) -> list[Any]:
    for value in _list(where, values):
        if values.count(value) > 1:
            raise ValueError(f"{where} has {value!r} twice: remove one")
    return values


def _check_mapping(where: str, given: Any, required: Sequence[str], known: Sequence[str]) -> None:
    if not isinstance(given, dict):
        raise ValueError(f"{where} must be a mapping with {', '.join(required)}, got {given!r}")
    check_keys(where, given, known)
    if missing := [key for key in required if key not in given]:
        raise ValueError(f"{where} has no {', '.join(missing)}: add it")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's own loader drops the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for twice in (key for key in keys if keys.count(key) > 1 and key != "<<"):
            raise yaml.YAMLError(f"the key {twice} is there twice in the mapping of line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)
