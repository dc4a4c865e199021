"""The names that a file may use when it is loaded: classes whose construction and methods run nothing from the file.

Every name is listed by itself, never a package with all that is in it: `torch.load`, `numpy.load` or
`functools.partial` live beside harmless ones. How a file may use a name depends on its list.
"""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from sb3_atari_dqn.checkpoints.brief import brief

#: Set to 1 for `trust=True` in every place that takes `trust`, and for the zoo's scripts, which have no such option.
VARIABLE = "SB3_ATARI_DQN_TRUST"

WAY_OUT = (
    f"Only if you trust its author: trust=True, --trust, or {VARIABLE}=1 for the zoo's scripts. A class of your own: "
    "sb3_atari_dqn.allow(it)."
)


class UnsafeFile(ValueError):
    """A file would run something that is not on our lists; nothing of it has been run."""


class NotAllowed(Exception):
    """
    :param name: dotted, not on our lists
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _within(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


#: Classes that may be named, such as the class of a policy. The file cannot call them.
CLASSES = {
    *_within("sb3_atari_dqn.policies", "QPolicy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("sb3_atari_dqn.policies", "DoubleQPolicy DoubleMlpPolicy DoubleCnnPolicy DoubleMultiInputPolicy"),
    *_within("sb3_atari_dqn.policies", "DuelingQPolicy DuelingMlpPolicy DuelingCnnPolicy DuelingMultiInputPolicy"),
    *_within("sb3_atari_dqn.policies_0_1_0", "DuelingQPolicy DuelingMlpPolicy DuelingCnnPolicy"),
    *_within("sb3_atari_dqn.policies_0_1_0", "DuelingMultiInputPolicy"),
    *_within("sb3_atari_dqn.networks.heads", "LinearHead DuelingHead"),
    *_within("sb3_atari_dqn.networks.torsos", "DQN2013Torso NatureTorso NatureStride2Torso EluTorso"),
    *_within("sb3_atari_dqn.networks.torsos", "PrintedEluTorso MaxPoolTorso ImpalaTorso"),
    *_within("sb3_atari_dqn.networks.hadamax", "HadamaxTorso"),
    *_within("sb3_atari_dqn.networks.bytes", "BytesExtractor"),
    *_within("sb3_atari_dqn.replay.buffer", "FrameReplayBuffer"),
    *_within("sb3_atari_dqn.replay.prioritized", "PrioritizedFrameReplayBuffer"),
    *_within("stable_baselines3.dqn.policies", "DQNPolicy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("stable_baselines3.td3.policies", "TD3Policy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("stable_baselines3.sac.policies", "SACPolicy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("stable_baselines3.common.policies", "ActorCriticPolicy ActorCriticCnnPolicy"),
    *_within("stable_baselines3.common.policies", "MultiInputActorCriticPolicy"),
    *_within("stable_baselines3.common.torch_layers", "FlattenExtractor NatureCNN CombinedExtractor"),
    *_within("stable_baselines3.common.buffers", "RolloutBuffer DictRolloutBuffer"),
    *_within("stable_baselines3.common.sb2_compat.rmsprop_tf_like", "RMSpropTFLike"),
    *_within("sb3_contrib.common.recurrent.policies", "RecurrentActorCriticPolicy RecurrentActorCriticCnnPolicy"),
    *_within("sb3_contrib.common.recurrent.policies", "RecurrentMultiInputActorCriticPolicy"),
    *_within("sb3_contrib.common.recurrent.buffers", "RecurrentRolloutBuffer RecurrentDictRolloutBuffer"),
    *_within("sb3_contrib.common.maskable.policies", "MaskableActorCriticPolicy MaskableActorCriticCnnPolicy"),
    *_within("sb3_contrib.common.maskable.policies", "MaskableMultiInputActorCriticPolicy"),
    *_within("sb3_contrib.common.maskable.buffers", "MaskableRolloutBuffer MaskableDictRolloutBuffer"),
    *_within("sb3_contrib.qrdqn.policies", "QRDQNPolicy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("sb3_contrib.tqc.policies", "TQCPolicy MlpPolicy CnnPolicy MultiInputPolicy"),
    *_within("sb3_contrib.crossq.policies", "CrossQPolicy MlpPolicy"),
    *_within("sb3_contrib.ars.policies", "ARSPolicy ARSLinearPolicy MlpPolicy LinearPolicy"),
    *_within("torch.nn.modules.activation", "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU"),
    *_within("torch.nn.modules.activation", "LogSigmoid Mish PReLU ReLU ReLU6 RReLU SELU Sigmoid SiLU Softplus"),
    *_within("torch.nn.modules.activation", "Softshrink Softsign Tanh Tanhshrink"),
    *_within("torch.nn.modules.linear", "Identity"),
    *_within("torch.nn.modules.normalization", "GroupNorm LayerNorm"),
    *(
        f"torch.optim.{name.lower()}.{name}"
        for name in ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"]
    ),
    "torch.optim.sgd.SGD",
    *_within("numpy", "ndarray bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"),
    *_within("numpy.random._pcg64", "PCG64 PCG64DXSM"),
    *_within("numpy.random._mt19937", "MT19937"),
    *_within("numpy.random.bit_generator", "SeedSequence"),
    *_within("builtins", "bool float int str"),
}

#: Classes of which a file may also hold objects. They are made empty, and get their attributes.
OBJECTS = {
    *_within("gymnasium.spaces.box", "Box"),
    *_within("gymnasium.spaces.discrete", "Discrete"),
    *_within("gymnasium.spaces.multi_discrete", "MultiDiscrete"),
    *_within("gymnasium.spaces.multi_binary", "MultiBinary"),
    *_within("gymnasium.spaces.dict", "Dict"),
    *_within("gymnasium.spaces.tuple", "Tuple"),
    *_within("stable_baselines3.common.utils", "FloatSchedule LinearSchedule ConstantSchedule"),
    *_within("stable_baselines3.common.noise", "NormalActionNoise OrnsteinUhlenbeckActionNoise VectorizedActionNoise"),
    *_within("stable_baselines3.common.buffers", "ReplayBuffer DictReplayBuffer NStepReplayBuffer"),
    *_within("stable_baselines3.her.her_replay_buffer", "HerReplayBuffer"),
    *_within("stable_baselines3.common.running_mean_std", "RunningMeanStd"),
    *_within("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"),
    *_within("rl_zoo3.utils", "SimpleLinearSchedule"),
    *_within("sb3_atari_dqn.schedules", "LinearEpsilon LinearEpsilonOverSteps ExponentialEpsilon DelayedEpsilon"),
    *_within("sb3_atari_dqn.schedules", "NoEpsilon LinearBeta LinearRate"),
    *_within("sb3_atari_dqn.objectives.scalar", "ScalarValues"),
    *_within("sb3_atari_dqn.objectives.categorical", "CategoricalValues"),
    *_within("sb3_atari_dqn.objectives.quantile", "QuantileValues ImplicitQuantileValues"),
    *_within("sb3_atari_dqn.objectives.bootstrap", "Greedy Double Minto Munchausen"),
    *_within("sb3_atari_dqn.replay.samplers", "UniformSampler SB3Sampler ProportionalSampler"),
    *_within("sb3_atari_dqn.replay.sb3_buffers", "SeededReplayBuffer SeededDictReplayBuffer SeededNStepReplayBuffer"),
}

#: Named tuples, made of their fields.
NAMED_TUPLES = _within("stable_baselines3.common.type_aliases", "TrainFreq")

#: Enumerations, made of their values.
ENUMS = {
    *_within("stable_baselines3.common.type_aliases", "TrainFrequencyUnit"),
    *_within("stable_baselines3.her.goal_selection_strategy", "GoalSelectionStrategy"),
}

_LISTED = CLASSES | OBJECTS | NAMED_TUPLES | ENUMS
_of_the_user: dict[str, Any] = {}


def allow(*named: Any) -> None:
    """
    Let files use classes or functions of your own: a policy, a features extractor, a replay buffer, a schedule.

    Saved objects of an allowed class are made without calling its constructor, and get the attributes that the file
    says, through its own `__setstate__` if it has one. Call this before loading, in every program that loads one.

    :param named: classes or functions
    :raises TypeError: on anything else
    """
    for each in named:
        if not (isinstance(each, type) or hasattr(each, "__code__")):
            raise TypeError(f"allow() takes classes and functions, got {each!r}.")
        _of_the_user[name_of(each)] = each


def name_of(named: Any) -> str:
    """:return: module and qualified name of a class or a function"""
    return f"{named.__module__}.{named.__qualname__}"


def lookup(name: str) -> Any:
    """
    :param name: dotted
    :return: the class or function of this name
    :raises NotAllowed: if it is not on our lists
    :raises ImportError: if it is, but is not installed
    """
    if name in _of_the_user:
        return _of_the_user[name]
    if name not in _LISTED:
        raise NotAllowed(name)
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"{name} is not in the installed version of {module.partition('.')[0]}") from error


def is_allowed(named: Any) -> bool:
    """:return: whether a class or function is the one that a file may use under its name"""
    name = name_of(named)
    if name in _of_the_user:
        return _of_the_user[name] is named
    return name in _LISTED and getattr(sys.modules.get(named.__module__), named.__qualname__, None) is named


def is_listed(named: Any) -> bool:
    """:return: whether a class is allowed without :func:`allow`"""
    return name_of(named) in _LISTED and is_allowed(named)


def makes_objects(kind: type) -> bool:
    """:return: whether a file may hold objects of this class"""
    return is_allowed(kind) and (name_of(kind) in OBJECTS or name_of(kind) in _of_the_user)


def new_object(kind: Any) -> Any:
    """:return: an object of an allowed class, still without its attributes"""
    return kind.__new__(kind)


def set_state(target: Any, state: Any) -> None:
    """
    :param target: from :func:`new_object`
    :param state: its attributes by name
    :raises TypeError: if they are not that
    """
    is_of_the_user = name_of(type(target)) in _of_the_user and hasattr(target, "__setstate__")
    if not is_of_the_user and not (isinstance(state, dict) and all(type(key) is str for key in state)):
        raise TypeError(f"the attributes of a {type(target).__name__} are {brief(state, 60)}")
    if hasattr(target, "__setstate__"):  # of the listed classes these convert old attributes, and nothing else
        target.__setstate__(state)
    else:
        vars(target).update(state)


def trusts(trust: bool | None) -> bool:
    """
    :param trust: as passed by the user; None: the environment variable decides
    :return: whether a file may run code
    :raises ValueError: on another value of the variable
    """
    if trust is not None:
        return bool(trust)
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE}={value!r} must be 1 (files may run code) or 0.")
    return value == "1"


def refusal(what: str, names: Iterable[str]) -> UnsafeFile:
    """
    :param what: file, and where in it
    :param names: that it would use
    """
    return UnsafeFile(f"{what} is refused: it would run {', '.join(names)}. {WAY_OUT}")
