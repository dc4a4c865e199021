"""StopAtReturn ends a training where the mean of the last episodes says so, and not before."""

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_atari_dqn import PQN, ClassicDQN, RainbowDQN
from sb3_atari_dqn.callbacks import SaveCheckpoints, StopAtReturn
from tests.support.environments import SmallCatch
from tests.support.games import countdowns


class Improving(gym.Env):
    """Episodes of two steps whose return is their number: 1, 2, 3, ..."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    finished = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        reward = (self.finished + 1) / 2
        self.finished += self.steps == 2
        return np.zeros(1, np.float32), reward, self.steps == 2, False, {}


def trained(callback: StopAtReturn, **kwargs: Any) -> ClassicDQN:
    model = ClassicDQN(
        "MlpPolicy", make_vec_env(Improving), learning_starts=1000, buffer_size=100, device="cpu", **kwargs
    )
    return model.learn(60, callback=callback)


@pytest.mark.parametrize("pace", [{}, {"replay_ratio": 0.25}])
@pytest.mark.parametrize(
    ("goal", "episodes", "steps"),
    [
        (5, 1, 10),  # the fifth episode
        (5, 3, 12),  # the mean of 4, 5, 6
        (1, 4, 8),  # not before there are four episodes, though each reaches it
        (99, 1, 60),
    ],
)
def test_it_stops_at_the_end_of_the_episode_that_reaches_the_goal(goal, episodes, steps, pace):
    assert trained(StopAtReturn(goal, episodes), **pace).num_timesteps == steps


def test_it_says_so_if_asked(capsys):
    trained(StopAtReturn(5, 1, verbose=1))
    assert "Stopped at 10 steps: a mean return of 5 over 1 episodes" in capsys.readouterr().out


def test_bad_goals_are_named():
    with pytest.raises(ValueError, match="mean_return must be a finite number, got nan"):
        StopAtReturn(float("nan"))
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        StopAtReturn(5, episodes=0)


def test_returns_of_another_training_do_not_count():
    """Else the mean of 4, 5, 6 would stop the second training at its first episode."""
    stop = StopAtReturn(5, 3)
    assert [trained(stop).num_timesteps for _ in range(2)] == [12, 12]
    loaded = trained(StopAtReturn(99))
    assert loaded.learn(60, callback=stop, reset_num_timesteps=False).num_timesteps == 66


def test_a_training_is_one_whatever_the_number_of_calls():
    stop = StopAtReturn(5, 3)
    model = ClassicDQN("MlpPolicy", make_vec_env(Improving), learning_starts=1000, buffer_size=100, device="cpu")
    for _ in range(5):
        model.learn(4, callback=stop, reset_num_timesteps=False)
    assert model.num_timesteps == 12 + 2 * 2, "each further call stops at its first episode"


def test_it_goes_on_with_the_returns_of_a_checkpoint():
    before = StopAtReturn(99, 3)
    trained(before)
    after = StopAtReturn(99, 3)
    after.load_state_dict(before.state_dict())
    assert after.state_dict() == before.state_dict() == {
        "n_episodes": 30, "n_calls": 60, "returns": [28.0, 29.0, 30.0],
    }  # fmt: skip
    after.load_state_dict({"n_calls": 7, "returns": [1.0]})  # of 0.2.0
    assert after.state_dict()["returns"] == [1.0]


# --- evaluation games


class Pays(gym.Env):
    """Episodes of one step; each pays what the next of these says, whatever the action."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, rewards: list[float]) -> None:
        self.rewards = rewards

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(1, np.float32), self.rewards.pop(0), True, False, {}


def envs_that_pay(*means: float):
    """:return: a builder: each evaluation pays the next mean, as mean - 1, mean, mean + 1, ...; the first is a check"""
    left = [0.0, *means]

    def make_envs(n: int) -> VecEnv:
        mean = left.pop(0)
        spread = iter(np.linspace(mean - 1, mean + 1, n) if n > 1 else [mean])
        return make_vec_env(lambda: Pays([float(next(spread))]), n)

    return make_envs


def evaluated(folder) -> dict[str, Any]:
    with np.load(folder / "goal_evaluations.npz") as data:
        return dict(data)


