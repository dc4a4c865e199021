"""The whole family: values x bootstrap x head x noise x learner train, agree, are saved, resumed and learn.

What each part computes is tested where it stands; here they meet.
"""

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import TrainFreq

from sb3_atari_dqn import BTR, C51, IQN, QRDQN, ClassicDQN, DataEfficientRainbow, MunchausenDQN, RainbowDQN
from sb3_atari_dqn.algorithms.constructor_defaults import constructor_defaults
from sb3_atari_dqn.catalogue import ALGORITHMS as ALL
from sb3_atari_dqn.networks.generators import generators
from sb3_atari_dqn.networks.noisy import noisy_layers
from sb3_atari_dqn.networks.torsos import ImpalaTorso
from sb3_atari_dqn.objectives.bootstrap import Bootstrapped, Double, Munchausen
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.names import BOOTSTRAPS, VALUES
from sb3_atari_dqn.objectives.quantile import ImplicitQuantileValues, QuantileValues
from sb3_atari_dqn.objectives.scalar import ScalarValues
from tests.support.environments import Catch, ImageAndVector, Noise
from tests.support.tape import let_capture, record_on_tape

# PQN, which replays nothing, has tests of its own.
ALGORITHMS = {name: algorithm for name, algorithm in ALL.items() if issubclass(algorithm.import_class(), ClassicDQN)}
NOISY = [name for name in ALGORITHMS if ALGORITHMS[name].import_class().policy_defaults.get("noisy")]
VALUES_KWARGS: dict[str, dict[str, Any]] = {
    "scalar": {},
    "categorical": {"atoms": 11},
    "quantile": {"quantiles": 8},
    "implicit": {"predicted": 4, "targets": 4, "acting": 4, "cosines": 8},
}
COMBINATIONS = [
    (values, bootstrap, head, noisy)
    for values in VALUES
    for bootstrap in BOOTSTRAPS
    for head in ("linear", "dueling")
    for noisy in (False, True)
    if (values, bootstrap) != ("categorical", "munchausen")
]
SMALL: dict[str, Any] = dict(buffer_size=400, learning_starts=20, batch_size=16, seed=0, device="cpu")


def small(values: str, bootstrap: str, head: str, noisy: bool, **kwargs: Any) -> ClassicDQN:
    policy_kwargs = {"head": head, "noisy": noisy, "net_arch": [16]}
    chosen: dict[str, Any] = dict(values=values, values_kwargs=VALUES_KWARGS[values], bootstrap=bootstrap)
    return ClassicDQN("MlpPolicy", "CartPole-v1", policy_kwargs=policy_kwargs, **{**SMALL, **chosen, **kwargs})


def parameters(model: ClassicDQN) -> list[torch.Tensor]:
    return [each.clone() for each in model.policy.parameters()]


@pytest.mark.parametrize(("values", "bootstrap", "head", "noisy"), COMBINATIONS)
def test_both_learners_train_alike_from_the_same_seed(values, bootstrap, head, noisy):
    trained = []
    for learner in ("reference", "fast"):
        model = small(values, bootstrap, head, noisy, learner=learner, train_freq=1)
        before = parameters(model)
        model.learn(40)
        assert not all(torch.equal(a, b) for a, b in zip(before, parameters(model), strict=True))
        trained.append(parameters(model))
    for reference, fast in zip(*trained, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "bootstrap", "head", "noisy"), [each for each in COMBINATIONS if (each[2] == "linear") == each[3]]
)
def test_a_seed_repeats_a_training_on_images_with_prioritized_n_step_replay_and_overlap(values, bootstrap, head, noisy):
    def trained() -> list[torch.Tensor]:
        fast: dict[str, Any] = dict(learner="fast", precision="bf16", replay_ratio=0.5, overlap=True)
        fast |= dict(replay="prioritized", n_steps=3)
        kwargs = {"head": head, "noisy": noisy, "features_extractor_kwargs": {"hidden_size": 16}}
        env = make_vec_env(Catch, n_envs=2, seed=0)
        chosen: dict[str, Any] = dict(values=values, values_kwargs=VALUES_KWARGS[values], bootstrap=bootstrap)
        model = ClassicDQN("CnnPolicy", env, policy_kwargs=kwargs, **SMALL, **chosen, **fast)
        return parameters(model.learn(60))

    once, again = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert all(torch.isfinite(each).all() for each in once)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_a_saved_model_acts_as_before_and_learns_on(algorithm, tmp_path):
    model = algorithm.import_class()("MlpPolicy", "CartPole-v1", **SMALL).learn(30)
    model.save(tmp_path / "model")
    again = algorithm.import_class().load(tmp_path / "model", model.get_env(), device="cpu")
    assert again.objective == model.objective
    observations = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    assert (
        again.predict(observations, deterministic=True)[0] == model.predict(observations, deterministic=True)[0]
    ).all()
    again.learn(30)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_an_exported_model_has_the_same_values(algorithm, tmp_path):
    model = algorithm.import_class()("MlpPolicy", "CartPole-v1", **SMALL)
    model.export(tmp_path / "model", onnx=False)
    again = algorithm.import_class().import_(tmp_path / "model", device="cpu")
    observations = torch.randn(20, 4)
    model.policy.set_training_mode(False)
    again.policy.set_training_mode(False)
    assert torch.equal(again.q_net(observations), model.q_net(observations))
    assert again.policy.q_net.values == model.policy.q_net.values


def test_objects_in_place_of_names_are_saved_and_exported(tmp_path):
    given = CategoricalValues(7, -1, 1)
    model = ClassicDQN("MlpPolicy", "CartPole-v1", values=given, **SMALL)
    model.save(tmp_path / "model")
    assert ClassicDQN.load(tmp_path / "model", device="cpu").policy.q_net.values == given
    model.export(tmp_path / "export", onnx=False)
    assert ClassicDQN.import_(tmp_path / "export", device="cpu").policy.q_net.values == given


# --- switches

