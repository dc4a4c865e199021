"""Quantile regression: by hand, by a slow twin over all pairs, and on distributions whose quantiles are known."""

import pytest
import torch

from sb3_atari_dqn.objectives.outputs import Outputs
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues, midpoints
from sb3_atari_dqn.objectives.quantile_huber import quantile_huber_loss


def over_all_pairs(prediction: torch.Tensor, fractions: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Dabney et al. 2018a, equations 9 and 10, as printed."""
    u = target.unsqueeze(1) - prediction.unsqueeze(2)  # [B, N, N']
    huber = torch.where(u.abs() <= 1, u.square() / 2, u.abs() - 0.5)
    weight = (fractions.unsqueeze(2) - (u.detach() < 0).to(u.dtype)).abs()
    return (weight * huber).mean(dim=2).sum(dim=1)


@pytest.mark.parametrize(
    ("target", "fraction", "loss"),
    [
        ([0.5], 0.5, 0.5 * 0.125),
        ([3.0], 0.5, 0.5 * 2.5),
        ([3.0], 0.9, 0.9 * 2.5),  # too low a prediction of a high quantile costs much
        ([-3.0], 0.9, 0.1 * 2.5),
        ([-0.5], 0.25, 0.75 * 0.125),
        ([1.0], 0.25, 0.25 * 0.5),  # where the parabola becomes a line
        ([-3.0, 0.5], 0.9, (0.1 * 2.5 + 0.9 * 0.125) / 2),  # mean over the target's quantiles
        ([0.0], 0.9, 0.0),
    ],
)
def test_a_prediction_of_0_costs(target, fraction, loss):
    result = quantile_huber_loss(torch.zeros(1, 1), torch.tensor([[fraction]]), torch.tensor([target]))
    assert result.item() == pytest.approx(loss, abs=1e-7)


def test_the_losses_of_the_predicted_quantiles_are_added():
    one = quantile_huber_loss(torch.zeros(1, 1), torch.tensor([[0.3]]), torch.tensor([[2.0, -1.0]]))
    two = quantile_huber_loss(torch.zeros(1, 2), torch.tensor([[0.3, 0.3]]), torch.tensor([[2.0, -1.0]]))
    assert two.item() == pytest.approx(2 * one.item())


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
@pytest.mark.parametrize(("n", "n_targets"), [(1, 1), (5, 8), (200, 200), (64, 32)])
def test_loss_and_gradient_equal_those_over_all_pairs(n, n_targets, scale):
    rng = torch.Generator().manual_seed(n)
    prediction = (scale * torch.randn(6, n, generator=rng)).requires_grad_()
    target = scale * torch.randn(6, n_targets, generator=rng)
    target[0] = target[0, 0]  # all the same
    fractions = torch.rand(6, n, generator=rng)
    fast = quantile_huber_loss(prediction, fractions, target)
    slow = over_all_pairs(prediction.double(), fractions.double(), target.double())
    torch.testing.assert_close(fast.double(), slow, rtol=1e-6, atol=1e-6)
    weights = torch.rand(6, generator=rng)
    gradients = [torch.autograd.grad((weights * each).sum(), prediction)[0] for each in (fast, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_target_that_is_not_finite_shows_in_the_loss(bad):
    target = torch.tensor([[1.0, bad, 2.0]])
    assert not torch.isfinite(quantile_huber_loss(torch.zeros(1, 4), torch.full((1, 4), 0.5), target)).any()


def regressed(samples: torch.Tensor, n: int) -> torch.Tensor:
    """:return: what gradient descent makes of n quantiles of a distribution given by equally likely samples"""
    prediction = torch.zeros(1, n, requires_grad=True)
    at = midpoints(n).unsqueeze(0)
    optimizer = torch.optim.Adam([prediction], lr=0.05)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 1500)
        optimizer.zero_grad()
        quantile_huber_loss(prediction, at, samples.unsqueeze(0)).sum().backward()
        optimizer.step()
    return prediction.detach()[0]


def test_regression_finds_the_points_of_a_two_point_distribution():
    """-8 with probability 0.3, 5 with 0.7: the quantiles at 0.1 are the one, those from 0.5 on the other."""
    found = regressed(torch.tensor([-8.0] * 3 + [5.0] * 7), n=5)  # fractions 0.1, 0.3, 0.5, 0.7, 0.9
    assert found[[0, 2, 3, 4]].tolist() == pytest.approx([-8, 5, 5, 5], abs=1.0)  # the Huber part smooths within 1
    assert found[0] < -7 < found[1] < 5


def test_regression_finds_mean_and_spread_of_a_uniform_distribution():
    found = regressed(torch.linspace(-20, 20, 401), n=20)
    assert found.mean().item() == pytest.approx(0, abs=0.2)
    # The quadratic part, within 1 of 0, draws the outermost quantiles inwards.
    assert found.tolist() == pytest.approx((40 * midpoints(20) - 20).tolist(), abs=1.0)
    assert found[1:-1].tolist() == pytest.approx((40 * midpoints(20) - 20)[1:-1].tolist(), abs=0.6)


def test_fixed_fractions_are_the_middles_of_equal_parts():
    assert midpoints(4).tolist() == [0.125, 0.375, 0.625, 0.875]


def test_the_target_is_shifted_and_shrunk_and_the_reward_alone_at_an_end():
    target = QuantileValues(2).target(torch.tensor([[1.0, 3.0]] * 2), torch.tensor([0.5, 7.0]), torch.tensor([0.5, 0]))
    assert target.tolist() == [[1.0, 2.0], [7.0, 7.0]]


def test_fixed_quantiles_are_regressed_at_the_middles_and_prioritized_by_the_error_of_the_mean():
    values = QuantileValues(3)
    prediction, target = torch.tensor([[0.0, 1.0, 5.0]]), torch.tensor([[1.0, 2.0, 0.0]])
    losses, priorities = values.loss(prediction, None, target)
    torch.testing.assert_close(losses, over_all_pairs(prediction, midpoints(3).unsqueeze(0), target))
    assert priorities.tolist() == [pytest.approx(1.0)]  # means 2 and 1


def test_drawn_quantiles_are_regressed_where_they_were_drawn_and_prioritized_by_all_differences():
    values = ImplicitQuantileValues(predicted=2, targets=3)
    prediction, target = torch.tensor([[0.0, 4.0]]), torch.tensor([[1.0, 2.0, 0.0]])
    fractions = torch.tensor([[0.9, 0.2]])
    losses, priorities = values.loss(prediction, fractions, target)
    torch.testing.assert_close(losses, over_all_pairs(prediction, fractions, target))
    assert priorities.tolist() == [pytest.approx((1 + 2 + 0 + 3 + 2 + 4) / 6)]


@pytest.mark.parametrize("values", [QuantileValues(3), ImplicitQuantileValues(acting=3)])
def test_the_mean_is_that_of_the_quantiles(values):
    outputs = Outputs(torch.tensor([[[0.0, 1.0, 5.0], [3.0, 3.0, 3.0]]]))
    assert values.mean(outputs).tolist() == [[2.0, 3.0]]
    returns, probabilities = values.distribution(outputs)
    torch.testing.assert_close((returns * probabilities).sum(dim=2), values.mean(outputs))


@pytest.mark.parametrize("make", [lambda n: QuantileValues(n), lambda n: ImplicitQuantileValues(targets=n)])
@pytest.mark.parametrize("n", [0, -1, 2.5, "8"])
def test_fewer_than_one_is_refused(make, n):
    with pytest.raises(ValueError, match=rf"(quantiles|targets) must be .* got {n!r}"):
        make(n)
    assert make(8.0) == make(8)
