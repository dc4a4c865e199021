"""Noisy layers: when they draw, what they compute, and from which generator."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sb3_atari_dqn import ClassicDQN, RainbowDQN
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.networks.noisy import NoisyLinear, exploration_noise, noisy_layers
from sb3_atari_dqn.policies import CnnPolicy
from tests.support.batches import make_policy


def layer(n_in: int = 5, n_out: int = 3, std: float = 0.5) -> NoisyLinear:
    torch.manual_seed(0)
    return NoisyLinear(n_in, n_out, std)


def by_the_formula(noisy: NoisyLinear, inputs: torch.Tensor) -> torch.Tensor:
    """Fortunato et al. 2018, equations 9 to 11, with the next noise of the layer's generator."""
    rng = noisy.generator.clone_state()
    draws = [torch.randn(size, generator=rng) for size in (noisy.in_features, noisy.out_features)]
    noise_in, noise_out = (each.sign() * each.abs().sqrt() for each in draws)
    weight = noisy.weight + noisy.weight_std * noise_out.unsqueeze(1) * noise_in.unsqueeze(0)
    return inputs @ weight.T + noisy.bias + noisy.bias_std * noise_out


@pytest.mark.parametrize("rows", [1, 32, 128, 129, 500])
def test_few_and_many_rows_are_computed_by_the_formula(rows):
    noisy, inputs = layer(), torch.randn(rows, 5)
    expected = by_the_formula(noisy, inputs)
    torch.testing.assert_close(noisy(inputs), expected, rtol=1e-5, atol=1e-6)
    parameters = list(noisy.parameters())
    expected, got = by_the_formula(noisy, inputs), noisy(inputs)
    for ours, theirs in zip(
        torch.autograd.grad(got.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_initial_means_and_deviations_are_those_of_the_paper():
    noisy = layer(400, 300, std=0.4)
    assert noisy.weight.abs().max() <= 1 / math.sqrt(400)
    assert noisy.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 400), rel=0.02)  # uniform
    assert (noisy.weight_std == 0.4 / math.sqrt(400)).all()
    assert (noisy.bias_std == 0.4 / math.sqrt(400)).all()
    assert set(dict(noisy.named_parameters())) == {"weight", "bias", "weight_std", "bias_std"}


def test_every_pass_in_training_draws_anew_and_none_in_evaluation():
    noisy, inputs = layer(), torch.randn(4, 5)
    assert not torch.equal(noisy(inputs), noisy(inputs))
    noisy.eval()
    state = noisy.generator.get_state()
    assert torch.equal(noisy(inputs), F.linear(inputs, noisy.weight, noisy.bias))
    assert torch.equal(noisy.generator.get_state(), state)
    with exploration_noise(noisy):
        assert not torch.equal(noisy(inputs), noisy(inputs))
    assert torch.equal(noisy(inputs), noisy(inputs))


def test_torchs_own_generator_is_not_drawn_from():
    noisy, inputs = layer(), torch.randn(4, 5)
    before = torch.get_rng_state()
    noisy(inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_of_one_seed_draw_alike_and_two_layers_of_a_network_do_not():
    first, second = (nn.Sequential(layer(), NoisyLinear(3, 5)) for _ in range(2))
    inputs = torch.randn(4, 5)
    assert torch.equal(first(inputs), second(inputs))
    draws = [torch.randn(3, generator=each) for each in generators(first)]
    assert len(draws) == 2
    assert not torch.equal(*draws)


def test_a_copy_goes_on_from_the_same_state():
    noisy, inputs = layer(), torch.randn(4, 5)
    noisy(inputs)
    twin = copy.deepcopy(noisy)
    assert torch.equal(noisy(inputs), twin(inputs))
    assert noisy.generator is not twin.generator


# --- in a policy


@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_the_whole_head_is_noisy_and_nothing_else(head):
    policy = make_policy(head=head, noisy=True, noisy_std=0.1)
    names = {name for name, module in policy.q_net.named_modules() if isinstance(module, NoisyLinear)}
    streams = ["q_net"] if head == "linear" else ["q_net.value", "q_net.advantage"]
    assert names == {f"{stream}.{index}" for stream in streams for index in (0, 2)}  # hidden layer and output
    assert not noisy_layers(policy.q_net.features_extractor)
    first = noisy_layers(policy.q_net)[0]
    assert first.weight_std[0, 0].item() == pytest.approx(0.1 / math.sqrt(first.in_features))


def test_predictions_draw_nothing_whichever_way_they_are_asked():
    model = RainbowDQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu", buffer_size=100)
    states = [each.get_state() for each in generators(model.policy)]
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = [model.predict(observations, deterministic=each)[0] for each in (True, False, True)]
    assert (actions[0] == actions[1]).all()
    assert (actions[0] == actions[2]).all()
    assert all(torch.equal(a, b.get_state()) for a, b in zip(states, generators(model.policy), strict=True))


@pytest.mark.parametrize("learner", ["reference", "fast"])
def test_acting_to_collect_draws_and_leaves_the_policy_silent(learner):
    model = RainbowDQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu", buffer_size=100, learner=learner)
    observation = np.full((1, 4), 0.01, np.float32)
    chosen = {int(model._get_learner().greedy_actions(observation)[0]) for _ in range(60)}
    assert chosen == {0, 1}  # of an untrained network, noise decides
    assert len({int(model.predict(observation, deterministic=True)[0][0]) for _ in range(20)}) == 1


def test_the_target_network_draws_its_own_noise():
    model = RainbowDQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu", buffer_size=100, learning_starts=20)
    states = [each.get_state() for each in generators(model.policy.q_net_target)]
    model.learn(40)
    after = [each.get_state() for each in generators(model.policy.q_net_target)]
    assert not any(torch.equal(a, b) for a, b in zip(states, after, strict=True))
    assert not any(each.explores for each in noisy_layers(model.policy))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noisy": 1}, "noisy must be True or False, got 1"),
        ({"noisy": True, "noisy_std": 0}, "noisy_std must be a number in .*, got 0"),
        ({"noisy": True, "noisy_std": "0.5"}, "noisy_std must be a number .* got '0.5'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ClassicDQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=10, policy_kwargs=options)


def test_a_policy_is_made_again_with_the_same_layers():
    policy = make_policy(CnnPolicy, noisy=True, noisy_std=0.1, head="dueling")
    again = CnnPolicy(**policy._get_constructor_parameters())
    deviations = [[each.weight_std[0, 0].item() for each in noisy_layers(one.q_net)] for one in (policy, again)]
    assert deviations[0] == deviations[1] != []
