"""The algorithms: arguments, acting, target network, replay buffer, logs, files."""

import io
import json
import time
import zipfile
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.dqn.policies import CnnPolicy as SB3CnnPolicy
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_atari_dqn import ClassicDQN, DoubleDQN, DuelingDQN, allow
from sb3_atari_dqn.objectives.bootstrap import Double, Greedy
from sb3_atari_dqn.policies import MlpPolicy
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.kinds import check_own_buffer
from sb3_atari_dqn.replay.sb3_buffers import SeededDictReplayBuffer, SeededNStepReplayBuffer, SeededReplayBuffer
from tests.support.environments import Catch, DiscountProbe, ImageAndVector, Noise, PolicyProbe
from tests.support.logs import Memory

ALGORITHMS = [ClassicDQN, DoubleDQN, DuelingDQN]
SHORT = dict(buffer_size=200, learning_starts=8, batch_size=4, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")


def small(algorithm=ClassicDQN, env="CartPole-v1", n_envs=1, policy="MlpPolicy", **kwargs):
    return algorithm(policy, make_vec_env(env, n_envs), **{**SHORT, **kwargs})


def parameters(model):
    return torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


# --- construction


def test_the_algorithms_differ_by_bootstrap_and_head():
    models = [small(algorithm) for algorithm in ALGORITHMS]
    assert {type(model.policy) for model in models} == {MlpPolicy}
    assert [model.objective.bootstrap for model in models] == [Greedy(), Double(), Double()]
    assert [model.policy.q_net.head.has_streams for model in models] == [False, False, True]
    assert not small(DuelingDQN, policy_kwargs={"head": "linear"}).policy.q_net.head.has_streams


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_defaults_are_those_of_sb3(algorithm):
    ours, theirs = algorithm("MlpPolicy", "CartPole-v1"), DQN("MlpPolicy", "CartPole-v1", buffer_size=1)
    for name in vars(theirs).keys() & {
        "learning_rate", "learning_starts", "batch_size", "tau", "gamma", "train_freq", "gradient_steps", "n_steps",
        "target_update_interval", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps",
        "max_grad_norm", "optimize_memory_usage",
    }:  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.buffer_size == 1_000_000


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"buffer_size": -1}, "buffer_size must be at least 1, got -1"),
        ({"buffer_size": "1e6"}, "buffer_size must be .*got '1e6'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_starts": -1}, "learning_starts must be at least 0"),
        ({"gamma": 1.01}, r"gamma must be a number in \[0, 1\], got 1.01"),
        ({"tau": -0.1}, r"tau must be a number in \[0, 1\], got -0.1"),
        ({"target_update_interval": -1}, "target_update_interval must be at least 0"),
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"exploration_initial_eps": 1.5}, "exploration_initial_eps must be"),
        ({"exploration_final_eps": -0.1}, "exploration_final_eps must be"),
        ({"exploration_steps": 0}, "exploration_steps must be at least 1, got 0"),
        ({"exploration_delay": -1}, "exploration_delay must be at least 0, got -1"),
        ({"exploration_delay": 5}, "exploration_delay=5 delays a schedule that counts environment steps"),
        ({"exploration_fraction": -0.1}, r"exploration_fraction must be a number in \[0, inf\]"),
        ({"exploration_decay_rate": 0}, "exploration_decay_rate must be"),
        ({"gradient_steps": -2}, "gradient_steps must be at least -1"),
        ({"train_freq": 0}, "train_freq must be at least 1"),
        ({"max_grad_norm": -1}, "max_grad_norm must be"),
        ({"learning_rate": -1e-4}, "learning_rate must be"),
        ({"learning_rate": "fast"}, "learning_rate must be"),
        ({"loss": "hubert"}, "Unknown loss 'hubert'; known: huber, mse"),
        ({"exploration": "boltzmann"}, "Unknown exploration 'boltzmann'; known: exponential, linear, none"),
        ({"replay": "priority"}, "Unknown replay 'priority'; known: prioritized, sb3, uniform"),
        ({"replay_buffer_class": "uniform"}, r"must be a ReplayBuffer class, got 'uniform'; .* in replay= \(uniform"),
        ({"policy": "CNNPolicy"}, "Unknown policy 'CNNPolicy'; known: CnnPolicy, MlpPolicy, MultiInputPolicy"),
        ({"policy": "CnnPolicy", "policy_kwargs": None}, "NatureTorso takes images"),
        ({"policy": SB3CnnPolicy}, "needs a policy that is a QPolicy, got stable_baselines3.dqn.policies.CnnPolicy"),
        ({"n_envs": 2, "train_freq": (1, "episode")}, "counts episodes, which 2 environments"),
        ({"optimize_memory_usage": True, "replay": "sb3"}, "handle_timeout_termination"),
        ({"optimize_memory_usage": True, "n_steps": 3, "replay": "sb3"}, "n_steps=3"),
        ({"env": "Pendulum-v1"}, r"Discrete action space, got Box\("),
        (
            {"env": ImageAndVector, "policy": "MultiInputPolicy", "n_steps": 3, "replay": "sb3"},
            "n_steps=3 with dictionary observations",
        ),
    ],
)
def test_bad_arguments_are_named_at_construction(kwargs, message):
    with pytest.raises(ValueError, match=message):
        small(**kwargs)


