"""Every game that ALE ships, without sticky actions: a restored emulator continues exactly, or it is on the list."""

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from ale_py import ALEInterface, roms

from sb3_atari_dqn.checkpoints.env_emulator import NOT_RESTORABLE, emulator_state, load_emulator_state

gym.register_envs(ale_py)
GAMES = sorted({spec.kwargs["game"] for spec in gym.registry.values() if "AtariEnv" in str(spec.entry_point)})


def emulator(game: str, seed: int) -> ALEInterface:
    ale = ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", 0.0)
    path = roms.get_rom_path(game)
    assert path is not None
    ale.loadROM(path)
    ale.reset_game()
    return ale


def play(ale: ALEInterface, choices: np.ndarray) -> list[tuple]:
    """:return: reward, lives, RAM and screen of each frame"""
    actions, results = ale.getMinimalActionSet(), []
    for choice in choices:
        reward = ale.act(actions[choice % len(actions)])
        results.append((reward, ale.lives(), ale.getRAM().tobytes(), ale.getScreen().tobytes(), ale.game_over()))
        if ale.game_over():
            ale.reset_game()
    return results


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_an_emulator_continues_or_the_game_is_replayed(game):
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    rng = np.random.default_rng(0)
    original, other = emulator(game, 1), emulator(game, 2)
    continues = True
    for frames in (37, 200):
        for choice in rng.integers(18, size=frames):
            original.act(original.getMinimalActionSet()[choice % len(original.getMinimalActionSet())])
        load_emulator_state(other, emulator_state(original))
        then = rng.integers(18, size=40)
        continues &= play(original, then) == play(other, then)
    # A game that continues again: take it off the list, replays are slow.
    assert continues == (game not in NOT_RESTORABLE)
