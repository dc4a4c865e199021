"""The fast learner beside the reference learner, and what it keeps in step with the policy."""

import re
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import polyak_update
from torch import nn

from sb3_atari_dqn import ClassicDQN, DuelingDQN
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.networks.q_network import HeadedQNetwork
from sb3_atari_dqn.networks.torsos import NatureTorso
from sb3_atari_dqn.objectives.bootstrap import Bootstrapped
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from tests.support.batches import (
    FAMILIES,
    RULE,
    RULES,
    TORSOS,
    batch,
    images,
    make_policy,
    observations,
    rule_of,
    torso_policy,
)
from tests.support.environments import ImageAndVector, Noise

N_UPDATES = 6


def vector(policy):
    return torch.nn.utils.parameters_to_vector(policy.parameters()).detach()


def train(learner, rule=RULE, **kwargs):
    """N updates, with two soft updates of the target network among them."""
    policy = learner.policy
    for i in range(N_UPDATES):
        learner.update(batch(policy.observation_space, i, **kwargs), rule)
        if i % 3 == 1:
            polyak_update(policy.q_net.parameters(), policy.q_net_target.parameters(), 0.5)
            learner.target_changed()
    return vector(policy)


def distance(make, rule=RULE, **kwargs):
    """:return: how far fast and plain end apart, as a share of the way that plain went; and the largest difference"""
    start = vector(make())
    plain = train(ReferenceLearner(make()), rule, **kwargs)
    difference = train(FastLearner(make(), "fp32", 8), rule, **kwargs) - plain
    return (difference.norm() / (plain - start).norm()).item(), difference.abs().max().item()


# --- the same parameters
#
# Adam divides a gradient by its own size: with its default epsilon of 1e-8 one that is nothing but rounding moves a
# parameter by a whole learning rate. A larger epsilon (that of Rainbow) shows what the learners themselves do.

SMOOTH = {"eps": 1.5e-4}


@pytest.mark.parametrize("torso", TORSOS)
@pytest.mark.parametrize("family", FAMILIES)
def test_fast_and_plain_learner_give_the_same_parameters(family, torso):
    share, _ = distance(lambda: torso_policy(family, torso), RULES[family])
    assert share < 2e-3  # as it comes, ReLU and Adam included


@pytest.mark.slow
@pytest.mark.parametrize("torso", ["nature", "dqn2013", "elu"])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_kinks_they_agree_to_the_last_digits(family, torso):
    torso_kwargs = {**TORSOS[torso][0], "activation": "silu"}
    share, largest = distance(
        lambda: torso_policy(family, torso, features_extractor_kwargs=torso_kwargs, optimizer_kwargs=SMOOTH),
        RULES[family],
    )
    assert share < 3e-6
    assert largest < 1e-6


