"""PQN as a whole: it learns, agrees with a loop written down from the paper, is deterministic, saved and resumed."""

import warnings
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from sb3_atari_dqn import PQN
from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.callbacks import LogDeadUnits, SaveCheckpoints
from sb3_atari_dqn.networks.torsos import NatureTorso
from tests.support.environments import Catch, ImageAndVector, SmallCatch
from tests.support.interrupted import assert_same_after_kills

SMALL: dict[str, Any] = dict(n_steps=8, batch_size=16, learning_rate=1e-3, seed=3, device="cpu")
NETWORK: dict[str, Any] = {"policy_kwargs": {"net_arch": [16]}}
VALUES: dict[str, dict[str, Any]] = {
    "scalar": {},
    "categorical": {"atoms": 11, "v_min": 0, "v_max": 50},
    "quantile": {"quantiles": 8},
    "implicit": {"predicted": 4, "targets": 5, "acting": 6},
}


def cartpole(n_envs: int = 4, **settings: Any) -> PQN:
    return PQN("MlpPolicy", make_vec_env("CartPole-v1", n_envs, seed=3), **{**SMALL, **NETWORK, **settings})


def parameters(model: PQN) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in model.policy.q_net.parameters()]).clone()


# --- what it computes


class Counting(gym.Env):
    """Observation: the step; reward: the step just made; episodes of 5 steps, or truncated after `limit`."""

    observation_space = spaces.Box(0, 20, (1,), np.float32)
    action_space = spaces.Discrete(2, start=3)

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_number = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.step_number += 1
        terminated = self.step_number == 5
        truncated = not terminated and self.step_number == self.limit
        return np.full(1, self.step_number, np.float32), float(self.step_number), terminated, truncated, {}


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("learner", ["reference", "fast"])
def test_the_parameters_are_those_of_a_loop_from_the_paper(learner, limit):
    """Every state is known, and so are the rewards: the loop needs no environment, only the model's random draws."""
    env = DummyVecEnv([lambda: Monitor(Counting(limit))] * 2)
    arguments: dict[str, Any] = dict(n_steps=7, batch_size=14, gamma=0.9, q_lambda=0.6, learning_rate=0.01, n_epochs=3)
    arguments |= dict(seed=5, device="cpu", learner=learner, exploration="none")
    model = PQN("MlpPolicy", env, **arguments, **NETWORK)
    twin = PQN("MlpPolicy", env, n_steps=7, batch_size=14, seed=5, device="cpu", **NETWORK).policy.q_net
    optimizer = torch.optim.RAdam(twin.parameters(), lr=0.01)
    length, step = limit or 5, 0
    for _ in range(4):
        states = [(step + t) % length for t in range(7)]
        q = twin(torch.tensor(states, dtype=torch.float32).unsqueeze(1)).detach()
        actions, returns, following = q.argmax(dim=1), [0.0] * 7, 0.0
        for t in reversed(range(7)):
            reward = states[t] + 1.0
            value = twin(torch.tensor([[reward]])).max().item()  # the state reached is named as the reward
            if reward == 5:
                returns[t] = reward
            elif reward == limit or t == 6:
                returns[t] = reward + 0.9 * value
            else:
                returns[t] = reward + 0.9 * (0.4 * value + 0.6 * following)
            following = returns[t]
        for _ in range(3):  # both environments do the same, and one minibatch is the whole rollout
            predicted = twin(torch.tensor(states, dtype=torch.float32).unsqueeze(1))
            chosen = predicted.gather(1, actions.unsqueeze(1)).squeeze(1)
            loss = (chosen - torch.tensor(returns)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 10)
            optimizer.step()
        step = (step + 7) % length
    model.learn(4 * 14, log_interval=None)
    assert model._n_updates == 12
    expected = torch.cat([each.detach().flatten() for each in twin.parameters()])
    torch.testing.assert_close(parameters(model), expected, rtol=1e-4, atol=1e-5)


def test_with_overlap_the_updates_are_spread_over_the_next_rollout():
    counts: list[int] = []

    class Count(BaseCallback):
        def _on_step(self) -> bool:
            counts.append(self.model._n_updates)
            return True

    cartpole(overlap=True, n_steps=4, batch_size=8, n_epochs=3).learn(3 * 16, Count(), log_interval=None)
    # 6 updates for each rollout of 4 steps
    assert counts == [0, 0, 0, 0, 1, 3, 4, 6, 7, 9, 10, 12]


