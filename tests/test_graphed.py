"""Updates that are recorded once and replayed: the same code as on CUDA, with a recorder that runs anywhere."""

from typing import Any

import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.learners import fast
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.graphed import WARM_UP_UPDATES, GraphedUpdate
from sb3_atari_dqn.learners.td_step import LearningRule, Update
from sb3_atari_dqn.policies import DuelingCnnPolicy
from tests.batches import RULE, batch, images, make_policy
from tests.environments import Catch

PIXELS = images(2, 84, 84)
SMALL_TORSO: dict[str, Any] = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}


class Tape:
    """Records by keeping the function; counts what it is asked for."""

    def __init__(self):
        self.runs = self.recordings = self.replays = 0

    def run(self, function):
        self.runs += 1
        return function()

    def record(self, function):
        self.recordings += 1

        def replay():
            self.replays += 1
            return function()

        return replay


def summing():
    """:return: an update that only looks at the batch, and the memory it was given each time"""
    places = []

    def update(given):
        places.append(given.rewards.data_ptr())
        return Update(given.rewards.squeeze(1).clone(), given.rewards.sum())

    return update, places


def test_the_first_updates_are_run_the_others_replayed_and_each_sees_its_own_batch():
    (update, places), tape = summing(), Tape()
    graphed = GraphedUpdate(update, tape)
    for seed in range(6):
        given = batch(PIXELS, seed)
        assert torch.equal(graphed(given).td_errors, given.rewards.squeeze(1))
    assert (tape.runs, tape.recordings, tape.replays) == (WARM_UP_UPDATES, 1, 6 - WARM_UP_UPDATES)
    assert len(set(places)) == 1, "a recording reads one place"


def test_a_batch_of_another_size_or_with_other_fields_starts_again():
    (update, _), tape = summing(), Tape()
    graphed = GraphedUpdate(update, tape)
    small, large = batch(PIXELS, 0, batch_size=4), batch(PIXELS, 0, batch_size=6)
    for given in [small] * 5 + [large] * 4 + [large._replace(discounts=torch.ones(6, 1))]:
        assert torch.equal(graphed(given).td_errors, given.rewards.squeeze(1))
    assert (tape.runs, tape.recordings) == (2 * WARM_UP_UPDATES + 1, 2)


@pytest.fixture
def taped(monkeypatch):
    """Lets fast learners record on this machine."""
    tapes = []

    def recorder(device):
        tapes.append(Tape())
        return tapes[-1]

    monkeypatch.setattr(fast, "CudaRecorder", recorder)
    return tapes


def trained(records, rules, rates=(2**-10,)):  # exact in float32, which the device holds it in
    policy = make_policy(DuelingCnnPolicy, PIXELS, **SMALL_TORSO)
    learner = FastLearner(policy, "fp32", batch_size=8)
    learner.records = records
    for number, rule in enumerate(rules):
        for group in policy.optimizer.param_groups:
            group["lr"] = rates[number % len(rates)]
        learner.update(batch(PIXELS, number), rule)
    return torch.nn.utils.parameters_to_vector(policy.q_net.parameters())


@pytest.mark.parametrize("rates", [(2**-10,), (2**-10, 2**-8, 0.0)])
def test_a_recorded_learner_learns_what_an_unrecorded_one_learns(taped, rates):
    rules = [RULE] * 7
    assert torch.equal(trained(True, rules, rates), trained(False, rules, rates))
    assert taped[0].replays == 7 - WARM_UP_UPDATES


def test_a_training_whose_recording_gathers_the_frames_learns_what_another_learns(taped):
    def parameters(records: bool) -> torch.Tensor:
        model = DuelingDQN(
            "CnnPolicy",
            VecFrameStack(make_vec_env(Catch, n_envs=2, seed=1), 2),
            replay="prioritized",
            replay_buffer_kwargs={"frames": "device"},
            n_steps=3,
            buffer_size=60,
            batch_size=8,
            learning_starts=20,
            updates_per_transition=0.25,
            learner="fast",
            precision="fp32",
            policy_kwargs=SMALL_TORSO,
            learning_rate=2**-10,  # exact in float32, which the device holds it in
            seed=3,
        )
        model._get_learner().records = records
        model.learn(160)
        return torch.nn.utils.parameters_to_vector(model.q_net.parameters())

    assert torch.equal(parameters(records=True), parameters(records=False))
    assert taped[0].recordings == 1
    assert taped[0].replays > 20


def test_another_rule_is_recorded_anew(taped):
    rules = [RULE] * 5 + [LearningRule(loss="mse", gamma=0.5, max_grad_norm=1)] * 5
    assert torch.equal(trained(True, rules), trained(False, rules))
    assert [tape.recordings for tape in taped] == [1, 1]