OFF: dict[str, Any] = dict(
    values="scalar", bootstrap="greedy", n_steps=1, replay="uniform", exploration="linear",
    policy_kwargs={"head": "linear", "noisy": False},
)  # fmt: skip


@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_rainbow_with_every_switch_off_is_classic_bit_for_bit(policy):
    def trained(algorithm: type[ClassicDQN], options: dict[str, Any]) -> ClassicDQN:
        env = make_vec_env(Catch if policy == "CnnPolicy" else "CartPole-v1", n_envs=1, seed=0)
        return algorithm(policy, env, **SMALL, **options).learn(100)

    models = trained(RainbowDQN, OFF), trained(ClassicDQN, {})
    names = [list(dict(model.policy.named_parameters())) for model in models]
    assert names[0] == names[1]
    assert all(torch.equal(a, b) for a, b in zip(*map(parameters, models), strict=True))


@pytest.mark.parametrize("switch", [*OFF])
def test_each_switch_left_on_makes_a_difference(switch):
    rest = {name: value for name, value in OFF.items() if name != switch}
    algorithms: list[tuple[Any, dict[str, Any]]] = [(RainbowDQN, rest), (ClassicDQN, {})]
    fast: dict[str, Any] = {**SMALL, "learning_rate": 0.01, "train_freq": 1}  # the two networks soon differ
    trained = [parameters(cls("MlpPolicy", "CartPole-v1", **fast, **options).learn(200)) for cls, options in algorithms]
    same_shape = [each.shape for each in trained[0]] == [each.shape for each in trained[1]]
    assert not same_shape or not all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


def test_what_the_user_passes_goes_before_what_the_algorithm_sets():
    model = RainbowDQN("MlpPolicy", "CartPole-v1", **SMALL)
    assert (model.n_steps, model.replay, model.exploration) == (3, "prioritized", "none")
    positional = RainbowDQN("MlpPolicy", "CartPole-v1", 1e-3, 50, n_steps=2, device="cpu")
    assert (positional.learning_rate, positional.buffer_size, positional.n_steps) == (1e-3, 50, 2)
    other = RainbowDQN("MlpPolicy", "CartPole-v1", values_kwargs={"atoms": 7}, **SMALL)
    assert other.policy.q_net.values == CategoricalValues(7)


@pytest.mark.parametrize("pace", [{"replay_ratio": 0.5}, {"train_freq": 8, "gradient_steps": 4}, {}])
def test_a_pace_that_the_user_gives_replaces_that_of_the_algorithm(pace):
    @constructor_defaults(replay_ratio=1.0)
    class ByRatio(ClassicDQN):
        pass

    for algorithm, own in ((DataEfficientRainbow, (None, 1, 1)), (ByRatio, (1.0, 1, 0))):
        model = algorithm("MlpPolicy", "CartPole-v1", buffer_size=50, **pace)
        wanted = {(): own, ("replay_ratio",): (0.5, 1, 0), ("train_freq", "gradient_steps"): (None, 8, 4)}[tuple(pace)]
        frequency = cast(TrainFreq, model.train_freq).frequency
        assert (model.replay_ratio, frequency, model.gradient_steps) == wanted


@pytest.mark.parametrize("left_out", [["train_freq"], ["gradient_steps"], ["train_freq", "gradient_steps"]])
def test_none_leaves_out_an_argument_and_the_class_decides(left_out, tmp_path):
    nothing: dict[str, Any] = dict.fromkeys(left_out)

    @constructor_defaults(train_freq=2, exploration="linear")
    class Own(DataEfficientRainbow):
        pass

    for algorithm, frequency in ((DataEfficientRainbow, 1), (ClassicDQN, 4), (Own, 2)):
        model = algorithm("MlpPolicy", "CartPole-v1", buffer_size=50, **nothing)
        assert cast(TrainFreq, model.train_freq).frequency == frequency
        model.save(tmp_path / "model")
        assert cast(TrainFreq, algorithm.load(tmp_path / "model", **nothing).train_freq).frequency == frequency
        other = algorithm("MlpPolicy", "CartPole-v1", buffer_size=50, replay_ratio=0.5, **nothing)
        assert (other.replay_ratio, other.gradient_steps) == (0.5, 0)
    by_position = DataEfficientRainbow("MlpPolicy", "CartPole-v1", 1e-4, 50, 100, 32, 1.0, 0.99, None)
    assert cast(TrainFreq, by_position.train_freq).frequency == 1
    assert Own("MlpPolicy", "CartPole-v1", buffer_size=50, exploration=None).exploration is None  # it means none