def test_it_needs_no_target_network_and_stores_two_rollouts():
    model = cartpole().learn(64, log_interval=None)
    assert model.policy.q_net_target is None
    assert not any("target" in name for name in model.policy.state_dict())
    assert model.rollout_buffer.size() == 2 * 8


@pytest.mark.parametrize(
    ("policy", "env", "settings"),
    [
        *[("MlpPolicy", "CartPole-v1", {"values": values, "values_kwargs": VALUES[values]}) for values in VALUES],
        ("MlpPolicy", "CartPole-v1", {"policy_kwargs": {"net_arch": [8]}, "values": "implicit"}),
        ("CnnPolicy", Catch, {}),
        ("CnnPolicy", Catch, {"policy_kwargs": {"features_extractor_class": "nature"}}),
        ("CnnPolicy", Catch, {"policy_kwargs": {"features_extractor_class": NatureTorso}}),
        ("CnnPolicy", Catch, {"values": "implicit", "policy_kwargs": {"net_arch": [8, 8]}}),
    ],
)
def test_every_layer_but_the_last_is_normalized(policy, env, settings):
    """But for the embedding of fractions, whose inputs are cosines."""
    network = PQN(policy, make_vec_env(env, 2), **SMALL, **settings).policy.q_net
    before = [network.embedding.hidden] if network.embedding else []
    layers = [layer for part in (network.features_extractor, *before, network.q_net) for layer in part.modules()]
    kinds = [each for each in layers if isinstance(each, nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm)]
    are_norms = [isinstance(each, nn.LayerNorm | nn.GroupNorm) for each in kinds]
    assert len(kinds) >= 3
    assert are_norms == [False, True] * (len(kinds) // 2) + [False]


# --- learning


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"overlap": True, "learner": "fast", "values": "quantile"}])
def test_it_balances_the_pole(settings):
    if "values" in settings:
        settings = {**settings, "values_kwargs": {"quantiles": 20}}
    model = cartpole(
        8, n_steps=32, batch_size=64, n_epochs=8, q_lambda=0.9, exploration_steps=8_000, exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [64, 64]}, **settings,
    ).learn(24_576, log_interval=None)  # fmt: skip
    assert np.mean(evaluate_policy(model, make_vec_env("CartPole-v1", 5, seed=0), 5)[0]) > 60  # random play: about 20


@pytest.mark.slow
def test_it_learns_to_catch_from_pixels():
    """Random play scores about -0.6. With each of the seeds 0 to 2 it missed no ball from 6,144 steps on."""
    torso: dict[str, Any] = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 64}}
    model = PQN(
        "CnnPolicy", make_vec_env(SmallCatch, 8, seed=0), 2e-3, n_steps=8, batch_size=32, n_epochs=4, gamma=0.95,
        seed=0, device="cpu", learner="fast", precision="fp32", overlap=True, exploration_steps=2_000,
        exploration_final_eps=0.02, policy_kwargs=torso,
    ).learn(8_192, log_interval=None)  # fmt: skip
    assert np.mean(evaluate_policy(model, Monitor(SmallCatch()), 50)[0]) > 0.5


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("settings", [{}, {"overlap": True}, {"learner": "fast"}, {"policy_kwargs": {"noisy": True}}])
def test_the_same_seed_gives_the_same_parameters(values, settings):
    chosen = {"values": values, "values_kwargs": VALUES[values], **settings}
    once, again = (parameters(cartpole(2, **chosen).learn(96, log_interval=None)) for _ in range(2))
    assert torch.equal(once, again)
    assert torch.isfinite(once).all()
    assert not torch.equal(once, parameters(cartpole(2, **chosen)))


def test_any_observations_and_first_action():
    model = PQN("MultiInputPolicy", DummyVecEnv([ImageAndVector] * 2), **SMALL, **NETWORK)
    before = parameters(model)
    model.learn(64, log_interval=None)
    assert not torch.equal(before, parameters(model))
    PQN("MlpPolicy", make_vec_env("FrozenLake-v1", 2), **SMALL, **NETWORK).learn(32, log_interval=None)


def test_normalized_observations_are_those_that_the_policy_saw():
    env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=3))
    model = PQN("MlpPolicy", env, **SMALL, **NETWORK).learn(160, log_interval=None)
    assert torch.isfinite(parameters(model)).all()
    assert np.abs(model.rollout_buffer.observations_at(np.arange(16), np.zeros(16, int)).numpy()).max() < 10


# --- several trainings


