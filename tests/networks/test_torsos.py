"""Torsos: shapes, sizes, equality with SB3, 'same' padding, initialisations."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn
from torch.testing import assert_close

from sb3_atari_dqn.networks import TORSOS, resolve_torso
from sb3_atari_dqn.networks.image_torso import ImageTorso
from sb3_atari_dqn.networks.padding import SameConv2d, SameMaxPool2d, same_padding
from sb3_atari_dqn.networks.torsos import EluTorso, ImpalaTorso, NatureTorso


def images(height: int = 84, width: int = 84, channels: int = 4) -> spaces.Box:
    return spaces.Box(0, 255, (channels, height, width), np.uint8)


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def dense(torso: ImageTorso) -> nn.Linear:
    (layer,) = (layer for layer in torso.linear.modules() if isinstance(layer, nn.Linear))
    return layer


def small_torso(name: str, space: spaces.Space, **kwargs) -> ImageTorso:
    """The ELU torso without strides has hundreds of millions of weights: give it strides."""
    if name == "elu":
        kwargs["strides"] = (4, 2, 1)
    return TORSOS[name](space, **kwargs)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_nature_torso_equals_sb3s_from_the_same_seed(seed):
    torch.manual_seed(seed)
    theirs = NatureCNN(images())
    torch.manual_seed(seed)
    ours = NatureTorso(images())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.rand(2, 4, 84, 84)
    assert torch.equal(ours(x), theirs(x))


# Flattened outputs of the convolutions, by hand: (size - kernel) // stride + 1, or ceil(size / stride) if padded.
FLATTENED = {
    ("dqn2013", 84, 84): 32 * 9 * 9,
    ("dqn2013", 105, 80): 32 * 11 * 8,
    ("nature", 84, 84): 64 * 7 * 7,
    ("nature", 105, 80): 64 * 9 * 6,
    ("nature_stride2", 84, 84): 64 * 4 * 4,
    ("nature_stride2", 105, 80): 64 * 5 * 3,
    ("data_efficient", 84, 84): 64 * 3 * 3,  # 16, 3
    ("data_efficient", 105, 80): 64 * 4 * 3,
    ("elu", 84, 84): 64 * 7 * 7,  # strides 4, 2, 1: 20, 9, 7
    ("elu", 105, 80): 64 * 10 * 7,  # 25x19, 12x9, 10x7
    ("elu_printed", 20, 16): 64 * (20 - 7 - 2 - 2) * (16 - 3 - 1 - 1),
    ("maxpool", 84, 84): 64 * 1 * 1,
    ("maxpool", 105, 80): 64 * 1 * 1,
    ("impala", 84, 84): 32 * 11 * 11,
    ("impala", 105, 80): 32 * 14 * 10,
    ("hadamax", 84, 84): 64 * 11 * 11,  # 21, 11, 11
    ("hadamax", 105, 80): 64 * 14 * 10,  # 27x20, 14x10
}


@pytest.mark.parametrize(("name", "height", "width"), FLATTENED)
def test_every_torso_takes_squares_and_rectangles(name, height, width):
    torso = small_torso(name, images(height, width), hidden_size=None)
    assert torso.features_dim == FLATTENED[name, height, width]
    assert torso(torch.rand(2, 4, height, width)).shape == (2, torso.features_dim)


@pytest.mark.parametrize("name", TORSOS)
def test_the_dense_layer_has_the_size_asked_for(name):
    torso = small_torso(name, images(), hidden_size=17)
    assert torso(torch.rand(3, 4, 84, 84)).shape == (3, 17)
    assert torso.features_dim == 17


@pytest.mark.parametrize(("name", "weights"), [("dqn2013", 676_144), ("nature", 1_684_128), ("impala", 1_089_232)])
def test_published_torsos_have_the_published_number_of_weights(name, weights):
    assert n_parameters(TORSOS[name](images())) == weights


def test_impala_has_fifteen_convolutions_and_a_width():
    narrow, wide = ImpalaTorso(images()), ImpalaTorso(images(), width=2)
    layers = [layer for layer in wide.modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 15
    assert [layer.out_channels for layer in layers] == [32] * 5 + [64] * 10
    assert dense(wide).in_features == 2 * dense(narrow).in_features


def test_elu_torso_keeps_every_pixel_without_strides():
    torso = EluTorso(images(20, 16), hidden_size=None)
    assert torso.features_dim == 64 * (20 - 7 - 2 - 2) * (16 - 7 - 2 - 2)
    assert any(isinstance(layer, nn.ELU) for layer in torso.cnn)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("dqn2013", 20),
        ("nature", 36),
        ("nature_stride2", 36),
        ("data_efficient", 25),
        ("maxpool", 53),
        ("impala", 1),
        ("hadamax", 1),
        ("elu_printed", 12),
    ],
)
def test_the_smallest_image_works_and_one_pixel_less_is_an_error_that_names_both(name, smallest):
    torso = TORSOS[name](images(smallest, smallest + 3))
    assert torso(torch.zeros(2, 4, smallest, smallest + 3)).shape == (2, torso.features_dim)
    if smallest > 1:
        with pytest.raises(ValueError, match=rf"{smallest}x{smallest}\b.*\b{smallest - 1}x99"):
            TORSOS[name](images(smallest - 1, 99))


@pytest.mark.parametrize(
    "space", [spaces.Box(-1, 1, (3,), np.float32), spaces.Box(0, 1, (4, 84, 84), np.float32), spaces.Discrete(5)]
)
def test_a_space_without_images_is_an_error_that_shows_it(space):
    with pytest.raises(ValueError, match="takes images") as error:
        NatureTorso(space)
    assert str(space) in str(error.value)


def test_normalized_images_are_accepted_when_announced():
    assert NatureTorso(spaces.Box(0, 1, (4, 84, 84), np.float32), normalized_image=True).features_dim == 512


def test_activation_is_an_argument():
    torso = NatureTorso(images(), activation="tanh")
    assert not any(isinstance(layer, nn.ReLU) for layer in torso.modules())
    assert sum(isinstance(layer, nn.Tanh) for layer in torso.modules()) == 4


@pytest.mark.parametrize("name", TORSOS)
def test_without_normalization_layers_and_weights_are_what_they_were(name):
    torch.manual_seed(3)
    torso = small_torso(name, images(), hidden_size=16, normalization="none")
    torch.manual_seed(3)
    normalized = small_torso(name, images(), hidden_size=16, normalization="layer")
    assert not any(isinstance(layer, nn.GroupNorm | nn.LayerNorm) for layer in torso.modules())
    plain, same = (
        [m.weight for m in each.modules() if isinstance(m, nn.Conv2d | nn.Linear)] for each in (torso, normalized)
    )
    assert all(map(torch.equal, plain, same)), "norms draw no random numbers"


@pytest.mark.parametrize("name", TORSOS)
def test_layer_norm_follows_every_convolution_and_the_dense_layer_before_the_activation(name):
    torso = small_torso(name, images(), hidden_size=16, normalization="layer", activation="tanh")
    order = [type(layer) for layer in torso.modules() if not list(layer.children())]
    norms = nn.GroupNorm, nn.LayerNorm
    for place, kind in enumerate(order):
        if issubclass(kind, nn.Conv2d | nn.Linear):
            assert order[place + 1] is (nn.LayerNorm if kind is nn.Linear else nn.GroupNorm)
    n_layers = sum(issubclass(kind, nn.Conv2d | nn.Linear) for kind in order)
    assert sum(issubclass(kind, norms) for kind in order) == n_layers
    assert not any(issubclass(before, nn.Tanh) and after in norms for before, after in pairwise(order))


def test_layer_norm_brings_each_image_to_mean_0_and_variance_1_over_channels_and_pixels():
    torso = NatureTorso(images(), normalization="layer")
    pixels = torch.rand(3, 4, 84, 84) * torch.tensor([0.1, 1, 30]).view(-1, 1, 1, 1)
    for depth in (2, 5, 8):
        normed = torso.cnn[:depth](pixels).flatten(1)
        assert_close(normed.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
        assert_close(normed.var(dim=1, correction=0), torch.ones(3), atol=2e-2, rtol=0)  # the epsilon of 1e-5
    assert isinstance(torso.linear, nn.Sequential)
    dense_out = torso.linear[:2](torso.cnn(pixels))
    assert_close(dense_out.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)


def test_orthogonal_initialization_gives_orthogonal_rows_of_length_root_two():
    weight = dense(NatureTorso(images(), initialization="orthogonal")).weight
    assert_close(weight @ weight.T, 2 * torch.eye(512), atol=1e-4, rtol=0)


def test_he_normal_has_the_published_deviation_and_no_biases():
    layer = dense(NatureTorso(images(), initialization="he_normal"))
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 3136), rel=0.01)
    assert torch.all(layer.bias == 0)


def test_glorot_uniform_has_the_published_bound():
    weight = dense(NatureTorso(images(), initialization="glorot_uniform")).weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / (3136 + 512)), rel=0.001)


@pytest.mark.parametrize("name", TORSOS)
def test_centered_images_are_seen_the_same_whatever_their_brightness(name):
    """Padding included: around a centered image it is the mean, not black."""
    torch.manual_seed(0)
    torso = small_torso(name, images(56, 56), hidden_size=16, center_images=True)
    x = torch.rand(3, 4, 56, 56)
    brightness = torch.tensor([0.0, 0.3, 2.0]).reshape(-1, 1, 1, 1)
    features = torso(x)
    assert_close(torso(x + brightness), features, atol=1e-5, rtol=1e-4)
    assert features.std(dim=0).max() > 1e-3  # the images differ in something else
    torso.center_images = False
    assert not torch.allclose(torso(x + brightness), torso(x), atol=1e-3)
    assert_close(torso(x - x.mean(dim=(1, 2, 3), keepdim=True)), features)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"activation": "relux"}, "Unknown activation 'relux'; known: elu, gelu"),
        ({"initialization": "xavier"}, "Unknown initialization 'xavier'; known: glorot_uniform, he_normal, orthogonal"),
        ({"normalization": "batch"}, "normalization .*'batch'.*layer, none"),
        ({"center_images": "yes"}, "center_images must be True or False, got 'yes'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"hidden_size": "big"}, "hidden_size must be .*got 'big'"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        NatureTorso(images(), **kwargs)


@pytest.mark.parametrize("strides", [(1, 1), (4, 0, 1)])
def test_bad_strides_are_named(strides):
    with pytest.raises(ValueError, match="strides"):
        EluTorso(images(), strides=strides)


def test_a_torso_is_found_by_name_or_passed_through():
    assert resolve_torso("nature") is NatureTorso
    assert resolve_torso(NatureCNN) is NatureCNN
    with pytest.raises(ValueError, match=r"'natur'.*bytes, data_efficient, dqn2013, elu, elu_printed, hadamax, impala"):
        resolve_torso("natur")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (84, 8, 4, (2, 2)),
        (105, 8, 4, (3, 4)),
        (84, 3, 2, (0, 1)),
        (5, 3, 1, (1, 1)),
        (9, 2, 4, (0, 1)),
        (8, 2, 4, (0, 0)),
    ],
)
def test_same_padding_pads_as_tensorflow_does(size, kernel, stride, pads):
    assert same_padding(size, kernel, stride) == pads


def test_the_odd_pixel_goes_below_and_to_the_right():
    layer = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(layer.weight)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    corners = image[0, 0, :3, :3].sum(), image[0, 0, :3, 2:].sum(), image[0, 0, 2:, :3].sum(), image[0, 0, 2:, 2:].sum()
    assert_close(layer(image)[0, 0], torch.stack(corners).reshape(2, 2))


def test_padding_never_wins_the_maximum():
    image = torch.full((1, 1, 4, 4), -5.0)
    assert_close(SameMaxPool2d(kernel=3, stride=2)(image), torch.full((1, 1, 2, 2), -5.0))
