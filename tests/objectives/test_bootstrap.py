"""MINTO and Munchausen by hand; greedy and double stand in test_objective.py. Names of rules and values."""

import math
from typing import Any

import pytest
import torch

from sb3_atari_dqn.objectives.bootstrap import Double, Greedy, Minto, Munchausen
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.names import resolve_bootstrap, resolve_values
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Outputs
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues
from tests.support.batches import batch, images

NOW, THEN = 0.0, 1.0


def network(now: Any, then: Any) -> Any:
    """
    :param now: outputs for observations of zeros, a row each
    :param then: outputs for observations of ones
    """

    def answer(observations, n_fractions=None):
        now_, then_ = (torch.as_tensor(each, dtype=torch.float32) for each in (now, then))
        rows = {NOW: iter(now_), THEN: iter(then_)}
        per_action = torch.stack([next(rows[float(each.flatten()[0])]) for each in observations])
        return Outputs(per_action if per_action.dim() == 3 else per_action.unsqueeze(2))

    return answer


def two_samples(**columns: Any) -> Any:
    given = {"actions": [1, 0], "rewards": [1.0, 3.0], "dones": [0.0, 1.0], "weights": [1.0, 1.0], **columns}
    tensors: dict[str, Any] = {name: torch.tensor(numbers).unsqueeze(1) for name, numbers in given.items()}
    shape = (2, 1, 2, 2)
    observations: dict[str, Any] = {
        "observations": torch.full(shape, NOW),
        "next_observations": torch.full(shape, THEN),
    }
    return batch(images(1, 2, 2), 0)._replace(**observations, **tensors)


def targets(bootstrap: Any, online: Any, target: Any, values: Any = None, **columns: Any) -> list[Any]:
    objective = Objective(values or ScalarValues(), bootstrap, gamma=0.5)
    return objective.targets(online, target, two_samples(**columns)).tolist()


UNUSED = [[99.0, -99.0, 0.0]] * 2


def test_minto_takes_the_maximum_of_the_smaller_values():
    online = network(UNUSED, [[1.0, 5.0, 3.0], [0.0, 0.0, 0.0]])
    target = network(UNUSED, [[4.0, 2.0, 2.5], [9.0, 9.0, 9.0]])
    # Smaller: 1, 2, 2.5; neither the maximum of the target (4), nor what it says of the online choice (2), nor the
    # online maximum (5). The second episode is over.
    assert targets(Minto(), online, target) == [[1 + 0.5 * 2.5], [3.0]]


def test_minto_takes_all_quantiles_of_an_action_from_one_network():
    online = network([[[9.0, 9.0]] * 2] * 2, [[[0.0, 10.0], [1.0, 2.0]]] * 2)  # means 5, 1.5
    target = network([[[9.0, 9.0]] * 2] * 2, [[[4.0, 4.0], [7.0, 8.0]]] * 2)  # means 4, 7.5
    # Smaller: the target's first action [4, 4] and the online's second [1, 2]; quantile by quantile it would be [0, 4].
    assert targets(Minto(), online, target, QuantileValues(2))[0] == [1 + 2.0, 1 + 2.0]


def softmax(numbers: list[float], tau: float) -> list[float]:
    powers = [math.exp(number / tau) for number in numbers]
    return [power / sum(powers) for power in powers]


def test_munchausen_adds_the_scaled_log_policy_of_the_action_and_takes_the_soft_maximum():
    tau, now, then = 0.5, [0.2, 0.1, 0.4], [1.0, 0.3, 0.6]
    target = network([now, now], [then, then])
    online = network(UNUSED, UNUSED)  # nothing of it enters
    policy_now, policy_then = softmax(now, tau), softmax(then, tau)
    bonus = 0.9 * tau * math.log(policy_now[1])
    soft = sum(p * (q - tau * math.log(p)) for p, q in zip(policy_then, then, strict=True))
    result = targets(Munchausen(0.9, tau, -1), online, target)
    assert result[0][0] == pytest.approx(1 + bonus + 0.5 * soft, abs=1e-6)
    assert soft == pytest.approx(tau * math.log(sum(math.exp(q / tau) for q in then)))  # the soft maximum
    # At the end of an episode the bonus stays and the value goes.
    assert result[1][0] == pytest.approx(3 + 0.9 * tau * math.log(policy_now[0]), abs=1e-6)


def test_munchausen_clips_the_log_policy_not_the_bonus():
    target = network([[100.0, 0.0, 0.0]] * 2, [[0.0] * 3] * 2)  # tau * log pi of action 1 is -100
    result = targets(Munchausen(0.9, 0.03, -1), network(UNUSED, UNUSED), target, actions=[1, 0], dones=[1.0, 1.0])
    assert [row[0] for row in result] == [pytest.approx(1 - 0.9), pytest.approx(3)]


