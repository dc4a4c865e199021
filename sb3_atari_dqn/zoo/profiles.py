"""What a packaged profile (``-conf short``) may change of an algorithm: its settings, not the parts that make it one.

A run is filed and plotted under the name of its algorithm. A profile is written for many of them, so it gives way to
what the class of one declares; only ``-params`` or a configuration of the user's own replaces that.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo.packaged_configs import profiles

#: Constructor arguments that are parts of an algorithm if its class gives them another default than ClassicDQN.
_PARTS = ("n_steps", "replay", "gamma", "exploration")


def profile_of(config: str) -> str | None:
    """
    :param config: path of a configuration
    :return: name of the packaged profile that it is, None if it is none
    """
    files = {path.resolve(): name for name, path in profiles().items()}
    return files.get(Path(config).resolve())


def check_profile(profile: str, algo: str, given: Collection[str]) -> None:
    """
    :param profile: packaged one
    :param algo: zoo name of one of our algorithms
    :param given: keys of ``-params``
    :raises ValueError: if the profile is for other algorithms; says which one to use
    """
    owner = _owner(profile)
    general = profile.partition("_")[2] if owner else profile
    own = f"{_short(algo)}_{general}"
    if owner and owner != algo:
        instead = own if own in profiles() else general
        raise ValueError(f"-conf {profile} is for {owner}, not for {algo}: use -conf {instead}, or --algo {owner}")
    if not owner and own in profiles():
        raise ValueError(f"-conf {profile} is not for {algo}, which has a profile of its own: use -conf {own}")
    defaults, settings = _constructor_defaults(algo), _settings(profile)
    if "buffer_size" in settings and "buffer_size" not in defaults:
        raise ValueError(
            f"-conf {profile} is for algorithms with a replay memory, which {algo} does not have: omit -conf"
        )
    pace, own_pace = settings.get("replay_ratio"), defaults.get("train_freq")  # None, unless the class declares one
    if pace and own_pace and "replay_ratio" not in given:
        raise ValueError(
            f"-conf {profile} makes {pace:g} updates per step, but {algo} makes {1 / own_pace:g}: omit -conf for its "
            f"own configuration, or add -params replay_ratio:{1 / own_pace}"
        )


def without_replaced_parts(
    profile: str, algo: str, hyperparams: Mapping[str, Any], given: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """
    :param profile: packaged one
    :param algo: zoo name of one of our algorithms
    :param hyperparams: of the profile, with those of the command line; is not changed
    :param given: keys of ``-params``, which stay
    :return: hyperparameters without the profile's that would replace parts of the algorithm, and a line about each
    """
    kept: dict[str, Any] = dict(hyperparams)
    lines: list[str] = []
    if _owner(profile) == algo:
        return kept, lines
    settings = _settings(profile)
    for name, own in _own_parts(ALGORITHMS[algo].import_class()):
        mapping, _, key = name.rpartition(".")
        place, before = (each.get(mapping, {}) if mapping else each for each in (kept, settings))
        if name in given or mapping in given or not isinstance(place, Mapping) or place.get(key, own) == own:
            continue
        if place[key] != before.get(key):  # it is a trial's
            continue
        lines.append(f"{algo} keeps its own {name}={own!r}; that of -conf {profile}, {place[key]!r}, is for others")
        left = {other: value for other, value in place.items() if other != key}
        kept = {**kept, mapping: left} if mapping else left
    if ALGORITHMS[algo].exploration == "none" and "exploration" not in given:  # epsilon means nothing then
        kept = {name: value for name, value in kept.items() if name in given or not name.startswith("exploration_")}
    return kept, lines


def replaced_parts(algo: str, hyperparams: Mapping[str, Any]) -> list[str]:
    """
    :param hyperparams: of the user's own configuration or ``-params``
    :return: a line about each of `values` and `bootstrap` in place of one that the algorithm's class declares
    """
    cls = ALGORITHMS[algo].import_class()
    declared = {
        name: getattr(cls, name)
        for name in ("values", "bootstrap")
        if getattr(cls, name, None) != getattr(ClassicDQN, name)
    }
    return [
        f"{algo} with {name}={hyperparams[name]!r}, as configured, in place of its own {own!r}"
        for name, own in declared.items()
        if hyperparams.get(name, own) not in (own, None)
    ]


def _own_parts(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """
    :return: names (dotted in mappings) and values of what makes the algorithm. One that is about the representation of
        returns, and declares no bootstrap rule or head, goes with any; the others are about these.
    """
    yield "values", cls.values
    about_values = cls.values != ClassicDQN.values
    if cls.bootstrap != ClassicDQN.bootstrap or not about_values:
        yield "bootstrap", cls.bootstrap
    if "head" in cls.policy_defaults or not about_values:
        yield "policy_kwargs.head", cls.policy_defaults.get("head", "linear")
    yield from ((f"policy_kwargs.{name}", own) for name, own in cls.policy_defaults.items() if name != "head")
    if "features_extractor_class" in cls.torso_defaults:
        yield "policy_kwargs.features_extractor_class", cls.torso_defaults["features_extractor_class"]
    classic, own_defaults = (_defaults_of(each) for each in (ClassicDQN, cls))
    yield from ((name, own_defaults[name]) for name in _PARTS if own_defaults.get(name, classic[name]) != classic[name])


def _constructor_defaults(algo: str) -> dict[str, Any]:
    return _defaults_of(ALGORITHMS[algo].import_class())


def _defaults_of(cls: type[Any]) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(cls.__init__).parameters.items()}


def _settings(profile: str) -> dict[str, Any]:
    return yaml.safe_load(profiles()[profile].read_text(encoding="utf-8"))["atari"]


def _owner(profile: str) -> str | None:
    """:return: the algorithm after which a profile is named, such as dqn_btr for btr_short"""
    return next((algo for algo in ALGORITHMS if profile.startswith(f"{_short(algo)}_")), None)


def _short(algo: str) -> str:
    return algo.removeprefix("dqn_")
