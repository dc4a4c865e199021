"""What networks say of an observation, against networks small enough to compute by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO

from sb3_atari_dqn import IQN, DuelingDQN, RainbowDQN
from sb3_atari_dqn import QRDQN as QuantileDQN
from sb3_atari_dqn.networks.heads import DuelingHead
from sb3_atari_dqn.networks.readout import has_action_values, read
from tests.support.environments import Catch, DiscountProbe, Noise

SMALL: dict[str, Any] = dict(buffer_size=10, device="cpu", seed=0)
IMAGE = Noise().observation_space.sample()


def read_out(policy, observation, **options) -> Any:
    """:return: what a test expects to have all its parts"""
    return read(policy, observation, **options)


def linear(algorithm, **weights):
    """:return: policy whose outputs are linear in its single input, after ``weights`` of its last layers"""
    model = algorithm("MlpPolicy", DiscountProbe(), policy_kwargs=dict(net_arch=[]), **SMALL)
    layers = dict(model.policy.named_parameters())
    with torch.no_grad():
        for name, values in weights.items():
            layers[name.replace("__", ".")].copy_(torch.tensor(values))
    return model.policy


def test_a_dueling_head_is_read_in_its_two_parts():
    policy = linear(
        DuelingDQN,
        q_net__q_net__value__0__weight=[[3.0]],
        q_net__q_net__value__0__bias=[1.0],
        q_net__q_net__advantage__0__weight=[[2.0], [-6.0]],
        q_net__q_net__advantage__0__bias=[100.0, 100.0],
    )
    readout = read_out(policy, np.array([0.5], np.float32))
    assert readout.value == 2.5
    assert readout.advantages.tolist() == [2.0, -2.0]  # 101 and 97, less their mean
    assert readout.q.tolist() == [4.5, 0.5]
    assert readout.value_saliency.tolist() == [3.0]
    assert readout.action_saliency.tolist() == [4.0]  # 2 less the mean of 2 and -6


def test_the_best_action_is_the_one_whose_gradient_is_shown():
    policy = linear(DQN, q_net__q_net__0__weight=[[2.0], [-7.0]], q_net__q_net__0__bias=[0.0, 0.0])
    readouts = [read_out(policy, np.array([x], np.float32)) for x in (1.0, -1.0)]
    assert [readout.q.tolist() for readout in readouts] == [[2.0, -7.0], [-2.0, 7.0]]
    assert [readout.action_saliency.tolist() for readout in readouts] == [[2.0], [7.0]]
    assert readouts[0].value is readouts[0].advantages is readouts[0].value_saliency is None


def gradient_of_the_best(policy):
    """:return: |gradient| of the best action's value (its advantage, with a dueling head) by the pixel, [H, W]"""
    inputs = policy.obs_to_tensor(IMAGE)[0].float().requires_grad_()
    q = policy.quantile_net(inputs).mean(dim=1) if hasattr(policy, "quantile_net") else policy.q_net(inputs)
    has_streams = hasattr(policy, "q_net") and getattr(policy.q_net, "head", None) is DuelingHead
    best = q.max() - (q.mean() if has_streams else 0)  # q = V + A, where A has a mean of 0
    return torch.autograd.grad(best, inputs)[0][0].abs().amax(dim=0).numpy()


@pytest.mark.parametrize("algorithm", [DuelingDQN, DQN, QRDQN])
def test_values_of_images_are_those_the_model_acts_on(algorithm):
    model = algorithm("CnnPolicy", Noise(), **SMALL)
    readout = read_out(model.policy, IMAGE)
    assert int(readout.q.argmax()) == model.predict(IMAGE, deterministic=True)[0]
    assert readout.action_saliency == pytest.approx(gradient_of_the_best(model.policy), rel=1e-4, abs=1e-9)
    assert readout.action_saliency.shape == (36, 36)
    assert readout.action_saliency.max() > 0


def test_quantiles_are_averaged():
    model = QRDQN("CnnPolicy", Noise(), **SMALL)
    with torch.no_grad():
        quantiles = model.policy.quantile_net(model.policy.obs_to_tensor(IMAGE)[0])
    assert quantiles.shape == (1, 200, 4)
    assert read_out(model.policy, IMAGE).q == pytest.approx(quantiles[0].mean(0).numpy(), abs=1e-6)


def test_logits_of_two_streams_are_no_state_value_and_advantages():
    """Means are not linear in logits: Q is not V + A."""
    readout = read_out(RainbowDQN("CnnPolicy", Noise(), **SMALL).policy, IMAGE)
    assert readout.value is readout.advantages is readout.value_saliency is None
    assert readout.q == pytest.approx((readout.returns * readout.probabilities).sum(axis=1), abs=1e-5)
    assert readout.action_saliency.max() > 0


@pytest.mark.parametrize("algorithm", [QuantileDQN, IQN])
def test_quantiles_of_two_streams_are_state_value_and_advantages(algorithm):
    policy = algorithm("CnnPolicy", Noise(), **SMALL, policy_kwargs=dict(head="dueling")).policy
    readout = read_out(policy, IMAGE)
    assert readout.q == pytest.approx(readout.value + readout.advantages, abs=1e-5)
    assert readout.q == pytest.approx(readout.returns.mean(axis=1), abs=1e-5)


def test_image_saliency_is_the_largest_over_the_channels():
    class Weights(torch.nn.Module):
        q_net = None

        def forward(self, inputs):
            return (inputs * torch.tensor([2.0, -5.0]).view(1, 2, 1, 1)).sum((1, 2, 3)).unsqueeze(1)

    channels_first = spaces.Box(0, 255, (2, 36, 36), np.uint8)
    policy = SimpleNamespace(
        q_net=Weights(),
        observation_space=channels_first,
        set_training_mode=lambda mode: None,
        obs_to_tensor=lambda observation: (torch.as_tensor(observation).unsqueeze(0), True),
    )
    readout = read_out(policy, channels_first.sample())
    assert (readout.action_saliency == 5).all()


def test_without_saliency_no_gradients_are_taken():
    model = DuelingDQN("CnnPolicy", Catch(), **SMALL)
    readout = read_out(model.policy, Catch().reset(seed=0)[0], saliency=None)
    assert readout.value_saliency is readout.action_saliency is None
    assert readout.q.mean() == pytest.approx(readout.value, abs=1e-6)
    assert all(parameter.grad is None for parameter in model.policy.parameters())


def test_only_models_with_action_values_can_be_read():
    model = PPO("MlpPolicy", DiscountProbe(), n_steps=8, batch_size=8, device="cpu")
    assert not has_action_values(model.policy)
    assert has_action_values(QRDQN("MlpPolicy", DiscountProbe(), **SMALL).policy)
