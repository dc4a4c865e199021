"""What all episode callbacks have in common: monitors, folders, open files."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
)

from sb3_atari_dqn import ClassicDQN, NativeAtariVecEnv
from sb3_atari_dqn.callbacks import (
    LogEpisodes,
    RecordEpisodes,
    RunCallback,
    SaveEveryEpisode,
    SaveOnBestTrainingMean,
    SaveProgress,
)
from tests.support.commands import files
from tests.support.games import Countdown, countdowns
from tests.support.logs import column

EPISODE_CALLBACKS = [LogEpisodes, RecordEpisodes, SaveEveryEpisode, SaveOnBestTrainingMean]


def model(env, algorithm=ClassicDQN):
    return algorithm(
        "MlpPolicy", env, train_freq=1, learning_starts=2, batch_size=2, buffer_size=100, seed=0, device="cpu"
    )


def bare(n=1) -> VecEnv:
    return DummyVecEnv([Countdown] * n)


class StrangeVecEnv(VecEnvWrapper):
    """Like some other packages' vectorized environments: does not know how its environments are wrapped."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        return self.venv.step_wait()

    def env_is_wrapped(self, wrapper_class, indices=None):
        raise AttributeError("no such thing")


# Monitors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("callback", EPISODE_CALLBACKS)
@pytest.mark.parametrize("algorithm", [ClassicDQN, DQN])
def test_an_environment_without_a_monitor_raises_before_training(tmp_path, callback, algorithm):
    trained = model(bare(), algorithm)
    with pytest.raises(ValueError, match=rf"{callback.__name__} .*make_vec_env.*Monitor.*VecMonitor"):
        trained.learn(9, callback=callback(folder=tmp_path / "run"))
    assert trained.num_timesteps == 0
    assert not (tmp_path / "run").exists()


def test_the_error_names_the_environments_without_a_monitor(tmp_path):
    env = DummyVecEnv([lambda: Monitor(Countdown()), Countdown, Countdown])
    with pytest.raises(ValueError, match=r"environments 1, 2\b"):
        model(env).learn(9, callback=LogEpisodes(folder=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: SubprocVecEnv([Countdown]),
        lambda: StrangeVecEnv(bare()),
        lambda: VecFrameStack(bare(), 2),
    ],
)
def test_every_kind_of_vectorized_environment_is_checked(tmp_path, build):
    env = build()
    with pytest.raises(ValueError, match=r"LogEpisodes .*Monitor"):
        model(env).learn(9, callback=LogEpisodes(folder=tmp_path))
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: VecMonitor(bare()),
        lambda: VecFrameStack(VecMonitor(bare()), 2),
        lambda: VecMonitor(StrangeVecEnv(bare())),
        lambda: SubprocVecEnv([lambda: Monitor(Countdown())]),
        lambda: DummyVecEnv([lambda: gym.wrappers.RecordEpisodeStatistics(Countdown())]),
        Countdown,  # SB3 wraps it in a Monitor
    ],
)
def test_anything_that_reports_episode_ends_is_enough(tmp_path, build):
    trained = model(build()).learn(9, callback=LogEpisodes(folder=tmp_path))
    assert column(tmp_path, "return") == ["4.0", "4.0"]
    trained.env.close()


def test_native_environments_report_episode_ends(tmp_path):
    env = NativeAtariVecEnv("PongNoFrameskip-v4", seed=0, env_kwargs={"max_num_frames_per_episode": 100})
    trained = ClassicDQN("CnnPolicy", env, buffer_size=100, learning_starts=1000, device="cpu")
    trained.learn(30, callback=LogEpisodes(folder=tmp_path))
    assert column(tmp_path, "length") == ["100"]


def test_callbacks_without_episode_hook_need_no_monitor(tmp_path):
    model(bare()).learn(7, callback=[SaveProgress(3, folder=tmp_path), RunCallback(folder=tmp_path)])
    assert files(tmp_path) == ["progress.zip", "replay_buffer.pkl"]


# Folders ------------------------------------------------------------------------------------------------------------


class RemovesFolder(BaseCallback):
    """Deletes the folder after a number of steps."""

    def __init__(self, folder: Path, at: int) -> None:
        super().__init__()
        self.folder, self.at = folder, at

    def _on_step(self) -> bool:
        if self.num_timesteps == self.at:
            shutil.rmtree(self.folder)
        return True


def test_a_log_whose_folder_was_removed_is_started_again_with_a_header_and_a_warning(tmp_path):
    folder = tmp_path / "run"
    with pytest.warns(UserWarning, match=r"episodes\.csv was removed"):
        model(countdowns(4)).learn(17, callback=[LogEpisodes(folder=folder), RemovesFolder(folder, 9)])
    assert column(folder, "episode") == ["3", "4"]


