"""A training that was killed and continued is the same training, bit for bit."""

import warnings
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import pytest
from stable_baselines3.common.callbacks import EvalCallback, EveryNTimesteps, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from sb3_atari_dqn import BTR, ClassicDQN, DuelingDQN, RainbowDQN
from sb3_atari_dqn.atari import NativeAtariVecEnv, NatureAtari
from sb3_atari_dqn.callbacks import LogEpisodes, SaveCheckpoints, SaveOnBestTrainingMean
from sb3_atari_dqn.checkpoints.checkpoint import all_in
from sb3_atari_dqn.policies import MlpPolicy
from tests.support.interrupted import assert_same, assert_same_after_kills, contents, rows, train_killed

GAME = "BreakoutNoFrameskip-v4"  # a random game is over after less than 200 steps
OVERLAPPED = {"replay_ratio": 0.25, "overlap": True}
FAST = {"learner": "fast", "precision": "bf16"}
PRIORITIZED = {"replay": "prioritized", "n_steps": 3}


def native(n_envs: int, folder: Path) -> VecEnv:
    return NativeAtariVecEnv(GAME, n_envs, seed=3, monitor_dir=str(folder))


def ordinary(n_envs: int, folder: Path, **env_kwargs: Any) -> VecEnv:
    env = make_vec_env(GAME, n_envs, seed=3, monitor_dir=str(folder), wrapper_class=NatureAtari, env_kwargs=env_kwargs)
    return VecTransposeImage(VecFrameStack(env, 4))


def sticky(n_envs: int, folder: Path) -> VecEnv:
    """Its emulator cannot be restored exactly: the actions are replayed."""
    return ordinary(n_envs, folder, repeat_action_probability=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "n_envs", "settings"),
    [
        (native, 1, {**OVERLAPPED, **FAST, **PRIORITIZED}),
        (native, 2, {**OVERLAPPED, **FAST, "replay_buffer_kwargs": {"frame_storage": "compressed"}}),
        (native, 2, {**PRIORITIZED, "replay_buffer_kwargs": {"frame_storage": "device"}}),
        (ordinary, 2, {"replay_ratio": 0.25}),
        (ordinary, 1, {**OVERLAPPED, **PRIORITIZED}),
        (sticky, 1, {"replay": "sb3"}),
    ],
)
def test_a_killed_training_of_a_game_goes_on_as_if_nothing_had_happened(tmp_path, make, n_envs, settings):
    def build(folder: Path) -> DuelingDQN:
        sizes: Any = {"buffer_size": 300, "learning_starts": 40, "batch_size": 4, "target_update_interval": 30}
        small: Any = {"features_extractor_kwargs": {"features_dim": 16}}
        env = make(n_envs, folder)
        return DuelingDQN("CnnPolicy", env, seed=1, policy_kwargs=small, exploration_steps=300, **sizes, **settings)

    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(50 * n_envs, folder=folder), LogEpisodes(folder=folder)]

    assert_same_after_kills(build, callbacks, tmp_path, 260 * n_envs, [70 * n_envs, 205 * n_envs])


