"""The objective that every learner follows: by hand, and with a kind of values that no algorithm here has."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.learners.update import LearningRule, update_of
from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Double, Greedy
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Outputs, Values
from sb3_atari_dqn.objectives.scalar import ScalarValues
from tests.support.batches import batch, images
from tests.support.environments import Catch, PolicyProbe
from tests.support.tape import let_capture, record_on_tape

OBJECTIVE = Objective(ScalarValues("huber"), gamma=0.5)
# Actions 1, 0, 1 were taken; 99 and -99 were not.
Q_TM1 = torch.tensor([[99.0, 2.0], [1.0, -99.0], [99.0, 4.0]])
# The second episode is over; the online network finds action 1, 0, 0 best.
ONLINE_T = torch.tensor([[1.0, 2.0], [0.0, -1.0], [5.0, 4.0]])
TARGET_T = torch.tensor([[6.0, 4.0], [99.0, 98.0], [2.0, 3.0]])


def answering(now: torch.Tensor, then: torch.Tensor) -> Any:
    """:return: a network that knows nothing but its answers, for the observations of a batch and the next ones"""
    return lambda observations, n_fractions=None: Outputs((now if observations == "now" else then).unsqueeze(2))


def small_batch(**columns: Any) -> Any:
    defaults = {"actions": [1, 0, 1], "rewards": [1.0, 3.0, 3.5], "dones": [0.0, 1.0, 0.0], "weights": [1.0, 1.0, 1.0]}
    tensors: dict[str, Any] = {
        name: torch.tensor(numbers).unsqueeze(1) for name, numbers in {**defaults, **columns}.items()
    }
    return batch(images(1, 2, 2), 0)._replace(observations="now", next_observations="then", **tensors)


def step_of(objective: Objective, samples: Any) -> Any:
    online, target = answering(Q_TM1, ONLINE_T), answering(torch.zeros(3, 2), TARGET_T)
    return objective.loss(online, samples, objective.targets(online, target, samples))


def targets_of(bootstrap: Bootstrap, samples: Any) -> list[float]:
    online, target = answering(Q_TM1, ONLINE_T), answering(torch.zeros(3, 2), TARGET_T)
    return replace(OBJECTIVE, bootstrap=bootstrap).targets(online, target, samples).squeeze(1).tolist()


def test_greedy_takes_the_maximum_of_the_target_network_and_nothing_at_the_end_of_an_episode():
    assert targets_of(Greedy(), small_batch()) == [1 + 6 / 2, 3, 3.5 + 3 / 2]


def test_double_values_the_choice_of_the_online_network_by_the_target_network():
    assert targets_of(Double(), small_batch()) == [1 + 4 / 2, 3, 3.5 + 2 / 2]


@pytest.mark.parametrize("bootstrap", [Greedy(), Double()])
def test_targets_have_no_graph(bootstrap):
    network = answering(Q_TM1.clone().requires_grad_(), TARGET_T.clone().requires_grad_())
    assert not replace(OBJECTIVE, bootstrap=bootstrap).targets(network, network, small_batch()).requires_grad


def test_priorities_are_how_wrong_the_chosen_values_were():
    step = step_of(replace(OBJECTIVE, bootstrap=Double()), small_batch())  # targets 3, 3, 4.5
    assert step.priorities.tolist() == [1.0, 2.0, 0.5]
    assert dict(zip(OBJECTIVE.statistics, step.statistics.tolist(), strict=True)) == pytest.approx(
        {"loss": (0.5 + 1.5 + 0.125) / 3, "mean_q": (2 + 1 + 4) / 3, "mean_abs_td_error": 3.5 / 3}
    )


@pytest.mark.parametrize(("error", "losses"), [("huber", [0.5, 1.5, 0.125]), ("mse", [1.0, 4.0, 0.25])])
def test_the_loss_is_the_mean_of_the_weighted_losses(error, losses):
    objective = Objective(ScalarValues(error), Double(), 0.5)
    step = step_of(objective, small_batch())
    assert step.losses.tolist() == losses
    assert step.loss.item() == pytest.approx(sum(losses) / 3)
    weighted = step_of(objective, small_batch(weights=[1.0, 0.0, 0.5]))
    assert weighted.loss.item() == pytest.approx((losses[0] + losses[2] / 2) / 3)
    assert weighted.losses.tolist() == losses
    assert weighted.priorities.tolist() == [1.0, 2.0, 0.5]


def test_discounts_of_the_batch_replace_gamma():
    samples = small_batch(discounts=[0.25, 0.25, 1.0])
    assert targets_of(Double(), samples) == [1 + 0.25 * 4, 3, 3.5 + 2]


def test_samples_without_weights_count_equally():
    weighted = small_batch()
    plain = ReplayBufferSamples(*weighted[:6])
    assert step_of(OBJECTIVE, plain).loss == step_of(OBJECTIVE, weighted).loss


def test_an_update_adds_the_norm_of_the_gradient_and_keeps_no_graph():
    rule = LearningRule(OBJECTIVE, max_grad_norm=10)
    online = answering(Q_TM1.clone().requires_grad_(), ONLINE_T)
    step = OBJECTIVE.loss(online, small_batch(), torch.zeros(3, 1))
    update = update_of(step, torch.tensor(7.0))
    assert step.loss.requires_grad
    assert not update.statistics.requires_grad
    assert not update.priorities.requires_grad
    assert dict(zip(rule.statistics, update.statistics.tolist(), strict=True))["grad_norm"] == 7.0


def test_rules_are_equal_where_they_say_the_same():
    assert LearningRule(Objective(bootstrap=Double()), 10) == LearningRule(Objective(bootstrap=Double()), 10)
    assert hash(Objective(bootstrap=Double())) == hash(Objective(bootstrap=Double()))
    assert Objective(bootstrap=Double()) != Objective(bootstrap=Greedy())
    assert Objective(ScalarValues("mse")) != Objective(ScalarValues("huber"))


# --- the seam: values with several numbers per action, which nothing but this test knows


@dataclass(frozen=True)
class EnsembleValues(Values):
    """Several estimates of each return, all of which learn the same target; a stand-in for quantiles and atoms."""

    n_outputs: int = 4

    def mean(self, outputs):
        return outputs.per_action.mean(dim=2)

    def target(self, chosen_t, r_t, discount_t):
        return r_t.unsqueeze(1) + discount_t.unsqueeze(1) * chosen_t

    def loss(self, chosen_tm1, fractions, target):
        errors = target.mean(dim=1, keepdim=True) - chosen_tm1
        return errors.square().mean(dim=1), errors.detach().abs().mean(dim=1)


class EnsembleDQN(DuelingDQN):
    """A fourth algorithm, in as many lines as it should take."""

    def make_values(self):
        return EnsembleValues()


SMALL: dict[str, Any] = dict(buffer_size=400, learning_starts=20, batch_size=16, seed=0, device="cpu")
FAST: dict[str, Any] = dict(learner="fast", precision="fp32", replay_ratio=1.0, overlap=True)


@pytest.mark.slow
@pytest.mark.parametrize("pace", [{"train_freq": 1}, FAST])
@pytest.mark.parametrize("head", ["linear", "dueling"])
@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_it_learns_with_either_learner_and_memory_and_survives_a_file(replay, head, pace, tmp_path):
    kwargs: dict[str, Any] = dict(replay=replay, learning_rate=5e-3, policy_kwargs={"head": head, "net_arch": [16]})
    model = EnsembleDQN("MlpPolicy", make_vec_env(PolicyProbe, 2), **SMALL, **kwargs, **pace).learn(600)
    both = torch.tensor([[-1.0], [1.0]])
    network: Any = model.policy.q_net
    assert network.outputs(both).per_action.shape == (2, 2, 4)
    assert model.q_net(both).shape == (2, 2)
    assert model.predict(both.numpy(), deterministic=True)[0].tolist() == [0, 1]
    model.save(tmp_path / "ensemble")
    loaded: Any = EnsembleDQN.load(tmp_path / "ensemble", device="cpu").policy.q_net
    assert torch.equal(loaded.outputs(both).per_action, network.outputs(both).per_action)


def test_it_is_recorded_as_a_cuda_graph_would_be(monkeypatch):
    tapes = record_on_tape(monkeypatch)
    torso = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}

    def trained(records: bool) -> torch.Tensor:
        env = make_vec_env(Catch, 2, seed=1)
        model = EnsembleDQN("CnnPolicy", env, policy_kwargs=torso, learning_rate=2**-10, **SMALL, **FAST)
        let_capture(model, records)
        model.learn(80)
        return torch.nn.utils.parameters_to_vector(model.q_net.parameters())

    assert torch.equal(trained(True), trained(False))
    assert tapes[0].replays > 0


def test_both_learners_agree_on_it():
    torso = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}
    kwargs: dict[str, Any] = dict(policy_kwargs={**torso, "optimizer_kwargs": {"eps": 1.5e-4}}, replay_ratio=0.5)
    ends = []
    for learner in ("reference", "fast"):
        env = make_vec_env(Catch, 2, seed=1)
        model = EnsembleDQN("CnnPolicy", env, learner=learner, precision="fp32", **kwargs, **SMALL)
        model.learn(60)
        ends.append(torch.nn.utils.parameters_to_vector(model.q_net.parameters()))
    assert torch.allclose(ends[0], ends[1], atol=1e-4)


def test_the_page_declares_an_algorithm_that_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "objectives.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S)
    scope: dict[str, Any] = {}
    exec(block, scope)
    assert scope["model"].num_timesteps >= 300
    assert scope["model"].q_net.outputs(torch.zeros(2, 4)).per_action.shape == (2, 2, 5)


@dataclass(frozen=True)
class Misshapen(ScalarValues):
    """Returns losses as a column, which would be multiplied with the weights to a matrix."""

    def loss(self, chosen_tm1, fractions, target):
        losses, priorities = super().loss(chosen_tm1, fractions, target)
        return losses.unsqueeze(1), priorities


def test_a_shape_that_would_broadcast_is_named():
    values = Outputs(torch.zeros(4, 3, 1))
    samples = batch(images(1, 4, 4), seed=0, batch_size=4)
    with pytest.raises(ValueError, match=r"Misshapen.*losses .*\(4,\), got \(4, 1\)"):
        Objective(Misshapen()).loss(lambda _, n=None: values, samples, torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"head .*\(4, 3, 1\), got \(4, 3, 5\)"):
        Objective().loss(lambda _, n=None: Outputs(torch.zeros(4, 3, 5)), samples, torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"Unknown loss 'l1'; known: huber, mse"):
        ScalarValues("l1")