@pytest.mark.parametrize("overlap", [False, True])
def test_schedules_follow_the_present_training_from_its_first_rollout_on(tmp_path, overlap):
    class Watch(BaseCallback):
        def _on_training_start(self) -> None:
            self.rates: list[float] = []
            self.epsilons: list[float] = []

        def _on_step(self) -> bool:
            self.epsilons.append(cast(PQN, self.model).exploration_rate)
            return True

        def _on_rollout_end(self) -> None:
            self.rates.append(self.model.policy.optimizer.param_groups[0]["lr"])

    model, watch = (
        cartpole(overlap=overlap, learning_rate=LinearSchedule(1.0, 0.0, 1.0), exploration_fraction=1.0),
        Watch(),
    )
    model.learn(128, watch)
    assert watch.rates == [1.0, 0.75, 0.5, 0.25]
    model.save(tmp_path / "model")
    for again in (model, PQN.load(tmp_path / "model", model.get_env(), device="cpu")):
        again.learn(128, watch)
        assert (watch.rates[0], watch.epsilons[0]) == (1.0, 1.0)
    model.learn(128, watch, reset_num_timesteps=False)
    assert watch.rates == [0.5, 0.375, 0.25, 0.125]


@pytest.mark.parametrize("n_steps", [4, 16])
def test_rollouts_of_another_length_are_learned_from_as_by_a_new_model(n_steps):
    def recorded(model: PQN) -> list[Any]:
        model._update_with = batches.append  # type: ignore[assignment]
        model.set_random_seed(7)
        model.learn(128, log_interval=None)
        return batches[-16:]

    batches: list[Any] = []
    changed = cartpole()
    recorded(changed)
    changed.n_steps = n_steps
    for one, other in zip(recorded(changed), recorded(cartpole(n_steps=n_steps)), strict=True):
        assert torch.equal(one.observations, other.observations)
        assert torch.equal(one.targets, other.targets)


# --- being stopped


def test_a_callback_that_stops_loses_nothing_and_training_goes_on():
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.model.num_timesteps != 44  # in the second rollout

    model = cartpole(overlap=True).learn(200, Stop(), log_interval=None)
    assert model.num_timesteps == 44
    assert model._n_updates < 4
    model.learn(64, log_interval=None, reset_num_timesteps=False)
    # 4 for the first rollout, its last ones at once; then one whole rollout, whose own are pending
    assert (model.num_timesteps, model._n_updates, model.rollout_buffer.pending_updates) == (44 + 64, 4 + 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{}, {"overlap": True}, {"overlap": True, "values": "implicit", "values_kwargs": VALUES["implicit"]}],
)
def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path, settings):
    def build(folder: Path) -> PQN:
        env = NativeAtariVecEnv("BreakoutNoFrameskip-v4", 2, seed=1, monitor_dir=str(folder))
        small: Any = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}
        return PQN("CnnPolicy", env, **SMALL, learner="fast", precision="bf16", policy_kwargs=small, **settings)

    assert_same_after_kills(build, lambda folder: [SaveCheckpoints(32, folder=folder)], tmp_path, 480, [100, 350])


