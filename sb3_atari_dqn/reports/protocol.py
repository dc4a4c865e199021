"""
Under which protocol scores were made: from the configuration of a run, or from the columns of a CSV.

Scores of different protocols do not compare: sticky actions, whole games instead of lives and evaluations instead of
training returns each change a score by more than most algorithms do (Machado et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sb3_atari_dqn.atari.skipping import own_stickiness
from sb3_atari_dqn.plotting.settings import Settings, preset_of, wrapper_entries

TRAINING, EVALUATION = "training", "evaluation"
#: Fields whose difference forbids a comparison; a difference of the others is marked.
DECISIVE = ("measured", "sticky", "life_loss")


@dataclass(frozen=True)
class Protocol:
    """
    None: unknown.

    :param measured: "training" returns, with exploration, or "evaluation" without learning
    :param sticky: probability that a frame repeats the previous action
    :param life_loss: whether a lost life is terminal for the learner; scores are of whole games in any case
    :param clip: whether the learner gets clipped rewards; scores are raw in any case
    :param epsilon: share of random actions at the end of exploration; 0 for noisy layers
    :param noops: maximum number of no-ops at the start of a game
    """

    measured: str = TRAINING
    sticky: float | None = None
    life_loss: bool | None = None
    clip: bool | None = None
    epsilon: float | None = None
    noops: int | None = None

    def differences(self, other: Protocol, decisive: bool) -> list[str]:
        """
        :param decisive: the fields of DECISIVE, else the others
        :return: "sticky actions 0.25 instead of 0", for each field that differs from the other protocol
        """
        names = [each.name for each in fields(self) if (each.name in DECISIVE) == decisive]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [
            f"{TITLES[name]} {shown(own)} instead of {shown(wanted)}" for name, own, wanted in pairs if own != wanted
        ]


TITLES = {
    "measured": "score",
    "sticky": "sticky actions",
    "life_loss": "life-loss termination",
    "clip": "reward clipping",
    "epsilon": "final epsilon",
    "noops": "no-ops up to",
}


def shown(value: Any) -> str:
    """:return: of a field, for tables"""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def protocol_of(settings: Settings, measured: str = TRAINING) -> Protocol:
    """:return: of a run of the zoo; fields that an unknown wrapper may change are None"""
    if not settings.config:
        return Protocol(measured)
    protocol = Protocol(measured, own_stickiness(settings.env_id, settings.env_kwargs), False, False, noops=0)
    for name, kwargs in wrapper_entries(settings.config.get("env_wrapper")):
        protocol = _wrapped(protocol, name, kwargs)
    return replace(protocol, epsilon=_epsilon(settings))


def _wrapped(protocol: Protocol, name: str, kwargs: Mapping[str, Any]) -> Protocol:
    preset = preset_of(name, kwargs)
    if preset is not None:
        own = preset.action_repeat_probability
        return replace(
            protocol,
            sticky=protocol.sticky if own is None else float(own),
            life_loss=preset.terminal_on_life_loss,
            clip=preset.clip_reward,
            noops=preset.noop_max,
        )
    package, _, wrapper = name.rpartition(".")
    if wrapper in _THEIRS and package.startswith(_PACKAGES):
        return _set(protocol, _THEIRS[wrapper], kwargs)
    if package.startswith((*_PACKAGES, "sb3_atari_dqn.")):
        return protocol
    return Protocol(protocol.measured)


_PACKAGES = ("stable_baselines3.", "sb3_contrib.", "rl_zoo3.", "gymnasium.")
#: Wrapper -> field -> value, or argument and its default.
_THEIRS: dict[str, dict[str, Any]] = {
    "AtariWrapper": {
        "sticky": ("action_repeat_probability", 0.0),
        "life_loss": ("terminal_on_life_loss", True),
        "clip": ("clip_reward", True),
        "noops": ("noop_max", 30),
    },
    "AtariPreprocessing": {"life_loss": ("terminal_on_life_loss", False), "noops": ("noop_max", 30)},
    "StickyActionEnv": {"sticky": ("action_repeat_probability", None)},
    "StickyAction": {"sticky": ("repeat_action_probability", None)},
    "EpisodicLifeEnv": {"life_loss": True},
    "ClipRewardEnv": {"clip": True},
    "NoopResetEnv": {"noops": ("noop_max", 30)},
}


def _set(protocol: Protocol, changes: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Protocol:
    new: dict[str, Any] = {field: kwargs.get(*how) if isinstance(how, tuple) else how for field, how in changes.items()}
    if not new.get("sticky", True):  # 0: the wrapper adds nothing to the environment's own
        del new["sticky"]
    return replace(protocol, **new)


#: Defaults of `exploration_final_eps`, of SB3, sb3-contrib and the algorithms here: 0.05 but for these.
_FINAL_EPSILON = {"qrdqn": 0.01, "dqn_pqn": 0.001}


def _epsilon(settings: Settings) -> float | None:
    """:return: 0 where noisy layers explore, None for algorithms without epsilon"""
    if settings.exploration == "none":
        return 0.0
    if settings.exploration is None:
        return None
    return float(settings.config.get("exploration_final_eps", _FINAL_EPSILON.get(settings.algo, 0.05)))


COLUMNS = tuple(each.name for each in fields(Protocol))


def as_cells(protocol: Protocol) -> dict[str, Any]:
    """:return: for a row of a CSV; an empty cell is unknown"""
    values = {name: getattr(protocol, name) for name in COLUMNS}
    return {name: "" if value is None else str(value).lower() for name, value in values.items()}


def from_cells(row: Mapping[str, str]) -> Protocol:
    """
    :param row: of a CSV
    :raises ValueError: on a cell that is none of this field; the message names it
    """
    return Protocol(**{name: _cell(name, row[name].strip().lower()) for name in COLUMNS})


def _cell(name: str, text: str) -> Any:
    if name == "measured":
        if text not in (TRAINING, EVALUATION):
            raise ValueError(f"measured is {text!r}, expected {TRAINING} or {EVALUATION}")
        return text
    if not text:
        return None
    if name in ("life_loss", "clip"):
        if text not in ("true", "false"):
            raise ValueError(f"{name} is {text!r}, expected true, false or an empty cell")
        return text == "true"
    if name == "noops":
        if not text.isdecimal():
            raise ValueError(f"{name} is {text!r}, expected a whole number of at least 0, or an empty cell")
        return int(text)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {text!r}, expected a number from 0 to 1, or an empty cell")
    return value


def check_comparable(systems: Mapping[str, Protocol]) -> None:
    """
    :param systems: protocol by label; the first is what the others are compared with
    :raises ValueError: if a decisive field differs
    """
    for line in marks(systems, decisive=True).values():
        raise ValueError(
            f"{line}: scores of different protocols do not compare; report them separately, or mark them with "
            "--across-protocols"
        )


def marks(systems: Mapping[str, Protocol], decisive: bool) -> dict[str, str]:
    """:return: a sentence for each label whose protocol differs from the first one's"""
    (first, wanted), *others = systems.items()
    found = {label: protocol.differences(wanted, decisive) for label, protocol in others}
    return {label: f"{label} differs from {first}: {', '.join(texts)}" for label, texts in found.items() if texts}


def one_of(protocols: Sequence[Protocol], label: str) -> Protocol:
    """:return: the protocol of all runs of a system; a field is None where they differ by game, except decisive ones

    :raises ValueError: if a decisive field differs
    """
    first = protocols[0]
    for other in protocols[1:]:
        if texts := other.differences(first, decisive=True):
            raise ValueError(
                f"The runs of {label} have different protocols ({', '.join(texts)}): report them separately"
            )
    mixed: dict[str, Any] = {
        name: None for name in COLUMNS if any(getattr(each, name) != getattr(first, name) for each in protocols)
    }
    return replace(first, **mixed)


def rows(systems: Mapping[str, Protocol]) -> Iterator[list[str]]:
    """:return: of a table: label, then each field"""
    for label, protocol in systems.items():
        yield [label, *(shown(getattr(protocol, name)) for name in COLUMNS)]
