"""RAdam's step in one kernel, beside PyTorch's own."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from torch import nn, optim

from sb3_atari_dqn import PQN
from sb3_atari_dqn.learners import fused_radam
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.fused_radam import can_fuse_radam, fused_step
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.policies import MlpPolicy
from tests.support.batches import RULE, batch, make_policy

N_STEPS = 30


class Pair:
    """The same parameters twice: for PyTorch's step and for the fused one."""

    def __init__(self, optimizer_class: type[optim.RAdam] = optim.RAdam, **kwargs: Any) -> None:
        self.rng = torch.Generator().manual_seed(0)
        shapes = [(7, 5), (11,), ()]
        start = [torch.randn(shape, generator=self.rng) for shape in shapes]
        self.own, self.fused = ([nn.Parameter(each.clone()) for each in start] for _ in range(2))
        self.optimizer, self.fused_optimizer = (
            optimizer_class(each, **{"lr": 1e-2, **kwargs}) for each in (self.own, self.fused)
        )

    def step(self, without: int | None = None) -> None:
        """:param without: number of a parameter that gets no gradient"""
        for number, (one, other) in enumerate(zip(self.own, self.fused, strict=True)):
            scale = 10 ** (4 * torch.rand((), generator=self.rng) - 3)  # from 0.001 to 10
            gradient = scale * torch.randn(one.shape, generator=self.rng)
            one.grad = None if number == without else gradient
            other.grad = None if number == without else gradient.clone()
        self.optimizer.step()
        fused_step(self.fused_optimizer)

    def set_learning_rate(self, lr: float) -> None:
        for optimizer in (self.optimizer, self.fused_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = lr

    def check(self) -> None:
        """Parameters and the whole state of the optimizers."""
        for one, other in zip(self.own, self.fused, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
            state, fused_state = self.optimizer.state[one], self.fused_optimizer.state[other]
            assert state.keys() == fused_state.keys()
            for name, value in state.items():
                torch.testing.assert_close(fused_state[name], value, rtol=1e-5, atol=1e-6)


@pytest.fixture
def kernels(monkeypatch) -> list[int]:
    """One number for each step that goes through the kernel: of its parameters."""
    sizes: list[int] = []
    kernel = fused_radam.adam

    def counted(parameters: Any, *args: Any, **kwargs: Any) -> None:
        sizes.append(len(parameters))
        kernel(parameters, *args, **kwargs)

    monkeypatch.setattr(fused_radam, "adam", counted)
    return sizes


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("eps", [1e-8, 1e-5, 1e-2])  # a large one shows where it is added
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_each_step_is_pytorchs(betas, eps, maximize, weight_decay, kernels):
    pair = Pair(betas=betas, eps=eps, maximize=maximize, weight_decay=weight_decay)
    for _ in range(N_STEPS):
        pair.step()
        pair.check()
    assert len(kernels) >= N_STEPS - 6


def test_the_first_five_steps_are_pytorchs_own_and_the_others_go_through_the_kernel(kernels):
    """Until the sixth the rectification is not defined."""
    pair = Pair()
    for step in range(1, 11):
        pair.step()
        assert len(kernels) == max(step - 5, 0)
        if step <= 5:
            assert all(torch.equal(one, other) for one, other in zip(pair.own, pair.fused, strict=True))


def test_with_a_beta2_that_is_never_rectified_all_steps_are_pytorchs_own(kernels):
    pair = Pair(betas=(0.9, 0.5))  # the longest average counts 3 numbers
    for _ in range(N_STEPS):
        pair.step()
        pair.check()
    assert kernels == []


def test_a_learning_rate_may_change_between_the_steps(kernels):
    pair = Pair()
    for step in range(N_STEPS):
        pair.set_learning_rate(1e-2 * (1 - step / N_STEPS) ** 2)
        pair.step()
        pair.check()
    assert len(kernels) == N_STEPS - 5


def test_a_learning_rate_in_a_tensor_is_left_to_pytorch(kernels):
    pair = Pair(lr=torch.tensor(1e-2), foreach=False)
    for _ in range(8):
        pair.step()
        pair.check()
    assert kernels == []


@pytest.mark.parametrize("n_before", [3, 12])
def test_it_goes_on_from_a_loaded_state(n_before, kernels):
    """In turns with PyTorch's own step: a state from the one goes into the other."""
    pair = Pair(eps=1e-3)
    for _ in range(n_before):
        pair.step()
    states = [copy.deepcopy(each.state_dict()) for each in (pair.optimizer, pair.fused_optimizer)]
    pair.optimizer, pair.fused_optimizer = optim.RAdam(pair.own), optim.RAdam(pair.fused)
    pair.optimizer.load_state_dict(states[1])
    pair.fused_optimizer.load_state_dict(states[0])
    kernels.clear()
    for _ in range(8):
        pair.step()
        pair.check()
    assert len(kernels) == 8 - max(5 - n_before, 0)


def test_parameters_without_gradient_stay_as_they_are(kernels):
    pair = Pair(weight_decay=0.1)
    before = pair.fused[1].detach().clone()
    for _ in range(8):
        pair.step(without=1)
        for one, other in zip(pair.own, pair.fused, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    assert torch.equal(pair.fused[1], before)
    assert pair.fused[1] not in pair.fused_optimizer.state
    assert kernels == [2] * 3


def test_parameters_that_are_at_different_steps_are_left_to_pytorch(kernels):
    pair = Pair()
    for step in range(12):
        pair.step(without=1 if step < 2 else None)
    pair.check()
    assert kernels == []


def test_no_gradients_at_all_change_nothing():
    pair = Pair()
    for _ in range(7):
        pair.step()
    before = [each.detach().clone() for each in pair.fused]
    pair.fused_optimizer.zero_grad()
    fused_step(pair.fused_optimizer)
    assert all(torch.equal(one, other) for one, other in zip(before, pair.fused, strict=True))


def test_each_group_has_arguments_of_its_own(kernels):
    def groups(parameters: list[nn.Parameter]) -> Any:
        return [
            {"params": parameters[:1], "lr": 0.1, "eps": 1e-2, "betas": (0.5, 0.95)},
            {"params": parameters[1:], "weight_decay": 0.1},
        ]

    pair = Pair()
    pair.optimizer, pair.fused_optimizer = (optim.RAdam(groups(each), lr=1e-3) for each in (pair.own, pair.fused))
    for _ in range(N_STEPS):
        pair.step()
        pair.check()
    assert kernels == [1, 2] * (N_STEPS - 5)


# --- which optimizers


class Subclass(optim.RAdam):
    """May do anything in its step."""


def parameter() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(3))]


def two_groups(**kwargs: Any) -> list[dict[str, Any]]:
    """:param kwargs: of the second one"""
    return [{"params": parameter()}, {"params": parameter(), **kwargs}]


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.RAdam(parameter(), weight_decay=0.1, decoupled_weight_decay=True),
        lambda: optim.RAdam(parameter(), differentiable=True),
        lambda: optim.RAdam(two_groups(weight_decay=0.1, decoupled_weight_decay=True)),
        lambda: Subclass(parameter()),
        lambda: optim.Adam(parameter()),
        lambda: optim.NAdam(parameter()),
    ],
)
def test_optimizers_that_do_something_else_are_refused(make):
    assert not can_fuse_radam(make())