def test_models_and_videos_of_later_episodes_survive_the_removal_of_their_folder(tmp_path):
    folder = tmp_path / "run"
    callbacks = [
        RemovesFolder(folder, 9),
        SaveEveryEpisode(folder=folder),
        SaveProgress(5, folder=folder),
        RecordEpisodes(folder=folder, format="gif", scale=1),
    ]
    with pytest.warns(UserWarning, match=r"could not write .*training_episode_000003\.gif"):
        model(countdowns(4)).learn(17, callback=callbacks)
    assert [name for name in files(folder) if "." in name] == [
        *("models/episode_000003.zip", "models/episode_000004.zip", "progress.zip", "replay_buffer.pkl"),
        "videos/training_episode_000004.gif",
    ]


def test_a_removed_best_model_is_replaced_by_the_next_one(tmp_path):
    folder = tmp_path / "run"
    with pytest.warns(UserWarning, match=r"best_training_model\.zip was removed"):
        model(countdowns(4)).learn(17, callback=[RemovesFolder(folder, 9), SaveOnBestTrainingMean(1, folder=folder)])
    assert files(folder) == ["best_training_model.json", "best_training_model.zip"]


@pytest.mark.parametrize("callback", [*EPISODE_CALLBACKS, SaveProgress])
def test_a_second_training_in_the_same_folder_raises_and_changes_no_file(tmp_path, callback):
    options: dict[str, Any] = dict(window=1) if callback is SaveOnBestTrainingMean else {}
    options |= dict(every_env_steps=3) if callback is SaveProgress else {}
    options |= dict(format="gif", scale=1) if callback is RecordEpisodes else {}
    model(countdowns(4)).learn(9, callback=callback(folder=tmp_path, **options))
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}
    with pytest.raises(ValueError, match=rf"{tmp_path}.*{callback.__name__}\(folder=.*reset_num_timesteps=False"):
        model(countdowns(4)).learn(9, callback=callback(folder=tmp_path, **options))
    assert before == {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}


def test_reused_callbacks_and_those_of_a_continued_model_continue_the_episode_numbers(tmp_path):
    def callbacks():
        return [
            LogEpisodes(folder=tmp_path),
            SaveEveryEpisode(folder=tmp_path),
            SaveOnBestTrainingMean(1, folder=tmp_path),
            SaveProgress(1, folder=tmp_path),
        ]

    used = callbacks()
    trained = model(countdowns(4)).learn(9, callback=used)
    trained.learn(9, callback=used)
    (tmp_path / "episodes.csv").open("ab").write(b"5,0,cut")  # left by a killed process
    best = (tmp_path / "best_training_model.zip").read_bytes()
    again = ClassicDQN.load(tmp_path / "progress.zip", env=countdowns(4), device="cpu")
    again.learn(9, callback=callbacks(), reset_num_timesteps=False)
    assert column(tmp_path, "episode") == ["1", "2", "3", "4", "5", "6"]
    assert column(tmp_path, "env_steps") == ["4", "8", "4", "8", "13", "17"]
    seconds = [float(value) for value in column(tmp_path, "seconds")]
    assert seconds == sorted(seconds)
    assert files(tmp_path / "models") == [f"episode_00000{number}.zip" for number in range(1, 7)]
    assert (tmp_path / "best_training_model.zip").read_bytes() == best, "an equal mean is not an improvement"


class Waits(RunCallback):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.trains, self.may_end = threading.Event(), threading.Event()

    def _on_training_start(self) -> None:
        self.trains.set()
        self.may_end.wait(60)