def test_defaults_of_arguments_that_do_not_exist_are_refused_at_definition():
    with pytest.raises(TypeError, match="The constructor of Misspelled has no argument n_step"):

        @constructor_defaults(n_step=3)
        class Misspelled(ClassicDQN):
            pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(values="categorical", bootstrap="munchausen"), "Munchausen averages .*take scalar, quantile or implicit"),
        (dict(values="categorical", values_kwargs={"v_min": 1, "v_max": 1}), "v_min=1 must be below v_max=1"),
        (dict(values="quantile", values_kwargs={"quantiles": 0}), "quantiles must be at least 1, got 0"),
        (dict(values="implicit", values_kwargs={"targets": 0}), "targets must be at least 1, got 0"),
        (dict(values="quantile", loss="mse"), "loss='mse' is one of values='scalar'"),
        (dict(bootstrap="munchausen", bootstrap_kwargs={"tau": 0}), "tau must be a number in .*, got 0"),
        (dict(bootstrap=["munchausen", "double"]), "bootstrap must be an object|belong"),
        (dict(bootstrap=max), "bootstrap must be an object .*built-in function max"),
        (dict(bootstrap="double", bootstrap_kwargs={"tau": 1}), "bootstrap='double' has no options, got"),
        (dict(bootstrap="munchausen", bootstrap_kwargs={"tau": float("inf")}), "tau must be a number .* got inf"),
        (dict(values=5), "values must be one of scalar, .*, or an object such as QuantileValues.*, got 5"),
        (dict(values=CategoricalValues), "values must be one of scalar, .*got <class"),
        (dict(values="quantile", values_kwargs="x"), "values_kwargs must be a mapping .* got 'x'"),
        (dict(values="categorical", values_kwargs={"v_max": 1e300}), r"v_max must be a number in .* got 1e\+300"),
        (
            dict(values="categorical", values_kwargs={"v_min": 10, "v_max": 10 + 1e-12}),
            "v_min=10 must be below v_max=10",
        ),
        (dict(loss="mse", values_kwargs={"error": "huber"}), "loss='mse' and values_kwargs=.* both choose a loss"),
        (dict(policy_kwargs={"values": CategoricalValues()}), "policy_kwargs: values is an argument of the algorithm"),
        (dict(policy_kwargs={"noisy": True, "noisy_std": float("inf")}), "noisy_std must be a number .* got inf"),
        (dict(learning_rate_final=1e-5), "learning_rate_final=1e-05 needs learning_rate_steps"),
        (
            dict(learning_rate_steps=9, learning_rate_final=1),
            "learning_rate_final must be a number in .*got 1",
        ),
        (
            dict(learning_rate=lambda left: 1e-3 * (1 - left), learning_rate_steps=9, learning_rate_final=1e-4),
            "learning_rate_final must be a number in .*got 0.0001",
        ),
        (dict(learning_rate_steps=0), "learning_rate_steps must be at least 1, got 0"),
        (dict(learning_rate_steps=9, learning_rate=lambda left: left), "learning_rate_steps=9 .*give a number"),
        (
            dict(policy_kwargs={"center": "quantiles"}),
            "Unknown center 'quantiles'; known: actions, actions and outputs",
        ),
        (dict(policy_kwargs={"center": "actions and outputs"}), "center='actions and outputs' needs head='dueling'"),
    ],
)
def test_what_does_not_go_together_is_said_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassicDQN("MlpPolicy", "CartPole-v1", **{**SMALL, **arguments})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head": ""}, "Unknown head ''"),
        ({"head": []}, "head must be one of dueling, linear or a complete subclass"),
        ({"head": 0}, "head must be one of dueling, linear"),
        ({"activation_fn": ""}, "Unknown activation ''"),
        ({"features_extractor_class": ""}, "Unknown torso .* ''"),
        ({"features_extractor_kwargs": "x"}, "features_extractor_kwargs must be a mapping .* got 'x'"),
        ({"features_extractor_kwargs": 5}, "features_extractor_kwargs must be a mapping .* got 5"),
        ({"features_extractor_kwargs": []}, r"features_extractor_kwargs must be a mapping .* got \[\]"),
        ({"features_extractor_kwargs": [["width", 1]]}, "features_extractor_kwargs must be a mapping"),
        ({"optimizer_kwargs": [["eps", 1]]}, "optimizer_kwargs must be a mapping"),
        ({"net_arch": 8}, r"net_arch must be a list of .* such as \[64, 64\] .* got 8"),
        ({"net_arch": "8"}, "net_arch must be a list of the units of each hidden layer.* got '8'"),
        ({"net_arch": {"pi": [3]}}, "net_arch must be a list of the units"),
        ({"net_arch": [-1]}, r"each number of units in net_arch=\[-1\] must be at least 1, got -1"),
        ({"net_arch": [0]}, "must be at least 1, got 0"),
        ({"net_arch": ["8"]}, "must be an integer, got '8'"),
        ({"net_arch": [8.5]}, "must be an integer, got 8.5"),
        ({"net_arch": [True]}, "must be an integer, got True"),
        ({"net_arch": [10**12]}, "must be at most 1000000"),
        ({"n_quantiles": 50}, r"n_quantiles=50 is sb3-contrib's name: .* values_kwargs={'quantiles': 50}"),
        ({"lr_schedule": 1}, "Unknown key 'lr_schedule' in policy_kwargs"),
    ],
)
@pytest.mark.parametrize(("algorithm", "policy"), [(IQN, "MlpPolicy"), (BTR, "CnnPolicy"), (QRDQN, "MultiInputPolicy")])
def test_policy_kwargs_of_another_kind_are_refused_in_one_sentence(algorithm, policy, given, message):
    env = {"MlpPolicy": "CartPole-v1", "CnnPolicy": Catch(), "MultiInputPolicy": ImageAndVector()}[policy]
    with pytest.raises(ValueError, match=message):
        algorithm(policy, env, policy_kwargs=given, buffer_size=100)


def test_units_are_whole_numbers_of_any_type():
    model = QRDQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": (8.0, np.int64(4))}, buffer_size=100)
    assert [each.out_features for each in model.q_net.q_net if isinstance(each, torch.nn.Linear)][:2] == [8, 4]


@pytest.mark.parametrize(
    ("argument", "wrong", "near"),
    [
        ("values", "quantiles", "quantile"),
        ("bootstrap", "dobule", "double"),
        ("policy_kwargs", {"head": "duelling"}, "dueling"),
        ("replay", "prioritised", "prioritized"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_nearest(argument, wrong, near):
    with pytest.raises(ValueError, match=rf"known: .*{near}.* \(did you mean '{near}'\?\)\."):
        ClassicDQN("MlpPolicy", "CartPole-v1", **{argument: wrong})


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"normalization": "layer"}, "policy_kwargs 'normalization' is for the hidden layers here"),
        ({"hidden_size": 8}, "policy_kwargs 'net_arch' is for the hidden layers here"),
        ({"width": 2}, "has no options; omit it"),
    ],
)
def test_options_of_a_torso_for_vectors_name_the_key_that_is_meant(options, hint):
    with pytest.raises(ValueError, match=hint):
        QRDQN("MlpPolicy", "CartPole-v1", policy_kwargs={"features_extractor_kwargs": options}, buffer_size=100)


