"""Logs, for tests to look at."""

import csv
from pathlib import Path

from stable_baselines3.common.logger import KVWriter


class Memory(KVWriter):
    """Keeps every log that was written."""

    def __init__(self):
        self.dumps = []

    def write(self, key_values, key_excluded, step=0):
        self.dumps.append(dict(key_values))

    def close(self):
        pass


def rows(folder: Path) -> list[dict[str, str]]:
    """:return: what LogEpisodes wrote there, a row for each episode"""
    with (folder / "episodes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(folder: Path, name: str) -> list[str]:
    return [row[name] for row in rows(folder)]
