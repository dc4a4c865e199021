"""Heads: one stream or two, one number per action or several."""

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from sb3_atari_dqn.networks import DuelingHead
from sb3_atari_dqn.networks.gradient import scale_gradient
from sb3_atari_dqn.networks.heads import HEADS, HeadSize, join_streams


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
