"""One row per episode."""

import math
import re
from typing import Any

import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import LogEpisodes, episode_log
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.update import Update
from tests.support.games import countdowns
from tests.support.logs import column

SMALL: dict[str, Any] = dict(train_freq=1, learning_starts=4, batch_size=2, buffer_size=100, seed=0, device="cpu")


def test_every_episode_of_all_environments_has_a_row(tmp_path):
    """Episodes of 3 and 4 steps end at vector steps 3, 4, 6, 8, 9."""
    ClassicDQN("MlpPolicy", countdowns(3, 4), **SMALL).learn(20, callback=LogEpisodes(folder=tmp_path))
    assert column(tmp_path, "episode") == ["1", "2", "3", "4", "5"]
    assert column(tmp_path, "env") == ["0", "1", "0", "1", "0"]
    assert column(tmp_path, "env_steps") == ["6", "8", "12", "16", "18"]
    assert column(tmp_path, "return") == ["3.0", "4.0", "3.0", "4.0", "3.0"]


def test_epsilon_is_the_one_of_the_last_action(tmp_path):
    model = ClassicDQN("MlpPolicy", countdowns(5), **SMALL, exploration_steps=20, exploration_final_eps=0.0)
    model.learn(20, callback=LogEpisodes(folder=tmp_path))
    assert [float(value) for value in column(tmp_path, "epsilon")] == pytest.approx([0.8, 0.55, 0.3, 0.05])


@pytest.mark.parametrize("pace", [dict(train_freq=1), dict(train_freq=None, replay_ratio=1.0)])
def test_the_mean_loss_covers_the_updates_since_the_previous_episode(tmp_path, monkeypatch, pace):
    """Losses 1, 2, 3, ...; one update per step from step 5 on. SB3's own logging in between must not consume them."""
    model = ClassicDQN("MlpPolicy", countdowns(4), **SMALL | pace)
    monkeypatch.setattr(ReferenceLearner, "update", numbered_losses())
    model.learn(13, callback=LogEpisodes(folder=tmp_path), log_interval=1)
    losses = column(tmp_path, "mean_loss")
    # SB3's loop trains after the callbacks: updates 1 to 3 fall between the episodes that end at steps 4 and 8.
    between = [math.nan, 2.0, 5.5] if pace["train_freq"] else [math.nan, 2.5, 6.5]
    assert [float(loss or "nan") for loss in losses] == pytest.approx(between, nan_ok=True)


def numbered_losses():
    """:return: replaces the update; the loss is the number of the call"""
    count = iter(range(1, 1000))

    def update(self, batch, rule):
        numbers = torch.tensor([float(next(count)), 90.0, 91.0, 92.0])
        return Update(torch.zeros(2), numbers)

    return update


def test_sb3_dqn_reports_its_loss_and_ppo_has_no_epsilon(tmp_path):
    model = DQN("MlpPolicy", countdowns(5), **SMALL)
    model.learn(15, callback=LogEpisodes(folder=tmp_path / "dqn"))
    assert [loss == "" for loss in column(tmp_path / "dqn", "mean_loss")] == [True, False, False]
    PPO("MlpPolicy", countdowns(5), n_steps=8, batch_size=8, device="cpu").learn(
        8, callback=LogEpisodes(folder=tmp_path / "ppo")
    )
    assert column(tmp_path / "ppo", "epsilon") == [""]


def test_tensorboard_gets_a_point_per_episode_over_environment_steps(tmp_path):
    model = ClassicDQN("MlpPolicy", countdowns(3, 4), **SMALL)
    board = TensorBoardOutputFormat(str(tmp_path / "board"))
    model.set_logger(Logger(str(tmp_path), [board]))
    model.learn(20, callback=LogEpisodes(folder=tmp_path), log_interval=1000)
    board.close()
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("episode/return")] == [
        *((6, 3.0), (8, 4.0), (12, 3.0), (16, 4.0), (18, 3.0))
    ]
    assert {"episode/length", "episode/mean_loss", "episode/epsilon"} <= set(events.Tags()["scalars"])


