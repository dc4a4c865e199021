"""NaN and infinity stop a training, with what it was and where, before memory and parameters are damaged."""

import copy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_atari_dqn import ClassicDQN, DuelingDQN
from sb3_atari_dqn.finite import NonFiniteUpdate, UpdateWatch, check_update, non_finite
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.policies import CnnPolicy
from tests.support.batches import RULE, batch, make_policy
from tests.support.environments import Noise

PACES: dict[str, dict[str, Any]] = {
    "SB3's loop": {"train_freq": 1},
    "overlap, fast": {"replay_ratio": 1.0, "overlap": True, "learner": "fast"},
}


class Broken(gym.Env):
    """Answers with a bad number at one step, counted over all episodes; episodes of five steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, what: str = "", number: float = np.nan, at: int = 30) -> None:
        self.what, self.number, self.at, self.steps, self.shown = what, number, at, 0, False
        box = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_space = spaces.Dict({"a": box, "b": spaces.Discrete(2)}) if what == "part" else box

    def _see(self, kind: str) -> Any:
        bad = self.what in (kind, "part") and self.steps == self.at and not self.shown
        self.shown = self.shown or bad
        array = np.array([0.5, self.number if bad else 0.1], np.float32)
        return {"a": array, "b": 1} if self.what == "part" else array

    def reset(self, *, seed=None, options=None):
        return self._see("first observation"), {}

    def step(self, action):
        self.steps += 1
        over = self.steps % 5 == 0
        reward = self.number if self.what == "reward" and self.steps == self.at else 1.0
        return self._see("terminal observation" if over else "observation"), reward, over, False, {}


def training(env: Any, **kwargs: Any) -> Any:
    policy = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    small: dict[str, Any] = dict(buffer_size=100, learning_starts=10, batch_size=4, seed=0, device="cpu")
    return ClassicDQN(policy, env, **{**small, **kwargs})


def parameters(model: Any) -> torch.Tensor:
    state = [*model.policy.state_dict().values(), *_tensors(model.policy.optimizer.state_dict())]
    return torch.cat([tensor.detach().ravel().double() for tensor in state])


def _tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in _tensors(value)]
    if isinstance(state, list):
        return [tensor for value in state for tensor in _tensors(value)]
    return [state] if isinstance(state, torch.Tensor) else []


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("what", "at", "told"),
    [
        ("reward", 32, "reward"),
        ("observation", 32, "observation"),
        ("terminal observation", 35, "terminal observation"),
        ("first observation", 35, "observation"),
        ("part", 32, r"observation\['a'\]"),
    ],
)
def test_a_bad_number_is_named_with_its_environment_and_step_and_stored_nowhere(what, at, told, number, pace, replay):
    bad = 1 if what != "part" else 0  # the environments of a DummyVecEnv share one kind of observations
    kinds = [what if i == bad or what == "part" else "" for i in range(2)]
    envs = DummyVecEnv([partial(Broken, kind, number, at) for kind in kinds])
    model = training(envs, replay=replay, **PACES[pace])
    with pytest.raises(ValueError, match=rf"Environment {bad} .*\b{told} of {number} at step {2 * at}\b"):
        model.learn(200)
    assert model.replay_buffer.size() == at - 1, "nothing of that step is stored"
    assert torch.isfinite(parameters(model)).all()
    batch = model.replay_buffer.sample(64)
    for observations in (batch.observations, batch.next_observations):
        for part in observations.values() if isinstance(observations, dict) else [observations]:
            assert torch.isfinite(part.float()).all()
    model.learn(20, reset_num_timesteps=False)  # the environments start anew


def test_the_first_observation_of_all_is_looked_at():
    model = training(DummyVecEnv([lambda: Broken("first observation", at=0)]))
    with pytest.raises(ValueError, match=r"Environment 0 .*observation of nan at step 0"):
        model.learn(10)


def test_an_infinite_reward_is_not_hidden_by_its_normalization():
    model = training(VecNormalize(DummyVecEnv([lambda: Broken("reward", np.inf, at=12)])))
    with pytest.raises(ValueError, match=r"Environment 0 .*reward of inf at step 12"):
        model.learn(100)


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_a_loss_that_is_not_finite_stops_before_the_parameters_are_touched(policy, pace, replay):
    env = make_vec_env("CartPole-v1" if policy == "MlpPolicy" else Noise, 2)
    model = DuelingDQN(
        policy, env, buffer_size=100, learning_starts=20, batch_size=4, replay=replay, device="cpu", **PACES[pace]
    )
    model.learn(40)
    with torch.no_grad():  # a network whose values overflow
        for parameter in model.q_net_target.parameters():
            parameter.mul_(1e30)
    model._get_learner().target_changed()
    before, updates = parameters(model), model._n_updates
    with pytest.raises(ValueError, match=rf"Update {updates + 1}\b.* step \d+.*loss of (nan|inf)"):
        model.learn(40, reset_num_timesteps=False)
    after = parameters(model)
    assert torch.equal(torch.nan_to_num(before), torch.nan_to_num(after))
    assert model._n_updates == updates


def test_a_gradient_that_overflows_is_told_from_a_loss_that_does():
    check_update(torch.tensor(1.0), torch.tensor(2.0))
    with pytest.raises(NonFiniteUpdate, match="a loss of nan"):
        check_update(torch.tensor(float("nan")), torch.tensor(float("nan")))
    with pytest.raises(NonFiniteUpdate, match="a gradient of norm inf"):
        check_update(torch.tensor(1.0), torch.tensor(float("inf")))


@given(
    st.lists(st.floats(width=32), min_size=3, max_size=3),
    st.lists(st.floats(width=32), min_size=3, max_size=3),
)
def test_the_quick_check_finds_what_the_obvious_one_finds(first, second):
    array = np.array([first, second], np.float32)
    expected = next((env for env, row in enumerate(array) if not np.isfinite(row).all()), None)
    found = non_finite(array)
    assert (None if found is None else found[0]) == expected
    assert found is None or not np.isfinite(found[1])


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_one_bad_number_among_few_or_many_is_found(number, dtype, size):
    array = np.ones((4, size), dtype)
    assert non_finite(array) is None
    array[2, size // 2] = number
    found = non_finite(array)
    assert found is not None
    assert (found[0], str(found[1])) == (2, str(number))


def test_large_finite_numbers_and_whole_numbers_pass():
    assert non_finite(np.full((2, 3), np.finfo(np.float32).max, np.float32)) is None
    assert non_finite(np.array([[np.finfo(np.float32).max, -np.finfo(np.float32).max]], np.float32)) is None
    assert non_finite(np.zeros((2, 4), np.uint8)) is None
    assert non_finite(np.array([3, 4])) is None


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RAdam, torch.optim.RMSprop])
def test_a_device_leaves_out_the_step_by_itself_and_tells_one_update_later(optimizer):
    policy = make_policy(CnnPolicy, optimizer_class=optimizer)
    learner = FastLearner(policy, "fp32", 8)
    learner.skips_on_device = True  # as where updates are recorded, and cannot ask the device in the middle

    def update(seed: int, reward: float | None = None) -> Any:
        for group in policy.optimizer.param_groups:
            group["lr"] = torch.tensor(1e-3)
        samples = batch(policy.observation_space, seed)
        if reward is not None:
            samples.rewards[3] = reward
        return learner._update(samples, RULE)

    def numbers() -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in policy.parameters()]

    watch = UpdateWatch()
    watch.push(update(0).statistics)
    before = numbers()
    watch.push(update(1, np.nan).statistics)
    assert all(torch.equal(*pair) for pair in zip(before, numbers(), strict=True))
    following = update(2).statistics
    assert torch.isfinite(following).all()
    assert not all(torch.equal(*pair) for pair in zip(before, numbers(), strict=True)), "a good step is made again"
    with pytest.raises(NonFiniteUpdate, match="a loss of nan"):
        watch.push(following)


def _close(left: Any, right: Any) -> bool:
    return all(np.allclose(getattr(left, name), getattr(right, name)) for name in ("mean", "var", "count"))


@pytest.mark.slow
@pytest.mark.parametrize(("what", "at"), [("reward", 32), ("observation", 32), ("first observation", 35)])
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_the_statistics_of_vec_normalize_forget_the_bad_step(what, at, pace, number):
    env = VecNormalize(DummyVecEnv([lambda: Broken(what, number, at)]))
    model = training(env, **PACES[pace])
    kept: list[Any] = []

    def remember(scope: dict, _: dict) -> bool:
        if model.num_timesteps < at:
            kept[:] = [copy.deepcopy(env.obs_rms), copy.deepcopy(env.ret_rms)]
        return True

    with pytest.raises(ValueError, match=r"Environment 0 "):
        model.learn(200, callback=remember)
    assert _close(env.obs_rms, kept[0])
    assert _close(env.ret_rms, kept[1])
    model.learn(50, reset_num_timesteps=False)
    assert np.isfinite(env.normalize_reward(np.ones(1))).all()


def test_the_first_observation_of_a_training_leaves_the_statistics_alone_too():
    env = VecNormalize(DummyVecEnv([lambda: Broken("first observation", np.inf, at=0)]))
    model = training(env)
    with pytest.raises(ValueError, match="observation of inf at step 0"):
        model.learn(10)
    model.learn(30)
    statistics: Any = env.obs_rms
    assert np.isfinite(statistics.mean).all()


def test_numbers_that_become_infinite_in_float32_are_found():
    assert non_finite(np.array([1.0, 1e39])) == (1, np.inf)
    assert non_finite(np.array([1.0, 1e38])) is None