def test_a_goal_in_training_is_confirmed_by_evaluation_games_or_the_training_goes_on(tmp_path, capsys):
    stop = StopAtReturn(
        5, 1, evaluation_games=3, evaluate_every=7, make_envs=envs_that_pay(4.9, 2, 5), folder=tmp_path, verbose=1
    )
    assert trained(stop).num_timesteps == 26  # the goal is reached at 10; not again before 7 steps are over
    found = evaluated(tmp_path)
    assert found["timesteps"].tolist() == [10, 18, 26]
    np.testing.assert_allclose(found["results"], np.array([[3.9, 4.9, 5.9], [1, 2, 3], [4, 5, 6]]), rtol=1e-6)
    assert found["ep_lengths"].tolist() == [[1, 1, 1]] * 3
    assert found["epsilon"] == 0.001
    assert (found["seconds"] > 0).all()
    assert (np.diff(found["ended"]) > 0).all()
    said = capsys.readouterr().out
    assert "Stopped at 26 steps: a mean return of 5 over 3 evaluation games" in said
    assert re.search(r"Evaluated at 18 steps: 2 over 3 games, \d+\.\d s", said)


def test_a_training_that_begins_anew_is_evaluated_anew(tmp_path):
    stop = StopAtReturn(
        5, 1, evaluation_games=2, evaluate_every=1000, make_envs=envs_that_pay(4, 0, 4), folder=tmp_path
    )
    for _ in range(2):
        assert trained(stop).num_timesteps == 60
    assert evaluated(tmp_path)["timesteps"].tolist() == [10, 10]


def test_evaluations_may_begin_before_the_goal_is_reached_in_training(tmp_path):
    options = dict(evaluation_games=2, evaluate_every=1, make_envs=envs_that_pay(4, 5), folder=tmp_path)
    assert trained(StopAtReturn(5, 1, evaluate_from=2, **options)).num_timesteps == 6


def test_the_cost_is_in_the_log_of_the_training(tmp_path):
    stop = StopAtReturn(5, 1, evaluation_games=2, make_envs=envs_that_pay(6), folder=tmp_path)
    logged = trained(stop).logger.name_to_value
    assert logged["goal/mean_return"] == 6
    assert logged["goal/seconds"] == pytest.approx(stop.evaluations[0].seconds, abs=0.001)


def test_games_without_an_end_confirm_nothing(tmp_path, capsys):
    stop = StopAtReturn(
        1, 1, evaluation_games=2, max_steps=5, make_envs=lambda n: countdowns(*[4, 6][-n:]), folder=tmp_path, verbose=1
    )
    model = ClassicDQN("MlpPolicy", countdowns(4), learning_starts=1000, buffer_size=100, device="cpu")
    assert model.learn(20, callback=stop).num_timesteps == 20
    assert not (tmp_path / "goal_evaluations.npz").exists()
    assert "not all of 2 games ended within 5 steps" in capsys.readouterr().out


def pixels(n: int = 2) -> VecEnv:
    return make_vec_env(SmallCatch, n)


ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "the fast learner, overlapped": (
        ClassicDQN, dict(replay_ratio=0.25, overlap=True, learner="fast", learning_starts=20, buffer_size=500),
    ),
    "noise and priorities": (RainbowDQN, dict(learning_starts=20, buffer_size=500, train_freq=4)),
    "without replay": (PQN, dict(n_steps=4, batch_size=8, learning_rate=1e-3)),
}  # fmt: skip


def pixel_model(which: str, **more: Any) -> Any:
    algorithm, options = ALGORITHMS[which]
    policy_kwargs = {"features_extractor_class": "dqn2013"}
    options = {"seed": 3, "device": "cpu", "precision": "fp32", "policy_kwargs": policy_kwargs, **options, **more}
    return algorithm("CnnPolicy", pixels(), **options)


def hopeless(folder, **more: Any) -> StopAtReturn:
    """:return: it evaluates at every episode, and is never content"""
    options = dict(evaluation_games=3, evaluate_from=-1, evaluate_every=1, evaluation_epsilon=0.5)
    return StopAtReturn(99, 1, make_envs=pixels, folder=folder, **(options | more))