def test_old_names_of_options_still_work_and_the_warning_says_the_new_ones():
    with pytest.warns(FutureWarning, match=r"updates_per_transition=0.5 .* replay_ratio=0.5"):
        assert small(updates_per_transition=0.5).replay_ratio == 0.5
    with pytest.warns(FutureWarning, match="learner='plain' .* learner='reference'"):
        assert small(learner="plain").learner == "reference"
    with pytest.raises(ValueError, match=r"updates_per_transition=0.5 and replay_ratio=0.25 .* are the same option"):
        small(updates_per_transition=0.5, replay_ratio=0.25)


def test_none_means_the_algorithms_own_head():
    assert small(DuelingDQN, policy_kwargs={"head": None}).policy.q_net.head.has_streams


def test_a_learner_set_later_is_checked_when_it_is_needed():
    model = small()
    model.learner = "fsat"
    with pytest.raises(ValueError, match=r"learner .*'fsat'.*fast, reference"):
        model.learn(20)
    model.learner = "plain"
    with pytest.warns(FutureWarning, match="learner='plain' .*learner='reference'"):
        model.learn(20)


def old_style(head):
    class OldPolicy(MlpPolicy):
        default_head = head

        def __init__(self, observation_space, action_space, lr_schedule, net_arch=None):
            super().__init__(observation_space, action_space, lr_schedule, net_arch=net_arch)

    return OldPolicy


@pytest.mark.parametrize("algorithm", [ClassicDQN, DuelingDQN])
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_a_policy_that_names_its_head_and_takes_no_other_keeps_it(algorithm, head):
    model = small(algorithm, policy=old_style(head))
    assert model.policy.q_net.head.has_streams == (head == "dueling")
    with pytest.raises(ValueError, match=r"OldPolicy must take values=ScalarValues\(error='mse'\)"):
        small(algorithm, policy=old_style(head), loss="mse")


class NoValues(ClassicDQN):
    def make_values(self):
        pass


class MisspelledBootstrap(ClassicDQN):
    bootstrap = "duoble"


class BootstrapFunction(ClassicDQN):
    bootstrap: Any = staticmethod(lambda values, online, target, batch: None)


class MisspelledDefaults(ClassicDQN):
    policy_defaults: ClassVar[dict[str, Any]] = {"heads": "dueling"}


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (NoValues, r"NoValues.make_values\(\) .*None"),
        (MisspelledBootstrap, "Unknown bootstrap 'duoble'; known: double, greedy, minto, munchausen"),
        (BootstrapFunction, "BootstrapFunction.bootstrap must be an object .*function"),
        (MisspelledDefaults, "'heads' in MisspelledDefaults.policy_defaults.*'head'"),
    ],
)
def test_what_an_algorithm_of_the_users_own_lacks_is_said_at_construction(algorithm, message):
    with pytest.raises(ValueError, match=message):
        small(algorithm)


