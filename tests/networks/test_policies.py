"""Policies: who gets the dense layer, and surviving a file."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from stable_baselines3.dqn.policies import CnnPolicy as SB3CnnPolicy
from torch import nn
from torch.testing import assert_close

from sb3_atari_dqn import policies, policies_0_1_0
from sb3_atari_dqn.networks import HEADS, TORSOS, DuelingHead
from sb3_atari_dqn.networks.heads import LinearHead
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy

ACTIONS = spaces.Discrete(3)
VECTOR = spaces.Box(-1, 1, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (4, 60, 64), np.uint8)
DICTIONARY = spaces.Dict({"image": spaces.Box(0, 255, (1, 36, 36), np.uint8), "numbers": VECTOR})
LEAVES = {MlpPolicy: VECTOR, CnnPolicy: IMAGE, MultiInputPolicy: DICTIONARY}


def constant_rate(progress_remaining: float) -> float:
    return 1e-3


def build(policy_class, space=VECTOR, **kwargs):
    return policy_class(space, ACTIONS, constant_rate, **kwargs)


def observations(space, batch_size=2):
    generator = np.random.default_rng(0)
    if isinstance(space, spaces.Dict):
        return {key: observations(part, batch_size) for key, part in space.spaces.items()}
    shape = (batch_size, *space.shape)
    if space.dtype == np.uint8:
        return torch.as_tensor(generator.integers(256, size=shape, dtype=np.uint8))
    return torch.as_tensor(generator.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("name", ["linear", "dueling"])
@pytest.mark.parametrize("policy_class", LEAVES)
def test_every_policy_takes_every_head_by_name_or_class(policy_class, name):
    space = LEAVES[policy_class]
    for head in (name, HEADS[name]):
        assert type(build(policy_class, space, head=head).q_net.q_net) is HEADS[name]
    assert type(build(policy_class, space).q_net.q_net) is LinearHead


class CappedHead(LinearHead):
    """A head of a user's own: no action value exceeds 1."""

    def forward(self, features):
        return super().forward(features).clamp(max=1.0)


def test_a_head_of_the_users_own_is_built_and_survives_a_file(tmp_path):
    policy = build(MlpPolicy, head=CappedHead)
    seen = 1e3 * observations(VECTOR)
    assert policy.q_net(seen).max() == 1
    policy.save(tmp_path / "policy.pt")
    assert torch.equal(MlpPolicy.load(tmp_path / "policy.pt").q_net(seen), policy.q_net(seen))


@pytest.mark.parametrize("name", policies_0_1_0.REPLACEMENTS)
def test_the_policies_of_0_1_0_still_work_and_say_what_replaces_them(name):
    kind = name.removeprefix("Double").removeprefix("Dueling")
    with pytest.warns(FutureWarning, match=f"{name} is deprecated .* use {kind}"):
        old = getattr(policies, name)
    assert issubclass(old, getattr(policies, kind))
    built = build(old, LEAVES.get(getattr(policies, kind), VECTOR))
    assert type(built.q_net.q_net) is (DuelingHead if name.startswith("Dueling") else LinearHead)
    assert pickle.loads(pickle.dumps(old)) is old


def test_the_old_name_of_the_linear_head_still_works():
    with pytest.warns(FutureWarning, match="head='plain' in policy_kwargs .* head='linear'"):
        assert type(build(MlpPolicy, head="plain").q_net.q_net) is LinearHead


@pytest.mark.slow
@pytest.mark.parametrize("torso", TORSOS)
@pytest.mark.parametrize("head", ["linear", "dueling"])
def test_every_head_combines_with_every_torso(torso, head):
    kwargs = {"strides": (4, 2, 1)} if torso == "elu" else {}
    policy = build(CnnPolicy, IMAGE, features_extractor_class=torso, features_extractor_kwargs=kwargs, head=head)
    assert policy.q_net(observations(IMAGE)).shape == (2, 3)
    assert isinstance(policy.q_net.features_extractor, TORSOS[torso])


def test_default_cnn_policy_is_sb3s_network_under_sb3s_names():
    torch.manual_seed(3)
    theirs = SB3CnnPolicy(IMAGE, ACTIONS, constant_rate)
    torch.manual_seed(3)
    ours = build(CnnPolicy, IMAGE)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert "q_net.features_extractor.cnn.0.weight" in ours.state_dict()
    assert torch.equal(ours.q_net(observations(IMAGE)), theirs.q_net(observations(IMAGE)))


