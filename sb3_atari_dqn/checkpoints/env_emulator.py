"""State of ALE's emulator, recognized by its methods: this package is used without ale-py, too."""

from typing import Any

import numpy as np

#: Games that do not continue as they were when ALE 0.12.1 restores them: Qbert and Tetris differ for ever (mended by
#: ALE #732), the others in the first frame or two. tests/checkpoints/test_env_state_games.py tries all games.
NOT_RESTORABLE = frozenset({"qbert", "tetris", "tic_tac_toe_3d", "yars_revenge"})


def is_emulator(value: Any) -> bool:
    """:return: whether it is an ``ALEInterface``"""
    return hasattr(value, "cloneState") and hasattr(value, "restoreState")


def is_restorable(game: Any) -> bool:
    """
    With sticky actions, a frame may repeat the action of the one before, and ALE's state does not hold that action: one
    in a few restored games takes another course.

    :param game: an ``AtariEnv``
    :return: whether a restored emulator continues exactly
    """
    return game.ale.getFloat("repeat_action_probability") == 0 and game._game not in NOT_RESTORABLE


def emulator_state(ale: Any) -> np.ndarray:
    """:return: the state of the game and of its random generator, uint8, about 14 kB"""
    return np.frombuffer(ale.cloneState(include_rng=True).serialize(), np.uint8).copy()


def load_emulator_state(ale: Any, state: np.ndarray) -> None:
    """
    :param ale: with the same game and settings
    :param state: as :func:`emulator_state` gave it
    """
    kind = type(ale.cloneState())
    ale.restoreState(kind(state.tobytes()))