def test_none_given_to_load_leaves_an_argument_out(tmp_path):
    small(train_freq=2, gradient_steps=3).save(tmp_path / "model")
    load: Any = partial(ClassicDQN.load, tmp_path / "model", device="cpu")
    assert (load(train_freq=None).train_freq.frequency, load(gradient_steps=None).gradient_steps) == (4, 1)
    assert load(replay_ratio=0.5, gradient_steps=None, replay_buffer_kwargs=None).replay_ratio == 0.5


class StartsElsewhere(PolicyProbe):
    """Takes actions `first` and `first + 1`."""

    first: ClassVar[int] = 5

    def __init__(self):
        self.action_space = spaces.Discrete(2, start=self.first)

    def step(self, action):
        assert self.action_space.contains(action)
        return super().step(int(action) - self.first)


class StartsBelowZero(StartsElsewhere):
    first = -1


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized", "sb3"])
@pytest.mark.parametrize("env", [StartsElsewhere, StartsBelowZero])
@pytest.mark.parametrize("pace", [{}, {"learner": "fast", "replay_ratio": 1.0, "overlap": True}])
def test_actions_that_start_at_another_number_than_zero_are_learned_and_played(env, replay, pace):
    model = small(DuelingDQN, env=env, replay=replay, learning_rate=1e-2, **({} if pace else {"train_freq": 1}), **pace)
    model.learn(400)
    first = env.first
    best, _ = model.predict(np.array([[-1], [1]], np.float32), deterministic=True)
    assert best.tolist() == [first, first + 1]
    by_policy, _ = model.policy.predict(np.array([[-1], [1]], np.float32), deterministic=True)
    assert by_policy.tolist() == best.tolist()
    model.exploration_rate = 1.0
    explored, _ = model.predict(np.zeros((200, 1), np.float32))
    assert set(explored.tolist()) == {first, first + 1}


def test_whole_floats_from_a_configuration_are_taken():
    assert small(learning_starts=1e1, train_freq=4.0).learning_starts == 10


# --- acting


def test_each_environment_has_its_own_coin():
    model = small(n_envs=400)
    model.exploration_rate = 0.25
    observations = np.tile(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (400, 1))
    greedy = model.predict(observations, deterministic=True)[0]
    assert len(set(greedy)) == 1
    shares = [np.mean(model.predict(observations)[0] != greedy) for _ in range(50)]
    assert all(0 < share < 1 for share in shares)  # one coin for all gives 0 or about 1/2
    assert np.mean(shares) == pytest.approx(0.125, abs=0.01)  # half of the random actions are the greedy one


def test_full_exploration_draws_every_action_equally_often():
    model = small(env=Noise, n_envs=3, policy="CnnPolicy", policy_kwargs=None)
    model.exploration_rate = 1.0
    observations = np.zeros((3000, 1, 36, 36), np.uint8)
    counts = np.bincount(model.predict(observations)[0], minlength=4)
    assert counts == pytest.approx([750] * 4, abs=100)


def test_deterministic_actions_are_greedy_whatever_epsilon():
    model = small()
    model.exploration_rate = 1.0
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    greedy = model.policy.predict(observations, deterministic=True)[0]
    assert np.array_equal(model.predict(observations, deterministic=True)[0], greedy)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("env", "policy"), [("CartPole-v1", "MlpPolicy"), (Catch, "CnnPolicy"), (ImageAndVector, "MultiInputPolicy")]
)
def test_one_observation_gives_one_action_and_many_give_many(env, policy, epsilon):
    model = small(env=env, policy=policy, n_envs=3, policy_kwargs=None)
    model.exploration_rate = epsilon
    many = model.env.reset()
    one = {key: array[0] for key, array in many.items()} if isinstance(many, dict) else many[0]
    for observation, shape in ((many, (3,)), (one, ())):
        for _ in range(5):
            actions = model.predict(observation)[0]
            assert actions.shape == shape
            assert actions.dtype == model.action_space.dtype


class SmallActions(DiscountProbe):
    def __init__(self):
        self.action_space = spaces.Discrete(2, dtype=np.int32)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_actions_have_the_dtype_of_the_action_space(epsilon):
    model = small(env=SmallActions)
    model.exploration_rate = epsilon
    assert model.predict(np.zeros((4, 1), np.float32))[0].dtype == np.int32