IMPLICIT = {"values": "implicit", "values_kwargs": {"predicted": 4, "targets": 4, "acting": 4}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (RainbowDQN, {**OVERLAPPED, **FAST}),
        (RainbowDQN, {"learner": "reference", "train_freq": 4}),
        (DuelingDQN, {**IMPLICIT, **OVERLAPPED, **FAST, **PRIORITIZED}),
        (DuelingDQN, {"values": "quantile", "values_kwargs": {"quantiles": 8}, "bootstrap": "minto", **FAST}),
        (BTR, {"policy_kwargs": {"features_extractor_kwargs": {"width": 1, "hidden_size": 16}}, **OVERLAPPED, **FAST}),
    ],
)
def test_noise_and_drawn_fractions_go_on_where_they_were(tmp_path, algorithm, settings):
    def build(folder: Path) -> ClassicDQN:
        sizes: Any = {"buffer_size": 300, "learning_starts": 40, "batch_size": 4, "target_update_interval": 30}
        small: Any = {"policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}}}
        return algorithm("CnnPolicy", native(1, folder), seed=1, **sizes, **{**small, **settings})

    assert_same_after_kills(build, lambda folder: [SaveCheckpoints(40, folder=folder)], tmp_path, 220, [60, 110])


def test_an_infinite_argument_is_saved_and_read_again(tmp_path):
    def train(total: int, **more: Any) -> ClassicDQN:
        env = make_vec_env("CartPole-v1", seed=3)
        callback: list[Any] = [SaveCheckpoints(50, folder=tmp_path)]
        if more:
            return ClassicDQN.resume(tmp_path, env, callback, total, device="cpu")
        sizes: Any = {"buffer_size": 300, "learning_starts": 10, "max_grad_norm": float("inf"), "device": "cpu"}
        return ClassicDQN("MlpPolicy", env, seed=1, **sizes).learn(total, callback)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(100)
    assert train(200, resume=True).max_grad_norm == float("inf")


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train_freq": (2, "episode"), "gradient_steps": -1},
        {**OVERLAPPED, **PRIORITIZED},
        {"replay": "sb3", "n_steps": 3},
    ],
)
def test_logs_evaluations_and_callbacks_go_on_too(tmp_path, n_envs, settings):
    if n_envs == 2 and "train_freq" in settings:
        pytest.skip("SB3 counts episodes of one environment only")

    def build(folder: Path) -> ClassicDQN:
        env = make_vec_env("CartPole-v1", n_envs, seed=3, monitor_dir=str(folder))
        model = ClassicDQN("MlpPolicy", env, seed=1, learning_starts=50, batch_size=8, buffer_size=400, **settings)
        if not (folder / "progress.csv").exists():  # a continued training has the logger of the checkpoint
            model.set_logger(configure(str(folder), ["csv"]))
        return model

    def callbacks(folder: Path) -> list:
        evaluation = make_vec_env("CartPole-v1", 1, seed=7)
        return [
            SaveCheckpoints(100, folder=folder),
            LogEpisodes(folder=folder),
            SaveOnBestTrainingMean(window=3, folder=folder),
            EvalCallback(
                evaluation, eval_freq=60, n_eval_episodes=2, deterministic=False, log_path=str(folder), verbose=0
            ),
            EveryNTimesteps(150, StopTrainingOnMaxEpisodes(10_000)),
        ]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Monitor.*")
        assert_same_after_kills(build, callbacks, tmp_path, 700, [230, 470])


def test_running_statistics_go_on_too(tmp_path):
    def build(folder: Path) -> ClassicDQN:
        env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=3, monitor_dir=str(folder)))
        return ClassicDQN("MlpPolicy", env, seed=1, learning_starts=50, batch_size=8, replay_ratio=0.5)

    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(100, folder=folder)]

    assert_same_after_kills(build, callbacks, tmp_path, 500, [230, 350])


class Untrusted(gym.Wrapper):
    """A wrapper of the user's: its actions are recorded."""


def test_text_in_an_environment_and_wrappers_around_evaluations_go_on_too(tmp_path):
    def env(seed: int, folder: Path | None = None) -> VecEnv:
        where = None if folder is None else str(folder)
        return make_vec_env(
            "FrozenLake-v1", 1, seed=seed, monitor_dir=where, wrapper_class=Untrusted if seed == 7 else None
        )

    def build(folder: Path) -> ClassicDQN:
        return ClassicDQN("MlpPolicy", env(3, folder), seed=1, learning_starts=50, batch_size=8, buffer_size=90)

    def callbacks(folder: Path) -> list:
        evaluation = EvalCallback(env(7), eval_freq=60, n_eval_episodes=3, log_path=str(folder), verbose=0)
        return [SaveCheckpoints(100, folder=folder), evaluation]

    assert_same_after_kills(build, callbacks, tmp_path, 500, [230, 350])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*SubprocVecEnv gives no state")
def test_monitors_in_other_processes_must_append(tmp_path):
    def env(**monitor_kwargs: Any) -> VecEnv:
        where: Any = {"monitor_dir": str(tmp_path), "monitor_kwargs": monitor_kwargs}
        return make_vec_env("CartPole-v1", 2, seed=3, vec_env_cls=SubprocVecEnv, **where)

    def resume(vec_env: VecEnv, total: int) -> None:
        try:
            ClassicDQN.resume(tmp_path, vec_env, SaveCheckpoints(folder=tmp_path), total, device="cpu")
        finally:
            vec_env.close()

    model = ClassicDQN("MlpPolicy", env(), seed=1, learning_starts=1000, device="cpu")
    model.learn(200, SaveCheckpoints(folder=tmp_path))
    cast(VecEnv, model.env).close()
    before = rows(tmp_path)
    with pytest.raises(ValueError, match=r"0\.monitor\.csv was opened anew .*'override_existing': False"):
        resume(env(), 400)
    assert rows(tmp_path) == before
    with pytest.raises(ValueError, match="give a higher total_timesteps"):
        resume(env(), 100)
    assert rows(tmp_path) == before
    resume(env(override_existing=False), 400)
    for name, own in rows(tmp_path).items():
        assert own[: len(before[name])] == before[name]
        assert len(own) > len(before[name])


