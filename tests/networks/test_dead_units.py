"""Dead units, in networks whose dead units are known."""

from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_atari_dqn.networks.dead_units import Units, dead_units
from sb3_atari_dqn.networks.torsos import TORSOS
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy
from tests.support import layers
from tests.support.batches import images, make_policy

#: More than one forward pass takes at once; x = 0, 1, ..., 149.
STATES = torch.arange(150.0).reshape(-1, 1)


class Net(nn.Module):
    """Two parts, named as those of a Q-network."""

    def __init__(self, torso: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.features_extractor = torso
        self.q_net = nn.Identity() if head is None else head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.q_net(self.features_extractor(x))


def dense(units: list[tuple[float, float]], activation: nn.Module) -> nn.Sequential:
    """:param units: weight and bias of each; the input is one number"""
    layer = nn.Linear(1, len(units))
    weights, biases = torch.tensor(units, dtype=torch.float32).T
    layer.weight.data, layer.bias.data = weights.reshape(-1, 1), biases
    return nn.Sequential(layer, activation)


@pytest.mark.parametrize(
    ("weight", "bias", "dead"),
    [
        (1, -200, 1),  # below 0 everywhere
        (1, -149, 1),  # reaches 0 in the last state, and not more
        (1, -148.5, 0),  # on in the last state only, which the last pass sees
        (-1, 0.5, 0),  # on in the first state only
        (1, -100, 0),  # a negative bias and off in most states
        (0, 1, 0),  # the same in all states, but on: its bias and what follows it learn
        (0, 0, 1),
    ],
)
def test_a_relu_unit_is_dead_if_it_is_0_in_all_states(weight, bias, dead):
    net = Net(dense([(weight, bias), (1, 0)], nn.ReLU()))
    assert dead_units(net, STATES) == {"dense1": Units(dead, 2)}


@pytest.mark.parametrize(
    ("activation", "weight", "bias", "dead"),
    [
        (nn.Tanh(), 1, 50, 1),  # saturated: 1 in all states
        (nn.Tanh(), -1, -50, 1),
        (nn.Tanh(), 1, -140, 0),  # -1 in most
        (nn.ELU(), 1, -400, 1),  # -1 in all states: not 0, but constant
        (nn.ELU(), 1, -148, 0),
        (nn.GELU(), 0, 3, 1),  # constant, and not 0
        (nn.LeakyReLU(), 1, -200, 0),  # negative and not constant
    ],
)
def test_a_unit_of_another_activation_is_dead_if_it_is_the_same_in_all_states(activation, weight, bias, dead):
    net = Net(dense([(weight, bias), (1, 0)], activation))
    assert dead_units(net, STATES) == {"dense1": Units(dead, 2)}


def test_a_filter_is_one_unit_and_alive_if_a_single_pixel_is_on_in_a_single_state():
    convolution = nn.Conv2d(1, 3, 2)
    convolution.weight.data.fill_(1)
    convolution.bias = nn.Parameter(torch.tensor([-3.5, -4.0, -9.0]))
    states = torch.zeros(150, 1, 5, 4)
    states[149, 0, 1:3, 2:4] = 1  # one 2x2 patch sums to 4
    assert dead_units(Net(nn.Sequential(convolution, nn.ReLU())), states) == {"conv1": Units(2, 3)}


def test_layers_have_the_names_of_their_part_and_stream_and_numbers_in_each():
    class Streams(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU())
            self.advantage = nn.Sequential(nn.Linear(2, 5), nn.ReLU())

        def forward(self, x):
            return self.value(x), self.advantage(x)

    found = dead_units(Net(dense([(1, 0), (-1, 0)], nn.ReLU()), Streams()), STATES)
    assert {name: units.of for name, units in found.items()} == {"dense1": 2, "value1": 3, "value2": 4, "advantage1": 5}
    assert found["dense1"] == Units(1, 2)


def test_a_module_that_a_pass_calls_twice_is_two_layers():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(x) - 200)

    assert dead_units(Net(Twice()), STATES) == {"dense1": Units(0, 1), "dense2": Units(1, 1)}


def test_tau_counts_units_that_are_small_beside_their_layer():
    """Means 74.5, 7.45 and 0; the layer's is 27.3, so that the scores are 2.7, 0.27 and 0."""
    net = Net(dense([(1, 0), (0.1, 0), (-1, 0)], nn.ReLU()))
    counts = [dead_units(net, STATES, tau)["dense1"].dead for tau in (0, 0.26, 0.28, 1)]
    assert counts == [1, 1, 2, 2]


