"""A training that goes wrong says what, in which environment, at which step, and where to continue."""

import os
import re
import signal
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_atari_dqn import ClassicDQN, DuelingDQN, NativeAtariVecEnv
from sb3_atari_dqn.algorithms.failures import checkpoint_hint
from sb3_atari_dqn.dino.faults import BrowserGone
from sb3_atari_dqn.finite import NonFiniteValues, check_actions, check_values, finite_argmax
from tests.support.environments import Noise

PACES: dict[str, dict[str, Any]] = {
    "SB3's loop": {"train_freq": 1},
    "overlap, fast": {"replay_ratio": 1.0, "overlap": True, "learner": "fast"},
}
SMALL: dict[str, Any] = dict(buffer_size=200, learning_starts=10, batch_size=4, seed=0, device="cpu")
CHECKPOINT = "runs/pong/checkpoints/000007-step400000"
TOLD = f"The last checkpoint is {CHECKPOINT}: `python -m sb3_atari_dqn resume`"


class Failing(gym.Env):
    """CartPole that raises an error, or ends its process, at one step counted over all episodes."""

    def __init__(self, what: str = "", at: int = 20) -> None:
        self.env, self.what, self.at, self.steps = gym.make("CartPole-v1"), what, at, 0
        self.observation_space, self.action_space = self.env.observation_space, self.env.action_space

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed)

    def step(self, action):
        self.steps += 1
        if self.steps == self.at:
            if self.what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "exit":
                os._exit(3)
            if self.what == "browser":
                raise BrowserGone("max_restarts=3 browsers failed")
        return self.env.step(action)


def damage(model: Any, number: float) -> None:
    """Write one bad number into the network, behind the learner's back."""
    with torch.no_grad():
        next(reversed(list(model.q_net.parameters()))).fill_(number)
    if model._learner is not None:
        model._learner.refresh()


# --- action values


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_action_values_that_are_not_finite_stop_the_training_with_environment_and_step(number, policy, pace, replay):
    env = make_vec_env("CartPole-v1" if policy == "MlpPolicy" else Noise, 2)
    rates: dict[str, Any] = {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0}
    model = DuelingDQN(policy, env, replay=replay, **SMALL, **rates, **PACES[pace])
    model.learn(40)
    damage(model, number)
    stored = model.replay_buffer.size()
    told = rf"action value of (nan|{number}) for environment 0 at step 40: .*lower learning_rate"
    with pytest.raises(ValueError, match=told):
        model.learn(40, reset_num_timesteps=False)
    assert model.replay_buffer.size() == stored


def test_the_environment_whose_observation_overflows_is_named():
    model = ClassicDQN("MlpPolicy", make_vec_env("CartPole-v1", 3), **SMALL)
    observations = np.zeros((3, 4), np.float32)
    observations[1] = 3e38
    with torch.no_grad():
        next(model.q_net.parameters()).fill_(1e3)
    with pytest.raises(NonFiniteValues, match=r"action value of (nan|-?inf) for observation 1: .*overflow"):
        model.predict(observations, deterministic=True)


def test_a_damaged_model_does_not_play():
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    damage(model, np.nan)
    with pytest.raises(ValueError, match=r"action value of nan for observation 0.*Load another model"):
        model.predict(np.zeros(4, np.float32), deterministic=True)


def test_values_whose_sum_alone_overflows_are_finite():
    q = torch.tensor([[1.0, 2.0], [3e38, 3e38]])
    check_values(q)
    assert finite_argmax(q).tolist() == [1, 0]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_the_host_is_told_by_an_action_that_does_not_exist(number):
    check_actions(np.array([0, 3, 2]))
    with pytest.raises(NonFiniteValues, match="NaN or infinity for observation 2"):
        check_actions(np.array([0, 3, -1]))
    with pytest.raises(NonFiniteValues, match=f"{number} for observation 1"):
        check_values(torch.tensor([[1.0, 2.0], [0.0, number]]))


# --- environments