@pytest.mark.parametrize("named", ["impala", ImpalaTorso])
def test_naming_the_torso_of_the_class_changes_nothing(named):
    def networks(policy_kwargs: dict[str, Any]) -> dict[str, torch.Size]:
        model = BTR("CnnPolicy", Noise((42, 42, 1)), policy_kwargs=policy_kwargs, buffer_size=100)
        return {name: weights.shape for name, weights in model.q_net.state_dict().items()}

    own = networks({})
    assert networks({"features_extractor_class": named}) == own
    narrow: dict[str, Any] = {"features_extractor_kwargs": {"width": 1}}
    assert networks({"features_extractor_class": named, **narrow}) == networks(narrow) != own
    other = networks({"features_extractor_class": "nature"})
    assert not any("original" in name for name in other)  # no spectral norm


@pytest.mark.parametrize(
    ("arguments", "of"),
    [
        (dict(bootstrap="munchausen", bootstrap_kwargs={"alpha": Fraction(1, 2), "tau": Fraction(1, 10)}), "bootstrap"),
        (dict(values="categorical", values_kwargs={"v_min": Fraction(-10), "v_max": np.float64(5)}), "values"),
        (dict(gamma=Fraction(9, 10), learning_rate=Fraction(1, 1000), max_grad_norm=Fraction(10)), "gamma"),
        (dict(exploration_final_eps=Fraction(1, 10), tau=Fraction(1, 2), target_update_interval=1), "tau"),
    ],
)
def test_numbers_of_any_type_become_numbers_that_torch_knows(arguments, of):
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **{**SMALL, **arguments}).learn(40)
    assert "Fraction" not in repr(getattr(model.objective, of, model.tau))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(optimize_memory_usage="yes"), "optimize_memory_usage must be True or False, got 'yes'"),
        (dict(learning_rate=float("inf")), "learning_rate must be a number in .*, got inf"),
        (dict(replay_buffer_kwargs=0), "replay_buffer_kwargs must be a mapping .* got 0"),
        (dict(policy_kwargs=[["head", "dueling"]]), "policy_kwargs must be a mapping"),
        (dict(values_kwargs={"error": ["x"]}), r"Unknown loss \['x'\]; known: huber, mse"),
        (dict(values="categorical", values_kwargs={"atoms": 1001}), "atoms must be at most 1000, got 1001"),
        (dict(values="implicit", values_kwargs={"predicted": 10_000}), "predicted must be at most 1000, got 10000"),
    ],
)
def test_arguments_of_another_kind_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassicDQN("MlpPolicy", "CartPole-v1", **{**SMALL, **arguments})


@dataclass(frozen=True)
class Custom(ScalarValues):
    """Expected returns, one method of which returns something else."""

    method: str = ""
    result: Any = None

    def _or(self, method: str, own: Any) -> Any:
        return own if method != self.method else self.result(own) if callable(self.result) else self.result

    def mean(self, outputs):
        return self._or("mean", super().mean(outputs))

    def target(self, chosen_t, r_t, discount_t):
        return self._or("target", super().target(chosen_t, r_t, discount_t))

    def loss(self, chosen_tm1, fractions, target):
        return self._or("loss", super().loss(chosen_tm1, fractions, target))


@pytest.mark.parametrize(
    ("method", "result", "message"),
    [
        ("target", lambda own: own[:1], r"target\(\) of 3 samples must have shape \(3, any\), got \(1, 1\)"),
        ("target", lambda own: own[:, 0], r"target\(\) of 3 samples must have shape \(3, any\), got \(3,\)"),
        ("target", lambda own: own.numpy(), "target.* must be a tensor of shape .*, got a ndarray"),
        ("mean", lambda own: torch.cat([own, own[:, :1]], 1), r"mean\(\) .* must have shape \(3, 2\), got \(3, 3\)"),
        ("mean", lambda own: own.unsqueeze(2), r"mean\(\) of 3 states and 2 actions must have shape \(3, 2\)"),
        ("mean", None, r"mean\(\) .* must be a tensor of shape \(3, 2\), got a NoneType"),
        ("loss", None, r"loss\(\) must return two tensors, the losses and the priorities .*, got a NoneType"),
        ("loss", lambda own: own[0], r"loss\(\) must return two tensors, .* got a Tensor"),
        ("loss", lambda own: (own[0].detach(), own[1]), "the losses of loss.* have no gradient .* without detach"),
        ("loss", lambda own: (own[0], own[1].mean()), r"the priorities of loss\(\) must have shape \(3,\), got \(\)"),
    ],
)
def test_values_of_the_users_own_are_tried_before_anything_is_built_on_them(method, result, message):
    with pytest.raises(ValueError, match=message):
        ClassicDQN("MlpPolicy", "CartPole-v1", values=Custom(method=method, result=result), **SMALL)


def test_trying_values_draws_from_no_generator_that_others_use():
    models = [ClassicDQN("MlpPolicy", "CartPole-v1", values=values, **SMALL) for values in (Custom(), "scalar")]
    assert all(torch.equal(a, b) for a, b in zip(*map(parameters, models), strict=True))


def test_bootstrap_outputs_that_are_no_tensor_are_named():
    def rule(values, online, target, batch):
        return Bootstrapped(target(batch.next_observations).per_action[:, 0].numpy())

    class Rule:
        __call__ = staticmethod(rule)

    with pytest.raises(ValueError, match=r"its outputs must be a tensor of shape \(16, 1\), got a ndarray"):
        ClassicDQN("MlpPolicy", "CartPole-v1", bootstrap=Rule(), **SMALL).learn(30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": "quantile"}, "was saved with values='categorical', not 'quantile': the networks .* omit values"),
        ({"values_kwargs": {"atoms": 21}}, "was saved with values_kwargs=None, not {'atoms': 21}"),
        ({"values_kwargs": {"v_max": 20}}, "the networks of a saved model are fixed, omit values_kwargs"),
        ({"values": CategoricalValues(v_max=20)}, "was saved with values='categorical', not CategoricalValues"),
        ({"values": np.array([1, 2])}, r"values must be one of .*, got array\(\[1, 2\]\)"),
        ({"values": "categorical", "values_kwargs": {"atoms": 2}}, "was saved with values_kwargs=None, not"),
        ({"values_kwargs": [("atoms", 51)]}, "values_kwargs must be a mapping"),
    ],
)
def test_the_values_of_a_saved_model_are_fixed(change, message, tmp_path):
    model = C51("MlpPolicy", "CartPole-v1", **SMALL)
    model.save(tmp_path / "model")
    model.export(tmp_path / "export", onnx=False)
    for read in (lambda: C51.load(tmp_path / "model", **change), lambda: C51.import_(tmp_path / "export", **change)):
        with pytest.raises(ValueError, match=message):
            read()


