"""Noise, dropout, buffers and norms: the fast learner beside the reference learner."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import polyak_update
from torch import nn

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.learners.compatibility import incompatibility
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.precision import choose_precision
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.working_copy import WorkingCopy
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy
from tests.support import layers
from tests.support.batches import RULE, batch, images, make_policy, observations
from tests.support.environments import Noise

PIXELS = images(2, 36, 36)
# Adam's default epsilon turns rounding into whole steps, see test_fast_learner.
SMOOTH = {"eps": 1.5e-4}
NOISY = [
    layers.NoisyTorso,
    layers.GlobalNoiseTorso,
    layers.DropoutTorso,
    layers.FunctionalDropoutTorso,
]
WITH_BUFFERS = [layers.SpectralTorso, layers.BatchNormTorso, layers.RunningScaleTorso]
TORSOS = [*NOISY, *WITH_BUFFERS, layers.LayerNormTorso]


def fast_learner(policy):
    return FastLearner(policy, "fp32", 8)


LEARNERS: list[Any] = [ReferenceLearner, fast_learner]


def policy_of(torso, **kwargs):
    return make_policy(CnnPolicy, PIXELS, features_extractor_class=torso, optimizer_kwargs=SMOOTH, **kwargs)


def state_of(policy):
    return {name: tensor.clone() for name, tensor in policy.state_dict().items()}


def train(learner, n_updates=6):
    """Updates with acting and target updates between them, as an algorithm makes them; the numbers drawn are seeded."""
    policy, rng = learner.policy, np.random.default_rng(0)
    torch.manual_seed(1)
    for number in range(n_updates):
        learner.greedy_actions(rng.integers(256, size=(4, *PIXELS.shape), dtype=np.uint8))
        learner.update(batch(PIXELS, number, batch_size=16), RULE)
        if number % 3 == 1:
            polyak_update(policy.q_net.parameters(), policy.q_net_target.parameters(), 0.5)
            learner.target_changed()
    return policy


@pytest.mark.parametrize("torso", TORSOS)
def test_in_float32_parameters_and_buffers_are_those_of_the_reference_learner(torso):
    begin = state_of(policy_of(torso))
    reference = state_of(train(ReferenceLearner(policy_of(torso))))
    fast = state_of(train(FastLearner(policy_of(torso), "fp32", 16)))
    assert list(fast) == list(begin)
    for name, expected in reference.items():
        torch.testing.assert_close(fast[name], expected, rtol=1e-5, atol=2e-6)
    moved = {name for name in begin if not torch.equal(begin[name], reference[name])}
    buffers = {f"q_net.{name}" for name, _ in policy_of(torso).q_net.named_buffers()}
    assert buffers <= moved, "the reference moves every buffer of the online network"
    assert not any(name.startswith("q_net_target") for name in moved & {f"q_net_target.{b[6:]}" for b in buffers})


def test_a_layer_that_never_trains_keeps_its_statistics_in_both_learners():
    states = [state_of(train(make(policy_of(layers.FrozenNormTorso)))) for make in LEARNERS]
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-5, atol=2e-6)
    assert states[1]["q_net.features_extractor.net.1.num_batches_tracked"] == 0


@pytest.mark.parametrize("torso", NOISY)
def test_the_noise_is_there_while_training_and_only_then(torso):
    policy = policy_of(torso)
    learner, pixels = FastLearner(policy, "fp32", 16), observations(PIXELS, 32, np.random.default_rng(3))
    seen = learner.online.preprocess(pixels)
    learner.online.train(True)
    first, second = (learner.online(seen).per_action for _ in range(2))
    assert not torch.allclose(first, second, rtol=1e-3)
    learner.online.train(False)
    first, second = (learner.online(seen).per_action for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(learner.target(seen).per_action, learner.target(seen).per_action), "SB3's target evaluates"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("torso", TORSOS)
def test_greedy_actions_are_those_of_the_reference_learner_before_and_after_updates(torso, precision):
    fast = FastLearner(policy_of(torso, learning_rate=1e-2), precision, 16)
    pixels = observations(PIXELS, 64, np.random.default_rng(1)).numpy()
    for _ in range(2):
        reference = ReferenceLearner(copy.deepcopy(fast.policy))
        share = np.mean(fast.greedy_actions(pixels) == reference.greedy_actions(pixels))
        assert share == 1 if precision == "fp32" else share > 0.85
        train(fast)


@pytest.mark.parametrize("torso", TORSOS)
def test_in_bfloat16_they_go_nearly_the_same_way(torso):
    quiet = layers.QuietTorso if torso in NOISY else torso  # other numbers are drawn in bfloat16
    begin = nn.utils.parameters_to_vector(policy_of(quiet).q_net.parameters())
    reference, fast = (
        nn.utils.parameters_to_vector(train(learner).q_net.parameters()) - begin
        for learner in (ReferenceLearner(policy_of(quiet)), FastLearner(policy_of(quiet), "bf16", 16))
    )
    assert fast.dtype == torch.float32
    assert nn.functional.cosine_similarity(fast, reference, dim=0) > 0.97


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("torso", [*WITH_BUFFERS, layers.NoisyTorso])
def test_buffers_and_generators_are_the_masters_and_stay_float32(torso, dtype):
    master = policy_of(torso).q_net
    before = dict(master.named_buffers())
    working = WorkingCopy(master, dtype)
    assert working.generators() == generators(master)
    assert all(buffer is before[name] for name, buffer in working.named_buffers())
    begin = {name: buffer.clone() for name, buffer in before.items()}
    working(working.preprocess(observations(PIXELS, 4, np.random.default_rng(0))))
    assert all(not torch.equal(buffer, begin[name]) for name, buffer in master.named_buffers())
    assert all(buffer.dtype == begin[name].dtype for name, buffer in master.named_buffers())


@pytest.mark.parametrize("torso", WITH_BUFFERS)
def test_in_bfloat16_statistics_are_near_those_of_float32(torso):
    """Not rounded to 8 bits, as they would be in buffers of bfloat16: a running mean would stop moving."""
    networks = [policy_of(torso).q_net for _ in range(2)]
    for network, dtype in zip(networks, (torch.float32, torch.bfloat16), strict=True):
        working = WorkingCopy(network, dtype)
        for seed in range(20):
            working(working.preprocess(observations(PIXELS, 16, np.random.default_rng(seed))))
    for exact, rounded in zip(*(network.buffers() for network in networks), strict=True):
        torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize("torso", TORSOS)
def test_building_a_learner_moves_neither_buffers_nor_generators(torso, precision):
    policy = policy_of(torso)
    before, states = state_of(policy), [each.get_state() for each in generators(policy)]
    torch_state = torch.get_rng_state()
    FastLearner(policy, precision, 4)
    choose_precision(policy.q_net, (4, *PIXELS.shape), torch.device("cpu"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())
    assert all(map(torch.equal, [each.get_state() for each in generators(policy)], states))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert policy.q_net.training
    assert not policy.q_net_target.training


@pytest.mark.parametrize(
    ("torso", "message"),
    [
        (
            layers.NumpyNoiseTorso,
            "computes at random while it trains, and seeding torch's generators does not repeat it",
        ),
        (
            layers.ReplacingTorso,
            r"replaces its buffers \(features_extractor.net.1.scale\) instead of writing into them",
        ),
    ],
)
def test_what_the_master_would_not_see_is_refused(torso, message):
    with pytest.raises(ValueError, match=f"network of CnnPolicy {message}: use learner="):
        FastLearner(policy_of(torso), "fp32", 8)


def test_a_generator_on_another_device_is_refused():
    network = policy_of(layers.NoisyTorso).q_net
    found = incompatibility(network, PIXELS.shape, torch.float32, torch.device("cuda"))
    assert found == "keeps a random generator on cpu, but computes on cuda"


class OneLayer(BaseFeaturesExtractor):
    def __init__(self, observation_space, layer):
        super().__init__(observation_space, 5)
        self.layer = layer

    def forward(self, observations):
        return self.layer(observations)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(5), nn.Dropout()])
def test_vectors_are_trained_and_acted_on_in_the_same_modes(layer):
    space, states = spaces.Box(-1, 1, (5,), np.float32), []
    for make in LEARNERS:
        kwargs: dict[str, Any] = {
            "features_extractor_class": OneLayer,
            "features_extractor_kwargs": {"layer": copy.deepcopy(layer)},
        }
        learner = make(make_policy(MlpPolicy, space, optimizer_kwargs=SMOOTH, **kwargs))
        torch.manual_seed(0)
        for number in range(4):
            acted = learner.greedy_actions(observations(space, 6, np.random.default_rng(number)).numpy())
            learner.update(batch(space, number), RULE)
        states.append((*learner.policy.state_dict().values(), torch.from_numpy(acted)))
    for fast, reference in zip(*reversed(states), strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("learner", ["plain", "fast"])
def test_the_target_gets_the_running_statistics_at_each_target_update(learner):
    env = make_vec_env(Noise, env_kwargs={"shape": (36, 36, 2)})
    model = DuelingDQN(
        "CnnPolicy",
        env,
        learner=learner,
        precision="fp32",
        buffer_size=40,
        learning_starts=8,
        batch_size=4,
        seed=0,
        device="cpu",
        policy_kwargs={"features_extractor_class": layers.BatchNormTorso},
    )
    model.set_logger(Logger(None, []))
    model.learn(30)
    own, target = (dict(network.named_buffers()) for network in (model.q_net, model.q_net_target))
    name = "features_extractor.net.1.running_mean"
    assert not torch.equal(own[name], target[name])
    model._update_target_network()
    assert torch.equal(own[name], target[name])
    pixels = observations(model.observation_space, 4, np.random.default_rng(0))
    model.policy.set_training_mode(False)
    copies = model._get_learner()
    if isinstance(copies, FastLearner):
        copies.online.train(False)
        for working, network in ((copies.online, model.q_net), (copies.target, model.q_net_target)):
            torch.testing.assert_close(working(working.preprocess(pixels)).per_action[..., 0], network(pixels))