def test_an_unwritable_log_is_a_warning_and_its_rows_are_written_later(tmp_path):
    class Mends(LogEpisodes):
        def _on_episode(self, episode):
            if episode.number == 2:
                (tmp_path / "episodes.csv").rmdir()
            super()._on_episode(episode)

    (tmp_path / "episodes.csv").mkdir()
    with pytest.warns(UserWarning, match=r"could not write .*episodes\.csv: .*Is a directory.*folder="):
        model = ClassicDQN("MlpPolicy", countdowns(3), **SMALL).learn(9, callback=Mends(folder=tmp_path))
    assert model.num_timesteps == 9
    assert column(tmp_path, "episode") == ["1", "2", "3"]


def test_rows_that_were_written_in_part_leave_nothing_behind(tmp_path):
    """A limit on the size of files stands for a full disk: it lets the first bytes of the row through."""
    resource = pytest.importorskip("resource")
    path, before = tmp_path / "episodes.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    rows = [[number, 0, 100, 1.5, -21.0, 900, 0.125, 0.05] for number in (1, 2, 3)]
    episode_log.append(path, rows[:1])
    whole = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            episode_log.append(path, rows[1:2])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == whole
    episode_log.append(path, rows[1:])
    assert column(tmp_path, "episode") == ["1", "2", "3"]


OLD_HEADER = "game,env,env_steps,seconds,return,length,mean_loss,epsilon\n"


def continued(folder):
    """Two more episodes of a training that made 9 steps before."""
    model = ClassicDQN("MlpPolicy", countdowns(3), **SMALL).learn(9)
    return model.learn(6, callback=LogEpisodes(folder=folder), reset_num_timesteps=False)


def test_a_continued_run_renames_the_games_csv_of_an_older_version_and_appends_to_it(tmp_path):
    (tmp_path / "games.csv").write_text(OLD_HEADER + "1,0,3,0.5,3.0,3,,0.9\n2,0,6,1.5,3.0,3,0.25,0.8\n3,0,par")
    with pytest.warns(FutureWarning, match=r"games\.csv.*episodes\.csv"):
        continued(tmp_path)
    assert not (tmp_path / "games.csv").exists()
    assert column(tmp_path, "episode") == ["1", "2", "3", "4"]
    assert column(tmp_path, "env_steps") == ["3", "6", "12", "15"]
    assert column(tmp_path, "epsilon")[:2] == ["0.9", "0.8"]
    assert float(column(tmp_path, "seconds")[2]) >= 1.5, "time goes on from the last row"


def test_a_games_csv_beside_an_episodes_csv_stays_as_it_is(tmp_path, recwarn):
    (tmp_path / "games.csv").write_text("anything\n")
    (tmp_path / "episodes.csv").write_text(OLD_HEADER.replace("game,", "episode,") + "7,0,3,0.5,3.0,3,,0.9\n")
    continued(tmp_path)
    assert column(tmp_path, "episode") == ["7", "8", "9"]
    assert (tmp_path / "games.csv").read_text() == "anything\n"
    assert not [each for each in recwarn if each.category is FutureWarning]


@pytest.mark.parametrize("name", ["games.csv", "episodes.csv"])
@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", OLD_HEADER.replace("return", "score")])
def test_a_file_of_another_kind_raises_before_training_and_is_not_changed(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{re.escape(name)} .*LogEpisodes.*folder="):
        continued(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, content)]


def test_a_new_training_does_not_take_over_the_games_csv_of_another_one(tmp_path):
    (tmp_path / "games.csv").write_text(OLD_HEADER)
    with pytest.raises(ValueError, match=r"games\.csv.*LogEpisodes\(folder="):
        ClassicDQN("MlpPolicy", countdowns(3), **SMALL).learn(6, callback=LogEpisodes(folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["games.csv"]