def test_munchausen_discounts_the_value_by_the_batch_and_never_the_bonus():
    now, then = [0.2, 0.1, 0.4], [1.0, 0.3, 0.6]
    target = network([now, now], [then, then])
    rule, online = Munchausen(0.9, 0.5, -1), network(UNUSED, UNUSED)
    by_gamma, by_batch = (targets(rule, online, target, **more)[0][0] for more in ({}, {"discounts": [0.125, 0.125]}))
    soft = 0.5 * math.log(sum(math.exp(q / 0.5) for q in then))
    assert by_gamma - by_batch == pytest.approx((0.5 - 0.125) * soft, abs=1e-6)


def test_munchausen_averages_quantiles_over_the_actions():
    tau = 0.5
    then = [[0.0, 2.0], [1.0, 4.0]]  # quantiles of two actions: means 1 and 2.5
    target = network([[[0.0, 0.0], [0.0, 0.0]]] * 2, [then, then])
    result = targets(Munchausen(0.9, tau, -1), network(UNUSED, UNUSED), target, QuantileValues(2), actions=[0, 0])
    first, second = softmax([1.0, 2.5], tau)
    entropy = -tau * (first * math.log(first) + second * math.log(second))
    bonus = 0.9 * tau * math.log(0.5)
    expected = [1 + bonus + 0.5 * (first * then[0][i] + second * then[1][i] + entropy) for i in range(2)]
    assert result[0] == pytest.approx(expected, abs=1e-6)


def test_munchausen_joins_dictionaries_of_observations():
    samples = two_samples()
    asked = []

    def target(observations, n_fractions=None):
        asked.append({name: part.flatten(1)[:, 0].tolist() for name, part in observations.items()})
        return Outputs(torch.zeros(4, 3, 1))

    parts = {"a": samples.observations, "b": samples.observations + 5}
    later = {"a": samples.next_observations, "b": samples.next_observations + 5}
    Munchausen()(ScalarValues(), target, target, samples._replace(observations=parts, next_observations=later))
    assert asked == [{"a": [0, 0, 1, 1], "b": [5, 5, 6, 6]}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, r"alpha must be a number in \[0, 1\], got 1.5"),
        ({"tau": 0}, "tau must be a number in .*, got 0"),
        ({"clip": 1}, "clip must be a number in .*, 0\\], got 1"),
        ({"clip": None}, "clip must be a number .* got None"),
    ],
)
def test_bounds_of_munchausen(options, message):
    with pytest.raises(ValueError, match=message):
        Munchausen(**options)


def test_munchausen_refuses_probabilities_in_one_sentence():
    with pytest.raises(ValueError, match=r"Munchausen averages .*CategoricalValues.*take scalar, quantile or implicit"):
        Objective(CategoricalValues(), Munchausen())


def test_names_resolve_to_objects_and_objects_to_themselves():
    assert resolve_values("categorical", {"atoms": 21}, "huber") == CategoricalValues(21)
    assert resolve_values("scalar", None, "mse") == ScalarValues("mse")
    assert resolve_values("implicit", {"predicted": 8}, "huber") == ImplicitQuantileValues(8)
    assert resolve_values(QuantileValues(7), None, "huber") == QuantileValues(7)
    assert [resolve_bootstrap(name, None) for name in ("greedy", "double", "minto")] == [Greedy(), Double(), Minto()]
    assert resolve_bootstrap("munchausen", {"tau": 0.1}) == Munchausen(tau=0.1)


def unchecked() -> QuantileValues:
    """:return: as a file brings it, without its constructor"""
    values = QuantileValues.__new__(QuantileValues)
    vars(values).update(quantiles=10**9)
    return values


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve_values("quantil", None, "huber"), "Unknown values 'quantil'; known: categorical, implicit"),
        (lambda: resolve_values("quantile", {"n": 3}, "huber"), "Unknown key 'n' in values_kwargs of 'quantile'"),
        (lambda: resolve_values("quantile", None, "mse"), "loss='mse' is one of values='scalar'"),
        (lambda: resolve_values(QuantileValues(), {"quantiles": 3}, "huber"), "belong to a short name"),
        (
            lambda: resolve_values("implicit", {"acting": 10**9}, "huber"),
            "acting must be at most 1000, got 1000000000",
        ),
        (lambda: resolve_values(unchecked(), None, "huber"), "quantiles must be at most 1000, got 1000000000"),
        (lambda: resolve_bootstrap(3, {"tau": 1}), "belong to a short name"),
        (lambda: resolve_bootstrap("double", {"tau": 1}), "bootstrap='double' has no options, got bootstrap_kwargs"),
        (lambda: resolve_bootstrap("munchausen", {"tau": "x"}), "tau must be a number"),
    ],
)
def test_unknown_names_and_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()
