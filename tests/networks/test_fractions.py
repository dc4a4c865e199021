"""Implicit quantiles: what the network makes of fractions, and how many it draws for whom."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_atari_dqn.networks.fractions import FractionEmbedding
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.objectives.bootstrap import Double, Greedy, Minto, Munchausen
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, midpoints
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from tests.support.batches import N_ACTIONS, batch, images, make_policy

VALUES = ImplicitQuantileValues(predicted=5, targets=7, acting=3, cosines=6)


def test_the_embedding_is_equation_4():
    torch.manual_seed(0)
    embedding = FractionEmbedding(4, [], torch.nn.ReLU, cosines=6)
    features, fractions = torch.randn(2, 4), torch.tensor([[0.0, 0.25, 0.9], [0.5, 0.1, 1.0]])
    rows = embedding(features, fractions)
    assert rows.shape == (6, 4)
    for state in range(2):
        for n in range(3):
            waves = torch.tensor([math.cos(math.pi * i * fractions[state, n].item()) for i in range(6)])
            phi = torch.relu(embedding.linear.weight @ waves + embedding.linear.bias)
            torch.testing.assert_close(rows[3 * state + n], features[state] * phi)


def test_fractions_are_drawn_from_a_generator_of_its_own():
    torch.manual_seed(0)
    embedding = FractionEmbedding(4, [], torch.nn.ReLU, cosines=6)
    before = torch.get_rng_state()
    first, second = embedding.fractions(300, 10), embedding.fractions(300, 10)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)
    assert 0 <= first.min() < 0.01
    assert 0.99 < first.max() < 1
    assert first.mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("policy_class", [CnnPolicy, MlpPolicy])
def test_a_head_answers_each_fraction_of_each_state(head, policy_class):
    policy = make_policy(policy_class, values=VALUES, head=head)
    observations = torch.as_tensor(np.stack([policy.observation_space.sample() for _ in range(4)]))
    q_net: Any = policy.q_net.eval()
    drawn, fixed = q_net.outputs(observations, 5), q_net.outputs(observations)
    n_actions = N_ACTIONS
    assert drawn.per_action.shape == (4, n_actions, 5)
    assert fixed.per_action.shape == (4, n_actions, 3)
    assert torch.equal(fixed.fractions, midpoints(3).expand(4, 3))
    features = q_net.extract_features(observations, q_net.features_extractor)
    for n in range(5):  # one fraction at a time
        rows = q_net.q_net(q_net.embedding(features, drawn.fractions[:, n : n + 1]))
        torch.testing.assert_close(drawn.per_action[:, :, n], rows[:, :, 0])
    explained: Any = q_net.explain(observations)
    torch.testing.assert_close(explained.q, q_net(observations))
    if head == "dueling":
        torch.testing.assert_close(explained.value + explained.advantages, explained.q)
        assert explained.advantages.mean(dim=1).abs().max() < 1e-5


def test_action_values_draw_nothing():
    policy = make_policy(values=VALUES)
    states = [each.get_state() for each in generators(policy)]
    observation = policy.observation_space.sample()
    assert policy.predict(observation, deterministic=True)[0] == policy.predict(observation, deterministic=True)[0]
    assert all(torch.equal(a, b.get_state()) for a, b in zip(states, generators(policy), strict=True))


@pytest.mark.parametrize(
    ("bootstrap", "target_asked", "online_asked"),
    [
        (Greedy(), [(8, 7)], []),
        (Double(), [(8, 7)], [(8, None)]),
        (Minto(), [(8, 7)], [(8, 7)]),
        (Munchausen(), [(16, 7)], []),  # both states in one pass
    ],
)
def test_each_rule_asks_for_no_more_than_it_needs(bootstrap, target_asked, online_asked):
    asked: dict[str, list[tuple[int, int | None]]] = {"online": [], "target": []}
    policy = make_policy(values=VALUES)
    samples = batch(images(2, 36, 36), seed=0, batch_size=8)

    def recording(name, network):
        def call(observations, n_fractions=None):
            asked[name].append((len(observations), n_fractions))
            return network.outputs(observations, n_fractions)

        return call

    online, target = recording("online", policy.q_net), recording("target", policy.q_net_target)
    objective = Objective(VALUES, bootstrap)
    targets = objective.targets(online, target, samples)
    assert targets.shape == (8, 7)
    assert asked == {"online": online_asked, "target": target_asked}
    asked["online"].clear()
    objective.loss(online, samples, targets)
    assert asked["online"] == [(8, 5)]


def test_without_images_hidden_layers_but_the_last_stand_before_the_product():
    policy = make_policy(MlpPolicy, values=VALUES, net_arch=[20, 30])
    network: Any = policy.q_net
    embedding, head = network.embedding, network.q_net
    assert [(each.in_features, each.out_features) for each in embedding.hidden if hasattr(each, "in_features")] == [
        (policy.q_net.features_dim, 20)
    ]
    assert embedding.linear.out_features == 20
    assert (head[0].in_features, head[0].out_features) == (20, 30)


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("space", ["vector", "dictionary", "partly images"])
@pytest.mark.parametrize("net_arch", [[32], [32, 16], None])
def test_a_state_of_zeros_has_different_quantiles(net_arch, space, head):
    """The product of the embedding with a raw observation would be the same for all fractions."""
    vector = spaces.Box(-1, 1, (3,))
    image = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    parts: Any = {"dictionary": {"a": vector}, "partly images": {"a": vector, "b": image}}
    policy_class = MlpPolicy if space == "vector" else MultiInputPolicy
    observed: Any = vector if space == "vector" else spaces.Dict(parts[space])
    options: Any = dict(values=VALUES, head=head, net_arch=net_arch)
    policy: Any = policy_class(observed, spaces.Discrete(3), lambda _: 1e-4, **options)
    raw = policy.q_net.extract_features(policy.obs_to_tensor(observed.sample())[0], policy.q_net.features_extractor)
    quantiles = policy.q_net.eval()._outputs(torch.zeros_like(raw)).per_action
    assert (quantiles.amax(dim=2) > quantiles.amin(dim=2)).all()


def test_raw_observations_need_a_layer_before_the_product_and_learned_features_none():
    with pytest.raises(ValueError, match=r"net_arch=\[\] leaves no layer between .*such as net_arch=\[64\]"):
        make_policy(MlpPolicy, values=VALUES, net_arch=[])
    nature: Any = make_policy(CnnPolicy, values=VALUES, net_arch=[16]).q_net
    assert (isinstance(nature.embedding.hidden, torch.nn.Identity), nature.q_net[0].out_features) == (True, 16)
    direct: Any = make_policy(CnnPolicy, values=VALUES, net_arch=[]).q_net
    assert (isinstance(direct.embedding.hidden, torch.nn.Identity), len(direct.q_net)) == (True, 1)


def test_the_center_over_outputs_needs_outputs():
    with pytest.raises(
        ValueError,
        match="center='actions and outputs' needs several outputs per action; those of ImplicitQuantileValues",
    ):
        make_policy(values=VALUES, head="dueling", center="actions and outputs")
