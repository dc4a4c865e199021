"""Lambda-returns: by hand, by their definition, by the published recursions, and as distributions.

T: vector steps, N: environments, D: outputs per action.
"""

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Outputs
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues, midpoints
from sb3_atari_dqn.objectives.returns import ReturnObjective, lambda_returns
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.replay.rollout_buffer import Minibatch
from tests.support.naive import naive_lambda_return

SCALAR = ScalarValues()
LAMBDAS = [0.0, 0.3, 0.65, 0.95, 1.0]


class Rollout(NamedTuple):
    """The arguments of `lambda_returns`, [T, N, D] and [T, N]."""

    outputs_t: Tensor
    r_t: Tensor
    discount_t: Tensor
    ends: Tensor


def rollout(
    seed: int, length: int = 12, n_envs: int = 5, n_outputs: int = 1, truncates: bool = True, gamma: float = 0.9
) -> Rollout:
    rng = torch.Generator().manual_seed(seed)
    ends = torch.rand(length, n_envs, generator=rng) < 0.25
    terminated = ends & (torch.rand(length, n_envs, generator=rng) < (0.5 if truncates else 1.0))
    outputs = torch.randn(length, n_envs, n_outputs, generator=rng)
    rewards = torch.randn(length, n_envs, generator=rng)
    return Rollout(outputs, rewards, torch.where(terminated, 0.0, gamma), ends)


# --- expected returns


@pytest.mark.parametrize(
    ("end", "at", "expected"),
    [
        # Without the bootstrap at the rollout's end it would be 4, with (1 - lambda) of it 8, with the reward twice 14.
        (None, 0, [3.75, 7, 12]),
        # Ignored it would be 7, truncated 6.
        ("terminated", 1, [2.5, 2, 12]),
        # Ignored it would be 7, terminated 2, and with (1 - lambda) of the bootstrap 4.
        ("truncated", 1, [3.5, 6, 12]),
        ("terminated", 2, [3.25, 5, 4]),
        ("truncated", 2, [3.75, 7, 12]),  # the rollout ends there anyway
        ("terminated", 0, [1, 7, 12]),
        ("truncated", 0, [3, 7, 12]),
    ],
)
def test_by_hand(end, at, expected):
    """Rewards 1, 2, 4, values 4, 8, 16, gamma and lambda 1/2; the other environment never ends."""
    ends, discounts = torch.zeros(3, 2, dtype=torch.bool), torch.full((3, 2), 0.5)
    if end is not None:
        ends[at, 0] = True
    if end == "terminated":
        discounts[at, 0] = 0
    outputs = torch.tensor([4.0, 8, 16]).view(3, 1, 1).expand(3, 2, 1)
    rewards = torch.tensor([1.0, 2, 4]).view(3, 1).expand(3, 2)
    returns = lambda_returns(SCALAR, outputs, rewards, discounts, ends, 0.5)
    assert returns[:, 0, 0].tolist() == expected
    assert returns[:, 1, 0].tolist() == [3.75, 7, 12]