@pytest.mark.slow
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize(
    ("what", "told"), [("killed", r"was killed by SIGKILL \(often for lack of memory\)"), ("exit", "exit code 3")]
)
def test_a_dead_process_is_named_and_the_other_environments_are_closed(what, told, pace):
    env = VecNormalize(SubprocVecEnv([Failing, partial(Failing, what)], start_method="fork"))
    model = ClassicDQN("MlpPolicy", env, **SMALL, **PACES[pace])
    model.last_checkpoint = CHECKPOINT
    with pytest.raises(RuntimeError, match=rf"process of environment 1 .*{told}.*at step 38;.*{TOLD}"):
        model.learn(200)
    env.close()  # SB3's own would raise, and hide the error
    assert not any(process.is_alive() for process in env.unwrapped.processes)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"are closed, at step \d+: create new ones"):
        model.learn(10)
    model.set_env(make_vec_env("CartPole-v1", 2))
    model.learn(20)


@pytest.mark.slow
def test_a_process_that_ends_before_the_first_reset_is_named():
    env = SubprocVecEnv([Failing, Failing], start_method="fork")
    model = ClassicDQN("MlpPolicy", env, **SMALL)
    env.processes[1].kill()
    with pytest.raises(RuntimeError, match=r"process of environment 1 was killed by SIGKILL .* at step 0"):
        model.learn(20)


@pytest.mark.parametrize("pace", PACES)
def test_an_error_of_an_environment_keeps_its_type_and_gets_a_note(pace):
    model = ClassicDQN("MlpPolicy", DummyVecEnv([Failing, lambda: Failing("browser")]), **SMALL, **PACES[pace])
    model.last_checkpoint = CHECKPOINT
    with pytest.raises(BrowserGone, match="max_restarts=3") as caught:
        model.learn(200)
    (note,) = caught.value.__notes__
    assert note.startswith("Environment 1 failed at step 38. " + TOLD)


@pytest.mark.slow
@pytest.mark.parametrize("pace", PACES)
def test_a_native_game_that_fails_is_named(pace, monkeypatch):
    env = NativeAtariVecEnv("PongNoFrameskip-v4", 2)

    process, replies = env._games[1].process, []

    def fail(reply):
        replies.append(reply)
        if len(replies) == 20:  # after those of the reset
            raise OSError("No space left on device")
        return process(reply)

    monkeypatch.setattr(env._games[1], "process", fail)
    model = ClassicDQN("CnnPolicy", env, **SMALL, **PACES[pace])
    with pytest.raises(OSError, match="No space left") as caught:
        model.learn(60)
    assert re.fullmatch(r"Environment 1 failed at step [1-9]\d*\.", caught.value.__notes__[0])
    env.close()


def test_an_error_in_an_evaluation_is_told_from_one_in_the_training():
    evaluation = EvalCallback(DummyVecEnv([lambda: Monitor(Failing("browser", at=1))]), eval_freq=8, verbose=0)
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    with pytest.raises(BrowserGone) as caught:
        model.learn(20, callback=evaluation)
    assert caught.value.__notes__ == ["Environment 0 failed at step 8, in an evaluation or another callback."]


def test_an_error_that_is_not_of_an_environment_is_left_alone():
    def fail(scope, _):
        raise EOFError("of the callback")

    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL)
    with pytest.raises(EOFError, match="of the callback") as caught:
        model.learn(20, callback=fail)
    assert not hasattr(caught.value, "__notes__")


# --- the last checkpoint


def test_the_last_checkpoint_is_part_of_every_message():
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL, exploration_initial_eps=0.0, exploration_final_eps=0.0)
    assert checkpoint_hint(model) == ""
    model.last_checkpoint = CHECKPOINT
    assert checkpoint_hint(model).startswith(f" {TOLD}")
    model.learn(20)
    damage(model, np.nan)
    with pytest.raises(ValueError, match=TOLD):
        model.learn(20)


def test_the_last_checkpoint_is_named_with_a_bad_reward_and_a_bad_loss():
    class NoNumber(gym.RewardWrapper):
        def reward(self, reward):
            return np.nan

    model = ClassicDQN("MlpPolicy", NoNumber(gym.make("CartPole-v1")), **SMALL)
    model.last_checkpoint = CHECKPOINT
    with pytest.raises(ValueError, match=f"reward of nan at step 1; .*{TOLD}"):
        model.learn(20)
    model.set_env(make_vec_env("CartPole-v1"))
    model.learn(20)
    with torch.no_grad():
        for parameter in model.q_net_target.parameters():
            parameter.mul_(np.inf)
    with pytest.raises(ValueError, match=f"loss of (nan|inf): .*{TOLD}"):
        model.train(1, 4)
