"""Arguments of the deep Q-learning algorithms: names, bounds and what excludes what. Nothing here writes to a model."""

import math
from collections.abc import Collection, Mapping
from inspect import Parameter, signature
from numbers import Real
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.validation import (
    as_int,
    check_between,
    check_keys,
    check_known,
    check_options,
    counted,
    renamed,
    renamed_value,
)

LEARNERS = ("reference", "fast")
MAX_REPLAY_RATIO = 1000  # far beyond any use
SB3_TRAIN_FREQ, SB3_GRADIENT_STEPS = 4, 1  # SB3's defaults

#: Whole numbers of the algorithms with replay, with the smallest sensible value of each.
WHOLE_NUMBERS = {
    "buffer_size": 1,
    "learning_starts": 0,
    "batch_size": 1,
    "gradient_steps": -1,  # as many gradient steps as environment steps
    "n_steps": 1,
    "target_update_interval": 0,  # as 1: after each vector step, as in SB3
    "exploration_delay": 0,
    "_stats_window_size": 1,
}

#: Their numbers in [0, 1].
SHARES = ("gamma", "tau", "exploration_initial_eps", "exploration_final_eps")

#: All of their numbers that need not be whole.
REAL_NUMBERS = (
    *SHARES,
    *("learning_rate", "learning_rate_final", "max_grad_norm", "exploration_fraction", "exploration_decay_rate"),
    "replay_ratio",
)

_INFINITE = float("inf")
_LARGEST_RATE = 1e30  # SB3 would compute with an infinite one
_PLAIN = int | float
_FUNCTIONS = FunctionType | MethodType | BuiltinFunctionType

#: Names of version 0.1.0, accepted for one more release.
_OLD_NAMES = {"updates_per_transition": "replay_ratio"}
OLD_LEARNERS = {"plain": "reference"}


def under_new_names(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param owner: what the options belong to, for the warning
    :param options: of the constructor or of `load()`
    :return: a copy with the present names and values, after a FutureWarning for each old one
    :raises ValueError: if an option is given under both names
    """
    given = renamed(owner, options, _OLD_NAMES)
    if "learner" in given:
        given["learner"] = renamed_value(owner, "learner", given["learner"], OLD_LEARNERS)
    return given


def renamed_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param attributes: of a model, which may come from a file of version 0.1.0
    :return: new values for those that have another name or form now
    """
    old_to_new = {**_OLD_NAMES, "updates_owed": "pending_updates"}
    found = {new: attributes[old] for old, new in old_to_new.items() if old in attributes and new not in attributes}
    if (learner := attributes.get("learner")) in OLD_LEARNERS:
        found["learner"] = OLD_LEARNERS[learner]
    return found


def whole_numbers(model: Any, least: Mapping[str, int]) -> dict[str, int]:
    """
    :param model: an algorithm, its arguments are the attributes of the same names
    :param least: the smallest sensible value of each
    :return: those that are whole numbers, as int
    :raises ValueError: on the first that is none or is too small
    """
    numbers = {name: as_int(name.lstrip("_"), getattr(model, name), minimum) for name, minimum in least.items()}
    for name in ("exploration_steps", "learning_rate_steps"):
        if getattr(model, name, None) is not None:
            numbers[name] = as_int(name, getattr(model, name), minimum=1)
    return numbers


def real_numbers(model: Any, names: Collection[str]) -> dict[str, Any]:
    """
    :param model: see :func:`whole_numbers`
    :param names: of arguments
    :return: those that are real numbers of another type, such as fractions, as float: torch does not compute with them
    """
    values = {name: getattr(model, name) for name in names}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, Real) and not isinstance(value, _PLAIN)
    }


def check_real_numbers(model: Any, shares: Collection[str]) -> None:
    """
    :param model: see :func:`whole_numbers`
    :param shares: those of its arguments that are in [0, 1]
    :raises ValueError: on the first number outside its bounds
    """
    if not callable(model.learning_rate):
        check_between("learning_rate", model.learning_rate, 0, _LARGEST_RATE)
    for name in shares:
        check_between(name, getattr(model, name), 0, 1)
    for name in ("max_grad_norm", "exploration_fraction"):
        check_between(name, getattr(model, name), 0, _INFINITE)
    check_learning_rate(model.learning_rate, model.learning_rate_steps, model.learning_rate_final)
    check_between("exploration_decay_rate", model.exploration_decay_rate, 0, _INFINITE, above_low=True)