def test_layer_norm_comes_before_the_activation_and_decides():
    """Filter 0 is negative before the norm and alive after it, filter 1 positive before and dead after it."""
    policy = make_policy(CnnPolicy, images(1, 36, 36), features_extractor_kwargs={"normalization": "layer"})
    torso: Any = policy.q_net.features_extractor
    convolution, norm = torso.cnn[:2]
    convolution.weight.data[:2] = torch.tensor([-1.0, 1.0])[:, None, None, None]
    norm.bias.data.fill_(5)
    norm.bias.data[:2] = torch.tensor([100.0, -100.0])
    states = torch.randint(256, (20, 1, 36, 36), dtype=torch.uint8)
    found = dead_units(policy.q_net, states)
    assert found["conv1"] == Units(1, 32)
    norm.bias.data[1] = 100
    assert dead_units(policy.q_net, states)["conv1"] == Units(0, 32)


SIZES: dict[str, list[int]] = {
    "dqn2013": [16, 32],
    **{torso: [32, 64, 64] for torso in ("nature", "nature_stride2", "elu", "elu_printed", "maxpool")},
    "impala": [16] * 4 + [32] * 8 + [32],
    "hadamax": [64, 128, 128],  # of both branches
    "data_efficient": [32, 64],
}


@pytest.mark.parametrize("normalization", ["none", "layer"])
@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("torso", TORSOS)
def test_every_torso_and_head(torso, head, normalization):
    small: Any = {"net_arch": [8]} if head == "dueling" else {}
    kwargs: Any = {"normalization": normalization, **({} if small else {"hidden_size": 8})}
    policy = make_policy(
        CnnPolicy,
        images(1, 56, 56),
        head=head,
        features_extractor_class=torso,
        features_extractor_kwargs=kwargs,
        **small,
    )
    found = dead_units(policy.q_net, torch.randint(256, (3, 1, 56, 56), dtype=torch.uint8))
    hidden = {"dense1": 8} if head == "linear" else {"value1": 8, "advantage1": 8}
    convolutions = {f"conv{number}": size for number, size in enumerate(SIZES[torso], start=1)}
    assert {name: units.of for name, units in found.items()} == {**convolutions, **hidden}


def test_the_hidden_layers_of_vectors_are_those_of_the_head():
    policy = make_policy(MlpPolicy, spaces.Box(-1, 1, (3,)), head="linear", net_arch=[5, 6])
    found = dead_units(policy.q_net, torch.randn(4, 3))
    assert {name: units.of for name, units in found.items()} == {"head1": 5, "head2": 6}


def test_an_activation_of_the_users_own_is_found():
    class Square(nn.Module):
        def forward(self, x):
            return x * x

    kwargs = {"activation": Square, "hidden_size": 8}
    policy = make_policy(CnnPolicy, images(1, 36, 36), head="linear", features_extractor_kwargs=kwargs)
    states = torch.zeros(2, 1, 36, 36, dtype=torch.uint8)
    assert list(dead_units(policy.q_net, states).values()) == [Units(n, n) for n in (32, 64, 64, 8)]


def test_functions_in_place_of_modules_are_an_error():
    with pytest.raises(ValueError, match=r"Net has no activation that is a module \(nn.ReLU"):
        dead_units(Net(nn.Linear(1, 2)), STATES)


class DrawsAlways(layers.NoisyLinear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        mode, self.training = self.training, True
        try:
            return super().forward(input)
        finally:
            self.training = mode


class AlwaysNoisyTorso(layers.NoisyTorso):
    """Draws from a generator of its own in evaluation too."""

    def dense(self) -> nn.Module:
        return DrawsAlways(8 * 4 * 4, layers.N_FEATURES, self.scale, torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "torso",
    [
        layers.SpectralTorso,
        layers.BatchNormTorso,
        layers.FrozenNormTorso,
        layers.RunningScaleTorso,
        layers.NoisyTorso,
        AlwaysNoisyTorso,
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_was(torso, training):
    policy: Any = make_policy(CnnPolicy, images(2, 36, 36), features_extractor_class=torso)
    network = policy.q_net.train(training)

    def state():
        own = [value for module in network.modules() for value in vars(module).values()]
        generators = [value.get_state() for value in own if isinstance(value, torch.Generator)]
        tensors = {name: value.clone() for name, value in network.state_dict().items()}
        hooks = [len(module._forward_hooks) for module in network.modules()]
        return [module.training for module in network.modules()], hooks, generators, tensors

    before = state()
    dead_units(network, torch.randint(256, (150, 2, 36, 36), dtype=torch.uint8))
    after = state()
    assert after[:2] == before[:2]
    assert all(map(torch.equal, after[2], before[2]))
    assert all(torch.equal(after[3][name], value) for name, value in before[3].items())
