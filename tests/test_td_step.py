"""The temporal-difference loss that every learner follows, by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_dqn.learners.td_step import LearningRule, td_loss, update_of
from tests.batches import batch, images

RULE = LearningRule("huber", gamma=0.5, max_grad_norm=10)
# Actions 1, 0, 1 were taken; 99 and -99 were not.
Q_TM1 = torch.tensor([[99.0, 2.0], [1.0, -99.0], [99.0, 4.0]])
V_T = torch.tensor([4.0, 99.0, 2.0])  # the second episode is over


def small_batch(**columns):
    defaults = {"actions": [1, 0, 1], "rewards": [1.0, 3.0, 3.5], "dones": [0.0, 1.0, 0.0], "weights": [1.0, 1.0, 1.0]}
    tensors: dict[str, Any] = {
        name: torch.tensor(numbers).unsqueeze(1) for name, numbers in {**defaults, **columns}.items()
    }
    return batch(images(1, 2, 2), 0)._replace(**tensors)


def test_td_errors_are_target_minus_value_and_nothing_is_added_at_the_end_of_an_episode():
    step = td_loss(Q_TM1, V_T, small_batch(), RULE)  # targets 1 + 4/2, 3, 3.5 + 2/2
    assert step.td_errors.tolist() == [1.0, 2.0, 0.5]
    assert step.mean_q.item() == pytest.approx((2 + 1 + 4) / 3)


@pytest.mark.parametrize(("loss", "losses"), [("huber", [0.5, 1.5, 0.125]), ("mse", [1.0, 4.0, 0.25])])
def test_the_loss_is_the_mean_of_the_weighted_losses(loss, losses):
    rule = replace(RULE, loss=loss)
    assert td_loss(Q_TM1, V_T, small_batch(), rule).loss.item() == pytest.approx(sum(losses) / 3)
    weighted = small_batch(weights=[1.0, 0.0, 0.5])
    assert td_loss(Q_TM1, V_T, weighted, rule).loss.item() == pytest.approx((losses[0] + losses[2] / 2) / 3)


def test_weights_leave_the_td_errors_alone():
    assert td_loss(Q_TM1, V_T, small_batch(weights=[0.1, 0.2, 0.3]), RULE).td_errors.tolist() == [1.0, 2.0, 0.5]


def test_discounts_of_the_batch_replace_gamma():
    step = td_loss(Q_TM1, V_T, small_batch(discounts=[0.25, 0.25, 1.0]), RULE)
    assert step.td_errors.tolist() == [1 + 0.25 * 4 - 2, 3 - 1, 3.5 + 2 - 4]


def test_samples_without_weights_count_equally():
    weighted = small_batch()
    plain = ReplayBufferSamples(*weighted[:6])
    assert td_loss(Q_TM1, V_T, plain, RULE).loss == td_loss(Q_TM1, V_T, weighted, RULE).loss


def test_an_update_reports_loss_mean_q_mean_absolute_error_and_norm_without_a_graph():
    q_tm1 = Q_TM1.clone().requires_grad_()
    update = update_of(td_loss(q_tm1, V_T, small_batch(rewards=[-3.0, 3.0, 3.5]), RULE), torch.tensor(7.0))
    assert update.td_errors.tolist() == [-3.0, 2.0, 0.5]
    assert update.statistics.tolist() == pytest.approx([(2.5 + 1.5 + 0.125) / 3, 7 / 3, 5.5 / 3, 7.0])
    assert not update.statistics.requires_grad
    assert not update.td_errors.requires_grad