def test_exploration_leaves_the_global_generator_alone():
    model = small()
    model.exploration_rate = 0.5
    np.random.seed(3)
    model.predict(np.zeros((10, 4), np.float32))
    drawn = np.random.random()
    np.random.seed(3)
    assert drawn == np.random.random()


@pytest.mark.parametrize(
    ("kwargs", "epsilons"),
    [
        ({"exploration_fraction": 0.5, "exploration_final_eps": 0.2}, {10: 0.6, 20: 0.2, 30: 0.2}),
        ({"exploration_steps": 20, "exploration_final_eps": 0.2}, {5: 0.8, 10: 0.6, 20: 0.2, 30: 0.2}),
        (
            {"exploration_delay": 10, "exploration_steps": 20, "exploration_final_eps": 0.2},
            {5: 1.0, 10: 1.0, 15: 0.8, 30: 0.2},
        ),
        (
            {"exploration": "exponential", "exploration_decay_rate": 0.1, "exploration_final_eps": 0.0},
            {10: np.exp(-1), 20: np.exp(-2)},
        ),
        ({"exploration": "none"}, {1: 0.0, 20: 0.0}),
        ({"exploration": None}, {1: 0.0, 20: 0.0}),
    ],
)
def test_epsilon_follows_its_schedule(kwargs, epsilons):
    model = small(learning_starts=1000, **kwargs)
    seen: dict[int, float] = {}
    # SB3 calls back before it moves epsilon, hence one step later
    model.learn(40, callback=lambda scope, _: seen.setdefault(model.num_timesteps - 1, model.exploration_rate) or True)
    assert {step: seen[step] for step in epsilons} == pytest.approx(epsilons)


# --- target network


def target_distance(model):
    pairs = zip(model.q_net.parameters(), model.q_net_target.parameters(), strict=True)
    return sum((online - target).abs().sum().item() for online, target in pairs)


def test_hard_copies_come_at_the_interval_counted_over_all_environments():
    model = small(n_envs=2, target_update_interval=10)
    model.set_logger(Logger(None, []))
    with torch.no_grad():
        next(model.q_net.parameters()).add_(1.0)
    before = target_distance(model)
    distances = []
    for _ in range(5):
        model._on_step()
        distances.append(target_distance(model))
    assert distances == [before] * 4 + [0.0]


def test_soft_updates_move_a_share_of_the_way_at_every_step():
    model = small(target_update_interval=1, tau=0.25)
    model.set_logger(Logger(None, []))
    with torch.no_grad():
        next(model.q_net.parameters()).add_(1.0)
    before = target_distance(model)
    for step in range(1, 4):
        model._on_step()
        assert target_distance(model) == pytest.approx(before * 0.75**step, rel=1e-4)


# --- logs


def test_logs_hold_sb3s_keys_and_ours():
    memory, model = Memory(), small(train_freq=4, gradient_steps=3, target_update_interval=20)
    model.set_logger(Logger(None, [memory]))
    model.learn(50, log_interval=1)
    last = memory.dumps[-1]
    keys = {"train/mean_q", "train/target_age"} | {f"time/{key}" for key in ("env_steps_per_second", "fps")}
    assert keys | {"time/updates_per_second"} <= set(last)
    assert last["rollout/exploration_rate"] == 0.05, "its end, after the first 5 of 50 steps"
    assert last["train/learning_rate"] == 1e-4
    trainings = (last["time/total_timesteps"] - 1) // 4 - 2  # after every 4 steps, but for those at 4 and 8
    assert last["train/n_updates"] == 3 * trainings
    assert 0 < last["train/loss"] < last["train/mean_abs_td_error"], "Huber's is below the absolute error"
    assert last["train/grad_norm"] > 0


def test_target_age_counts_updates_since_the_target_moved():
    model = small(train_freq=4, gradient_steps=3, target_update_interval=16, learning_starts=0)
    model.learn(24)  # trained at 4, 8, ..., 24; the target moved at 16, after the training at 12
    assert model.logger.name_to_value["train/target_age"] == 3 * 3
    assert model.logger.name_to_value["train/n_updates"] == 6 * 3