@pytest.mark.parametrize("rescale_shared_gradient", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("loss", ["huber", "mse"])
def test_they_agree_on_every_kind_of_loss(loss, n_steps, weighted, rescale_shared_gradient):
    def make():
        return torso_policy(
            "dueling", "dqn2013", rescale_shared_gradient=rescale_shared_gradient, optimizer_kwargs=SMOOTH
        )

    share, largest = distance(make, rule_of(error=loss), n_steps=n_steps, weighted=weighted)
    assert share < 1e-5
    assert largest < 1e-6


@pytest.mark.parametrize("max_grad_norm", [1e-3, 0.1])
def test_they_shorten_the_gradient_alike(max_grad_norm):
    optimizer = {"optimizer_class": torch.optim.SGD, "learning_rate": 0.1}
    share, _ = distance(
        lambda: torso_policy("double", "dqn2013", **optimizer), replace(RULE, max_grad_norm=max_grad_norm)
    )
    assert share < 1e-4


VECTORS = spaces.Box(-1, 1, (5,), np.float32)
DICTIONARY = spaces.Dict({"image": images(1, 36, 36), "numbers": spaces.Box(-1, 1, (2,), np.float32)})


@pytest.mark.parametrize(
    ("policy_class", "space"),
    [(MlpPolicy, VECTORS), (MlpPolicy, images(2, 12, 12)), (MultiInputPolicy, DICTIONARY)],
)
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_they_agree_on_other_observations(policy_class, space, head):
    share, largest = distance(lambda: make_policy(policy_class, space, head=head, optimizer_kwargs=SMOOTH))
    assert share < 1e-5
    assert largest < 1e-6


CENTERED = {"features_extractor_kwargs": {"center_images": True}}


@pytest.mark.parametrize("kwargs", [{"normalize_images": False}, {"net_arch": [16, 16]}, {"head": "dueling"}, CENTERED])
def test_they_agree_on_other_arguments_of_the_policy(kwargs):
    share, _ = distance(lambda: make_policy(optimizer_kwargs=SMOOTH, **kwargs))
    assert share < 1e-4


def test_they_report_the_same_numbers():
    samples = batch(images(2, 36, 36), 0, n_steps=3, weighted=True)
    plain, fast = (
        learner.update(samples, RULE)
        for learner in (ReferenceLearner(make_policy()), FastLearner(make_policy(), "fp32", 8))
    )
    torch.testing.assert_close(fast.priorities, plain.priorities, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(fast.statistics, plain.statistics, rtol=1e-5, atol=1e-6)


def test_bf16_goes_nearly_the_same_way_in_float32_steps():
    start = vector(torso_policy("double", "nature"))
    plain, fast = (
        train(learner) - start
        for learner in (
            ReferenceLearner(torso_policy("double", "nature", optimizer_kwargs=SMOOTH)),
            FastLearner(torso_policy("double", "nature", optimizer_kwargs=SMOOTH), "bf16", 8),
        )
    )
    assert fast.dtype == torch.float32
    assert nn.functional.cosine_similarity(fast, plain, dim=0) > 0.98
    assert not torch.equal(fast, plain)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_greedy_actions_are_those_of_the_policy(precision):
    policy = make_policy(learning_rate=1e-2)
    learner = FastLearner(policy, precision, 8)
    train(learner)
    pixels = observations(policy.observation_space, 64, np.random.default_rng(1)).numpy()
    actions = learner.greedy_actions(pixels)
    assert actions.shape == (64,)
    assert actions.dtype == np.int64
    share = np.mean(actions == policy.predict(pixels, deterministic=True)[0])
    assert share == 1 if precision == "fp32" else share > 0.9


# --- through the algorithm: sampling, priorities, target network

SETTINGS: dict[str, Any] = dict(
    buffer_size=200,
    batch_size=8,
    learning_starts=0,
    learning_rate=1e-3,
    seed=5,
    device="cpu",
    policy_kwargs={"features_extractor_class": "dqn2013", "optimizer_kwargs": SMOOTH},
)


def filled(learner="fast", algorithm=DuelingDQN, env=Noise, precision="fp32", **kwargs):
    """:return: a model with 40 random transitions of each of two environments in its memory"""
    policy = "MultiInputPolicy" if env is ImageAndVector else "CnnPolicy"
    kwargs = {**SETTINGS, **kwargs}
    model = algorithm(policy, make_vec_env(env, 2, seed=2), learner=learner, precision=precision, **kwargs)
    model.set_logger(Logger(None, []))
    collect(model)
    np.random.seed(9)
    return model


def collect(model):
    generator, model._last_obs = np.random.default_rng(1), model.env.reset()
    for _ in range(40):
        actions = generator.integers(model.action_space.n, size=model.n_envs)
        model._store_transition(model.replay_buffer, actions, *model.env.step(actions))


def trained(**kwargs):
    model = filled(**kwargs)
    model.target_update_interval = model.n_envs
    for _ in range(3):
        model.train(gradient_steps=2, batch_size=8)
        model._on_step()
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("replay", "n_steps"), [("uniform", 1), ("uniform", 3), ("sb3", 3), ("prioritized", 3)])
@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_models_agree_whatever_the_memory(tau, replay, n_steps):
    plain, fast = (trained(learner=name, replay=replay, n_steps=n_steps, tau=tau) for name in ("reference", "fast"))
    torch.testing.assert_close(vector(fast.policy), vector(plain.policy), rtol=0, atol=1e-6)
    assert not torch.allclose(vector(plain.policy), vector(filled(learner="reference").policy), rtol=0, atol=1e-4)


# --- copies in step with the policy


def images_of(model):
    return observations(model.observation_space, 16, np.random.default_rng(4))


def assert_in_step(model):
    """Both copies compute what the networks of the policy compute."""
    learner, pixels = model._get_learner(), images_of(model)
    bound = 1e-5 if learner.precision == "fp32" else 0.01
    for own, network in ((learner.online, model.q_net), (learner.target, model.q_net_target)):
        with torch.no_grad():
            torch.testing.assert_close(
                own(own.preprocess(pixels)).per_action[..., 0], network(pixels), rtol=bound, atol=bound
            )
    assert not torch.equal(model.q_net(pixels), model.q_net_target(pixels)) or model._n_updates == 0


def other_parameters():
    """:return: those of another model, whose two networks differ"""
    other = filled(seed=6)
    with torch.no_grad():
        for parameter in other.policy.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return other.get_parameters()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_copies_follow_the_optimizer(precision):
    model = filled(precision=precision, learning_rate=1e-2)
    before = model.q_net(images_of(model))
    for _ in range(3):
        model.train(gradient_steps=2, batch_size=8)
        assert_in_step(model)
    assert (model.q_net(images_of(model)) - before).abs().max() > 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_copies_follow_the_target_network(tau, precision):
    model = filled(precision=precision, tau=tau, learning_rate=1e-2)
    model.train(gradient_steps=6, batch_size=8)
    before = model.q_net_target(images_of(model))
    model._update_target_network()
    model.train(gradient_steps=1, batch_size=8)  # online and target differ again
    assert_in_step(model)
    assert (model.q_net_target(images_of(model)) - before).abs().max() > 0.05


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_copies_follow_parameters_that_were_set(precision):
    model = trained(precision=precision)
    model.set_parameters(other_parameters())
    assert_in_step(model)
    model.train(gradient_steps=1, batch_size=8)
    assert_in_step(model)


def test_copies_follow_parameters_that_were_set_in_part_before_an_error():
    """PyTorch takes over what fits before it complains of what does not."""
    model = trained()
    parameters = other_parameters()
    parameters["policy"]["q_net.q_net.value.0.weight"] = torch.zeros(1, 1)
    before = model.q_net(images_of(model))
    with pytest.raises(RuntimeError, match="do not fit"):
        model.set_parameters(parameters)
    assert not torch.equal(model.q_net(images_of(model)), before)
    assert_in_step(model)


# --- the flags of the optimizer, and files


def fused(model):
    return [bool(group.get("fused")) for group in model.policy.optimizer.param_groups]


def test_the_optimizer_is_fused_for_the_fast_learner_only():
    assert fused(trained()) == [True]
    assert fused(trained(learner="reference")) == [False]


def test_another_optimizer_is_left_as_it_is():
    policy = make_policy(optimizer_class=torch.optim.RMSprop)
    FastLearner(policy, "fp32", 8)
    assert "fused" not in policy.optimizer.param_groups[0]


def test_a_fused_optimizer_that_the_user_asked_for_stays_with_the_plain_learner():
    policy = make_policy(optimizer_kwargs={"fused": True})
    ReferenceLearner(policy)
    assert policy.optimizer.param_groups[0]["fused"] is True


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("fast", "reference"), ("reference", "fast")])
@pytest.mark.parametrize("env", [Noise, ImageAndVector])
def test_a_model_goes_on_with_the_other_learner(first, second, env, tmp_path):
    more = {"policy_kwargs": {"optimizer_kwargs": SMOOTH}} if env is ImageAndVector else {}
    model = trained(learner=first, env=env, **more)
    model.save(tmp_path / "model")
    loaded = [
        DuelingDQN.load(tmp_path / "model", env=make_vec_env(env, 2, seed=2), learner=name, device="cpu")
        for name in (first, second)
    ]
    for one in loaded:
        np.testing.assert_array_equal(vector(one.policy), vector(model.policy))
        one.set_logger(Logger(None, []))
    for one in loaded:
        collect(one)
        cast(FrameReplayBuffer, one.replay_buffer).seed(3)  # the same batches
        one.train(gradient_steps=5, batch_size=8)
    assert [fused(one) for one in loaded] == [[first == "fast"], [second == "fast"]]
    torch.testing.assert_close(vector(loaded[0].policy), vector(loaded[1].policy), rtol=0, atol=1e-6)
    assert (vector(loaded[0].policy) - vector(model.policy)).abs().max() > 1e-3
    observation = model.env.reset()
    actions = [one.predict(observation, deterministic=True)[0] for one in loaded]
    assert np.array_equal(actions[0], actions[1])


