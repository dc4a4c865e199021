"""Targets and losses on numbers one can check by hand; the 99s are decoys that a wrong index would pick."""

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from sb3_atari_dqn.losses import (
    LOSSES,
    chosen_value,
    double_q_value,
    dueling_q_values,
    greedy_value,
    huber_loss,
    scale_gradient,
    squared_loss,
    td_target,
)


def test_chosen_value_reads_the_action_that_was_taken():
    q_tm1 = tensor([[1.0, 99.0, 3.0], [99.0, 5.0, 98.0]])
    assert_close(chosen_value(q_tm1, tensor([2, 1])), tensor([3.0, 5.0]))


def test_greedy_value_is_the_maximum_over_actions_not_over_the_batch():
    assert_close(greedy_value(tensor([[1.0, -2.0, 0.5], [99.0, 98.0, 7.0]])), tensor([1.0, 99.0]))


def test_double_target_takes_the_argmax_of_the_online_network_and_the_value_of_the_target_network():
    online = tensor([[0.0, 2.0, 1.0], [5.0, -1.0, 4.0]])
    target = tensor([[99.0, 1.0, 98.0], [-3.0, 98.0, 99.0]])
    assert_close(double_q_value(target, online), tensor([1.0, -3.0]))


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


def test_dueling_mean_is_taken_per_sample_over_the_actions():
    value, advantage = tensor([[10.0], [20.0]]), tensor([[1.0, 3.0], [100.0, 300.0]])
    assert_close(dueling_q_values(value, advantage), tensor([[9.0, 11.0], [-80.0, 120.0]]))


def test_dueling_values_of_a_sample_do_not_depend_on_its_neighbours():
    value, advantage = torch.randn(4, 1), torch.randn(4, 3)
    alone = dueling_q_values(value[:1], advantage[:1])
    assert_close(dueling_q_values(value, advantage)[:1], alone)


def test_dueling_is_identifiable_a_constant_moved_from_value_to_advantage_changes_the_value_alone():
    value, advantage = torch.randn(4, 1), torch.randn(4, 3)
    q_values = dueling_q_values(value, advantage)
    assert_close(q_values.mean(dim=1, keepdim=True), value)
    assert_close(
        dueling_q_values(value, advantage + tensor([[5.0], [-7.0], [0.1], [99.0]])), q_values, atol=1e-4, rtol=0
    )


def test_scaled_gradient_leaves_the_forward_pass_alone():
    x = torch.randn(3, 2, requires_grad=True)
    y = scale_gradient(x, 0.25)
    y.sum().backward()
    assert torch.equal(y, x)
    assert_close(x.grad, torch.full((3, 2), 0.25))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (chosen_value, ([2, 3], [2, 1])),
        (chosen_value, ([2, 3], [4])),
        (greedy_value, ([3],)),
        (double_q_value, ([2, 3], [2, 4])),
        (double_q_value, ([2, 3], [3])),
        (td_target, ([2], [2, 1], [2])),
        (td_target, ([2], [2], [3])),
        (huber_loss, ([2, 1], [2])),
        (squared_loss, ([2], [3])),
        (dueling_q_values, ([2], [2, 3])),
        (dueling_q_values, ([2, 3], [2, 3])),
        (dueling_q_values, ([4, 1], [2, 3])),
    ],
)
def test_shapes_that_would_broadcast_raise_and_name_the_shapes(function, shapes):
    with pytest.raises(ValueError, match=function.__name__) as error:
        function(*(torch.zeros(shape, dtype=torch.int64) for shape in shapes))
    assert str(shapes[0]) in str(error.value)
