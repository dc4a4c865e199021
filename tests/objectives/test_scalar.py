"""Targets and losses on numbers one can check by hand; the 99s are decoys that a wrong index would pick."""

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from sb3_atari_dqn.objectives.outputs import Outputs
from sb3_atari_dqn.objectives.scalar import LOSSES, ScalarValues, huber_loss, squared_loss, td_target


def test_td_target_stops_at_the_end_of_an_episode():
    r_t, discount_t, v_t = tensor([1.0, -1.0]), tensor([0.5, 0.0]), tensor([4.0, 99.0])
    assert_close(td_target(r_t, discount_t, v_t), tensor([3.0, -1.0]))


def test_td_target_sends_no_gradient_into_the_bootstrap():
    v_t = tensor([4.0], requires_grad=True)
    assert not td_target(tensor([1.0]), tensor([0.5]), v_t).requires_grad


@pytest.mark.parametrize(("error", "loss"), [(0.0, 0.0), (0.5, 0.125), (1.0, 0.5), (-3.0, 2.5)])
def test_huber_loss_is_quadratic_up_to_one_and_linear_beyond(error, loss):
    assert_close(huber_loss(tensor([error]), tensor([0.0])), tensor([loss]))


@pytest.mark.parametrize(("error", "gradient"), [(0.5, 0.5), (-0.5, -0.5), (7.0, 1.0), (-7.0, -1.0)])
def test_huber_gradient_is_the_error_clipped_to_one(error, gradient):
    prediction = tensor([error], requires_grad=True)
    huber_loss(prediction, tensor([0.0])).sum().backward()
    assert_close(prediction.grad, tensor([gradient]))


def test_squared_loss_has_no_factor_one_half():
    assert_close(squared_loss(tensor([3.0, -1.0]), tensor([0.0, 1.0])), tensor([9.0, 4.0]))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_stay_per_sample_for_importance_weights(name):
    assert LOSSES[name](torch.zeros(5), torch.ones(5)).shape == (5,)


def test_scalar_values_are_their_own_means():
    per_action = tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    assert_close(ScalarValues().mean(Outputs(per_action)), tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_priorities_are_absolute_td_errors_without_a_graph():
    prediction = tensor([[2.0], [5.0]], requires_grad=True)
    losses, priorities = ScalarValues("mse").loss(prediction, None, tensor([[3.0], [2.0]]))
    assert_close(losses, tensor([1.0, 9.0]))
    assert_close(priorities, tensor([1.0, 3.0]))
    assert losses.requires_grad
    assert not priorities.requires_grad


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (td_target, ([2], [2, 1], [2])),
        (td_target, ([2], [2], [3])),
        (huber_loss, ([2, 1], [2])),
        (squared_loss, ([2], [3])),
    ],
)
def test_shapes_that_would_broadcast_raise_and_name_the_shapes(function, shapes):
    with pytest.raises(ValueError, match=function.__name__) as error:
        function(*(torch.zeros(shape, dtype=torch.int64) for shape in shapes))
    assert str(shapes[0]) in str(error.value)