@pytest.mark.slow
def test_a_folder_in_use_by_another_thread_or_process_raises(tmp_path):
    waits = Waits(tmp_path)
    thread = threading.Thread(target=lambda: model(countdowns(3)).learn(4, callback=waits))
    thread.start()
    assert waits.trains.wait(60)
    with pytest.raises(ValueError, match=rf"{tmp_path}.*folder="):
        model(countdowns(3)).learn(4, callback=LogEpisodes(folder=tmp_path))
    claim = (
        "import sys, pathlib; from sb3_atari_dqn.callbacks.claims import claim; claim(pathlib.Path(sys.argv[1]), set)"
    )
    other = subprocess.run([sys.executable, "-c", claim, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "ValueError: " in other.stderr
    assert str(tmp_path) in other.stderr
    waits.may_end.set()
    thread.join()
    model(countdowns(3)).learn(4, callback=LogEpisodes(folder=tmp_path))


def test_a_training_that_crashed_in_this_thread_does_not_block_the_next(tmp_path):
    class Dies(RunCallback):
        def _on_step(self):
            raise ZeroDivisionError

    dies = Dies(tmp_path)
    with pytest.raises(ZeroDivisionError):
        model(countdowns(3)).learn(4, callback=dies)
    model(countdowns(3)).learn(4, callback=LogEpisodes(folder=tmp_path))
    assert column(tmp_path, "episode") == ["1"]


# Open files ----------------------------------------------------------------------------------------------------------

SCRIPT = """
import gc, sys
from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.callbacks import *
from tests.support.games import countdowns
def run(folder):
    callbacks = [LogEpisodes(folder=folder), SaveEveryEpisode(folder=folder), SaveOnBestTrainingMean(1, folder=folder),
                 SaveProgress(2, folder=folder), RecordEpisodes(folder=folder, format="gif")]
    model = ClassicDQN("MlpPolicy", countdowns(4), learning_starts=2, buffer_size=100, device="cpu")
    model.learn(10, callback=callbacks)
run(sys.argv[1])
gc.collect()
"""


@pytest.mark.slow
def test_every_file_is_closed_after_training(tmp_path):
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-W", "error::ResourceWarning", "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "episodes.csv" in files(tmp_path)


# Names up to 0.1.0 ----------------------------------------------------------------------------------------------------


def test_the_old_hook_and_the_old_counter_still_work_with_a_warning(tmp_path):
    seen = []
    with pytest.warns(FutureWarning, match=r"Old\._on_game .*_on_episode"):

        class Old(SaveEveryEpisode):
            def _on_game(self, game):
                seen.append(game.number)
                super()._on_game(game)

    callback = Old(folder=tmp_path)
    model(countdowns(4)).learn(9, callback=callback)
    assert seen == [1, 2]
    assert files(tmp_path / "models") == ["episode_000001.zip", "episode_000002.zip"]
    with pytest.warns(FutureWarning, match="n_games .*n_episodes"):
        assert callback.n_games == 2


def test_the_old_hook_of_a_direct_subclass_needs_a_monitor_too(tmp_path):
    with pytest.warns(FutureWarning, match="_on_game"):

        class Old(RunCallback):
            def _on_game(self, game):
                super()._on_game(game)

    model(countdowns(4)).learn(9, callback=Old(folder=tmp_path))
    with pytest.raises(ValueError, match=r"Old .*Monitor"):
        model(bare()).learn(9, callback=Old(folder=tmp_path / "other"))


def numbers_seen(kind, folder):
    kind.seen = []
    model(countdowns(4)).learn(9, callback=kind(folder=folder))
    return kind.seen


def test_the_old_hook_of_a_mixin_works_with_a_warning(tmp_path):
    class Mix:
        seen: list[Any]

        def _on_game(self, game):
            self.seen.append(game.number)
            super()._on_game(game)  # type: ignore[misc]

    with pytest.warns(FutureWarning, match=r"^Mix\._on_game was renamed to _on_episode"):

        class Old(Mix, SaveEveryEpisode):
            pass

    class Below(Old):
        pass

    assert numbers_seen(Old, tmp_path / "old") == numbers_seen(Below, tmp_path / "below") == [1, 2]
    assert len(files(tmp_path / "old" / "models")) == 2


def test_old_and_new_hooks_call_each_other_whatever_name_they_use(tmp_path):
    class NewMix:
        seen: list[Any]

        def _on_episode(self, episode):
            self.seen.append("new")
            super()._on_episode(episode)  # type: ignore[misc]

    class OldMix:
        seen: list[Any]

        def _on_game(self, game):
            self.seen.append("old")
            super()._on_game(game)  # type: ignore[misc]

    with pytest.warns(FutureWarning, match="OldMix"):

        class NewFirst(NewMix, OldMix, RunCallback):
            pass

    class OldFirst(OldMix, NewMix, RunCallback):
        pass

    assert numbers_seen(NewFirst, tmp_path / "one") == ["new", "old"] * 2
    assert numbers_seen(OldFirst, tmp_path / "two") == ["old", "new"] * 2


def test_a_class_for_both_versions_is_left_alone(tmp_path, recwarn):
    class Both(RunCallback):
        seen: list[Any]

        def _on_game(self, game):
            self.seen.append(game.number)

        def _on_episode(self, episode):
            self._on_game(episode)

    assert numbers_seen(Both, tmp_path) == [1, 2]
    assert not [warning for warning in recwarn if issubclass(warning.category, FutureWarning)]
