"""Models saved during training."""

import json
import resource
from typing import cast

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import SaveEveryEpisode, SaveOnBestTrainingMean, SaveProgress
from sb3_atari_dqn.callbacks.run import Episode
from tests.support.commands import files
from tests.support.games import countdowns


def learn(env, callback, steps, algorithm=ClassicDQN):
    model = algorithm(
        "MlpPolicy", env, train_freq=1, learning_starts=2, batch_size=2, buffer_size=100, seed=0, device="cpu"
    )
    return model.learn(steps, callback=callback)


def test_every_second_episode_of_all_environments_leaves_a_model_that_loads(tmp_path):
    """Episodes of 3 and 4 steps end at vector steps 3, 4, 6, 8, 9, 12 (both)."""
    learn(countdowns(3, 4), SaveEveryEpisode(2, folder=tmp_path), 20)
    assert files(tmp_path) == ["models", "models/episode_000002.zip", "models/episode_000004.zip"]
    saved = ClassicDQN.load(tmp_path / "models/episode_000004.zip", device="cpu")
    assert saved.num_timesteps == 16


def test_a_nan_mean_does_not_replace_the_model(tmp_path):
    callback = SaveOnBestTrainingMean(window=2, folder=tmp_path)
    callback.init_callback(ClassicDQN("MlpPolicy", countdowns(3), buffer_size=10, device="cpu"))
    for number, score in enumerate([5.0, 7.0, float("nan"), 1.0, 2.0], start=1):
        callback._on_episode(Episode(number, 0, score, 3, 3 * number))
    assert json.loads((tmp_path / "best_training_model.json").read_text())["mean_return"] == 6


def test_returns_of_another_training_are_not_in_the_mean(tmp_path):
    best = SaveOnBestTrainingMean(2, folder=tmp_path)
    learn(countdowns(9), best, 9)
    learn(countdowns(3), best, 3)
    assert files(tmp_path) == [], "each has had one episode"
    learn(countdowns(3), best, 6)
    assert json.loads((tmp_path / "best_training_model.json").read_text())["mean_return"] == 3


def test_a_lost_life_is_not_an_episode(tmp_path):
    learn(countdowns(6, lives=True), SaveEveryEpisode(folder=tmp_path), 13)
    assert files(tmp_path) == ["models", "models/episode_000001.zip", "models/episode_000002.zip"]


def test_sb3_models_are_saved_too(tmp_path):
    learn(countdowns(5), SaveEveryEpisode(folder=tmp_path), 5, DQN)
    assert DQN.load(tmp_path / "models/episode_000001.zip").num_timesteps == 5


def feed(callback, scores):
    """:return: the episodes after which the callback saved, with the mean in its JSON"""
    saved = []

    class Model:
        num_timesteps = 0

        def save(self, file):
            file.write(b"model")

        def get_vec_normalize_env(self):
            return None

    callback.model = Model()
    for number, score in enumerate(scores, start=1):
        callback.num_timesteps = 10 * number
        callback.locals = {"infos": [{}, {"episode": {"r": score, "l": 1}}]}
        callback.on_step()
        path = callback.folder / "best_training_model.json"
        if path.exists():
            found = json.loads(path.read_text())
            saved += [(number, found["mean_return"])] if found["episode"] == number else []
    return saved


def test_only_a_better_mean_of_a_full_window_is_saved(tmp_path):
    """Means of 3: episodes 3 to 7 have 2, 3, 3, 1, 4; the high first return alone does not count."""
    scores = [6, 0, 0, 9, 0, -6, 18]
    saved = feed(SaveOnBestTrainingMean(window=3, folder=tmp_path), scores)
    assert saved == [(3, 2.0), (4, 3.0), (7, 4.0)]
    assert files(tmp_path) == ["best_training_model.json", "best_training_model.zip"]


@pytest.mark.parametrize("scores", [[], [5.0], [5.0, 7.0]])
def test_nothing_is_saved_before_the_window_is_full(tmp_path, scores):
    assert feed(SaveOnBestTrainingMean(window=3, folder=tmp_path), scores) == []