def check_learning_rate(learning_rate: Any, steps: int | None, final: Any) -> None:
    """
    :param learning_rate: a number, or a function of the remaining progress
    :param steps: over which it falls, None if the function says how it changes
    :param final: to which it falls
    :raises ValueError: if it changes in two ways, rises, or falls over no steps
    """
    if steps is None:
        if final != 0:
            raise ValueError(f"learning_rate_final={final!r} needs learning_rate_steps, the steps over which it falls.")
        return
    if learning_rate == 0:  # loaded to play: the zoo replaces the learning rate and nothing else
        return
    initial = learning_rate(1.0) if callable(learning_rate) else learning_rate
    check_between("learning_rate_final", final, 0, initial)
    if callable(learning_rate) and learning_rate(1.0) != learning_rate(0.0):
        raise ValueError(
            f"learning_rate_steps={steps} lets the learning rate fall over environment steps, and the learning_rate "
            f"given changes over the training by itself (from {learning_rate(1.0):g} to {learning_rate(0.0):g}); give "
            "a number."
        )


def check_policy_class(model: Any, base: type) -> None:
    """
    :param model: an algorithm
    :param base: that its policy must derive from
    :raises ValueError: on another policy, or an argument that it does not take
    """
    policy_class = model.policy_class
    if not issubclass(policy_class, base):
        raise ValueError(
            f"{model.algorithm} needs a policy that is a {base.__name__}, got "
            f"{policy_class.__module__}.{policy_class.__name__}; name one of "
            f"{', '.join(model.policy_aliases)} or derive from {base.__name__}."
        )
    check_options("policy_kwargs", model.policy_kwargs)
    if "n_quantiles" in model.policy_kwargs:
        raise ValueError(
            f"policy_kwargs n_quantiles={model.policy_kwargs['n_quantiles']!r} is sb3-contrib's name: here it is an "
            f"option of the values, values_kwargs={{'quantiles': {model.policy_kwargs['n_quantiles']!r}}}."
        )
    known = {name for owner in (base, policy_class) for name in signature(owner.__init__).parameters}  # type: ignore[misc]
    known -= {"self", "args", "kwargs", "observation_space", "action_space", "lr_schedule"}  # not the user's to give
    check_keys("policy_kwargs", model.policy_kwargs, known)
    check_keys(f"{model.algorithm}.policy_defaults", model.policy_defaults, known)


def as_train_freq(train_freq: Any, n_envs: int) -> tuple[int, str]:
    """
    :param train_freq: whole number, or a pair (whole number, "step" or "episode")
    :param n_envs: number of parallel environments
    :return: the pair
    :raises ValueError: on a frequency below 1, an unknown unit, or episodes of several environments
    """
    is_pair = isinstance(train_freq, tuple | list) and len(train_freq) == 2
    frequency, unit = train_freq if is_pair else (train_freq, "step")
    unit = getattr(unit, "value", unit)  # SB3's TrainFreq holds an Enum
    frequency = as_int("train_freq", frequency, minimum=1)
    check_known("unit of train_freq", unit, ("step", "episode"))
    if unit == "episode" and n_envs > 1:
        raise ValueError(
            f"train_freq={(frequency, unit)!r} counts episodes, which {n_envs} environments at once cannot do; "
            "give steps (train_freq=4) or use one environment."
        )
    return frequency, unit


def check_exploration_delay(delay: int, exploration: str, steps: int | None) -> None:
    """
    :param delay: environment steps
    :param exploration: short name of the schedule
    :param steps: over which linear exploration falls, None if that is a fraction of the training
    :raises ValueError: if the schedule does not count environment steps
    """
    if delay and exploration != "exponential" and (exploration != "linear" or steps is None):
        raise ValueError(
            f"exploration_delay={delay} delays a schedule that counts environment steps: give exploration_steps, or "
            f"exploration='exponential' (it is {exploration!r})."
        )


