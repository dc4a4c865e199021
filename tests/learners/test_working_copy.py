"""The copy of a network that computes: what it shares, what it converts, and how exact it is."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_atari_dqn.learners.working_copy import WorkingCopy
from sb3_atari_dqn.policies import MlpPolicy
from tests.support.batches import GAMMA, RULE, TORSOS, batch, images, make_policy, observations, torso_policy

DTYPES = [torch.float32, torch.bfloat16]


def pictures(network, n=8):
    return observations(network.observation_space, n, np.random.default_rng(3))


def values(working_copy, pixels):
    with torch.no_grad():
        return working_copy(working_copy.preprocess(pixels)).per_action.squeeze(2)


# --- values


@pytest.mark.parametrize("torso", TORSOS)
@pytest.mark.parametrize("family", ["classic", "dueling"])
def test_in_float32_values_are_those_of_the_master(family, torso):
    network = torso_policy(family, torso).q_net
    pixels = pictures(network)
    torch.testing.assert_close(
        values(WorkingCopy(network, torch.float32), pixels), network(pixels), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("torso", TORSOS)
def test_in_bfloat16_values_are_close_and_float32(torso):
    network = torso_policy("dueling", torso).q_net
    pixels = pictures(network)
    rounded, exact = values(WorkingCopy(network, torch.bfloat16), pixels), network(pixels)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02 * exact.abs().max().item())
    assert not torch.equal(rounded, exact)


@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("net_arch", [None, [16]])
def test_large_values_keep_their_small_differences_in_bfloat16(head, net_arch):
    """Near 100 bfloat16 knows 100 and 100.5 only: the third action would win no longer."""
    network = make_policy(head=head, net_arch=net_arch).q_net
    wanted = torch.tensor([100.02, 99.9, 100.03])
    with torch.no_grad():
        for layer in network.float32_layers():
            layer.weight.zero_()
            layer.bias.copy_(wanted if layer.out_features == 3 else wanted.mean())
    rounded = values(WorkingCopy(network, torch.bfloat16), pictures(network))
    torch.testing.assert_close(rounded, wanted.expand(8, 3), rtol=0, atol=2e-5)
    assert (rounded.argmax(dim=1) == 2).all()
    assert wanted.bfloat16().argmax() == 0


# --- images and the factor 1/255


def test_every_byte_is_a_number_that_bfloat16_holds():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    network = make_policy(space=images(1, 16, 16), features_extractor_class="impala").q_net
    assert torch.equal(WorkingCopy(network, torch.bfloat16).preprocess(pixels).float(), pixels.float())


def test_preparing_leaves_the_stored_images_alone():
    network = make_policy(MlpPolicy).q_net  # no convolution: the factor goes into the images themselves
    pixels = pictures(network)
    before = pixels.clone()
    for dtype in DTYPES:
        WorkingCopy(network, dtype).preprocess(pixels)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("normalize_images", [True, False])
def test_the_factor_stands_in_the_first_weights_if_images_are_normalized(normalize_images):
    network = make_policy(normalize_images=normalize_images).q_net
    working = WorkingCopy(network, torch.float32)
    own, master = working.parameters[0], network.get_parameter("features_extractor.cnn.0.weight")
    torch.testing.assert_close(own, master / 255 if normalize_images else master)
    assert (own.data_ptr() == master.data_ptr()) != normalize_images


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("normalize_images", [True, False])
def test_centered_images_and_the_factor_in_the_weights_go_together(normalize_images, dtype, bound):
    kwargs = {"center_images": True}
    network = make_policy(normalize_images=normalize_images, features_extractor_kwargs=kwargs).q_net
    working, pixels = WorkingCopy(network, dtype), pictures(network)
    exact = network(pixels)
    most = bound * max(1, exact.abs().max().item())
    torch.testing.assert_close(values(working, pixels), exact, rtol=0, atol=most)
    own, master = working.parameters[0].float(), working.masters[0]
    assert own.norm().item() == pytest.approx(master.norm().item() / (255 if normalize_images else 1), rel=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalize_images", [True, False])
def test_images_without_a_convolution_are_scaled_themselves(normalize_images, dtype):
    network = make_policy(MlpPolicy, normalize_images=normalize_images).q_net
    pixels = pictures(network)
    exact = network(pixels)
    bound = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(
        values(WorkingCopy(network, dtype), pixels), exact, rtol=0, atol=bound * max(1, exact.abs().max().item())
    )


class Centred(BaseFeaturesExtractor):
    """Has a `cnn`, as SB3's NatureCNN does, but looks at the images first: they may not come without their factor."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=4)
        self.cnn = nn.Sequential(nn.Conv2d(2, 4, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, observations):
        return self.cnn(observations - 0.5)


def test_an_extractor_of_ones_own_gets_its_images_in_the_range_that_it_knows():
    network = make_policy(features_extractor_class=Centred).q_net
    pixels = pictures(network)
    torch.testing.assert_close(values(WorkingCopy(network, torch.float32), pixels), network(pixels), rtol=0, atol=1e-5)


def test_features_are_flattened_before_their_activation():
    """Nothing but the time changes; pooling or a layer of one's own in between stays where it is."""
    network: Any = torso_policy("classic", "nature").q_net
    working: Any = WorkingCopy(network, torch.float32)._network.features_extractor.cnn
    assert [type(layer) for layer in working[-2:]] == [nn.Flatten, nn.ReLU]
    assert [type(layer) for layer in network.features_extractor.cnn[-2:]] == [nn.ReLU, nn.Flatten]
    pooled: Any = make_policy(features_extractor_kwargs={"pooling": "mean"}).q_net
    copied: Any = WorkingCopy(pooled, torch.float32)._network.features_extractor.cnn
    assert [type(layer) for layer in copied] == [type(layer) for layer in pooled.features_extractor.cnn]


# --- memory


def test_in_float32_all_but_the_first_weights_are_the_masters_memory():
    network = torso_policy("dueling", "nature").q_net
    working = WorkingCopy(network, torch.float32)
    shared = [
        own.data_ptr() == master.data_ptr() for own, master in zip(working.parameters, working.masters, strict=True)
    ]
    assert shared == [False] + [True] * (len(shared) - 1)


@pytest.mark.parametrize(("family", "n_output_layers"), [("classic", 1), ("dueling", 2)])
def test_in_bfloat16_the_output_layers_are_the_masters_memory(family, n_output_layers):
    working = WorkingCopy(torso_policy(family, "nature").q_net, torch.bfloat16)
    shared = [
        own.data_ptr() == master.data_ptr() for own, master in zip(working.parameters, working.masters, strict=True)
    ]
    assert sum(shared) == 2 * n_output_layers  # weight and bias
    assert all((own.dtype == torch.float32) == same for own, same in zip(working.parameters, shared, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_masters_stay_float32_and_where_they_were(dtype):
    network = torso_policy("dueling", "dqn2013").q_net
    before = [(parameter.data_ptr(), parameter.detach().clone()) for parameter in network.parameters()]
    WorkingCopy(network, dtype)
    for parameter, (place, numbers) in zip(network.parameters(), before, strict=True):
        assert parameter.data_ptr() == place
        assert torch.equal(parameter, numbers)


@pytest.mark.parametrize("dtype", DTYPES)
def test_refresh_takes_over_what_the_masters_became(dtype):
    network = torso_policy("dueling", "dqn2013").q_net
    working, pixels = WorkingCopy(network, dtype), pictures(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    stale = values(working, pixels)
    working.refresh()
    fresh = values(WorkingCopy(network, dtype), pixels)
    assert torch.equal(values(working, pixels), fresh)
    assert not torch.equal(stale, fresh)


# --- gradients


def target_of(samples, v_t):
    """:return: from values of the states reached that are given, [B, 1]"""
    return samples.rewards + (1 - samples.dones) * GAMMA * v_t.unsqueeze(1)


def gradients(working, samples, v_t):
    prepared = samples._replace(observations=working.preprocess(samples.observations))
    loss = RULE.objective.loss(working, prepared, target_of(samples, v_t)).loss
    working.write_gradients(torch.autograd.grad(loss, working.parameters))
    return [master.grad for master in working.masters]


def exact_gradients(network, samples, v_t):
    """:return: those of the network in float64, from images divided by 255"""
    exact = copy.deepcopy(network).double()
    prepared = samples._replace(observations=samples.observations.double() / 255)
    loss = RULE.objective.loss(exact.outputs_of_images, prepared, target_of(samples, v_t).double()).loss
    return torch.autograd.grad(loss, list(exact.parameters()))


def compare(found, exact):
    """:return: relative error and cosine"""
    found, exact = found.double().flatten(), exact.flatten()
    error = ((found - exact).norm() / exact.norm()).item()
    return error, nn.functional.cosine_similarity(found, exact, dim=0).item()


# Relative error of the whole gradient, its cosine, and the error that any one parameter tensor may have: about twice
# the worst found over three seeds. Max-pooling chooses, and so does ReLU: a rounded number may choose otherwise.
BF16_BOUNDS = {
    "nature": (0.15, 0.994, 0.25),
    "dqn2013": (0.1, 0.997, 0.2),
    "elu": (0.02, 0.9998, 0.03),
    "maxpool": (0.3, 0.97, 0.6),
    "impala": (0.2, 0.98, 0.5),
    "hadamax": (0.2, 0.98, 0.5),
}
FP32_BOUNDS = (2e-3, 0.99999, 7e-3)


@pytest.mark.slow
@pytest.mark.parametrize("torso", TORSOS)
@pytest.mark.parametrize("family", ["classic", "dueling"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_those_of_float64_up_to_rounding(dtype, family, torso):
    largest_error, smallest_cosine, largest_of_a_tensor = FP32_BOUNDS if dtype == torch.float32 else BF16_BOUNDS[torso]
    network = torso_policy(family, torso).q_net
    samples, v_t = batch(network.observation_space, 0, weighted=True, batch_size=32), torch.linspace(-2, 2, 32)
    found, exact = gradients(WorkingCopy(network, dtype), samples, v_t), exact_gradients(network, samples, v_t)
    assert all(gradient.dtype == torch.float32 and gradient.is_contiguous() for gradient in found)
    error, cosine = compare(torch.cat([g.flatten() for g in found]), torch.cat([g.flatten() for g in exact]))
    assert error < largest_error
    assert cosine > smallest_cosine
    assert max(compare(*pair)[0] for pair in zip(found, exact, strict=True)) < largest_of_a_tensor


def test_the_rescaled_gradient_reaches_the_convolutions_only():
    plain, rescaled = (torso_policy("dueling", "dqn2013", rescale_shared_gradient=on).q_net for on in (False, True))
    samples, v_t = batch(plain.observation_space, 0), torch.linspace(-2, 2, 8)
    pairs = zip(
        plain.named_parameters(),
        gradients(WorkingCopy(plain, torch.float32), samples, v_t),
        gradients(WorkingCopy(rescaled, torch.float32), samples, v_t),
        strict=True,
    )
    for (name, _), whole, part in pairs:
        factor = 2**-0.5 if name.startswith("features_extractor") else 1.0
        torch.testing.assert_close(part, factor * whole, rtol=1e-4, atol=1e-8)