@pytest.mark.parametrize("bad", [0, -1, 1.5, "ten"])
def test_bad_numbers_raise(bad):
    with pytest.raises(ValueError, match="window"):
        SaveOnBestTrainingMean(window=bad)
    with pytest.raises(ValueError, match="every_n_episodes"):
        SaveEveryEpisode(bad)


def test_outside_the_zoo_a_folder_is_required():
    with pytest.raises(ValueError, match=r"SaveEveryEpisode\(folder='my_run'\)"):
        learn(countdowns(3), SaveEveryEpisode(), 5)


@pytest.fixture
def full_disk():
    """No file grows beyond 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        (SaveEveryEpisode, "models/episode_000001.zip"),
        (SaveOnBestTrainingMean, "best_training_model.zip"),
        (SaveProgress, "progress.zip"),
    ],
)
def test_a_full_disk_is_a_warning_with_file_and_reason_and_training_continues(tmp_path, full_disk, callback, name):
    with pytest.warns(UserWarning, match=rf"could not write {tmp_path}/{name}: .*File too large.*folder="):
        model = learn(countdowns(3), callback(1, folder=tmp_path), 7)
    assert model.num_timesteps == 7
    assert not [path for path in files(tmp_path) if path != "models"]


def test_a_full_disk_leaves_an_existing_sb3_replay_buffer_intact(tmp_path, full_disk):
    model = ClassicDQN("MlpPolicy", countdowns(3), replay="sb3", buffer_size=100, device="cpu")
    path = tmp_path / "replay_buffer.pkl"
    path.write_bytes(b"older")
    with pytest.raises(OSError, match="File too large"):
        model.save_replay_buffer(path)
    assert path.read_bytes() == b"older"
    assert files(tmp_path) == ["replay_buffer.pkl"]


def test_a_mean_whose_model_could_not_be_saved_is_not_the_best(tmp_path):
    obstacle = tmp_path / "best_training_model.zip"
    obstacle.mkdir()
    callback = SaveOnBestTrainingMean(window=1, folder=tmp_path)
    with pytest.warns(UserWarning, match="Is a directory"):
        assert feed(callback, [9.0]) == []
    obstacle.rmdir()
    feed(callback, [5.0])
    assert json.loads((tmp_path / "best_training_model.json").read_text())["mean_return"] == 5.0


def saved_statistics(path):
    return cast(RunningMeanStd, VecNormalize.load(str(path), countdowns(3)).obs_rms).count


def test_every_model_of_a_normalized_training_has_its_own_statistics(tmp_path):
    callbacks = [
        SaveEveryEpisode(folder=tmp_path),
        SaveOnBestTrainingMean(1, folder=tmp_path),
        SaveProgress(4, folder=tmp_path),
    ]
    learn(VecNormalize(countdowns(3)), callbacks, 10)
    assert [name for name in files(tmp_path) if name.endswith(".pkl")] == [
        "best_training_model_vecnormalize.pkl",
        *(f"models/episode_00000{number}_vecnormalize.pkl" for number in (1, 2, 3)),
        "progress_vecnormalize.pkl",
        "replay_buffer.pkl",
    ]
    counts = [saved_statistics(tmp_path / f"models/episode_00000{number}_vecnormalize.pkl") for number in (1, 2, 3)]
    assert np.diff(counts) == pytest.approx([3, 3])
    assert saved_statistics(tmp_path / "best_training_model_vecnormalize.pkl") == counts[0]


def test_progress_is_saved_periodically_with_the_replay_buffer_and_training_continues_from_it(tmp_path):
    model = learn(countdowns(3, 4), SaveProgress(6, folder=tmp_path), 16)  # at 6 and 12, of two environments
    assert files(tmp_path) == ["progress.zip", "replay_buffer.pkl"]
    kept = ClassicDQN.load(tmp_path / "progress.zip", env=model.env, device="cpu")
    kept.load_replay_buffer(tmp_path / "replay_buffer.pkl")
    # SB3 calls callbacks before it stores the transitions of the current step
    assert (kept.num_timesteps, kept.replay_buffer.size() * 2) == (12, 10)
    kept.learn(4, reset_num_timesteps=False)
    assert kept.num_timesteps == 16
