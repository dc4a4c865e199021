"""Heads: one stream or two, one number per action or several."""

from typing import Any

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from sb3_atari_dqn.networks import DuelingHead
from sb3_atari_dqn.networks.gradient import scale_gradient
from sb3_atari_dqn.networks.heads import CENTERS, HEADS, HeadSize, join_streams
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues
from tests.support.batches import make_policy


def test_each_stream_has_its_own_hidden_layers():
    head = DuelingHead(HeadSize(5, n_actions=3, n_outputs=1, net_arch=[7, 6], activation_fn=nn.ELU))
    shapes = {name: tuple(weight.shape) for name, weight in head.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "value.0.weight": (7, 5),
        "value.2.weight": (6, 7),
        "value.4.weight": (1, 6),
        "advantage.0.weight": (7, 5),
        "advantage.2.weight": (6, 7),
        "advantage.4.weight": (3, 6),
    }
    assert sum(isinstance(layer, nn.ELU) for layer in head.modules()) == 4


def test_without_hidden_layers_the_streams_are_linear():
    head = DuelingHead(HeadSize(5, n_actions=3, n_outputs=1, net_arch=[], activation_fn=nn.ReLU))
    assert not any(isinstance(layer, nn.ReLU) for layer in head.modules())


def test_dueling_mean_is_taken_per_sample_over_the_actions():
    value, advantage = tensor([[[10.0]], [[20.0]]]), tensor([[[1.0], [3.0]], [[100.0], [300.0]]])
    assert_close(join_streams(value, advantage), tensor([[[9.0], [11.0]], [[-80.0], [120.0]]]))


def test_dueling_mean_is_taken_for_each_output_by_itself():
    value, advantage = tensor([[[10.0, 0.0]]]), tensor([[[1.0, 100.0], [3.0, 300.0]]])
    assert_close(join_streams(value, advantage), tensor([[[9.0, -100.0], [11.0, 100.0]]]))


def test_a_constant_moved_from_value_to_advantage_changes_the_value_alone():
    value, advantage = torch.randn(4, 1, 1), torch.randn(4, 3, 1)
    q_values = join_streams(value, advantage)
    assert_close(q_values.mean(dim=1, keepdim=True), value)
    moved = tensor([5.0, -7.0, 0.1, 99.0]).view(4, 1, 1)
    assert_close(join_streams(value, advantage + moved), q_values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n_outputs", [1, 5])
def test_every_head_gives_its_outputs_for_each_action(head, n_outputs):
    size = HeadSize(6, 3, n_outputs, [8], nn.ReLU)
    built = HEADS[head].build(size, size._replace(n_outputs=1).mlp(3))
    features = torch.randn(4, 6)
    assert built(features).shape == (4, 3, n_outputs)
    assert {layer.out_features for layer in built.float32_layers()} <= {n_outputs, 3 * n_outputs}
    streams = built.streams(features)
    if streams is None:
        assert head == "linear"
    else:
        assert_close(streams.value + streams.advantages, built(features))
        assert_close(streams.advantages.mean(dim=1), torch.zeros(4, n_outputs), atol=1e-6, rtol=0)


def test_a_sample_has_the_same_values_alone_as_in_a_batch():
    head, features = DuelingHead(HeadSize(5, 3, 1, [8], nn.ReLU)), torch.randn(4, 5)
    assert_close(head(features)[2:3], head(features[2:3]))


def test_scaled_gradient_leaves_the_forward_pass_alone():
    x = torch.randn(3, 2, requires_grad=True)
    y = scale_gradient(x, 0.25)
    y.sum().backward()
    assert torch.equal(y, x)
    assert_close(x.grad, torch.full((3, 2), 0.25))


# --- layer norm that moved into the head with the torso's dense layer, and the center of the advantages


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("moving", [{"head": "dueling"}, {"noisy": True}, {"values": ImplicitQuantileValues()}])
def test_a_dense_layer_that_moves_into_the_head_takes_its_layer_norm_along(head, moving):
    torso: Any = {"features_extractor_kwargs": {"normalization": "layer", "hidden_size": 24}}
    network: Any = make_policy(**{"head": head, **moving}, **torso).q_net
    streams = [network.q_net.value, network.q_net.advantage] if network.q_net.has_streams else [network.q_net]
    for stream in streams:
        names = [type(layer).__name__.removeprefix("Noisy") for layer in stream]
        assert names == ["Linear", "LayerNorm", "ReLU", "Linear"]
        assert stream[1].normalized_shape == (24,)
    without = make_policy(**{"head": head, **moving}, features_extractor_kwargs={"hidden_size": 24}).q_net
    assert not any(isinstance(module, nn.LayerNorm) for module in without.modules())


def test_a_head_with_layers_of_its_own_behind_the_torsos_dense_layer_has_no_layer_norm():
    torso: Any = {"features_extractor_kwargs": {"normalization": "layer"}}
    network = make_policy(head="linear", net_arch=[8], **torso).q_net
    assert not any(isinstance(module, nn.LayerNorm) for module in network.q_net.modules())
    assert any(isinstance(module, nn.LayerNorm) for module in network.features_extractor.modules())


def test_a_policy_with_layer_norm_in_its_head_is_made_again():
    policy = make_policy(head="dueling", features_extractor_kwargs={"normalization": "layer"})
    again = type(policy)(**policy._get_constructor_parameters())
    assert list(again.state_dict()) == list(policy.state_dict())


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        # value [10, 20]; advantages of two actions [1, 2] and [3, 8]
        ("actions", [[[10 + 1 - 2, 20 + 2 - 5], [10 + 3 - 2, 20 + 8 - 5]]]),
        ("actions and outputs", [[[10 + 1 - 3.5, 20 + 2 - 3.5], [10 + 3 - 3.5, 20 + 8 - 3.5]]]),
    ],
)
def test_the_two_published_ways_to_center_advantages(center, expected):
    value, advantages = torch.tensor([[[10.0, 20.0]]]), torch.tensor([[[1.0, 2.0], [3.0, 8.0]]])
    assert join_streams(value, advantages, CENTERS[center]).tolist() == expected
    head = DuelingHead(HeadSize(4, 2, 2, [], nn.ReLU, center=center))
    features = torch.randn(3, 4)
    streams = head.streams(features)
    torch.testing.assert_close(streams.value + streams.advantages, head(features))
    assert streams.advantages.mean(dim=(1, 2) if CENTERS[center] else 1).abs().max() < 1e-6