def check_single_pace(replay_ratio: Any, train_freq: Any, gradient_steps: Any) -> None:
    """
    :param replay_ratio: one way to say how often to learn, None if not used
    :param train_freq: and the other, None if not used
    :param gradient_steps: likewise
    :raises ValueError: if both are used
    """
    if replay_ratio is not None and (train_freq is not None or gradient_steps is not None):
        raise ValueError(
            f"replay_ratio={replay_ratio!r} and train_freq={train_freq!r}, gradient_steps={gradient_steps!r} both say "
            "how often to learn; give one or the other (None leaves it out)."
        )


def check_replay_ratio(replay_ratio: Any, overlap: Any) -> None:
    """
    :param replay_ratio: updates per transition, None if not used
    :param overlap: whether updates are made while the environments step
    :raises ValueError: on a bad number, or overlap without a replay ratio
    """
    if replay_ratio is not None:
        check_between("replay_ratio", replay_ratio, 0, MAX_REPLAY_RATIO, above_low=True)
    if not isinstance(overlap, bool):
        raise ValueError(f"overlap must be True or False, got {overlap!r}.")
    if overlap and replay_ratio is None:
        raise ValueError("overlap=True needs replay_ratio (0.25 is an update for every 4 transitions).")


def minibatch_size(n_envs: int, n_steps: int, most: int) -> int:
    """
    :param n_envs: number of parallel environments
    :param n_steps: vector steps of a rollout
    :param most: transitions per update
    :return: the largest that divides a rollout
    """
    n_transitions = n_envs * n_steps
    return max(each for each in range(1, min(most, n_transitions) + 1) if n_transitions % each == 0)


def check_rollout(n_envs: int, n_steps: int, batch_size: int) -> None:
    """
    :param n_envs: number of parallel environments
    :param n_steps: vector steps of a rollout
    :param batch_size: transitions per update
    :raises ValueError: if a rollout is too short, or not a whole number of minibatches
    """
    n_transitions = n_envs * n_steps
    if n_transitions < 2:
        raise ValueError(
            f"n_steps={n_steps} with {n_envs} environment is a rollout of one transition: raise n_steps, or n_envs."
        )
    if n_transitions % batch_size:
        small = [each for each in range(1, math.isqrt(n_transitions) + 1) if n_transitions % each == 0]
        nearest = min(
            [*small, *(n_transitions // each for each in small)], key=lambda each: (abs(each - batch_size), each)
        )
        raise ValueError(
            f"batch_size={batch_size} must divide the {n_transitions} transitions of a rollout "
            f"({counted(n_envs, 'environment')} times n_steps={n_steps}): take {nearest}, or another n_steps "
            "(batch_size=None takes the largest that divides them, up to 128)."
        )


def check_values_and_bootstrap(algorithm: str, values: Any, bootstrap: Any) -> None:
    """
    :param algorithm: name of the class
    :param values: from `make_values()`
    :param bootstrap: its rule
    :raises ValueError: if they are not what an objective needs
    """
    if not isinstance(values, Values):
        raise ValueError(
            f"{algorithm}.make_values() must return an object derived from Values, with n_outputs, mean, target and "
            f"loss, such as ScalarValues(), got {values!r}."
        )
    as_int(f"n_outputs of {values!r}", getattr(values, "n_outputs", None), minimum=1)
    if isinstance(bootstrap, type) or not callable(bootstrap) or isinstance(bootstrap, _FUNCTIONS):
        raise ValueError(
            f"{algorithm}.bootstrap must be an object that is called with (values, online, target, batch), such as "
            f"Greedy() or Double(), got {bootstrap!r}."
        )


def takes(policy_class: type, name: str) -> bool:
    """:return: whether the class's constructor has a parameter of this name, or passes unknown ones on"""
    parameters = signature(policy_class.__init__).parameters  # type: ignore[misc]
    return name in parameters or any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
