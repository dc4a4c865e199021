"""Callbacks that take over the state of others go on as those would have."""

import json
from typing import Any

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import LogEpisodes, SaveOnBestTrainingMean, SaveProgress
from sb3_atari_dqn.callbacks.run import Episode
from sb3_atari_dqn.checkpoints.state import Stateful, joined, split
from tests.support.games import countdowns
from tests.support.logs import column


def model_of() -> Any:
    greedy = {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0}  # whatever the length of the training
    pace = {"train_freq": 1, "learning_starts": 2, "batch_size": 2, "buffer_size": 100}
    return ClassicDQN("MlpPolicy", countdowns(3, 4), seed=0, device="cpu", **greedy, **pace)  # type: ignore[arg-type]


def taken_over(callback: Any, make: Any) -> Any:
    """:return: a new callback with the state of this one, which went through JSON"""
    values, arrays = split(callback.state_dict())
    again = make()
    again.load_state_dict(joined(json.loads(json.dumps(values)), arrays))
    return again


def test_games_and_the_mean_loss_of_a_game_in_progress_go_on(tmp_path):
    model_of().learn(40, callback=LogEpisodes(folder=tmp_path / "whole"))

    def make():
        return LogEpisodes(folder=tmp_path / "parts")

    model, first = model_of(), make()
    model.learn(20, callback=first)
    assert isinstance(first, Stateful)
    model.learn(20, callback=taken_over(first, make), reset_num_timesteps=False)
    whole, parts = (next((tmp_path / name).glob("*.csv")) for name in ("whole", "parts"))
    for name in whole.read_text().splitlines()[0].split(","):
        if name != "seconds":
            assert column(whole.parent, name) == column(parts.parent, name), name


def test_the_mean_to_beat_and_its_window_go_on(tmp_path):
    def make():
        return SaveOnBestTrainingMean(window=2, folder=tmp_path)

    def feed(callback, scores):
        callback.init_callback(model_of())
        for score in scores:
            callback._on_episode(Episode(1, 0, score, 3, 3))
        callback.on_training_end()
        return callback

    first = feed(make(), [5.0, 7.0, 1.0])
    again = taken_over(first, make)
    assert again.best_mean == 6
    feed(again, [12.0])
    assert json.loads((tmp_path / "best_training_model.json").read_text())["mean_return"] == 6.5
    assert taken_over(make(), make).best_mean == -float("inf")


def test_the_next_saving_comes_when_it_would_have(tmp_path):
    def make():
        return SaveProgress(every_env_steps=30, folder=tmp_path)

    model, first = model_of(), make()
    model.learn(20, callback=first)
    assert not (tmp_path / "progress.zip").exists()
    model.learn(12, callback=taken_over(first, make), reset_num_timesteps=False)
    assert ClassicDQN.load(tmp_path / "progress.zip").num_timesteps == 30
