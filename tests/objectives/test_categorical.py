"""C51: projections by hand, by a slow twin, and the loss by an independent statement of the formula."""

import math

import pytest
import torch
from torch.nn import functional as F

from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.outputs import Outputs

FIVE = CategoricalValues(atoms=5, v_min=-2, v_max=2)  # atoms -2, -1, 0, 1, 2


def projected_slowly(values: CategoricalValues, returns: list[float], probabilities: list[float]) -> list[float]:
    """Algorithm 1 of Bellemare et al. 2017, a loop over the atoms; on an atom lower and upper are the same."""
    spacing = (values.v_max - values.v_min) / (values.atoms - 1)
    result = [0.0] * values.atoms
    for value, p in zip(returns, probabilities, strict=True):
        b = (min(max(value, values.v_min), values.v_max) - values.v_min) / spacing
        lower, upper = math.floor(b), math.ceil(b)
        if lower == upper:
            result[lower] += p
        else:
            result[lower] += p * (upper - b)
            result[upper] += p * (b - lower)
    return result


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, [0, 0, 1, 0, 0]),  # on an atom: nothing leaks to its neighbours
        (1.0, [0, 0, 0, 1, 0]),
        (-2.0, [1, 0, 0, 0, 0]),  # on the edges
        (2.0, [0, 0, 0, 0, 1]),
        (0.25, [0, 0, 0.75, 0.25, 0]),
        (-1.5, [0.5, 0.5, 0, 0, 0]),
        (1.9, [0, 0, 0, 0.1, 0.9]),
        (7.0, [0, 0, 0, 0, 1]),  # beyond them
        (-7.0, [1, 0, 0, 0, 0]),
    ],
)
def test_a_return_is_split_between_the_atoms_next_to_it(value, expected):
    # The other four atoms have no probability and lie elsewhere.
    returns = torch.tensor([[value, 2.0, -2.0, 0.5, 1.0]])
    projected = FIVE.project(returns, torch.tensor([[1.0, 0, 0, 0, 0]]))
    assert projected[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("reward", "discount", "expected"),
    [
        (0.0, 1.0, 0.0),  # on the edges, not beyond them
        (2.0, 0.0, 0.0),
        (0.0, 0.9, 0.0),
        (1.0, 1.0, 0.6),  # above: the two largest returns arrive at the upper edge
        (-3.0, 0.0, 1.0),  # below: all of it
        (0.5, 0.9, 0.3 + 0.4 * 0.3),  # 2 moves to 2.3, and 1 to 1.4, a share of 0.4 of the way to the edge
    ],
)
def test_the_clipped_probability_is_that_at_an_edge_which_returns_were_shifted_beyond(reward, discount, expected):
    probabilities = torch.tensor([[0.1, 0.2, 0.1, 0.3, 0.3]])
    r_t, discount_t = torch.tensor([reward]), torch.tensor([discount])
    target = FIVE.target(probabilities.log(), r_t, discount_t)
    clipped = FIVE.clipped(target, r_t, discount_t).item()
    assert clipped == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "values", [FIVE, CategoricalValues(), CategoricalValues(2, 0, 1), CategoricalValues(51, 0, 100)]
)
def test_the_projection_equals_a_loop_over_the_atoms(values):
    rng = torch.Generator().manual_seed(0)
    returns = torch.randn(20, values.atoms, generator=rng) * (values.v_max - values.v_min)
    returns[0] = values.support(returns)  # nothing moves
    probabilities = torch.softmax(torch.randn(20, values.atoms, generator=rng), dim=1)
    fast = values.project(returns, probabilities)
    for row, value, p in zip(fast, returns, probabilities, strict=True):
        assert row.tolist() == pytest.approx(projected_slowly(values, value.tolist(), p.tolist()), abs=1e-5)
    torch.testing.assert_close(fast[0], probabilities[0])
    torch.testing.assert_close(fast.sum(dim=1), torch.ones(20))


def test_the_target_is_the_shifted_and_shrunk_distribution_and_the_reward_alone_at_an_end():
    certain_of_one = torch.tensor([[-99.0, -99, -99, 0, -99]])  # logits: all on the atom 1
    target = FIVE.target(certain_of_one.expand(3, 5), torch.tensor([0.5, 0.5, -1.0]), torch.tensor([0.5, 0.0, 0.9]))
    # 0.5 + 0.5 * 1 = 1; 0.5; -1 + 0.9 = -0.1
    expected = [[0, 0, 0, 1, 0], [0, 0, 0.5, 0.5, 0], [0, 0.1, 0.9, 0, 0]]
    torch.testing.assert_close(target, torch.tensor(expected), atol=1e-6, rtol=0)


def test_loss_and_gradient_are_those_of_cross_entropy():
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(7, 51, generator=rng, requires_grad=True)
    target = torch.softmax(torch.randn(7, 51, generator=rng), dim=1)
    losses, _ = CategoricalValues().loss(logits, None, target)
    torch.testing.assert_close(losses, F.cross_entropy(logits, target, reduction="none"), rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    torch.testing.assert_close(gradient, torch.softmax(logits, dim=1) - target, rtol=0, atol=1e-6)


def test_the_priority_is_the_divergence_which_is_0_for_a_perfect_prediction():
    target = torch.tensor([[0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 1.0, 0, 0]])
    prediction = torch.tensor([[0.5, 0.5, 1e-20, 1e-20, 1e-20], [0.25, 0.75, 1e-20, 1e-20, 1e-20], [0.2] * 5])
    losses, priorities = FIVE.loss(prediction.log(), None, target)
    expected = [0, 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75), math.log(5)]
    assert priorities.tolist() == pytest.approx(expected, abs=1e-6)
    assert losses.tolist() == pytest.approx([math.log(2), expected[1] + math.log(2), math.log(5)], abs=1e-6)
    assert (priorities >= 0).all()


def test_the_mean_is_that_of_the_atoms():
    logits = torch.tensor([[[0.75, 1e-9, 1e-9, 1e-9, 0.25], [1e-9, 1e-9, 1e-9, 1.0, 1e-9]]]).log()
    outputs = Outputs(logits)
    torch.testing.assert_close(FIVE.mean(outputs), torch.tensor([[-1.0, 1.0]]), atol=1e-6, rtol=0)
    returns, probabilities = FIVE.distribution(outputs)
    torch.testing.assert_close((returns * probabilities).sum(dim=2), FIVE.mean(outputs))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"atoms": 1}, "atoms must be at least 2, got 1"),
        ({"atoms": 5.5}, "atoms must be an integer, got 5.5"),
        ({"v_min": 10.0}, "v_min=10.0 must be below v_max=10.0"),
        ({"v_min": 3, "v_max": -3}, "v_min=3 must be below v_max=-3"),
        ({"v_max": float("inf")}, "v_max must be a number in .*, got inf"),
        ({"v_min": "-10"}, "v_min must be a number in .*, got '-10'"),
    ],
)
def test_a_support_without_extent_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CategoricalValues(**options)