@pytest.mark.parametrize(
    "kwargs", [{}, {"weight_decay": 0.1}, {"decoupled_weight_decay": True}, {"maximize": True}, {"foreach": False}]
)
def test_others_are_not(kwargs, kernels):
    pair = Pair(**kwargs)
    assert can_fuse_radam(pair.optimizer)
    for _ in range(8):
        pair.step()
        pair.check()
    assert len(kernels) == 3


# --- in the fast learner


def radam_policy(**kwargs: Any) -> Any:
    vectors = spaces.Box(-1, 1, (5,))
    arguments: dict[str, Any] = {"optimizer_class": optim.RAdam, "optimizer_kwargs": {"eps": 1e-3, **kwargs}}
    return make_policy(MlpPolicy, vectors, learning_rate=0.02, **arguments)


def vector(policy: Any) -> torch.Tensor:
    return nn.utils.parameters_to_vector(policy.q_net.parameters()).detach()


@pytest.mark.parametrize(
    ("kwargs", "fuses"), [({}, True), ({"weight_decay": 0.1, "decoupled_weight_decay": True}, False)]
)
def test_the_fast_learner_uses_it_where_it_can_and_learns_what_the_reference_learner_does(kwargs, fuses, kernels):
    def trained(make: Callable[[Any], Any]) -> Any:
        policy = radam_policy(**kwargs)
        learner = make(policy)
        for seed in range(12):
            learner.update(batch(policy.observation_space, seed), RULE)
        return policy

    reference, start = trained(ReferenceLearner), vector(radam_policy(**kwargs))
    assert kernels == []
    fast = trained(lambda policy: FastLearner(policy, "fp32", 8))
    assert len(kernels) == (7 if fuses else 0)
    assert (vector(reference) - start).norm() > 0.05
    torch.testing.assert_close(vector(fast), vector(reference), rtol=1e-5, atol=1e-6)


def test_a_learner_goes_on_where_the_other_one_stopped(kernels):
    """They share the optimizer, whose state either of them continues."""
    policy, reference = radam_policy(), radam_policy()
    in_turns: list[Any] = [ReferenceLearner(policy), FastLearner(policy, "fp32", 8)]
    alone = ReferenceLearner(reference)
    for seed in range(16):
        given = batch(policy.observation_space, seed)
        in_turns[seed // 4 % 2].update(given, RULE)
        alone.update(given, RULE)
    assert len(kernels) == 3 + 4  # of the updates 4 to 7 and 12 to 15, without the first five
    torch.testing.assert_close(vector(policy), vector(reference), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("overlap", [False, True])
def test_pqn_learns_the_same_with_either_learner(overlap, kernels):
    def trained(learner: str) -> Any:
        env = make_vec_env("CartPole-v1", n_envs=4, seed=0)
        kwargs = {"net_arch": [32], "optimizer_kwargs": {"eps": 1e-3}}
        model = PQN(
            *("MlpPolicy", env), n_steps=16, batch_size=16, learning_rate=1e-3, seed=0, device="cpu",
            learner=learner, overlap=overlap, policy_kwargs=kwargs,
        )  # fmt: skip
        start = vector(model.policy)
        model.learn(4 * 64, log_interval=None)
        return model, (vector(model.policy) - start).norm()

    reference, way = trained("reference")
    assert kernels == []
    fast, _ = trained("fast")
    n_updates = (4 - overlap) * 8
    assert len(kernels) == n_updates - 5
    assert way > 1e-2
    torch.testing.assert_close(vector(fast.policy), vector(reference.policy), rtol=1e-4, atol=1e-5)
