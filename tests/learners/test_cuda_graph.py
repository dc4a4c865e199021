"""Updates that are captured once and replayed: the same code as on CUDA, with a capture that runs anywhere."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import DuelingDQN
from sb3_atari_dqn.learners.acting import GraphedActing
from sb3_atari_dqn.learners.cuda_graph import WARM_UP_UPDATES, GraphedUpdate
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.optimizers import can_capture, make_capturable, unfuse
from sb3_atari_dqn.learners.update import Update
from sb3_atari_dqn.policies import CnnPolicy
from tests.support.batches import DUELING, RULE, batch, images, make_policy, rule_of
from tests.support.environments import Catch
from tests.support.layers import NoisyTorso, QuietTorso
from tests.support.tape import Tape, let_capture, record_on_tape

PIXELS = images(2, 84, 84)
SMALL_TORSO: dict[str, Any] = {"features_extractor_class": "dqn2013", "features_extractor_kwargs": {"hidden_size": 16}}


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
        assert torch.equal(graphed(given).priorities, given.rewards.squeeze(1))
    assert (tape.runs, tape.captures, tape.replays) == (WARM_UP_UPDATES, 1, 6 - WARM_UP_UPDATES)
    assert len(set(places)) == 1, "a graph reads one place"


def test_a_batch_of_another_size_or_with_other_fields_starts_again():
    (update, _), tape = summing(), Tape()
    graphed = GraphedUpdate(update, tape)
    small, large = batch(PIXELS, 0, batch_size=4), batch(PIXELS, 0, batch_size=6)
    for given in [small] * 5 + [large] * 4 + [large._replace(discounts=torch.ones(6, 1))]:
        assert torch.equal(graphed(given).priorities, given.rewards.squeeze(1))
    assert (tape.runs, tape.captures) == (2 * WARM_UP_UPDATES + 1, 2)


@pytest.fixture
def taped(monkeypatch):
    return record_on_tape(monkeypatch)


def trained(captures, rules, rates=(2**-10,), **kwargs):  # exact in float32, which the device holds it in
    policy = make_policy(CnnPolicy, PIXELS, **{**DUELING, **SMALL_TORSO, **kwargs})
    torch.manual_seed(0)
    learner = FastLearner(policy, "fp32", batch_size=8)
    learner.captures = captures
    for number, rule in enumerate(rules):
        for group in policy.optimizer.param_groups:
            group["lr"] = rates[number % len(rates)]
        learner.update(batch(PIXELS, number), rule)
    return torch.nn.utils.parameters_to_vector(policy.q_net.parameters())


@pytest.mark.parametrize("rates", [(2**-10,), (2**-10, 2**-8, 0.0)])
def test_a_captured_learner_learns_what_another_one_learns(taped, rates):
    rules = [RULE] * 7
    assert torch.equal(trained(True, rules, rates), trained(False, rules, rates))
    assert taped[0].replays == 7 - WARM_UP_UPDATES


@pytest.mark.parametrize("optimizer_class", [torch.optim.RAdam, torch.optim.NAdam, torch.optim.RMSprop])
def test_optimizers_that_do_not_fuse_are_captured_too(taped, optimizer_class):
    """PyTorch refuses a capturable step on the CPU: the rest of the captured update is tested, with learning rates."""
    rules, rates = [RULE] * 7, (2**-10, 2**-8)
    captured, other = (trained(captures, rules, rates, optimizer_class=optimizer_class) for captures in (True, False))
    torch.testing.assert_close(captured, other, rtol=0, atol=1e-6)  # NAdam rounds tensors as numbers
    assert taped[0].replays == 7 - WARM_UP_UPDATES


def test_noise_is_drawn_anew_at_every_replay_from_the_layers_own_generator_too(taped):
    noisy = {"features_extractor_class": NoisyTorso}
    captured, other = (trained(captures, [RULE] * 7, **noisy) for captures in (True, False))
    assert torch.equal(captured, other)
    assert len(taped[0].generators) == 2, "one of each network"
    assert not torch.equal(captured, trained(True, [RULE] * 7, features_extractor_class=QuietTorso))


def test_a_training_whose_graph_gathers_the_frames_learns_what_another_learns(taped):
    def parameters(captures: bool) -> torch.Tensor:
        model = DuelingDQN(
            "CnnPolicy",
            VecFrameStack(make_vec_env(Catch, n_envs=2, seed=1), 2),
            replay="prioritized",
            replay_buffer_kwargs={"frame_storage": "device"},
            n_steps=3,
            buffer_size=60,
            batch_size=8,
            learning_starts=20,
            replay_ratio=0.25,
            learner="fast",
            precision="fp32",
            policy_kwargs=SMALL_TORSO,
            learning_rate=2**-10,  # exact in float32, which the device holds it in
            seed=3,
        )
        let_capture(model, captures)
        model.learn(160)
        return torch.nn.utils.parameters_to_vector(model.q_net.parameters())

    assert torch.equal(parameters(captures=True), parameters(captures=False))
    assert taped[0].captures == 1
    assert taped[0].replays > 20


def test_another_rule_is_captured_anew(taped):
    rules = [RULE] * 5 + [rule_of(error="mse", gamma=0.5, max_grad_norm=1)] * 5
    assert torch.equal(trained(True, rules), trained(False, rules))
    assert [tape.captures for tape in taped] == [1, 1]


# --- acting


def test_acting_is_captured_once_for_each_number_of_environments():
    tape, places = Tape(), []

    def act(images_):
        places.append(images_.data_ptr())
        return images_[:, 0, 0, 0].long()

    acting = GraphedActing(act, torch.device("cpu"), tape)
    rng = np.random.default_rng(0)
    for n_envs in (3, 3, 5, 3, 5, 3, 3, 5, 5, 3):
        observations = rng.integers(256, size=(n_envs, 2, 4, 4), dtype=np.uint8)
        assert acting(observations).tolist() == observations[:, 0, 0, 0].tolist()
    assert (tape.runs, tape.captures, tape.replays) == (2 * WARM_UP_UPDATES, 2, 10 - 2 * WARM_UP_UPDATES)
    assert len(set(places)) == 2, "a graph reads one place"


def test_actions_stay_what_they_were_when_the_next_ones_are_chosen():
    acting = GraphedActing(lambda images_: images_[:, 0, 0, 0].long(), torch.device("cpu"), Tape())
    kept = [acting(np.full((2, 1, 1, 1), number, np.uint8)) for number in range(6)]
    assert [actions.tolist() for actions in kept] == [[number, number] for number in range(6)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_learner_acts_by_a_graph_as_it_acts_without_also_after_updates(taped, precision):
    policy = make_policy(CnnPolicy, PIXELS, **DUELING, **SMALL_TORSO)
    learner = FastLearner(policy, precision, batch_size=8)
    rng, seen = np.random.default_rng(0), set()
    for number in range(12):
        observations = rng.integers(256, size=(16, *PIXELS.shape), dtype=np.uint8)
        learner.captures_acting = True
        captured = learner.greedy_actions(observations)
        learner.captures_acting = False
        assert captured.tolist() == learner.greedy_actions(observations).tolist()
        seen.add(tuple(captured))
        for group in policy.optimizer.param_groups:
            group["lr"] = 0.01
        learner.update(batch(PIXELS, number), RULE)
    assert len(seen) > 2, "the parameters moved"
    assert taped[0].replays == 12 - WARM_UP_UPDATES


# --- optimizers


@pytest.mark.parametrize("optimizer_class", [torch.optim.RAdam, torch.optim.NAdam, torch.optim.RMSprop])
def test_an_optimizer_made_for_capture_goes_back_to_what_it_was_built_with(optimizer_class):
    """On the CPU such a step is refused, so that only the way there and back is tested here."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = optimizer_class([parameter], lr=0.1)
    assert can_capture(optimizer)
    parameter.grad = torch.ones(3)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    make_capturable(optimizer)
    assert optimizer.param_groups[0]["capturable"]
    unfuse(optimizer)
    assert str(optimizer.state_dict()) == str(before)


def test_an_optimizer_whose_rate_a_graph_would_fix_is_not_captured():
    assert not can_capture(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1))
