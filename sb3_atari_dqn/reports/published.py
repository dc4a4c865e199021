"""Published scores that come with the package, each with its protocol; ``published/README.md`` names the sources."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from sb3_atari_dqn.reports.human import key_of
from sb3_atari_dqn.reports.protocol import EVALUATION, TRAINING, Protocol
from sb3_atari_dqn.validation import check_known

_MILLION = 1e6


@dataclass(frozen=True)
class Published:
    """
    Mean scores of a published system.

    :param label: "dopamine:rainbow"
    :param source: one line for captions
    :param protocol: under which they were made
    :param games: key of a game -> (frames, mean raw scores), each [k]
    """

    label: str
    source: str
    protocol: Protocol
    games: dict[str, tuple[np.ndarray, np.ndarray]]

    def at(self, game: str, frames: float) -> float | None:
        """:return: score at this number of frames, linear between published points; None outside of them"""
        along, scores = self.games.get(key_of(game), (np.empty(0), np.empty(0)))
        if not len(along) or not along[0] <= frames <= along[-1]:
            return None
        return float(np.interp(frames, along, scores))

    def has_point(self, frames: float) -> bool:
        """:return: whether scores were published at exactly this number of frames"""
        return any(frames in along for along, _ in self.games.values())


#: Family -> (source, protocol).
_FAMILIES = {
    "dopamine": (
        "Dopamine's JAX baselines, mean of 5 runs; its QR-DQN has prioritized replay and 3-step returns",
        Protocol(TRAINING, sticky=0.25, life_loss=False, clip=True, epsilon=0.01, noops=0),
    ),
    "zoo": (
        "benchmark of RL Baselines3 Zoo, one run per game, evaluated after 10M environment steps",
        Protocol(EVALUATION, sticky=0.0, life_loss=True, clip=True, epsilon=0.01, noops=30),
    ),
    "cleanrl": (
        "documentation of CleanRL, mean of 3 runs, after 10M environment steps",
        Protocol(TRAINING, sticky=0.0, life_loss=True, clip=True, epsilon=0.01, noops=30),
    ),
}
_FILES = {"dopamine": "dopamine.csv", "zoo": "rl_zoo.csv", "cleanrl": "cleanrl.csv"}


@cache
def published_systems() -> dict[str, Published]:
    """:return: by label"""
    systems: dict[str, Published] = {}
    for family, (source, protocol) in _FAMILIES.items():
        for label, game, along, scores in _rows(family):
            systems.setdefault(label, Published(label, source, protocol, {})).games[game] = (along, scores)
    return systems


def find(label: str) -> Published:
    """:raises ValueError: on an unknown label; the message lists the known ones"""
    systems = published_systems()
    check_known("published system", label.lower(), systems)
    return systems[label.lower()]


def _rows(family: str) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    text = (files(__package__) / "published" / _FILES[family]).read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        torso = "-impala" if row.get("torso") == "impala" else ""
        points = {name: value for name, value in row.items() if name[0].isdigit() and value}
        along = np.array([float(name.removesuffix("M")) * _MILLION for name in points])
        label = f"{family}:{row['agent'].lower()}{torso}"
        yield label, row["game"], along, np.array([float(value) for value in points.values()])