def test_a_learner_that_continues_computes_in_the_recorded_precision_and_not_in_what_is_faster_here():
    recorded = FastLearner(make_policy(), "bf16", 8).state_dict()
    learner = FastLearner(make_policy(), "fp32", 8)
    learner.load_state_dict(recorded)
    expected = FastLearner(make_policy(), "bf16", 8)
    for each in (learner, expected):
        each.update(batch(images(2, 36, 36), seed=1), RULE)
    assert learner.precision == "bf16"
    assert torch.equal(vector(learner.policy), vector(expected.policy))
    with pytest.raises(ValueError, match=r"precision .*'fp8'.*bf16, fp32"):
        learner.load_state_dict({"precision": "fp8"})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_file_of_a_fast_model_is_float32_and_unscaled(precision, tmp_path):
    model = trained(precision=precision)
    model.save(tmp_path / "model")
    loaded = DuelingDQN.load(tmp_path / "model", learner="reference", device="cpu")
    assert vector(loaded.policy).dtype == torch.float32
    assert torch.equal(vector(loaded.policy), vector(model.policy))
    assert (loaded.learner, loaded.precision) == ("reference", precision)


# --- what is said and what is refused


def test_the_model_says_which_precision_it_chose_and_why(capsys):
    filled(precision="auto", verbose=1).train(gradient_steps=1, batch_size=8)
    said = capsys.readouterr().out
    assert re.search(r"Learning in (fp32|bf16): forward and backward take fp32 [\d.]+ ms and bf16 [\d.]+ ms", said)
    assert 0 <= said.index("Measuring whether bf16 or fp32") < said.index("Learning in")
    filled(precision="auto", verbose=0).train(gradient_steps=1, batch_size=8)
    assert capsys.readouterr().out == ""