def test_logged_numbers_are_means_over_the_updates():
    model = small()
    model.set_logger(Logger(None, []))
    model._log.add(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    model._log.add(torch.tensor([3.0, 4.0, 5.0, 8.0]))
    model._record_training()
    logged = model.logger.name_to_value
    assert [logged[f"train/{key}"] for key in ("loss", "mean_q", "mean_abs_td_error", "grad_norm")] == [2, 3, 4, 6]


def test_speeds_go_over_the_time_since_the_last_log(monkeypatch):
    memory, model, clock = Memory(), small(), iter([100.0, 102.0, 102.0, 106.0, 106.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    model._setup_learn(1)
    model.set_logger(Logger(None, [memory]))
    for env_steps, updates in ((200, 50), (240, 54)):
        model.num_timesteps, model._n_updates = env_steps, updates
        model.dump_logs()
    assert [dump["time/env_steps_per_second"] for dump in memory.dumps] == [100.0, 10.0]
    assert [dump["time/updates_per_second"] for dump in memory.dumps] == [25.0, 1.0]


def test_tensorboard_runs_are_named_after_the_algorithm(tmp_path):
    small(DoubleDQN, tensorboard_log=str(tmp_path)).learn(10)
    assert [run.name for run in tmp_path.iterdir()] == ["DoubleDQN_1"]


# --- replay buffer


SB3_SAMPLING: dict[str, Any] = {"replay_buffer_kwargs": {"sb3_sampling": True}}


@pytest.mark.parametrize("as_sb3", [{"replay": "sb3"}, SB3_SAMPLING], ids=["sb3", "sb3_sampling"])
def test_the_buffer_is_what_sb3_chooses_with_a_generator_of_its_own_unless_sb3s_is_asked_for(as_sb3):
    cases: list[tuple[dict[str, Any], type, type]] = [
        ({}, ReplayBuffer, SeededReplayBuffer),
        ({"n_steps": 3}, NStepReplayBuffer, SeededNStepReplayBuffer),
        ({"env": BitFlippingEnv, "policy": "MultiInputPolicy"}, DictReplayBuffer, SeededDictReplayBuffer),
    ]
    for kwargs, theirs, ours in cases:
        assert type(small(**kwargs).replay_buffer) is ours
        assert type(small(**kwargs, replay_buffer_kwargs={"sb3_sampling": False}).replay_buffer) is ours
        assert type(small(**kwargs, **as_sb3).replay_buffer) is theirs
    model = small(env=ImageAndVector, policy="MultiInputPolicy", replay="sb3")
    assert type(model.replay_buffer) is DictReplayBuffer


VECTORS: list[dict[str, Any]] = [{}, {"n_steps": 3}, {"env": BitFlippingEnv, "policy": "MultiInputPolicy"}]


@pytest.mark.parametrize("kwargs", VECTORS, ids=["plain", "n-step", "dictionary"])
def test_others_that_use_numpys_global_generator_change_nothing_in_a_training(kwargs):
    trained = []
    for disturbed in (False, True):
        model = small(n_envs=2, train_freq=1, **kwargs)
        model.learn(80, callback=lambda scope, _, reseeds=disturbed: not reseeds or np.random.seed(1) is None)
        trained.append((parameters(model), model.replay_buffer.sample(16).rewards))
    assert all(torch.equal(*pair) for pair in zip(*trained, strict=True))


@pytest.mark.parametrize("kwargs", VECTORS, ids=["plain", "n-step", "dictionary"])
def test_updates_leave_numpys_global_generator_alone_unless_sb3s_draws_are_asked_for(kwargs):
    for more, leaves_alone in (({}, True), (SB3_SAMPLING, False), ({"replay": "sb3"}, False)):
        model = small(n_envs=2, **kwargs, **more).learn(20)
        before = np.random.get_state(legacy=False)["state"]
        model.train(gradient_steps=2, batch_size=4)
        after = np.random.get_state(legacy=False)["state"]
        assert (after["pos"] == before["pos"] and np.array_equal(after["key"], before["key"])) == leaves_alone


def test_n_steps_of_ours_are_neither_refused_nor_warned_of_by_sb3(recwarn):
    model = small(n_steps=3, replay_buffer_class=FrameReplayBuffer)
    buffer = model.replay_buffer
    assert isinstance(buffer, FrameReplayBuffer)
    assert (model.n_steps, model.replay_buffer_class, buffer.n_steps) == (3, FrameReplayBuffer, 3)
    assert not [warning for warning in recwarn if "n_steps" in str(warning.message)]


def test_the_users_buffer_arguments_stay_untouched():
    kwargs = {"handle_timeout_termination": True}
    small(n_steps=3, replay_buffer_kwargs=kwargs).learn(1)
    assert kwargs == {"handle_timeout_termination": True}


def test_two_choices_of_the_buffer_are_refused():
    with pytest.raises(
        ValueError,
        match="replay='other' and replay_buffer_class=OwnBuffer both choose the buffer: give replay='uniform'",
    ):
        check_own_buffer(OwnBuffer, "other")


def test_n_step_arguments_reach_the_buffer():
    buffer = small(n_steps=3, gamma=0.7).replay_buffer
    assert (buffer.n_steps, buffer.gamma) == (3, 0.7)


class OwnBuffer(ReplayBuffer):
    def __init__(self, *args, greeting="", **kwargs):
        super().__init__(*args, **kwargs)
        self.greeting = greeting


def test_a_buffer_class_of_ones_own_is_used_with_its_arguments():
    kwargs = {"greeting": "hello"}
    assert small(replay_buffer_class=OwnBuffer, replay_buffer_kwargs=kwargs).replay_buffer.greeting == "hello"


class NoBuffer(ReplayBuffer):
    def __init__(self, *args, **kwargs):
        raise MemoryError("allocated")


def test_building_saving_loading_and_playing_allocate_no_buffer(tmp_path):
    allow(NoBuffer)
    small(replay_buffer_class=NoBuffer, buffer_size=10**12).save(tmp_path / "huge")
    model = ClassicDQN.load(tmp_path / "huge", env=make_vec_env("CartPole-v1"))
    model.predict(np.zeros((1, 4), np.float32))
    with pytest.raises(MemoryError, match="allocated"):
        model.learn(1)


def test_a_loaded_model_learns_and_its_buffer_travels(tmp_path):
    model = small()
    model.learn(32)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = ClassicDQN.load(tmp_path / "model", env=make_vec_env("CartPole-v1"))
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert loaded.replay_buffer.size() == 32
    assert np.array_equal(loaded.replay_buffer.observations, model.replay_buffer.observations)
    loaded.learn(8, reset_num_timesteps=False)
    assert loaded.replay_buffer.size() == 40
    assert loaded.num_timesteps == 40


def test_a_loaded_model_may_change_its_number_of_steps_and_warns_of_nothing(tmp_path, recwarn):
    small(n_steps=3).save(tmp_path / "model")
    for n_steps, kind in ((3, SeededNStepReplayBuffer), (5, SeededNStepReplayBuffer), (1, SeededReplayBuffer)):
        model = ClassicDQN.load(tmp_path / "model", env=make_vec_env("CartPole-v1"), n_steps=n_steps)
        assert type(model.replay_buffer) is kind
        assert getattr(model.replay_buffer, "n_steps", 1) == n_steps
    assert not [warning for warning in recwarn if "n_steps" in str(warning.message)]


def test_hindsight_replay_gets_its_environment(tmp_path):
    kwargs = {"replay_buffer_class": HerReplayBuffer, "learning_starts": 50}
    model = small(env=lambda: BitFlippingEnv(n_bits=4), policy="MultiInputPolicy", **kwargs)
    model.learn(60)
    model.save(tmp_path / "model")
    loaded = ClassicDQN.load(tmp_path / "model")
    with pytest.raises(ValueError, match="HerReplayBuffer needs the environment"):
        _ = loaded.replay_buffer


# --- files


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("env", "policy", "policy_kwargs"),
    [
        ("CartPole-v1", "MlpPolicy", {"net_arch": [8]}),
        (Catch, "CnnPolicy", {"features_extractor_class": "impala", "features_extractor_kwargs": {"hidden_size": 16}}),
        (ImageAndVector, "MultiInputPolicy", None),
    ],
)
def test_a_trained_model_survives_its_file(algorithm, env, policy, policy_kwargs, tmp_path):
    model = small(algorithm, env, policy=policy, policy_kwargs=policy_kwargs)
    model.learn(20)
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model.zip", env=make_vec_env(env), device="cpu")
    assert torch.equal(parameters(loaded), parameters(model))
    observations = model.env.reset()
    actions, expected = (one.predict(observations, deterministic=True)[0] for one in (loaded, model))
    assert np.array_equal(actions, expected)
    loaded.learn(20)


def test_exploration_goes_on_where_it_stood_unless_a_seed_is_given(tmp_path):
    model, observations = small(), np.zeros((50, 4), np.float32)
    model.exploration_rate = 0.5
    at_start = model.predict(observations)[0]
    model.save(tmp_path / "model")
    afterwards = model.predict(observations)[0]
    assert np.array_equal(ClassicDQN.load(tmp_path / "model").predict(observations)[0], afterwards)
    assert np.array_equal(ClassicDQN.load(tmp_path / "model", seed=0).predict(observations)[0], at_start)
    assert not np.array_equal(afterwards, at_start)


def test_models_travel_through_file_objects():
    file, model = io.BytesIO(), small()
    model.save(file)
    assert torch.equal(parameters(ClassicDQN.load(file)), parameters(model))


def test_the_zoos_way_of_loading_to_play_works(tmp_path):
    small().save(tmp_path / "model")
    zeros = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    model = ClassicDQN.load(tmp_path / "model", custom_objects=zeros, device="auto", seed=1, buffer_size=1)
    assert model.learning_rate == 0.0


def test_the_file_holds_no_buffer(tmp_path):
    model = small(buffer_size=100_000)
    model.learn(20)
    model.save(tmp_path / "model")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        names = json.loads(archive.read("data"))
    assert not [name for name in names if "replay_buffer" in name and not name.endswith(("_class", "_kwargs"))]


def test_an_interrupted_save_leaves_the_old_model(tmp_path, monkeypatch):
    model = small()
    model.save(tmp_path / "model")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small(seed=1).save(tmp_path / "model")
    assert torch.equal(parameters(ClassicDQN.load(tmp_path / "model")), parameters(model))
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]


def other(algorithm: type, policy: type[BasePolicy] | str = "MlpPolicy"):
    return algorithm(policy, gym.make("CartPole-v1"), device="cpu", **({} if algorithm is PPO else {"buffer_size": 10}))


@pytest.mark.parametrize(
    ("saved_by", "loaded_by", "message"),
    [
        (DoubleDQN, ClassicDQN, r"model\.zip holds a DoubleDQN, not a ClassicDQN; load it with DoubleDQN.load"),
        (ClassicDQN, DuelingDQN, r"holds a ClassicDQN, not a DuelingDQN"),
        (
            DQN,
            DoubleDQN,
            r"model\.zip was not saved by DoubleDQN: .*DQNPolicy of stable_baselines3.dqn.*set_parameters",
        ),
        (
            PPO,
            DuelingDQN,
            r"was not saved by DuelingDQN: .*ActorCriticPolicy .*load it with the algorithm that saved it",
        ),
    ],
)
def test_another_algorithms_file_is_refused_with_file_content_and_way_out(saved_by, loaded_by, message, tmp_path):
    other(saved_by).save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match=message):
        loaded_by.load(tmp_path / "model.zip")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "env", "kwargs"),
    [
        ("MlpPolicy", "CartPole-v1", {"n_steps": 3, "policy_kwargs": {"net_arch": [8]}}),
        ("CnnPolicy", Catch, {"replay_buffer_kwargs": {"handle_timeout_termination": False}}),
        ("CnnPolicy", Catch, {"policy_kwargs": {"features_extractor_class": NatureCNN}}),
        ("MultiInputPolicy", ImageAndVector, {}),
    ],
)
def test_classic_dqn_opens_and_continues_what_sb3s_dqn_saved(policy, env, kwargs, tmp_path):
    make = partial(make_vec_env, env, 2, seed=1)
    theirs = DQN(policy, make(), seed=0, device="cpu", buffer_size=100, learning_starts=20, batch_size=8, **kwargs)
    theirs.learn(60)
    theirs.save(tmp_path / "sb3")
    ours = ClassicDQN.load(tmp_path / "sb3", make(), device="cpu")
    observations: Any = make().reset()
    assert ours.predict(observations, deterministic=True)[0].tolist() == (
        theirs.predict(observations, deterministic=True)[0].tolist()
    )
    for name in ("num_timesteps", "_n_updates", "n_steps", "gamma", "exploration_rate", "learning_starts"):
        assert getattr(ours, name) == getattr(theirs, name), name
    own_buffer_kwargs = kwargs.get("replay_buffer_kwargs", {})
    assert (ours.replay_buffer_class, ours.replay_buffer_kwargs) == (None, own_buffer_kwargs)
    updates = ours._n_updates
    ours.learn(60, reset_num_timesteps=False)
    assert ours.num_timesteps >= theirs.num_timesteps + 60
    assert ours._n_updates > updates
    ours.save(tmp_path / "ours")
    assert torch.equal(parameters(ClassicDQN.load(tmp_path / "ours")), parameters(ours))


