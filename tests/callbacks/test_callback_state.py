"""Callbacks that take over the state of others go on as those would have."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import (
    LogDeadUnits,
    LogEpisodes,
    RecordEpisodes,
    RunCallback,
    SaveCheckpoints,
    SaveEveryEpisode,
    SaveOnBestTrainingMean,
    SaveProgress,
)
from sb3_atari_dqn.callbacks.run import Episode
from sb3_atari_dqn.checkpoints.checkpoint import newest
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


# --- classes of the user's that extend ours


class Counts:
    """A mixin; arguments of the constructor are not part of the state."""

    def __init__(self, *args: Any, least: float = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.least = least
        self.seen: dict[int, float] = {}

    def _on_episode(self, episode: Episode) -> None:
        if episode.score > self.least:
            self.seen[episode.number] = episode.score
        super()._on_episode(episode)  # type: ignore[misc]


class CountsAlone(Counts, RunCallback):
    writes = False


class CountsAndSaves(Counts, SaveOnBestTrainingMean):
    pass


class Holds(RunCallback):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.thing = object()


def resumed(folder: Path, *callbacks: Any) -> None:
    ClassicDQN.resume(folder, countdowns(3, 4), [SaveCheckpoints(folder=folder), *callbacks], 40, device="cpu")


def test_what_a_class_of_the_users_adds_to_one_of_ours_goes_on_too(tmp_path):
    def make(**kwargs: Any) -> list[Any]:
        return [CountsAlone(**kwargs), CountsAndSaves(2, tmp_path, **kwargs)]

    first, again = make(), make(least=3.5)
    model_of().learn(20, [SaveCheckpoints(folder=tmp_path), *first])
    assert [each.seen for each in first] == [{1: 3.0, 2: 4.0, 3: 3.0, 4: 4.0, 5: 3.0}] * 2
    resumed(tmp_path, *again)
    for each in again:
        assert each.seen == {**first[0].seen, 7: 4.0, 9: 4.0, 11: 4.0}
        assert each.n_episodes == 11
    assert again[1].best_mean == 3.5


def test_what_it_adds_and_cannot_be_saved_is_named(tmp_path):
    with pytest.warns(UserWarning, match=r"count anew: Holds\.thing is a builtins\.object: give Holds state_dict"):
        model_of().learn(20, [SaveCheckpoints(folder=tmp_path), Holds(tmp_path)])


def test_ours_know_their_own_attributes(tmp_path):
    kinds = (LogEpisodes, SaveEveryEpisode, SaveOnBestTrainingMean, SaveProgress, RecordEpisodes, RunCallback)
    ours = [SaveCheckpoints(folder=tmp_path), LogDeadUnits(), *(kind(folder=tmp_path) for kind in kinds)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of().learn(8, ours)
    states = newest(tmp_path / "checkpoints").state("callbacks")["callbacks"]
    assert [name for name, state, _ in states if "added attributes" in state] == []