def test_a_precision_that_is_given_is_not_measured_and_vectors_have_none(capsys):
    filled(precision="fp32", verbose=1).train(gradient_steps=1, batch_size=8)
    said = capsys.readouterr().out
    ClassicDQN("MlpPolicy", "CartPole-v1", learner="fast", verbose=1)._get_learner()
    said += capsys.readouterr().out
    assert "Learning in fp32: as asked" in said
    assert "Learning in fp32: no images" in said
    assert "Measuring" not in said


def test_a_continued_training_says_that_its_precision_is_the_recorded_one(capsys):
    model = filled(precision="auto", verbose=1)
    state = {**model.state_dict(), "learner": {"precision": "bf16"}}
    del state["replay"]
    capsys.readouterr()
    continued = filled(precision="auto", verbose=1)
    continued.load_state_dict(state)
    said = capsys.readouterr().out
    assert "Learning in bf16: as in the checkpoint" in said
    assert "Measuring" not in said
    assert continued.precision == "auto"


@dataclass(frozen=True)
class OwnIdea:
    """Bootstraps from half the mean over the actions."""

    def __call__(self, values, online, target, batch):
        return Bootstrapped(0.5 * target(batch.next_observations).per_action.mean(dim=1))


class OwnNet(HeadedQNetwork):
    def forward(self, obs):
        return 2 * super().forward(obs)