@pytest.mark.parametrize("which", ALGORITHMS)
def test_training_is_bit_identical_with_and_without_evaluations(tmp_path, which):
    stop = hopeless(tmp_path, evaluate_every=30)
    one, other = pixel_model(which).learn(120, callback=stop), pixel_model(which).learn(120)
    assert len(stop.evaluations) >= 3
    ours, theirs = one.policy.state_dict(), other.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert one.explorer.state_dict() == other.explorer.state_dict()


def test_evaluations_depend_on_the_seed_alone(tmp_path):
    def returns(seed, folder):
        stop = hopeless(tmp_path / folder, evaluate_every=20)
        pixel_model("the fast learner, overlapped", seed=seed).learn(100, callback=stop)
        return [each.returns for each in stop.evaluations]

    first = returns(1, "a")
    assert len(first) == 4
    assert first == returns(1, "b") != returns(2, "c")


def test_a_continued_training_evaluates_as_it_would_have(tmp_path):
    whole = hopeless(tmp_path / "whole", evaluate_every=24)
    checkpoints = SaveCheckpoints("1h", folder=tmp_path / "whole")
    expected = pixel_model("the fast learner, overlapped").learn(160, callback=[checkpoints, whole])

    class StopsThere(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps != 90

    first = [SaveCheckpoints("1h", folder=tmp_path / "parts"), hopeless(tmp_path / "parts", evaluate_every=24)]
    pixel_model("the fast learner, overlapped").learn(160, callback=[*first, StopsThere()])
    rows = evaluated(tmp_path / "parts")
    extra: dict[str, Any] = {name: np.concatenate([value, value[-1:]]) for name, value in rows.items() if value.ndim}
    np.savez(tmp_path / "parts/goal_evaluations.npz", epsilon=0.5, **extra)  # as of a killed process

    second = hopeless(tmp_path / "parts", evaluate_every=24)
    callbacks: list[BaseCallback] = [SaveCheckpoints("1h", folder=tmp_path / "parts"), second]
    model = ClassicDQN.resume(tmp_path / "parts", pixels(), callback=callbacks)
    assert [(each.step, each.returns) for each in second.evaluations] == [
        (each.step, each.returns) for each in whole.evaluations
    ]
    assert evaluated(tmp_path / "parts")["timesteps"].tolist() == evaluated(tmp_path / "whole")["timesteps"].tolist()
    assert len(rows["timesteps"]) < len(whole.evaluations)
    ours, theirs = model.policy.state_dict(), expected.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_algorithm_can_be_evaluated_and_a_new_callback_continues_the_file(tmp_path):
    model = PPO("MlpPolicy", countdowns(4), n_steps=16, batch_size=16, device="cpu")

    def stop():
        options = dict(evaluation_games=1, evaluate_from=0, evaluate_every=25, folder=tmp_path)
        return StopAtReturn(99, 1, make_envs=lambda n: countdowns(*[4] * n), **options)

    model.learn(16, callback=stop())
    assert evaluated(tmp_path)["timesteps"].tolist() == [4]
    model.learn(32, callback=stop(), reset_num_timesteps=False)
    assert evaluated(tmp_path)["timesteps"].tolist() == [4, 32]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(evaluate_from=6), "evaluate_from is 6, above the goal, mean_return 5"),
        (dict(evaluation_games=-1), "evaluation_games must be at least 0, got -1"),
        (dict(evaluate_every=0), "evaluate_every must be at least 1, got 0"),
        (dict(evaluation_epsilon=1.5), r"evaluation_epsilon must be a number in \[0, 1\], got 1.5"),
        (dict(make_envs="pong"), "make_envs must be a function of the number of environments, got 'pong'"),
    ],
)
def test_bad_arguments_of_evaluations_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        StopAtReturn(5, **{"evaluation_games": 1, **options})


def test_what_evaluations_need_is_said_before_training(tmp_path):
    for options, says in (
        (dict(), "StopAtReturn has no run folder outside the zoo's train|needs make_envs= outside"),
        (dict(folder=tmp_path), "needs make_envs= outside the zoo's train"),
        (dict(folder=tmp_path, make_envs=pixels), "observation_space"),
        (dict(folder=tmp_path, make_envs=lambda n: DummyVecEnv([lambda: Pays([1.0])])), "finds no Monitor"),
    ):
        with pytest.raises(ValueError, match=says):
            trained(StopAtReturn(5, 1, evaluation_games=2, **options))
    assert list(tmp_path.iterdir()) == []