@pytest.mark.parametrize(
    ("kwargs", "hidden"),
    [
        ({}, [512]),
        ({"features_extractor_class": "dqn2013"}, [256]),
        ({"features_extractor_kwargs": {"hidden_size": 40}}, [40]),
        ({"features_extractor_kwargs": {"features_dim": 40}}, [40]),
        ({"features_extractor_kwargs": {"hidden_size": None}}, []),
        ({"net_arch": [30, 20]}, [30, 20]),
        ({"net_arch": []}, []),
    ],
)
def test_dueling_streams_part_at_the_flattened_convolutions(kwargs, hidden):
    q_net = build(CnnPolicy, IMAGE, head="dueling", **kwargs).q_net
    for stream, outputs in ((q_net.q_net.value, 1), (q_net.q_net.advantage, 3)):
        layers = [layer for layer in stream if isinstance(layer, nn.Linear)]
        assert [layer.out_features for layer in layers] == [*hidden, outputs]
        assert layers[0].in_features == q_net.features_dim
    assert isinstance(q_net.features_extractor.linear, nn.Identity)


def test_mlp_streams_have_two_hidden_layers_of_64():
    streams = build(MlpPolicy, head="dueling").q_net.q_net
    assert [layer.out_features for layer in streams.value if isinstance(layer, nn.Linear)] == [64, 64, 1]


@pytest.mark.parametrize(("kwargs", "features"), [({"hidden_size": 40}, 40), ({"features_dim": 40}, 40)])
def test_plain_head_leaves_the_dense_layer_to_the_torso(kwargs, features):
    q_net = build(CnnPolicy, IMAGE, features_extractor_kwargs=kwargs).q_net
    assert [(layer.in_features, layer.out_features) for layer in q_net.q_net] == [(features, 3)]


def test_streams_take_the_torsos_activation_unless_told_otherwise():
    elu = {"features_extractor_class": "elu", "features_extractor_kwargs": {"strides": (4, 2, 1), "hidden_size": 8}}
    assert isinstance(build(CnnPolicy, IMAGE, head="dueling", **elu).q_net.q_net.value[1], nn.ELU)
    assert isinstance(
        build(CnnPolicy, IMAGE, head="dueling", **elu, activation_fn="tanh").q_net.q_net.value[1], nn.Tanh
    )


def test_initialization_reaches_the_streams():
    policy = build(
        CnnPolicy, IMAGE, head="dueling", features_extractor_kwargs={"initialization": "orthogonal", "hidden_size": 8}
    )
    first = policy.q_net.q_net.value[0]
    assert_close(first.weight @ first.weight.T, 2 * torch.eye(8), atol=1e-4, rtol=0)
    assert torch.all(first.bias == 0)


def test_rescaling_multiplies_the_torsos_gradient_alone_by_one_over_root_two():
    torch.manual_seed(0)
    policy = build(CnnPolicy, IMAGE, head="dueling")
    rescaled = build(CnnPolicy, IMAGE, head="dueling", rescale_shared_gradient=True)
    rescaled.load_state_dict(policy.state_dict())
    values = [network(observations(IMAGE)) for network in (policy.q_net, rescaled.q_net)]
    assert torch.equal(values[0], values[1])
    for value in values:
        value.sum().backward()
    for (name, plain), scaled in zip(policy.q_net.named_parameters(), rescaled.q_net.parameters(), strict=True):
        factor = 1 / math.sqrt(2) if name.startswith("features_extractor") else 1.0
        assert plain.grad is not None
        assert_close(scaled.grad, plain.grad * factor)