@pytest.mark.parametrize(
    ("algorithm", "saved", "change", "wanted"),
    [
        (C51, {}, {"values_kwargs": {}}, CategoricalValues()),
        (C51, {}, {"values_kwargs": {"atoms": 51}}, CategoricalValues()),
        (C51, {}, {"values": CategoricalValues()}, CategoricalValues()),
        (C51, {"values_kwargs": {"atoms": 21}}, {"values_kwargs": {"v_max": 10}}, CategoricalValues(21)),
        (C51, {"values": CategoricalValues(21)}, {"values": "categorical"}, CategoricalValues(21)),
        (IQN, {"values_kwargs": {"predicted": 8}}, {"values_kwargs": {"acting": 4}}, ImplicitQuantileValues(8, 64, 4)),
        (BTR, {}, {"values": "implicit"}, ImplicitQuantileValues(8, 8, 8)),
        (ClassicDQN, {}, {"values_kwargs": {"error": "mse"}}, ScalarValues("mse")),
    ],
)
def test_values_that_mean_the_same_networks_are_taken(algorithm, saved, change, wanted, tmp_path):
    model = algorithm("MlpPolicy", "CartPole-v1", **SMALL, **saved)
    model.save(tmp_path / "model")
    model.export(tmp_path / "export", onnx=False)
    for read, path in ((algorithm.load, "model"), (algorithm.import_, "export")):
        again = read(tmp_path / path, **change)
        assert again.policy.q_net.values == again.objective.values == wanted
        for name, weights in model.q_net.state_dict().items():
            assert torch.equal(again.q_net.state_dict()[name], weights)


@pytest.mark.parametrize(
    ("algorithm", "saved", "same", "other"),
    [
        (
            RainbowDQN,
            {},
            [{"noisy_std": 0.5}, {"net_arch": [64, 64]}, {"head": "dueling", "noisy": True}],
            {"net_arch": []},
        ),
        (RainbowDQN, {"activation_fn": "elu"}, [{"activation_fn": torch.nn.ELU}], {}),
        (DataEfficientRainbow, {}, [{"noisy_std": 0.1}], {"noisy_std": 0.5}),
        (IQN, {"net_arch": (8,)}, [{"net_arch": [8]}], {"net_arch": [9]}),
    ],
)
def test_policy_kwargs_that_mean_the_same_networks_are_taken(algorithm, saved, same, other, tmp_path):
    model = algorithm("MlpPolicy", "CartPole-v1", policy_kwargs=saved, **SMALL)
    model.save(tmp_path / "model")
    for each in same:
        assert algorithm.load(tmp_path / "model", policy_kwargs=each).policy_kwargs == model.policy_kwargs
    with pytest.raises(ValueError, match="networks of a saved model are fixed, omit policy_kwargs"):
        algorithm.load(tmp_path / "model", policy_kwargs=other)
    for bad in ("x", [1]):
        with pytest.raises(ValueError, match="policy_kwargs must be a mapping"):
            algorithm.load(tmp_path / "model", policy_kwargs=bad)


def test_parameters_for_another_support_are_refused_and_those_for_the_same_taken(tmp_path):
    saved = C51("MlpPolicy", "CartPole-v1", **SMALL)
    saved.save(tmp_path / "model")
    other = ClassicDQN(
        "MlpPolicy", "CartPole-v1", values="categorical", values_kwargs={"v_min": 0, "v_max": 100}, buffer_size=50
    )
    wide = C51("MlpPolicy", "CartPole-v1", values_kwargs={"v_min": 0, "v_max": 100}, buffer_size=50)
    same = C51("MlpPolicy", "CartPole-v1", values=CategoricalValues(), buffer_size=50)
    before = parameters(wide)
    message = (
        r"The parameters in .* are for CategoricalValues.*Build it with values_kwargs={'v_min': -10.0, 'v_max': 10.0}"
    )
    with pytest.raises(RuntimeError, match=message):
        wide.set_parameters(tmp_path / "model")
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(wide), strict=True))
    with (tmp_path / "model.zip").open("rb") as file:
        same.set_parameters(file)
    assert all(torch.equal(a, b) for a, b in zip(parameters(saved), parameters(same), strict=True))
    other.save(tmp_path / "other")
    with pytest.raises(RuntimeError, match="outputs would mean other returns"):
        same.set_parameters(tmp_path / "other")


@pytest.mark.parametrize(
    "change", [{"values": "quantile"}, {"values_kwargs": {"atoms": 7}}, {"values": CategoricalValues(7)}]
)
def test_a_model_whose_values_were_changed_after_it_was_built_neither_learns_nor_is_saved(change, tmp_path):
    model = C51("MlpPolicy", "CartPole-v1", **SMALL)
    vars(model).update(change)
    for use in (lambda: model.learn(30), lambda: model.save(tmp_path / "model")):
        with pytest.raises(ValueError, match=r"was built for CategoricalValues.*constructor of a new model"):
            use()
    assert not list(tmp_path.iterdir())
    assert model.num_timesteps == 0