@pytest.mark.parametrize("lambda_", LAMBDAS)
@pytest.mark.parametrize("length", [1, 2, 12, 40])
@pytest.mark.parametrize("seed", range(4))
def test_they_are_n_step_returns_weighted_by_powers_of_lambda(seed, length, lambda_):
    steps = rollout(seed, length)
    returns = lambda_returns(SCALAR, *steps, lambda_)
    for env in range(5):
        values, rewards, discounts = (each[:, env].double().flatten().tolist() for each in steps[:3])
        expected = naive_lambda_return(values, rewards, discounts, steps.ends[:, env].tolist(), lambda_)
        assert returns[:, env, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_what_the_network_says_of_a_terminated_state_does_not_count():
    steps = rollout(0)
    terminated = steps.discount_t == 0
    assert terminated.any()
    elsewhere = steps._replace(outputs_t=torch.where(terminated.unsqueeze(2), 1e6, steps.outputs_t))
    assert torch.equal(lambda_returns(SCALAR, *steps, 0.65), lambda_returns(SCALAR, *elsewhere, 0.65))


@pytest.mark.parametrize(
    ("values", "n_outputs"),
    [
        (SCALAR, 1),
        (CategoricalValues(11), 11),
        (QuantileValues(7), 7),
        (ImplicitQuantileValues(acting=7), 7),
    ],
)
def test_lambda_0_gives_one_step_targets(values, n_outputs):
    steps = rollout(1, n_outputs=n_outputs)
    outputs = steps.outputs_t.sort(dim=2).values  # of quantiles the order does not matter
    returns = lambda_returns(values, outputs, *steps[1:], 0.0)
    for t in range(len(returns)):
        expected = values.target(outputs[t], steps.r_t[t], steps.discount_t[t])
        torch.testing.assert_close(returns[t], expected, rtol=1e-5, atol=1e-6)


def test_lambda_1_gives_discounted_sums_to_the_end_of_episode_or_rollout():
    steps = rollout(2)
    returns = lambda_returns(SCALAR, *steps, 1.0)
    for env in range(5):
        for start in range(12):
            ends = [t for t in range(start, 12) if steps.ends[t, env]]
            last = ends[0] if ends else 11
            total = sum(0.9 ** (t - start) * steps.r_t[t, env].item() for t in range(start, last + 1))
            if steps.discount_t[last, env] > 0:
                total += 0.9 ** (last + 1 - start) * steps.outputs_t[last, env, 0].item()
            assert returns[start, env, 0].item() == pytest.approx(total, abs=1e-5)


def of_cleanrl(values: Tensor, rewards: Tensor, dones: Tensor, gamma: float, lambda_: float) -> Tensor:
    """
    The loop of CleanRL's pqn.py; all [T, N].

    :param values: of the states that the steps led to
    :param dones: whether they are over
    """
    returns = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        alive = 1.0 - dones[t].float()
        if t == len(rewards) - 1:
            returns[t] = rewards[t] + gamma * values[t] * alive
        else:
            returns[t] = rewards[t] + gamma * (lambda_ * returns[t + 1] + (1 - lambda_) * values[t]) * alive
    return returns


def of_purejaxql(values: Tensor, rewards: Tensor, dones: Tensor, gamma: float, lambda_: float) -> Tensor:
    """The scan of the paper's own code, which carries on from a one-step target at the last step."""
    over = dones.float()
    returns = [rewards[-1] + gamma * (1 - over[-1]) * values[-1]]
    for t in reversed(range(len(rewards) - 1)):
        one_step = rewards[t] + gamma * (1 - over[t]) * values[t]
        carried = one_step + gamma * lambda_ * (returns[0] - values[t])
        returns.insert(0, (1 - over[t]) * carried + over[t] * rewards[t])
    return torch.stack(returns)


@pytest.mark.parametrize("published", [of_cleanrl, of_purejaxql])
@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_where_nothing_is_truncated_they_are_those_of_the_published_code(published, lambda_):
    steps = rollout(3, truncates=False)
    assert steps.ends.any()
    expected = published(steps.outputs_t[:, :, 0], steps.r_t, steps.ends, 0.9, lambda_)
    torch.testing.assert_close(lambda_returns(SCALAR, *steps, lambda_)[:, :, 0], expected, rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_through_them():
    steps = rollout(4)
    steps.outputs_t.requires_grad_()
    assert not lambda_returns(SCALAR, *steps, 0.65).requires_grad


# --- categorical distributions


def projected(values: CategoricalValues, returns: list[float], probabilities: list[float]) -> list[float]:
    """Each return between the two atoms next to it."""
    spacing = (values.v_max - values.v_min) / (values.atoms - 1)
    result = [0.0] * values.atoms
    for z, p in zip(returns, probabilities, strict=True):
        place = (min(max(z, values.v_min), values.v_max) - values.v_min) / spacing
        lower = min(math.floor(place), values.atoms - 2)
        result[lower] += p * (lower + 1 - place)
        result[lower + 1] += p * (place - lower)
    return result


def categorical_by_loops(values: CategoricalValues, steps: Rollout, env: int, lambda_: float) -> list[list[float]]:
    """:return: probabilities of each step of one environment, the mixture made atom by atom"""
    spacing = (values.v_max - values.v_min) / (values.atoms - 1)
    atoms = [values.v_min + i * spacing for i in range(values.atoms)]
    following: list[float] | None = None
    targets: list[list[float]] = []
    for t in reversed(range(len(steps.r_t))):
        own = steps.outputs_t[t, env].double().softmax(0).tolist()
        if following is None or steps.ends[t, env]:
            mixture = own
        else:
            mixture = [(1 - lambda_) * p + lambda_ * q for p, q in zip(own, following, strict=True)]
        moved = [steps.r_t[t, env].item() + steps.discount_t[t, env].item() * z for z in atoms]
        following = projected(values, moved, mixture)
        targets.insert(0, following)
    return targets


@pytest.mark.parametrize("lambda_", LAMBDAS)
@pytest.mark.parametrize("values", [CategoricalValues(5, -2, 2), CategoricalValues(31, -10, 10)])
def test_categorical_targets_are_projected_mixtures(values, lambda_):
    steps = rollout(5, n_outputs=values.atoms)
    steps = steps._replace(outputs_t=3 * steps.outputs_t)
    targets = lambda_returns(values, *steps, lambda_)
    torch.testing.assert_close(targets.sum(dim=2), torch.ones(12, 5))
    for env in range(5):
        expected = categorical_by_loops(values, steps, env, lambda_)
        torch.testing.assert_close(targets[:, env], torch.tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_the_mean_of_a_categorical_target_is_the_lambda_return_of_the_means(lambda_):
    values = CategoricalValues(51, -40, 40)  # nothing leaves the support: |V| < 10 and |r| < 3
    steps = rollout(6, n_outputs=51)
    atoms = values.support(steps.outputs_t)
    inner = torch.where(atoms.abs() < 10, steps.outputs_t, -50.0)
    means = (inner.softmax(dim=2) @ atoms).unsqueeze(2)
    targets = lambda_returns(values, inner, *steps[1:], lambda_)
    expected = lambda_returns(SCALAR, means, *steps[1:], lambda_)
    torch.testing.assert_close(targets @ atoms, expected[:, :, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_a_mixture_of_logits_and_probabilities_keeps_atoms_without_probability(weight):
    values = CategoricalValues(3, -1, 1)
    logits, target = torch.tensor([[0.0, 0.0, -math.inf]]), torch.tensor([[0.0, 0.0, 1.0]])
    mixed = values.mixed(logits, target, weight)
    assert torch.isfinite(mixed).all()
    expected = [(1 - weight) / 2, (1 - weight) / 2, weight]
    assert mixed.softmax(dim=1)[0].tolist() == pytest.approx(expected, abs=1e-6)


# --- quantiles


def mixture_by_steps(one: list[float], other: list[float], weight: Fraction) -> list[float]:
    """
    The quantiles of a mixture at the middles, as many as the other has, from its distribution function.

    That rises in steps; exact fractions, as a middle may lie on the edge of one.
    """
    points = [(value, (1 - weight) / len(one)) for value in one] + [(value, weight / len(other)) for value in other]
    found = []
    for i in range(len(other)):
        middle = Fraction(2 * i + 1, 2 * len(other))
        reached = [
            value for value, _ in sorted(points) if sum(share for point, share in points if point <= value) >= middle
        ]
        found.append(reached[0])
    return found


MIXTURES = [Fraction(0), Fraction(173, 1000), Fraction(651, 1000), Fraction(1)]


@pytest.mark.parametrize("weight", MIXTURES)
@pytest.mark.parametrize("values", [QuantileValues(8), ImplicitQuantileValues()])
@pytest.mark.parametrize(("n", "n_targets"), [(1, 1), (8, 8), (5, 9), (9, 5), (1, 6), (6, 1)])
def test_quantiles_of_a_mixture_are_read_off_its_distribution_function(n, n_targets, values, weight):
    rng = torch.Generator().manual_seed(n)
    one, other = torch.randn(6, n, generator=rng), 1 + 2 * torch.randn(6, n_targets, generator=rng)
    one[0] = one[0, 0]  # several points in the same place
    other[1] = one[1, 0]
    mixed = values.mixed(one, other, float(weight))
    assert mixed.shape == (6, n_targets)
    for row in range(6):
        assert mixed[row].tolist() == mixture_by_steps(one[row].tolist(), other[row].tolist(), weight)


def test_a_mixture_of_two_points_takes_each_as_often_as_its_weight_says():
    """-1 with probability 1/4 and 3 with 3/4; a mean of the quantiles would be 2 everywhere."""
    mixed = QuantileValues(8).mixed(torch.full((1, 8), -1.0), torch.full((1, 8), 3.0), 0.75)
    assert mixed.tolist() == [[-1, -1, 3, 3, 3, 3, 3, 3]]


def test_weight_0_gives_the_one_and_weight_1_the_other():
    values, rng = QuantileValues(200), torch.Generator().manual_seed(0)
    one, other = torch.randn(3, 200, generator=rng), torch.randn(3, 200, generator=rng)
    assert torch.equal(values.mixed(one, other, 0.0), one.sort(dim=1).values)
    assert torch.equal(values.mixed(one, other, 1.0), other.sort(dim=1).values)


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.65])
def test_the_mean_of_a_mixture_of_many_quantiles_is_about_the_weighted_mean(weight):
    at = midpoints(400)
    one, other = (10 * at - 5).unsqueeze(0), (4 * at.square() + 3).unsqueeze(0)
    expected = (1 - weight) * one.mean() + weight * other.mean()
    assert QuantileValues(400).mixed(one, other, weight).mean().item() == pytest.approx(expected.item(), abs=0.02)


@pytest.mark.parametrize("lambda_", LAMBDAS)
def test_the_mean_of_quantile_targets_is_about_the_lambda_return_of_the_means(lambda_):
    steps = rollout(7, n_outputs=200)
    targets = lambda_returns(QuantileValues(200), *steps, lambda_)
    expected = lambda_returns(SCALAR, steps.outputs_t.mean(dim=2, keepdim=True), *steps[1:], lambda_)
    torch.testing.assert_close(targets.mean(dim=2), expected[:, :, 0], rtol=0, atol=0.06)


# --- the objective

REPRESENTATIONS = [
    (ScalarValues("mse"), 1, 1),
    (CategoricalValues(7), 7, 7),
    (QuantileValues(5), 5, 5),
    (ImplicitQuantileValues(predicted=6, acting=4), 6, 4),
]


def minibatch(n_outputs: int, n_targets: int) -> tuple[Minibatch, Tensor, Tensor]:
    """:return: with what the network makes of it, [B, A, D], and fractions, [B, D]"""
    rng = torch.Generator().manual_seed(8)
    outputs, fractions = torch.randn(10, 3, n_outputs, generator=rng), torch.rand(10, n_outputs, generator=rng)
    targets = torch.rand(10, n_targets, generator=rng)
    targets /= targets.sum(dim=1, keepdim=True)  # probabilities, where they are asked for
    actions = torch.randint(3, (10, 1), generator=rng)
    return Minibatch(torch.arange(10), actions, targets), outputs, fractions


@pytest.mark.parametrize(("values", "n_outputs", "n_targets"), REPRESENTATIONS)
def test_the_objective_learns_the_targets_of_the_batch_without_a_target_network(values, n_outputs, n_targets):
    batch, outputs, fractions = minibatch(n_outputs, n_targets)
    outputs.requires_grad_()
    drawn: list[int | None] = []

    def network(observations: Tensor, n_fractions: int | None = None) -> Outputs:
        drawn.append(n_fractions)
        return Outputs(outputs[observations], fractions)

    objective = ReturnObjective(values, gamma=0.9)
    targets = objective.targets(network, None, batch)
    assert drawn == []  # nothing is computed for them
    assert targets is batch.targets
    samples = SimpleNamespace(**batch._asdict(), rewards=torch.ones(10, 1), dones=torch.zeros(10, 1), discounts=None)
    step, expected = objective.loss(network, batch, targets), Objective(values).loss(network, samples, batch.targets)
    assert drawn == [values.online_fractions] * 2
    for one, other in zip(step, expected, strict=True):
        assert torch.equal(one, other[:3] if other is expected.statistics else other)
    chosen = outputs[torch.arange(10), batch.actions[:, 0]]
    losses, priorities = values.loss(chosen, fractions, batch.targets)
    torch.testing.assert_close(step.loss, losses.mean())
    torch.testing.assert_close(step.priorities, priorities)
    (gradient,) = torch.autograd.grad(step.loss, outputs)
    others = torch.ones(10, 3, dtype=torch.bool).scatter_(1, batch.actions, False)
    assert gradient[others].count_nonzero() == 0  # of the actions not taken
    assert gradient[~others].count_nonzero() > 0
