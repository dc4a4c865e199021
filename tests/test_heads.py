"""The dueling head."""

import torch
from torch import nn
from torch.testing import assert_close

from sb3_atari_dqn.networks import DuelingHead


def test_each_stream_has_its_own_hidden_layers():
    head = DuelingHead(features_dim=5, n_actions=3, net_arch=[7, 6], activation_fn=nn.ELU)
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
    head = DuelingHead(features_dim=5, n_actions=3, net_arch=[])
    assert not any(isinstance(layer, nn.ReLU) for layer in head.modules())


def test_mean_over_the_actions_is_the_value_of_each_sample():
    head, features = DuelingHead(5, 3, [8]), torch.randn(4, 5)
    assert_close(head(features).mean(dim=1, keepdim=True), head.value(features))


def test_a_sample_has_the_same_values_alone_as_in_a_batch():
    head, features = DuelingHead(5, 3, [8]), torch.randn(4, 5)
    assert_close(head(features)[2:3], head(features[2:3]))