@pytest.mark.parametrize(
    ("saved", "change", "wanted"),
    [
        ({"alpha": 0.1, "tau": 0.2}, {"bootstrap_kwargs": {"alpha": 0.3}}, Munchausen(0.3, 0.2)),
        ({"alpha": 0.1, "tau": 0.2}, {"bootstrap": "munchausen"}, Munchausen(0.1, 0.2)),
        (
            {"alpha": 0.1, "tau": 0.2},
            {"bootstrap": "munchausen", "bootstrap_kwargs": {"tau": 0.5}},
            Munchausen(0.1, 0.5),
        ),
        ({"alpha": 0.1, "tau": 0.2}, {"bootstrap": Munchausen()}, Munchausen()),
        (Munchausen(0.1, 0.2), {"bootstrap_kwargs": {"alpha": 0.3}}, Munchausen(0.3, 0.2)),
        (Munchausen(0.1, 0.2), {"bootstrap": "munchausen"}, Munchausen(0.1, 0.2)),
    ],
)
def test_options_of_a_saved_bootstrap_stay_as_long_as_the_rule_does(saved, change, wanted, tmp_path):
    given: dict[str, Any] = {"bootstrap_kwargs": saved} if isinstance(saved, dict) else {"bootstrap": saved}
    model = MunchausenDQN("MlpPolicy", "CartPole-v1", **SMALL, **given)
    model.save(tmp_path / "model")
    model.export(tmp_path / "export", onnx=False)
    for read, path in ((MunchausenDQN.load, "model"), (MunchausenDQN.import_, "export")):
        assert read(tmp_path / path, **change).objective.bootstrap == wanted


def test_the_options_of_a_class_stay_where_its_own_choice_is_named():
    class Own(MunchausenDQN):
        bootstrap_kwargs = {"tau": 0.2}

    named = Own("MlpPolicy", "CartPole-v1", bootstrap="munchausen", buffer_size=100)
    assert named.objective.bootstrap == Munchausen(tau=0.2)
    btr = BTR("MlpPolicy", "CartPole-v1", values="implicit", buffer_size=100)
    assert btr.objective.values == ImplicitQuantileValues(8, 8, 8)
    some = BTR("MlpPolicy", "CartPole-v1", values="implicit", values_kwargs={"acting": 4}, buffer_size=100)
    assert some.objective.values == ImplicitQuantileValues(8, 8, 4)
    given = BTR("MlpPolicy", "CartPole-v1", values=ImplicitQuantileValues(), buffer_size=100)
    assert given.objective.values == ImplicitQuantileValues()


def test_the_bootstrap_of_a_saved_model_is_free_and_none_leaves_an_argument_out(tmp_path):
    given: dict[str, Any] = {"bootstrap_kwargs": {"alpha": 0.5}}
    model = MunchausenDQN("MlpPolicy", "CartPole-v1", **SMALL, **given)
    model.save(tmp_path / "model")
    model.export(tmp_path / "export", onnx=False)
    for read in (MunchausenDQN.load, MunchausenDQN.import_):
        path = tmp_path / ("model" if read == MunchausenDQN.load else "export")
        assert read(path, bootstrap="double").objective.bootstrap == Double()
        assert read(path, bootstrap=None, values=None).objective.bootstrap == Munchausen(alpha=0.5)
    other = BTR("MlpPolicy", "CartPole-v1", **SMALL)
    other.save(tmp_path / "btr")
    assert BTR.load(tmp_path / "btr", values_kwargs=None).objective.values == other.objective.values


class Rewarded(gym.Env[np.ndarray, Any]):
    """Episodes of 20 steps, which are observed, with the same reward at each."""

    observation_space = spaces.Box(-1, 1, (3,))
    action_space = spaces.Discrete(3)

    def __init__(self, reward: float) -> None:
        self.given = reward

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.full(3, self.steps / 20, np.float32)

    def step(self, action):
        self.steps += 1
        return self._seen(), self.given, self.steps == 20, False, {}


def warnings_of_support(reward: float, options: dict[str, Any]) -> list[str]:
    settings: dict[str, Any] = {**SMALL, "train_freq": 1, "learning_rate": 1e-2, "target_update_interval": 10}
    model = C51("MlpPolicy", Rewarded(reward), **{**settings, **options})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.learn(300, log_interval=1)
    return [str(each.message) for each in caught if "support" in str(each.message)]


@pytest.mark.parametrize(
    ("reward", "v_min", "v_max"), [(-50, 0, 100), (50, -100, 1), (1, 5, 10), (1, -10, -5), (11, -10, 10)]
)
def test_each_reward_is_compared_with_its_own_edge_of_the_support(reward, v_min, v_max):
    (warning,) = warnings_of_support(reward, {"values_kwargs": {"v_min": v_min, "v_max": v_max}})
    assert f"Rewards of {reward} are beyond the support of CategoricalValues(atoms=51, v_min={v_min}" in warning


@pytest.mark.parametrize(
    ("reward", "options"),
    [
        (3, {}),  # up to 55
        (-3, {}),
        (3, dict(n_steps=5, gamma=1.0)),
        (5, dict(n_steps=10)),
    ],
)
def test_returns_beyond_the_support_are_said_though_each_reward_is_within(reward, options):
    (warning,) = warnings_of_support(reward, options)
    assert re.search(r"\d+% of the targets' probability is beyond the support .*v_min and v_max that hold", warning)


@pytest.mark.parametrize(
    ("reward", "options"),
    [
        (1, {"values_kwargs": {"v_min": 0, "v_max": 40}}),
        (0, {"values_kwargs": {"v_min": 0, "v_max": 1}}),  # all at an edge, and none beyond it
        (0.5, {}),
        (1, dict(gamma=0.8, n_steps=3)),
    ],
)
def test_returns_within_the_support_cause_no_warning(reward, options):
    assert warnings_of_support(reward, options) == []


def test_rewards_beyond_the_support_are_said_once():
    kwargs: dict[str, Any] = dict(values="categorical", values_kwargs={"atoms": 5, "v_min": -0.5, "v_max": 0.5})
    model = ClassicDQN("MlpPolicy", "CartPole-v1", **SMALL, **kwargs)
    with pytest.warns(RuntimeWarning, match="Rewards of 1 are beyond the support of CategoricalValues") as caught:
        model.learn(200, log_interval=1)
    assert sum("support" in str(each.message) for each in caught) == 1