def test_a_buffer_class_of_the_users_own_comes_along_from_sb3(tmp_path):
    kwargs = dict(replay_buffer_class=FrameReplayBuffer, replay_buffer_kwargs={"n_stack": 1, "n_steps": 2})
    DQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=50, **kwargs).save(tmp_path / "sb3")  # type: ignore[arg-type]
    ours = ClassicDQN.load(tmp_path / "sb3", gym.make("CartPole-v1"))
    assert type(ours.replay_buffer) is FrameReplayBuffer
    assert ours.replay_buffer.n_steps == 2
    replaced = ClassicDQN.load(
        tmp_path / "sb3", custom_objects={"replay_buffer_class": None, "replay_buffer_kwargs": {}}
    )
    assert type(replaced.replay_buffer) is SeededReplayBuffer


def test_a_policy_of_the_users_own_is_no_dqn_that_we_know(tmp_path):
    class OwnPolicy(SB3CnnPolicy):
        pass

    DQN(OwnPolicy, Catch(), device="cpu", buffer_size=10).save(tmp_path / "own")
    with pytest.raises(ValueError, match="OwnPolicy"):
        ClassicDQN.load(tmp_path / "own", trust=True)


def test_a_model_without_an_environment_says_what_is_missing(tmp_path):
    small().save(tmp_path / "model")
    model = ClassicDQN.load(tmp_path / "model")
    with pytest.warns(UserWarning, match=r"ClassicDQN .*env= .*set_env\(\)"):
        assert model.get_env() is None
    with pytest.raises(ValueError, match=r"env= .*load\(\)"):
        model.learn(10)


