"""Names of Atari games, and scores normalised by those of a human and of random play."""

import csv
import re
from functools import cache
from importlib.resources import files

import numpy as np

_DECORATION = re.compile(r"(-ram)?(NoFrameskip|Deterministic)?(-v\d+)?$")


def game_of(name: str) -> str:
    """
    :param name: an environment such as "ALE/MsPacman-v5" or "PongNoFrameskip-v4", or a game in any spelling
    :return: the game as gymnasium spells it, "MsPacman"; other environments as they are
    """
    short = _DECORATION.sub("", name.removeprefix("ALE/"))
    return {key_of(game): game for game in human_scores()}.get(key_of(short), short)


def key_of(game: str) -> str:
    """:return: "mspacman" for "Ms. Pac-Man", "ms_pacman" and "MsPacman", to compare names"""
    return re.sub(r"[^a-z0-9]", "", game.lower())


@cache
def human_scores() -> dict[str, tuple[float, float]]:
    """:return: mean returns of random play and of a human, by game (57)"""
    text = (files(__package__) / "published/human_random.csv").read_text(encoding="utf-8")
    return {row["game"]: (float(row["random"]), float(row["human"])) for row in csv.DictReader(text.splitlines())}


def normalised(game: str, scores: np.ndarray) -> np.ndarray:
    """
    :param scores: raw returns
    :return: 0 for random play, 1 for the human
    :raises ValueError: if there is no human score of this game
    """
    known = human_scores()
    if game not in known:
        raise ValueError(
            f"{game} has no published human score (only 57 Atari games do), so it cannot be normalised: leave it out, "
            "or choose the games with --games"
        )
    random, human = known[game]
    return (np.asarray(scores, dtype=float) - random) / (human - random)