@pytest.mark.parametrize(
    ("policy_class", "space", "kwargs", "message"),
    [
        (MlpPolicy, VECTOR, {"values": "quantile"}, "values must be an object such as QuantileValues.*got 'quantile'"),
        (CnnPolicy, IMAGE, {"head": "duelling"}, "Unknown head 'duelling'; known: dueling, linear"),
        (
            CnnPolicy,
            IMAGE,
            {"features_extractor_class": "natur"},
            "Unknown torso .* 'natur'; known: bytes, data_efficient, dqn2013",
        ),
        (CnnPolicy, IMAGE, {"activation_fn": "relux"}, "Unknown activation 'relux'"),
        (CnnPolicy, IMAGE, {"rescale_shared_gradient": True}, "rescale_shared_gradient .* head='linear'"),
        (CnnPolicy, VECTOR, {}, "NatureTorso takes images"),
        (
            CnnPolicy,
            IMAGE,
            {"head": "dueling", "net_arch": [64], "features_extractor_kwargs": {"hidden_size": 32}},
            r"hidden_size=32 and net_arch=\[64\] both size the hidden layer of the head",
        ),
    ],
)
def test_bad_arguments_are_named(policy_class, space, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(policy_class, space, **kwargs)


def test_the_users_dictionaries_stay_untouched():
    kwargs = {"features_dim": 32}
    build(CnnPolicy, IMAGE, head="dueling", features_extractor_kwargs=kwargs, normalize_images=False)
    assert kwargs == {"features_dim": 32}


def test_float_images_are_taken_when_normalization_is_off():
    floats = spaces.Box(0, 1, (4, 60, 64), np.float32)
    assert build(CnnPolicy, floats, head="dueling", normalize_images=False).q_net(observations(floats)).shape == (2, 3)


def test_sb3s_own_extractors_are_taken_too():
    assert isinstance(build(CnnPolicy, IMAGE, features_extractor_class=NatureCNN).q_net.features_extractor, NatureCNN)
    assert isinstance(build(MultiInputPolicy, DICTIONARY).q_net.features_extractor, CombinedExtractor)


VARIANTS = [
    (MlpPolicy, VECTOR, {"net_arch": [16]}),
    (CnnPolicy, IMAGE, {}),
    (CnnPolicy, IMAGE, {"features_extractor_class": "impala", "features_extractor_kwargs": {"width": 2}}),
    (CnnPolicy, IMAGE, {"head": "dueling", "rescale_shared_gradient": True, "activation_fn": "elu"}),
    (
        CnnPolicy,
        IMAGE,
        {"head": "dueling", "features_extractor_kwargs": {"hidden_size": 24, "initialization": "he_normal"}},
    ),
    (MlpPolicy, VECTOR, {"head": "dueling", "net_arch": [16]}),
    (MultiInputPolicy, DICTIONARY, {"head": "dueling", "optimizer_kwargs": {"eps": 1e-4}}),
    (CnnPolicy, IMAGE, {"head": "dueling"}),
]


@pytest.mark.parametrize(("policy_class", "space", "kwargs"), VARIANTS)
@pytest.mark.parametrize("way", ["file", "pickle", "deepcopy", "constructor"])
def test_a_policy_survives(policy_class, space, kwargs, way, tmp_path):
    policy = build(policy_class, space, **kwargs)
    if way == "file":
        policy.save(tmp_path / "policy.pth")
        copied = policy_class.load(tmp_path / "policy.pth", device="cpu")
    elif way == "pickle":
        copied = pickle.loads(pickle.dumps(policy))
    elif way == "deepcopy":
        copied = copy.deepcopy(policy)
    else:
        copied = policy_class(**policy._get_constructor_parameters())
        copied.load_state_dict(policy.state_dict())
    batch = observations(space)
    assert type(copied) is policy_class
    assert torch.equal(copied.q_net(batch), policy.q_net(batch))
    assert copied.q_net.rescale_shared_gradient == policy.q_net.rescale_shared_gradient


# --- without target network


@pytest.mark.parametrize("policy_class", LEAVES)
def test_without_target_network_there_is_one_network_with_the_same_first_parameters(policy_class, tmp_path):
    space = LEAVES[policy_class]
    torch.manual_seed(0)
    both = build(policy_class, space)
    torch.manual_seed(0)
    alone = build(policy_class, space, target_network=False)
    assert alone.q_net_target is None
    assert alone.state_dict().keys() == {key for key in both.state_dict() if not key.startswith("q_net_target.")}
    for key, value in alone.state_dict().items():
        assert torch.equal(value, both.state_dict()[key])
    assert [id(each) for each in alone.optimizer.param_groups[0]["params"]] == [id(each) for each in alone.parameters()]
    alone.save(tmp_path / "policy.pth")
    again = policy_class.load(tmp_path / "policy.pth", device="cpu")
    assert again.q_net_target is None
    given = observations(space)
    assert torch.equal(again.q_net(given), alone.q_net(given))


@pytest.mark.parametrize("flag", ["no", 2, None])
def test_whether_there_is_a_target_network_is_said_with_true_or_false(flag):
    with pytest.raises(ValueError, match=f"target_network must be .*{flag!r}"):
        build(MlpPolicy, target_network=flag)
