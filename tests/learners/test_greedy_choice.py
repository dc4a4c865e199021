"""Acting with the outputs of the greedy actions, and learning without a target network, with either learner."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_atari_dqn.finite import NonFiniteValues
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues
from sb3_atari_dqn.objectives.returns import ReturnObjective
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_atari_dqn.replay.rollout_buffer import Minibatch
from tests.support.batches import images, observations

VECTORS = spaces.Box(-1, 1, (5,), np.float32)
DICTIONARY = spaces.Dict({"image": images(1, 36, 36), "numbers": VECTORS})
SPACES = {MlpPolicy: VECTORS, CnnPolicy: images(2, 36, 36), MultiInputPolicy: DICTIONARY}
VALUES = {
    "scalar": ScalarValues("mse"),
    "categorical": CategoricalValues(11, -2, 2),
    "quantile": QuantileValues(5),
    "implicit": ImplicitQuantileValues(predicted=6, targets=4, acting=3, cosines=8),
}
OUTPUTS = {"scalar": 1, "categorical": 11, "quantile": 5, "implicit": 3}


def make_policy(policy_class: Any = MlpPolicy, first_action: int = 0, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    actions = spaces.Discrete(4, start=first_action)
    return policy_class(SPACES[policy_class], actions, lambda _: 1e-2, target_network=False, **kwargs)


def fast(policy: Any) -> FastLearner:
    return FastLearner(policy, "fp32", 8)


LEARNERS = [ReferenceLearner, fast]


def seen(policy: Any, n: int = 16) -> Any:
    """:return: observations of n environments"""
    given = observations(policy.observation_space, n, np.random.default_rng(0))
    return {key: each.numpy() for key, each in given.items()} if isinstance(given, dict) else given.numpy()


def undecided(policy: Any, given: Any) -> None:
    """Take the mean over these observations off the outputs: a new network prefers one action everywhere."""
    with torch.no_grad():
        mean = policy.q_net.outputs(policy.obs_to_tensor(given)[0]).per_action.mean(dim=0)
        bias = list(policy.q_net.q_net.parameters())[-1]
        bias -= mean.flatten() if mean.numel() == bias.numel() else mean.mean(dim=1)


@pytest.mark.parametrize("make", LEARNERS)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("policy_class", SPACES)
def test_the_choice_is_greedy_and_its_outputs_are_those_of_the_actions(policy_class, values, make):
    policy = make_policy(policy_class, first_action=3, values=VALUES[values])
    given = seen(policy)
    undecided(policy, given)
    choice = make(policy).greedy_choice(given)
    policy.set_training_mode(False)
    with torch.no_grad():
        outputs = policy.q_net.outputs(policy.obs_to_tensor(given)[0])
    means = policy.q_net.values.mean(outputs)
    assert choice.actions.dtype == np.int64
    assert choice.actions.tolist() == (means.argmax(dim=1) + 3).tolist()
    assert len(set(choice.actions.tolist())) > 1
    assert choice.outputs.shape == (16, OUTPUTS[values])
    assert not choice.outputs.requires_grad
    expected = torch.stack([outputs.per_action[i, action - 3] for i, action in enumerate(choice.actions)])
    torch.testing.assert_close(choice.outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", LEARNERS)
@pytest.mark.parametrize("policy_class", SPACES)
def test_the_actions_are_those_of_greedy_actions(policy_class, make):
    policy = make_policy(policy_class, first_action=-2)
    given = seen(policy)
    undecided(policy, given)
    learner = make(policy)
    assert learner.greedy_choice(given).actions.tolist() == learner.greedy_actions(given).tolist()


@pytest.mark.parametrize("make", LEARNERS)
def test_noisy_layers_explore(make):
    policy = make_policy(CnnPolicy, noisy=True)
    learner, given = make(policy), seen(policy)
    assert not torch.equal(learner.greedy_choice(given).outputs, learner.greedy_choice(given).outputs)


@pytest.mark.parametrize("make", LEARNERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_action_values_that_are_not_finite_are_refused(bad, make):
    policy = make_policy()
    learner, given = make(policy), seen(policy)
    with torch.no_grad():
        policy.q_net.q_net[-1].bias[2] = bad
    with pytest.raises(NonFiniteValues, match=f"action value of {bad} for observation 0"):
        learner.greedy_choice(given)


@pytest.mark.parametrize("make", LEARNERS)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("policy_class", SPACES)
def test_targets_that_come_with_the_batch_are_learned_without_target_network(policy_class, values, make):
    policy = make_policy(policy_class, values=VALUES[values], optimizer_class=torch.optim.SGD)
    learner, rng = make(policy), torch.Generator().manual_seed(0)
    targets = torch.rand(16, OUTPUTS[values], generator=rng)
    if values == "categorical":
        targets /= targets.sum(dim=1, keepdim=True)
    actions = torch.randint(4, (16, 1), generator=rng)
    batch = Minibatch(observations(policy.observation_space, 16, np.random.default_rng(0)), actions, targets)
    rule = LearningRule(ReturnObjective(VALUES[values]), max_grad_norm=1.0)
    losses = [learner.update(batch, rule).statistics[0].item() for _ in range(15)]
    assert losses[-1] < losses[0]
    assert batch.targets is targets
    assert policy.q_net_target is None


def test_both_learners_learn_the_same_from_images():
    def trained(make: Any) -> torch.Tensor:
        policy = make_policy(CnnPolicy, optimizer_class=torch.optim.RAdam, optimizer_kwargs={"eps": 1e-3})
        learner, rng = make(policy), torch.Generator().manual_seed(1)
        rule = LearningRule(ReturnObjective(ScalarValues("mse")), max_grad_norm=10)
        for seed in range(8):
            seen_then = observations(policy.observation_space, 16, np.random.default_rng(seed))
            targets, actions = torch.randn(16, 1, generator=rng), torch.randint(4, (16, 1), generator=rng)
            learner.update(Minibatch(seen_then, actions, targets), rule)
        return nn.utils.parameters_to_vector(policy.q_net.parameters()).detach()

    start = nn.utils.parameters_to_vector(make_policy(CnnPolicy).q_net.parameters()).detach()
    reference = trained(ReferenceLearner)
    assert (trained(fast) - reference).norm() < 2e-3 * (reference - start).norm()