@pytest.mark.parametrize("saved_by", [DuelingDQN, PPO])
def test_parameters_that_do_not_fit_are_refused_with_their_source(saved_by, tmp_path):
    other(saved_by).save(tmp_path / "model.zip")
    with pytest.raises(RuntimeError, match=r"model\.zip .*ClassicDQN"):
        other(ClassicDQN).set_parameters(tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"buffer_size": -1}, "buffer_size must be at least 1, got -1"),
        ({"loss": "hubert"}, "Unknown loss 'hubert'"),
        ({"bufer_size": 10}, "argument bufer_size"),
    ],
)
def test_bad_arguments_are_named_at_load(kwargs, message, tmp_path):
    small().save(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        ClassicDQN.load(tmp_path / "model", **kwargs)


def test_episodes_of_several_environments_are_refused_at_load(tmp_path):
    small(train_freq=(1, "episode")).save(tmp_path / "model")
    with pytest.raises(ValueError, match="counts episodes"):
        ClassicDQN.load(tmp_path / "model", env=make_vec_env("CartPole-v1", 2))


# --- determinism


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_same_seed_gives_identical_parameters_and_another_seed_does_not(algorithm, n_envs):
    trained = []
    for seed in (1, 1, 2):
        model = small(algorithm, n_envs=n_envs, seed=seed, train_freq=2)
        trained.append(parameters(model.learn(150)))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_a_second_call_to_learn_continues_the_run():
    model = small(gradient_steps=-1)
    model.learn(20)
    updates = model._n_updates
    model.learn(20, reset_num_timesteps=False)
    assert model.num_timesteps == 40
    assert model._n_updates == updates + 20
