"""The settings in a run folder: algorithm, environment, configuration, frames per step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.atari.skipping import own_skip
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.plotting.files import read_as
from sb3_atari_dqn.validation import as_int

#: Wrappers that skip frames outside the monitor: keyword with the number of frames, and its default.
_SKIPS = {
    "stable_baselines3.common.atari_wrappers.AtariWrapper": ("frame_skip", 4),
    "stable_baselines3.common.atari_wrappers.MaxAndSkipEnv": ("skip", 4),
    "rl_zoo3.wrappers.FrameSkip": ("skip", 4),
    "gymnasium.wrappers.AtariPreprocessing": ("frame_skip", 4),
    "gymnasium.wrappers.MaxAndSkipObservation": ("skip", 4),
    "gymnasium.wrappers.RepeatAction": ("num_repeats", None),
}
_MOST_VALUES = 100_000  # of a configuration
_GYMNASIUM = "gymnasium.wrappers."
_OURS = "sb3_atari_dqn."
#: Packages whose other wrappers do not skip frames.
_KNOWN = ("stable_baselines3.", "sb3_contrib.", "rl_zoo3.", _GYMNASIUM)


#: Algorithms of SB3 and sb3-contrib with epsilon-greedy exploration.
_THEIR_EXPLORERS = ("dqn", "qrdqn")


class _Loader(yaml.SafeLoader):
    """Reads the zoo's YAML files without executing them: Python objects are replaced by their arguments."""


def _arguments(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        items = loader.construct_sequence(node, deep=True)
        return dict(items[0]) if suffix.endswith("OrderedDict") and items else items
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return node.value


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _arguments)


@dataclass(frozen=True)
class Settings:
    """
    :param algo: the zoo's name of the algorithm
    :param env_id: environment
    :param config: hyperparameters, {} without a file
    :param env_kwargs: of the environment; the command line overrides the configuration
    :param args: the command line, {} without a file
    :param frames_per_step: see the function of this name
    :param frames_held: minimum and maximum number of emulator frames per step, including those that the environment
        skips itself; None if unknown
    """

    algo: str
    env_id: str
    config: Mapping[str, Any]
    env_kwargs: Mapping[str, Any]
    args: Mapping[str, Any]
    frames_per_step: int | None
    frames_held: tuple[int, int] | None

    @property
    def n_timesteps(self) -> Any:
        """Training budget in environment steps, None if unknown; -n overrides the configuration"""
        asked = self.args.get("n_timesteps")
        budget = asked if isinstance(asked, int | float) and asked > 0 else self.config.get("n_timesteps")
        return int(budget) if isinstance(budget, float) and budget.is_integer() else budget

    @property
    def exploration(self) -> str | None:
        """How epsilon falls; "none" where noisy layers explore instead, None for algorithms without epsilon"""
        if self.algo not in ALGORITHMS:
            return "linear" if self.algo in _THEIR_EXPLORERS else None
        return str(self.config.get("exploration", ALGORITHMS[self.algo].exploration) or "none")

    @property
    def continues(self) -> str:
        """The model from which training continued (-i); empty for a new one"""
        agent = self.args.get("trained_agent")
        return os.path.normpath(str(agent)) if agent else ""


def read_settings(run: Path, env_id: str) -> Settings:
    """
    :param run: folder of a run
    :param env_id: according to its monitor files
    :raises ValueError: on a damaged file; the message names it
    """
    folder = next((path.parent for path in sorted(run.glob("*/config.yml"))), run)
    with read_as(_KIND, folder / "config.yml"):
        config = _read(folder / "config.yml")
        skip = frames_per_step(config)
    with read_as(_KIND, folder / "args.yml"):
        args = _read(folder / "args.yml")
        env_id, env_kwargs = str(args.get("env") or env_id), _env_kwargs(config, args)
        own = (1, 1) if _skips_for_the_game(config) else own_skip(env_id, env_kwargs)
    held = None if skip is None else (skip * own[0], skip * own[1])
    return Settings(str(args.get("algo") or run.parent.name), env_id, config, env_kwargs, args, skip, held)


def _env_kwargs(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """:param sources: configuration and command line; later sources override earlier ones, strings are not evaluated"""
    given = [source.get("env_kwargs") or {} for source in sources]
    merged: dict[str, Any] = {}
    for each in given:
        merged |= each if isinstance(each, dict) else {"env_kwargs": each}
    return merged


_KIND = "a file that the zoo wrote"


def _read(path: Path) -> dict[str, Any]:
    """:raises ValueError: if it is not a mapping"""
    if not path.is_file():
        return {}
    found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # _Loader is a safe loader
    content = _with_names(found, iter(range(_MOST_VALUES)))
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__} instead of a mapping")
    return content


def _with_names(content: Any, left: Iterator[int]) -> Any:
    """
    :param left: as many items as there may be values: references in a short file can stand for endlessly many
    :return: the same with all keys as strings, so that they can be sorted
    """
    if next(left, None) is None:
        raise ValueError(f"more than {_MOST_VALUES:,} values")
    if isinstance(content, dict):
        return {str(key): _with_names(value, left) for key, value in content.items()}
    return [_with_names(item, left) for item in content] if isinstance(content, list) else content


def frames_per_step(config: Mapping[str, Any]) -> int | None:
    """
    :param config: hyperparameters of a run
    :return: frames that the monitor counts per environment step; None with an unknown wrapper
    :raises ValueError: on wrapper arguments that are invalid
    """
    skip = 1
    for name, kwargs in wrapper_entries(config.get("env_wrapper")):
        own = _skip_of(name, kwargs)
        if own is None:
            return None
        skip *= own
    return skip if config else None


def wrapper_entries(env_wrapper: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """:return: dotted names with keyword arguments, from any form that the zoo accepts"""
    for entry in env_wrapper if isinstance(env_wrapper, list) else [env_wrapper]:
        if isinstance(entry, dict):
            yield from ((str(name), kwargs if isinstance(kwargs, dict) else {}) for name, kwargs in entry.items())
        elif entry is not None:
            yield str(entry), {}


def _skips_for_the_game(config: Mapping[str, Any]) -> bool:
    """:return: whether one of our presets skips frames, in which case the zoo builds the game without its own skip"""
    entries = wrapper_entries(config.get("env_wrapper"))
    return any(name.startswith(_OURS) and (_skip_of(name, kwargs) or 1) > 1 for name, kwargs in entries)


def _skip_of(name: str, kwargs: Mapping[str, Any]) -> int | None:
    if name.startswith(_GYMNASIUM):  # wrappers can be named by their module, too
        name = _GYMNASIUM + name.rpartition(".")[2]
    if name in _SKIPS:
        keyword, default = _SKIPS[name]
        return as_int(keyword, kwargs.get(keyword, default), 1)
    if name.startswith(_OURS):
        preset = preset_of(name, kwargs)
        if preset is not None:
            return int(preset.frame_skip)
        return None if _ours(name) is None else 1
    return 1 if name.startswith(_KNOWN) else None


def preset_of(name: str, kwargs: Mapping[str, Any]) -> Any:
    """
    :param name: dotted name of a wrapper
    :param kwargs: its arguments
    :return: the :class:`~sb3_atari_dqn.atari.AtariPreset` that it applies; None for other wrappers
    """
    preset = getattr(_ours(name), "preset", None) if name.startswith(_OURS) else None
    return None if preset is None else preset.with_overrides(kwargs)


def _ours(name: str) -> Any:
    """:return: a wrapper of this package; None if this version does not have it"""
    module, _, wrapper = name.rpartition(".")
    try:
        return getattr(import_module(module), wrapper, None)
    except ImportError:
        return None