class OwnNetPolicy(CnnPolicy):
    def make_q_net(self):
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        return OwnNet(**arguments, **self._head_args).to(self.device)


class Torso(BaseFeaturesExtractor):
    def __init__(self, observation_space, layer):
        super().__init__(observation_space, features_dim=4)
        self.net = nn.Sequential(nn.Conv2d(2, 4, 8), layer(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, observations):
        return self.net(observations)


SMALL_TORSO: dict[str, Any] = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}
SHORT: dict[str, Any] = {"buffer_size": 100, "learning_starts": 4, "batch_size": 4, "seed": 0, "device": "cpu"}


class SpareTorso(Torso):
    """Has a layer that it does not use."""

    def __init__(self, observation_space):
        super().__init__(observation_space, nn.Identity)
        self.spare = nn.Linear(3, 3)


class RandomTorso(Torso):
    """Draws from a generator that seeding torch does not reach."""

    def __init__(self, observation_space):
        super().__init__(observation_space, nn.Identity)

    def forward(self, observations):
        return self.net(observations) * float(np.random.default_rng().random())


class ViewingTorso(BaseFeaturesExtractor):
    """Believes that images lie channel by channel."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 4 * 5 * 5)
        self.net = nn.Sequential(nn.Conv2d(2, 4, 8), nn.AdaptiveAvgPool2d(5))

    def forward(self, observations):
        return self.net(observations).view(len(observations), -1)


class FloatTorso(Torso):
    """Computes in float32, whatever it is given."""

    def __init__(self, observation_space):
        super().__init__(observation_space, nn.Identity)

    def forward(self, observations):
        return self.net(observations.float())


class FrozenTorso(Torso):
    def __init__(self, observation_space):
        super().__init__(observation_space, nn.Identity)
        self.requires_grad_(False)


class OwnAction(CnnPolicy):
    def _predict(self, observation, deterministic=True):
        return torch.full((len(observation),), 2)


REFUSED = [
    (OwnAction, {}, "OwnAction overrides _predict, .* use learner='reference'"),
    (CnnPolicy, {"features_extractor_class": FrozenTorso}, "CnnPolicy has parameters that are frozen"),
    (OwnNetPolicy, {}, "OwnNet .* overrides forward, .* use learner='reference'"),
    (
        CnnPolicy,
        {"features_extractor_class": RandomTorso},
        "network of CnnPolicy computes at random while it trains, .* use learner='reference'",
    ),
    (
        CnnPolicy,
        {"features_extractor_class": SpareTorso},
        r"parameters that no value depends on \(features_extractor.spare.weight, features_extractor.spare.bias\)",
    ),
    (
        CnnPolicy,
        {"features_extractor_class": ViewingTorso},
        r"does not run in torch.float32 and channels last \(view size .* use learner='reference'",
    ),
]


def test_where_a_network_does_not_run_in_bfloat16_the_automatic_choice_is_float32():
    learner = FastLearner(make_policy(CnnPolicy, features_extractor_class=FloatTorso), "auto", 8)
    assert learner.precision == "fp32"
    assert learner.reason.startswith("the network does not run in torch.bfloat16")
    with pytest.raises(ValueError, match=r"does not run in torch.bfloat16 .* use learner='reference'"):
        FastLearner(make_policy(CnnPolicy, features_extractor_class=FloatTorso), "bf16", 8)


def test_the_trial_moves_no_generator():
    policy = make_policy(CnnPolicy)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    FastLearner(policy, "bf16", 8)
    assert torch.rand(1) == expected


@pytest.mark.parametrize(("policy_class", "kwargs", "message"), REFUSED)
def test_policies_that_it_would_train_otherwise_are_refused_by_name(policy_class, kwargs, message):
    with pytest.raises(ValueError, match=message):
        FastLearner(make_policy(policy_class, **kwargs), "fp32", 8)


@pytest.mark.parametrize(("policy_class", "kwargs", "message"), REFUSED)
def test_they_are_refused_when_the_model_is_built_not_when_it_has_run_for_an_hour(policy_class, kwargs, message):
    with pytest.raises(ValueError, match=message):
        filled_or_refused(policy_class, kwargs)
    filled_or_refused(policy_class, kwargs, learner="reference")


def filled_or_refused(policy_class, kwargs, learner="fast"):
    env = make_vec_env(Noise, env_kwargs={"shape": (36, 36, 2)})
    return ClassicDQN(policy_class, env, learner=learner, policy_kwargs=kwargs, buffer_size=10, device="cpu")


class ShiftedConv(nn.Conv2d):
    def forward(self, input):
        return super().forward(input - 0.5)


class NormalizedTorso(NatureTorso):
    def __init__(self, observation_space, **options):
        super().__init__(observation_space, **options)
        nn.utils.parametrizations.weight_norm(self.cnn[0])


class ShiftedTorso(NatureTorso):
    def __init__(self, observation_space, **options):
        super().__init__(observation_space, **options)
        self.cnn[0] = ShiftedConv(2, 32, 8, 4)


class HookedTorso(NatureTorso):
    def __init__(self, observation_space, **options):
        super().__init__(observation_space, **options)
        self.cnn.register_forward_pre_hook(_shift)


def _shift(module, inputs):
    return (inputs[0] - 0.5,)


@pytest.mark.parametrize("torso", [NormalizedTorso, ShiftedTorso, HookedTorso])
def test_a_torso_that_does_something_to_the_images_first_gets_them_scaled(torso):
    policy = make_policy(CnnPolicy, images(2, 44, 44), features_extractor_class=torso)
    seen = batch(images(2, 44, 44), 0).observations
    learner = FastLearner(policy, "fp32", 8)
    with torch.no_grad():
        assert torch.allclose(
            learner.online(learner.online.preprocess(seen)).per_action[..., 0], policy.q_net(seen), atol=1e-6
        )


def test_what_is_written_to_the_network_between_two_trainings_is_seen():
    env = make_vec_env(Noise, env_kwargs={"shape": (36, 36, 2)})
    model = ClassicDQN("CnnPolicy", env, learner="fast", precision="bf16", policy_kwargs=SMALL_TORSO, **SHORT)
    model.learn(20)
    for parameter in model.q_net.parameters():
        parameter.data.mul_(-3)
    model._setup_learn(1)
    seen = batch(model.observation_space, 0).observations
    learner = model._get_learner()
    assert isinstance(learner, FastLearner)
    with torch.no_grad():
        assert torch.allclose(
            learner.online(learner.online.preprocess(seen)).per_action[..., 0], model.q_net(seen), atol=0.05
        )


def test_bf16_without_images_is_refused_when_the_model_is_built():
    with pytest.raises(ValueError, match=r"precision='bf16' .*image.*precision='fp32'"):
        ClassicDQN("MlpPolicy", "CartPole-v1", learner="fast", precision="bf16", buffer_size=10)
    ClassicDQN("MlpPolicy", "CartPole-v1", learner="reference", precision="bf16", buffer_size=10)


@pytest.mark.parametrize("space", [VECTORS, DICTIONARY])
def test_without_images_auto_is_fp32_and_says_why(space):
    policy_class = MultiInputPolicy if space is DICTIONARY else MlpPolicy
    learner = FastLearner(make_policy(policy_class, space), "auto", 8)
    assert (learner.precision, learner.reason) == ("fp32", "no images")


def test_an_idea_of_ones_own_in_bootstrap_reaches_both_learners():
    def make():
        return make_policy(optimizer_kwargs=SMOOTH)

    share, _ = distance(make, rule_of(OwnIdea()))
    assert share < 1e-4
    usual, own = (train(FastLearner(make(), "fp32", 8), rule) for rule in (RULE, rule_of(OwnIdea())))
    assert not torch.allclose(own, usual, atol=1e-4)