def test_a_checkpoint_between_rollouts_continues_exactly(tmp_path):
    def callbacks(folder: Path) -> list:
        return [SaveCheckpoints(64, folder=folder, keep=9), LogDeadUnits(100)]

    straight = cartpole(overlap=True).learn(256, callbacks(tmp_path / "a"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cartpole(overlap=True).learn(128, callbacks(tmp_path / "b"))
    env = make_vec_env("CartPole-v1", 4, seed=3)
    continued = PQN.resume(tmp_path / "b", env, callbacks(tmp_path / "b"), 256, device="cpu")
    # The schedules of the first part ended at 128 steps
    assert continued.num_timesteps == straight.num_timesteps == 256
    assert continued._n_updates == straight._n_updates


@pytest.mark.parametrize(("log_interval", "logged"), [({}, [32, 64, 96, 128]), ({"log_interval": 2}, [32, 64, 128])])
def test_a_resumed_training_is_logged_as_often_as_learn_does_it(tmp_path, monkeypatch, log_interval, logged):
    steps: list[int] = []
    monkeypatch.setattr(PQN, "_record_speeds", lambda self: steps.append(self.num_timesteps))
    cartpole().learn(64, SaveCheckpoints(64, folder=tmp_path))
    env, callback = make_vec_env("CartPole-v1", 4, seed=3), SaveCheckpoints(64, folder=tmp_path)
    PQN.resume(tmp_path, env, callback, 128, device="cpu", **log_interval)
    assert steps == logged


@pytest.mark.parametrize("overlap", [False, True])
def test_after_an_update_that_is_not_finite_other_rollouts_are_learned_from(overlap):
    class Huge(Counting):
        reward = 1e30

        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, self.reward, *rest

    model = PQN("MlpPolicy", DummyVecEnv([Huge] * 2), **SMALL, **NETWORK, overlap=overlap)
    with pytest.raises(ValueError, match="the training has diverged"):
        model.learn(64, log_interval=None)
    Huge.reward = 1.0
    model.set_env(DummyVecEnv([Huge] * 2))
    model.learn(64, log_interval=None)
    assert model._n_updates > 0


# --- files


@pytest.mark.parametrize("values", VALUES)
def test_a_saved_model_acts_as_before_and_learns_on(tmp_path, values):
    model = cartpole(values=values, values_kwargs=VALUES[values]).learn(64, log_interval=None)
    model.save(tmp_path / "model")
    again = PQN.load(tmp_path / "model", model.get_env(), device="cpu")
    assert torch.equal(parameters(again), parameters(model))
    again.learn(64, log_interval=None)
    model.export(tmp_path / "exported", onnx=False, training_state=True)
    imported = PQN.import_(tmp_path / "exported", model.get_env(), device="cpu")
    assert torch.equal(parameters(imported), parameters(model))
    assert imported.policy.q_net_target is None
    imported.learn(64, log_interval=None)


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ("scalar", {"values": "scalar"}),
        ("scalar", {"values_kwargs": {"error": "huber"}}),
        ("scalar", {"loss": "huber"}),
        ("categorical", {"values_kwargs": {"atoms": 11}}),
        ("quantile", {"values": "quantile"}),
        ("implicit", {"values_kwargs": {"acting": 8}}),
    ],
)
def test_a_file_is_opened_with_the_same_values_and_the_options_that_may_change(tmp_path, values, settings):
    """No loss was given: the file says None, as the constructor does."""
    model = cartpole(values=values, values_kwargs=VALUES[values])
    model.save(tmp_path / "model")
    model.export(tmp_path / "exported", onnx=False)
    expected = cartpole(
        **{"values": values, **settings, "values_kwargs": VALUES[values] | settings.get("values_kwargs", {})}
    )
    for opened in (PQN.load(tmp_path / "model", **settings), PQN.import_(tmp_path / "exported", **settings)):
        assert torch.equal(parameters(opened), parameters(model))
        assert opened.policy.q_net.values == expected.policy.q_net.values
        opened.set_parameters(tmp_path / "model")


def test_weights_for_another_support_are_refused(tmp_path):
    cartpole(values="categorical").save(tmp_path / "model")
    with pytest.raises(RuntimeError, match=r"Build it with values_kwargs=\{'v_min': -10"):
        cartpole(values="categorical", values_kwargs={"v_max": 50}).set_parameters(tmp_path / "model")


def test_another_algorithm_does_not_open_the_file(tmp_path):
    from sb3_atari_dqn import ClassicDQN

    cartpole().save(tmp_path / "pqn")
    with pytest.raises(ValueError, match="PQN"):
        ClassicDQN.load(tmp_path / "pqn")
    ClassicDQN("MlpPolicy", "CartPole-v1", buffer_size=10).save(tmp_path / "dqn")
    with pytest.raises(ValueError, match="ClassicDQN"):
        PQN.load(tmp_path / "dqn")


# --- bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 12}, r"batch_size=12 must divide the 32 transitions of a rollout \(4 environments times "
                             r"n_steps=8\): take 8, or another n_steps"),
        ({"batch_size": 64}, "take 32"),
        ({"q_lambda": 1.5}, r"q_lambda must be a number in \[0, 1\], got 1.5"),
        ({"q_lambda": "high"}, "q_lambda must be a number"),
        ({"exploration_final_eps": -0.1}, r"exploration_final_eps must be a number in \[0, 1\]"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_epochs": 0}, "n_epochs"),
        ({"n_epochs": 1.5}, "n_epochs"),
        ({"loss": "l1"}, "Unknown loss 'l1'"),
        ({"loss": "mse", "values": "quantile"}, "loss='mse' is one of values='scalar'"),
        ({"overlap": 1}, "overlap must be True or False"),
        ({"learner": "quick"}, "Unknown learner"),
        ({"policy_kwargs": {"optimiser_class": 1}}, "did you mean 'optimizer_class'"),
    ],
)  # fmt: skip
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        cartpole(**settings)


@pytest.mark.parametrize(("n_envs", "n_steps", "batch_size"), [(1, 32, 32), (8, 32, 128), (5, 30, 75), (1, 257, 1)])
def test_minibatches_fit_a_rollout_of_any_size_unless_they_are_given(n_envs, n_steps, batch_size):
    model = PQN("MlpPolicy", make_vec_env("CartPole-v1", n_envs), n_steps=n_steps)
    assert model.batch_size == batch_size
    model.learn(n_envs * n_steps)