def test_one_of_the_checkpoints_may_be_named(tmp_path):
    def resume(place: Path, total: int) -> ClassicDQN:
        callback = SaveCheckpoints(50, keep=9, folder=folder)
        return ClassicDQN.resume(place, make_vec_env("CartPole-v1"), callback, total, device="cpu")

    folder = tmp_path / "checkpoints" / "run"  # is not one
    model = ClassicDQN("MlpPolicy", make_vec_env("CartPole-v1", seed=3), seed=1, train_freq=1, device="cpu")
    model.learn(120, SaveCheckpoints(50, keep=9, folder=folder))
    names = [f"{number:06d}-step{step}" for number, step in all_in(folder / "checkpoints")]
    assert [name.split("-")[1] for name in names] == ["step50", "step100", "step120"]
    assert resume(folder / "checkpoints" / names[0], 60).num_timesteps == 60
    assert [step for _, step in all_in(folder / "checkpoints")] == [50, 60]  # those after it are gone
    assert resume(folder, 70).num_timesteps == 70


class Narrow(MlpPolicy):
    """A policy of the user's."""


def test_one_call_in_python_continues_a_training(tmp_path):
    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(100, folder=folder), LogEpisodes(folder=folder)]

    def env(folder: Path) -> VecEnv:
        return make_vec_env("CartPole-v1", 2, seed=3, monitor_dir=str(folder))

    def one(folder: Path) -> VecEnv:
        return make_vec_env("CartPole-v1", 1)

    def older(folder: Path) -> VecEnv:
        return make_vec_env("CartPole-v0", 2)

    def build(folder: Path) -> DuelingDQN:
        return DuelingDQN(
            Narrow, env(folder), seed=1, learning_rate=rate, learning_starts=50, batch_size=8, replay_ratio=0.5
        )

    def rate(progress: float) -> float:
        return 1e-3 * progress

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    model = build(undisturbed).learn(400, callback=callbacks(undisturbed), log_interval=1)
    train_killed(build, callbacks, killed, 400, 250)
    for algorithm, make, arguments, message in (
        (DuelingDQN, env, {}, r"cannot hold learning_rate.*: give learning_rate= again"),
        (ClassicDQN, env, {"learning_rate": rate}, r"one of DuelingDQN, not of ClassicDQN: use DuelingDQN\.resume"),
        (
            DuelingDQN,
            env,
            {"learning_rate": rate, "total_timesteps": 150},
            "give a higher total_timesteps than 150",
        ),
        (DuelingDQN, env, {"learning_rate": rate, "total_timesteps": "many"}, "total_timesteps.*many"),
        (DuelingDQN, one, {"learning_rate": rate}, "number of environments 2, and this one has 1"),
        (DuelingDQN, older, {"learning_rate": rate}, "environment CartPole-v1, and this one has CartPole-v0"),
    ):
        with pytest.raises(ValueError, match=message):
            algorithm.resume(killed, make(killed), callback=callbacks(killed), policy=Narrow, **arguments)
    with pytest.raises(ValueError, match=r"needs the callbacks of the training: callback=\[SaveCheckpoints"):
        DuelingDQN.resume(killed, env(killed), policy=Narrow, learning_rate=rate)
    other = DuelingDQN.resume(
        killed, env(killed), callback=callbacks(killed), log_interval=1, policy=Narrow, learning_rate=rate
    )
    assert other.num_timesteps == 400
    assert_same(contents(model), contents(other))
    assert_same(rows(undisturbed), rows(killed))
    longer = DuelingDQN.resume(
        killed, env(killed), callbacks(killed), total_timesteps=450, policy=Narrow, learning_rate=rate
    )
    assert longer.num_timesteps == 450