def test_the_learning_rate_falls_over_steps_whatever_the_length_of_the_training():
    rates = []
    for length in (150, 400):
        model = ClassicDQN(
            "MlpPolicy", "CartPole-v1", 1e-2, learning_rate_steps=200, learning_rate_final=1e-3, train_freq=1, **SMALL
        )
        model.learn(length)
        rates.append(model.policy.optimizer.param_groups[0]["lr"])
    assert rates == [pytest.approx(1e-2 - 150 / 200 * 9e-3, rel=0.02), pytest.approx(1e-3)]


def test_a_model_is_loaded_without_a_learning_rate_as_the_zoo_does_to_play(tmp_path):
    """Its `enjoy` replaces the learning rate by 0, below the rate to which it was to fall."""
    falls: dict[str, Any] = {"learning_rate_steps": 200, "learning_rate_final": 1e-3}
    ClassicDQN("MlpPolicy", "CartPole-v1", 1e-2, **falls, **SMALL).save(tmp_path / "model")
    replaced: dict[str, Any] = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0}
    model = ClassicDQN.load(tmp_path / "model", env=make_vec_env("CartPole-v1"), custom_objects=replaced, device="cpu")
    model.learn(150, reset_num_timesteps=False)
    assert model.policy.optimizer.param_groups[0]["lr"] == 0


@pytest.mark.parametrize("name", [*ALGORITHMS])
def test_a_seed_given_later_determines_all_that_is_drawn(name):
    def trained(seed: int) -> list[torch.Tensor]:
        settings: dict[str, Any] = {**SMALL, "seed": seed, "train_freq": 1, "learning_starts": 20}
        model = ALGORITHMS[name].import_class()("MlpPolicy", "CartPole-v1", **settings)
        for parameter in model.policy.parameters():  # a weight of each its own, and the same in both models
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
        model.set_random_seed(5)
        return parameters(model.learn(40))

    assert all(torch.equal(a, b) for a, b in zip(trained(0), trained(1), strict=True))


@pytest.mark.parametrize("learner", ["reference", "fast"])
def test_the_networks_of_a_model_answer_without_noise_unless_they_learn_or_collect(learner, tmp_path):
    model = RainbowDQN("MlpPolicy", "CartPole-v1", learner=learner, **SMALL)
    model.save(tmp_path / "model")
    model.export(tmp_path / "export", onnx=False)
    loaded = RainbowDQN.load(tmp_path / "model", env=model.get_env())
    imported = RainbowDQN.import_(tmp_path / "export")
    observations = torch.randn(4, 4)
    for each in (model, loaded, imported, loaded.learn(40)):
        assert torch.equal(each.q_net(observations), each.q_net(observations))
        assert torch.equal(each.q_net_target(observations), each.q_net_target(observations))
    assert not torch.equal(model.q_net(observations), loaded.q_net(observations))  # it has learned

    class Interrupts(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 30:
                raise KeyboardInterrupt
            return True

    imported.set_env(make_vec_env("CartPole-v1"))
    with pytest.raises(KeyboardInterrupt):
        imported.learn(40, Interrupts())
    assert torch.equal(imported.q_net(observations), imported.q_net(observations))


@pytest.mark.parametrize("learner", ["reference", "fast"])
@pytest.mark.parametrize("name", NOISY)
def test_noise_explores_however_the_pace_is_given(name, learner):
    def model(**pace: Any) -> ClassicDQN:
        algorithm = ALGORITHMS[name].import_class()
        return algorithm("MlpPolicy", "CartPole-v1", learner=learner, exploration="none", **pace, **SMALL)

    def noise(model: ClassicDQN) -> list[torch.Tensor]:
        return [layer.generator.get_state() for layer in noisy_layers(model.q_net)]

    in_sb3s_loop, in_ours = model(train_freq=1, gradient_steps=0), model(replay_ratio=1e-6)
    before = noise(in_ours)
    in_sb3s_loop.learn(60)
    in_ours.learn(60)
    assert in_sb3s_loop._n_updates == in_ours._n_updates == 0
    assert before
    for first, one, other in zip(before, noise(in_sb3s_loop), noise(in_ours), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, first)
    assert np.array_equal(in_sb3s_loop.replay_buffer.actions[:60], in_ours.replay_buffer.actions[:60])


def test_generators_of_the_networks_are_part_of_the_state_of_a_training():
    def model() -> RainbowDQN:
        return RainbowDQN("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [16]}, **SMALL)

    trained = model().learn(60)
    source = trained.frame_source()
    other = model().learn(20)
    other.load_state_dict(trained.state_dict(), source.since(0) if source else ())
    assert len(generators(trained.policy)) == 8  # two layers in two streams of two networks
    for ours, theirs in zip(generators(other.policy), generators(trained.policy), strict=True):
        assert torch.equal(ours.get_state(), theirs.get_state())


# --- the same seams as the base class


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ALGORITHMS][3:])
def test_a_captured_update_learns_what_another_learns(name, monkeypatch):
    def trained(captures: bool) -> list[torch.Tensor]:
        tapes = record_on_tape(monkeypatch)
        torso: dict[str, Any] = {
            "features_extractor_class": "dqn2013",
            "features_extractor_kwargs": {"hidden_size": 16},
        }
        fast: dict[str, Any] = dict(learner="fast", precision="fp32", train_freq=4)
        env = make_vec_env(Catch, n_envs=1, seed=0)
        model = ALGORITHMS[name].import_class()("CnnPolicy", env, policy_kwargs=torso, **SMALL, **fast)
        let_capture(model, captures)
        model.learn(80)
        assert bool(tapes) == captures
        return parameters(model)

    for captured, other in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(captured, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("memory", [{}, {"optimize_memory_usage": True}])
@pytest.mark.parametrize("name", [*ALGORITHMS][3:])
def test_dictionaries_are_learned_from_and_stored_once_on_request(name, memory):
    algorithm = ALGORITHMS[name].import_class()
    model = algorithm("MultiInputPolicy", ImageAndVector(), policy_kwargs={"net_arch": [16]}, **SMALL, **memory)
    before = parameters(model)
    model.learn(40)
    assert not all(torch.equal(a, b) for a, b in zip(before, parameters(model), strict=True))


@pytest.mark.parametrize("name", [*ALGORITHMS][3:])
def test_actions_that_are_not_discrete_are_refused(name):
    with pytest.raises(ValueError, match="needs a Discrete action space, got Box"):
        ALGORITHMS[name].import_class()("MlpPolicy", "Pendulum-v1", **SMALL)


# --- bad input


def test_sb3s_limits_name_the_one_that_was_met():
    settings: dict[str, Any] = dict(replay="sb3", optimize_memory_usage=True, buffer_size=50)
    with pytest.raises(ValueError, match="does not work with dictionary observations: leave out replay='sb3'"):
        RainbowDQN("MultiInputPolicy", ImageAndVector(), n_steps=1, **settings)
    with pytest.raises(ValueError, match="does not work with n_steps=3: leave out replay='sb3'"):
        RainbowDQN("MlpPolicy", "CartPole-v1", **settings)


@pytest.mark.parametrize("algorithm", [RainbowDQN, BTR])
def test_a_buffer_class_beside_the_replay_of_the_algorithm_names_the_way_out(algorithm):
    with pytest.raises(ValueError, match="both choose the buffer: give replay='uniform' with a class of your own"):
        algorithm("MlpPolicy", "CartPole-v1", replay_buffer_class=ReplayBuffer)


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        (ClassicDQN, {"policy_kwargs": {"noisy_std": 0.1}}, "noisy_std=0.1 needs noisy=True"),
        (
            ClassicDQN,
            {"policy_kwargs": {"target_network": False}},
            "target_network=False: ClassicDQN .* omit it, or use PQN",
        ),
        (ClassicDQN, {"values": "categorical", "values_kwargs": {"atoms": 1}}, "values_kwargs of 'categorical': atoms"),
        (C51, {"values_kwargs": {"v_min": 3, "v_max": 2}}, "values_kwargs of 'categorical': v_min=3 must be below"),
        (MunchausenDQN, {"bootstrap_kwargs": {"tau": 0}}, "bootstrap_kwargs of 'munchausen': tau"),
        (ClassicDQN, {"policy_kwargs": {"features_extractor_kwargs": {"width": 2}}}, "FlattenExtractor, .* has no"),
    ],
)
def test_bad_options_are_named_with_where_they_belong(algorithm, settings, message):
    with pytest.raises(ValueError, match=message):
        algorithm("MlpPolicy", "CartPole-v1", **SMALL, **settings)