def test_without_a_batch_size_minibatches_fit_the_environments_of_a_loaded_model_too(tmp_path):
    for name, settings in (("fitted", {"batch_size": None}), ("given", {"batch_size": 32})):
        model = cartpole(**settings)
        model.save(tmp_path / name)
        model.export(tmp_path / f"{name}_exported", onnx=False)
    one = make_vec_env("CartPole-v1", 1)
    for opened in (PQN.load(tmp_path / "fitted", one), PQN.import_(tmp_path / "fitted_exported", one)):
        assert opened.batch_size == 8
        opened.learn(16)
        opened.n_steps = 16
        assert opened.learn(16).batch_size == 16
    for open_again in (
        lambda: PQN.load(tmp_path / "given", one),
        lambda: PQN.import_(tmp_path / "given_exported", one),
    ):
        with pytest.raises(ValueError, match=r"the 8 transitions of a rollout \(1 environment times .*batch_size=None"):
            open_again()


def test_a_rollout_of_one_transition_is_refused():
    with pytest.raises(ValueError, match="n_steps=1 with 1 environment is a rollout of one transition"):
        cartpole(1, n_steps=1, batch_size=1)


def test_actions_that_are_not_discrete_are_refused():
    with pytest.raises(ValueError, match="needs a Discrete action space, got Box"):
        PQN("MlpPolicy", "Pendulum-v1", **SMALL)


def test_without_an_environment_it_says_so(tmp_path):
    cartpole().save(tmp_path / "model")
    with pytest.raises(ValueError, match="no environment to learn in"):
        PQN.load(tmp_path / "model").learn(10)


def test_a_reward_that_is_not_finite_stops_the_training_before_it_is_stored():
    class Broken(Counting):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, float("nan") if self.step_number == 4 else reward, *rest

    model = PQN("MlpPolicy", DummyVecEnv([Broken] * 2), **SMALL, **NETWORK)
    with pytest.raises(ValueError, match="Environment 0 returned a reward of nan at step 6"):
        model.learn(32, log_interval=None)
    assert model.rollout_buffer.size() == 3


class Careless(DummyVecEnv):
    """Gives lists and numbers where SB3's environments give arrays, and no last observations if `forgets`."""

    forgets = False

    def step_wait(self):
        observations, rewards, dones, infos = super().step_wait()
        for info in infos if self.forgets else ():
            info.pop("terminal_observation", None)
        return observations, rewards.tolist(), dones.astype(int), infos


def test_rewards_and_ends_of_any_type():
    model = PQN("MlpPolicy", Careless([lambda: Counting(3)] * 2), **SMALL, **NETWORK)
    other = PQN("MlpPolicy", DummyVecEnv([lambda: Counting(3)] * 2), **SMALL, **NETWORK)
    assert torch.equal(*(parameters(each.learn(64, log_interval=None)) for each in (model, other)))


def test_a_missing_last_observation_is_named_where_it_is_needed():
    env = Careless([Counting] * 2)
    env.forgets = True
    PQN("MlpPolicy", env, **SMALL, **NETWORK).learn(32, log_interval=None)  # terminated: nobody needs it
    env = Careless([lambda: Counting(3)] * 2)
    env.forgets = True
    with pytest.raises(ValueError, match="Environment 0 truncated its episode, and its info lacks the terminal_obs"):
        PQN("MlpPolicy", env, **SMALL, **NETWORK).learn(32, log_interval=None)


def test_arguments_changed_since_the_construction_are_checked_before_training(tmp_path):
    cartpole().save(tmp_path / "model")
    model = PQN.load(tmp_path / "model", batch_size=7)
    model.set_env(make_vec_env("CartPole-v1", 4))
    with pytest.raises(ValueError, match="batch_size=7 must divide the 32 transitions"):
        model.learn(32)
    model.batch_size, model.n_epochs = 16, 0
    with pytest.raises(ValueError, match="n_epochs"):
        model.learn(32)
    assert model.num_timesteps == 0


def test_a_rollout_beyond_memory_is_refused_in_its_own_words():
    with pytest.raises(MemoryError, match="Two rollouts of n_steps=1,000,000,000 with 4 environments"):
        cartpole(n_steps=10**9).learn(32)
    with pytest.raises(ValueError, match="batch_size=7 must divide"):  # at once
        cartpole(n_steps=10**9, batch_size=7)
