"""One row per game."""

import math
from typing import Any

import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import LogEpisodes
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.update import Update
from tests.support.games import countdowns
from tests.support.logs import column

SMALL: dict[str, Any] = dict(train_freq=1, learning_starts=4, batch_size=2, buffer_size=100, seed=0, device="cpu")


def test_every_game_of_all_environments_has_a_row(tmp_path):
    """Games of 3 and 4 steps: at vector steps 3, 4, 6, 8, 9."""
    ClassicDQN("MlpPolicy", countdowns(3, 4), **SMALL).learn(20, callback=LogEpisodes(folder=tmp_path))
    assert column(tmp_path, "game") == ["1", "2", "3", "4", "5"]
    assert column(tmp_path, "env") == ["0", "1", "0", "1", "0"]
    assert column(tmp_path, "env_steps") == ["6", "8", "12", "16", "18"]
    assert column(tmp_path, "return") == ["3.0", "4.0", "3.0", "4.0", "3.0"]


def test_epsilon_is_the_one_of_the_last_action(tmp_path):
    model = ClassicDQN("MlpPolicy", countdowns(5), **SMALL, exploration_steps=20, exploration_final_eps=0.0)
    model.learn(20, callback=LogEpisodes(folder=tmp_path))
    assert [float(value) for value in column(tmp_path, "epsilon")] == pytest.approx([0.8, 0.55, 0.3, 0.05])


@pytest.mark.parametrize("pace", [dict(train_freq=1), dict(train_freq=None, updates_per_transition=1.0)])
def test_the_mean_loss_goes_over_the_updates_since_the_game_before(tmp_path, monkeypatch, pace):
    """Losses 1, 2, 3, ...; one update per step from step 5 on, and the logs in between take nothing away."""
    model = ClassicDQN("MlpPolicy", countdowns(4), **SMALL | pace)
    monkeypatch.setattr(ReferenceLearner, "update", numbered_losses())
    model.learn(13, callback=LogEpisodes(folder=tmp_path), log_interval=1)
    losses = column(tmp_path, "mean_loss")
    # SB3's loop trains after the callbacks: updates 1 to 3 lie between the games that end at steps 4 and 8.
    between = [math.nan, 2.0, 5.5] if pace["train_freq"] else [math.nan, 2.5, 6.5]
    assert [float(loss or "nan") for loss in losses] == pytest.approx(between, nan_ok=True)


def numbered_losses():
    """:return: a stand-in for an update, whose loss is its number"""
    count = iter(range(1, 1000))

    def update(self, batch, rule):
        numbers = torch.tensor([float(next(count)), 90.0, 91.0, 92.0])
        return Update(torch.zeros(2), numbers)

    return update


def test_sb3_s_own_dqn_tells_its_loss_and_ppo_has_no_epsilon(tmp_path):
    model = DQN("MlpPolicy", countdowns(5), **SMALL)
    model.learn(15, callback=LogEpisodes(folder=tmp_path / "dqn"))
    assert [loss == "" for loss in column(tmp_path / "dqn", "mean_loss")] == [True, False, False]
    PPO("MlpPolicy", countdowns(5), n_steps=8, batch_size=8, device="cpu").learn(
        8, callback=LogEpisodes(folder=tmp_path / "ppo")
    )
    assert column(tmp_path / "ppo", "epsilon") == [""]


def test_tensorboard_gets_a_point_per_game_over_environment_steps(tmp_path):
    model = ClassicDQN("MlpPolicy", countdowns(3, 4), **SMALL)
    board = TensorBoardOutputFormat(str(tmp_path / "board"))
    model.set_logger(Logger(str(tmp_path), [board]))
    model.learn(20, callback=LogEpisodes(folder=tmp_path), log_interval=1000)
    board.close()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("game/return")] == [
        *((6, 3.0), (8, 4.0), (12, 3.0), (16, 4.0), (18, 3.0))
    ]
    assert {"game/length", "game/mean_loss", "game/epsilon"} <= set(events.Tags()["scalars"])


def test_a_path_that_breaks_is_a_warning_and_rows_come_back_with_it(tmp_path):
    class Mends(LogEpisodes):
        def _on_game(self, game):
            if game.number == 2:
                (tmp_path / "games.csv").rmdir()
            super()._on_game(game)

    (tmp_path / "games.csv").mkdir()
    with pytest.warns(UserWarning, match=r"games\.csv.*Is a directory.*folder="):
        model = ClassicDQN("MlpPolicy", countdowns(3), **SMALL).learn(9, callback=Mends(folder=tmp_path))
    assert model.num_timesteps == 9
    assert column(tmp_path, "game") == ["1", "2", "3"]