def test_an_impala_torso_as_wide_as_memory_is_refused():
    torso = {"features_extractor_class": "impala", "features_extractor_kwargs": {"width": 10_000}}
    with pytest.raises(ValueError, match="width"):
        ClassicDQN("CnnPolicy", Catch(), policy_kwargs=torso, **SMALL)


def test_without_noise_and_epsilon_rainbow_says_that_it_does_not_explore():
    quiet: dict[str, Any] = {"policy_kwargs": {"noisy": False}, **SMALL}
    with pytest.warns(RuntimeWarning, match="RainbowDQN explores by its noisy layers.*exploration='linear'"):
        RainbowDQN("MlpPolicy", "CartPole-v1", **quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RainbowDQN("MlpPolicy", "CartPole-v1", exploration="linear", **quiet)
        DataEfficientRainbow("MlpPolicy", "CartPole-v1", exploration="linear", **quiet)
        RainbowDQN("MlpPolicy", "CartPole-v1", **SMALL)


def test_what_a_model_does_not_do_is_said_when_it_is_built_and_not_again_when_it_is_loaded(tmp_path):
    quiet: list[dict[str, Any]] = [{"policy_kwargs": {"noisy": False}}, {"exploration_steps": 500}]
    for number, given in enumerate(quiet):
        with pytest.warns(RuntimeWarning, match="noisy layers|exploration_steps"):
            model = RainbowDQN("MlpPolicy", "CartPole-v1", **SMALL, **given)
        model.save(tmp_path / str(number))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            RainbowDQN.load(tmp_path / str(number))
    with pytest.warns(RuntimeWarning, match="exploration_steps=9 changes nothing"):
        RainbowDQN.load(tmp_path / "1", exploration_steps=9)


def test_a_precision_that_the_reference_learner_does_not_have_is_told():
    with pytest.warns(RuntimeWarning, match="precision='bf16' changes nothing: learner='reference'.*learner='fast'"):
        ClassicDQN("CnnPolicy", Catch(), precision="bf16", **SMALL)


def test_random_actions_that_are_planned_and_never_taken_are_told(recwarn):
    with pytest.warns(RuntimeWarning, match="exploration_steps=500 changes nothing: this RainbowDQN.*'linear'"):
        RainbowDQN("MlpPolicy", "CartPole-v1", exploration_steps=500, buffer_size=100)
    recwarn.clear()
    RainbowDQN("MlpPolicy", "CartPole-v1", exploration_steps=500, exploration="linear", buffer_size=100)
    RainbowDQN("MlpPolicy", "CartPole-v1", buffer_size=100)
    assert not [each for each in recwarn if issubclass(each.category, RuntimeWarning)]


def test_options_stay_with_the_class_that_chose_what_they_are_of():
    """BTR's numbers of fractions are not for a subclass with other values; those for Munchausen stay."""

    class Own(BTR):
        values = "quantile"

    class Same(BTR):
        pass

    model = Own("MlpPolicy", "CartPole-v1", buffer_size=100)
    assert isinstance(model.policy.q_net.values, QuantileValues)
    assert model.values_kwargs is None
    assert Same("MlpPolicy", "CartPole-v1", buffer_size=100).values_kwargs == BTR.values_kwargs


def test_returns_longer_than_the_memory_are_refused_before_training():
    model = ClassicDQN("MlpPolicy", "CartPole-v1", n_steps=50, **{**SMALL, "buffer_size": 40})
    with pytest.raises(ValueError, match="n_steps=50 is as long as the memory of each environment: buffer_size=40"):
        model.learn(30)
