"""Saving and loading: models of this package, of its version 0.1.0, and those of SB3's DQN where the algorithm is the
same."""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from stable_baselines3.common.save_util import open_path
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.algorithms.arguments import (
    SB3_GRADIENT_STEPS,
    SB3_TRAIN_FREQ,
    check_policy_class,
    check_single_pace,
    renamed_attributes,
    under_new_names,
)
from sb3_atari_dqn.algorithms.base import ValueBasedAlgorithm
from sb3_atari_dqn.algorithms.model_sizes import check_sizes, knows_sizes
from sb3_atari_dqn.algorithms.saved_objective import with_saved_objective
from sb3_atari_dqn.checkpoints.model_files import (
    ModelPath,
    SavedModel,
    add_safe_part,
    destination,
    is_sb3_dqn,
    read_attributes,
    read_model,
    read_weights,
    refuse_foreign,
    refuse_unknown,
    replacing,
)
from sb3_atari_dqn.checkpoints.state import generator_state
from sb3_atari_dqn.objectives.bootstrap import Greedy
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.names import resolve_values
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.policies_0_1_0 import DUELING
from sb3_atari_dqn.replay.kinds import SB3_BUFFERS
from sb3_atari_dqn.validation import check_device, check_options

_Self = TypeVar("_Self", bound="SavedModels")

GIVE_ENV = "pass env= to load(), or call set_env()"

if TYPE_CHECKING:
    _Host = ValueBasedAlgorithm
else:
    _Host = object


class SavedModels(_Host):
    """A mixin: models are written whole or not at all, and opened only by the algorithm that saved them."""

    algorithm: str
    exploration_state: dict[str, Any]

    def _excluded_save_params(self) -> list[str]:
        own = "_replay_buffer", "_learner", "_log", "_normalization", "explorer", "_continuation", "_built_values"
        return [*super()._excluded_save_params(), *own]

    def save(self, path: ModelPath, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """
        Save the model, without its replay buffer; an interruption leaves an older file whole.

        :param path: file, named as SB3 names it (".zip" is added to a bare name), or a file object
        :param exclude: attributes to leave out
        :param include: attributes to keep although SB3 leaves them out
        """
        self._check_values_unchanged()
        self.exploration_state = self.explorer.state_dict()
        content = io.BytesIO()
        super().save(content, exclude, include)
        add_safe_part(content, vars(self))
        if not isinstance(path, str | Path):
            open_path(path, "w").write(content.getbuffer())
            return
        with replacing(destination(path)) as file:
            file.write(content.getbuffer())

    @classmethod
    def load(
        cls: type[_Self],
        path: ModelPath,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        trust: bool | None = None,
        **kwargs: Any,
    ) -> _Self:
        """
        Load a model that this class saved, or, as the two are the same algorithm, :class:`ClassicDQN` one that SB3's
        DQN saved. Nothing in the file is executed; other parameters: see SB3.

        Without `seed` among them exploration continues from the state of the saved model.

        :param trust: let the file run code, as SB3 does; None: as the environment variable SB3_ATARI_DQN_TRUST says
        :raises UnsafeFile: if it is not trusted and needs something outside of the allow-list; the message names it
        :raises ValueError: if another algorithm saved the file, or an argument is unknown or bad
        """
        check_device(device)
        saved, attributes, replaced = _converted(path, custom_objects, cls.policy_defaults, trust)
        if cls._equals_sb3_dqn() and is_sb3_dqn(attributes):
            replaced = cls._in_place_of_sb3s(attributes)
        else:
            refuse_foreign(path, attributes, cls.__name__)
        kwargs = under_new_names(f"{cls.__name__}.load()", kwargs)
        told = bool({"policy_kwargs", "exploration", "exploration_steps"} & kwargs.keys())
        refuse_unknown(kwargs, {*attributes, *signature(cls.__init__).parameters}, cls.__name__)
        kwargs = with_saved_objective(path, {**_objective_of(cls), **attributes}, cls._with_pace(attributes, kwargs))
        if "policy_kwargs" in kwargs:
            cls._check_policy_kwargs(path, kwargs.pop("policy_kwargs"), {**attributes, **replaced, **kwargs})
        if kwargs.get("replay_buffer_kwargs", {}) is None:
            kwargs["replay_buffer_kwargs"] = {}
        kwargs = {**renamed_attributes(attributes), **kwargs}
        if saved.n_weights is not None:
            cls._check_n_weights(path, saved.n_weights, {**attributes, **replaced, **kwargs})
        custom_objects = {**saved.attributes, **replaced, **(custom_objects or {})}
        with _without_deprecations(), _without_warnings_of_exploration(not told):
            model = super().load(saved.archive, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        if kwargs.get("seed") is None:
            model._restore_exploration(attributes)
        return model

    @classmethod
    def _check_n_weights(cls, path: ModelPath, n_weights: int, attributes: dict[str, Any]) -> None:
        """
        Ask this before the networks are built: a few bytes can describe networks that fill the memory.

        :raises ValueError: if the file holds fewer weights than the networks that it describes
        """
        policy_kwargs = dict(attributes.get("policy_kwargs") or {})
        policy_class = attributes.get("policy_class")
        if not knows_sizes(policy_class, policy_kwargs):
            check_sizes(attributes.get("observation_space"), policy_kwargs)
            return
        policy_kwargs.pop("device", None)
        unbuilt: Any = cls(policy_class, None, device="cpu", _init_setup_model=False)  # type: ignore[arg-type, call-arg]
        vars(unbuilt).update({**attributes, "policy_kwargs": policy_kwargs})
        wanted = sum(each.numel() for each in unbuilt._network_shapes().values())
        if wanted > n_weights:
            raise ValueError(
                f"{path} is damaged: it describes networks of {wanted:,} weights, and holds {n_weights:,}; use another "
                "copy."
            )

    def _restore_exploration(self, attributes: dict[str, Any]) -> None:
        if "exploration_state" in attributes:
            self.explorer.load_state_dict(attributes["exploration_state"])
        elif isinstance(rng := attributes.get("exploration_rng"), np.random.Generator):  # of version 0.1.0
            self.explorer.load_state_dict({"generator": generator_state(rng)})

    @classmethod
    def _with_pace(cls, attributes: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """
        :param attributes: of the file
        :param kwargs: given to `load()`; None leaves an argument out, as in the constructor
        :return: the latter, with the pace of the class, or SB3's, where nothing says how often to learn
        :raises ValueError: if there are two paces
        """
        saved_ratio = {**attributes, **renamed_attributes(attributes)}.get("replay_ratio")
        ratio = kwargs.get("replay_ratio", saved_ratio)
        check_single_pace(ratio, kwargs.get("train_freq"), kwargs.get("gradient_steps"))
        sb3 = {"train_freq": SB3_TRAIN_FREQ, "gradient_steps": SB3_GRADIENT_STEPS}
        parameters = signature(cls.__init__).parameters  # of a class of the user's, any
        own = {name: parameters[name].default for name in sb3.keys() & parameters.keys()}
        default = {**sb3, **{name: value for name, value in own.items() if value not in (None, Parameter.empty)}}
        given = {name: value for name, value in kwargs.items() if not (name in sb3 and value is None)}
        is_reset = ratio is None and (saved_ratio is not None or len(given) < len(kwargs))
        return {**default, **given} if is_reset else given

    @classmethod
    def _check_policy_kwargs(cls, path: ModelPath, given: dict[str, Any] | None, attributes: dict[str, Any]) -> None:
        """:raises ValueError: if they mean other networks than those in the file, or are none"""
        saved, given = attributes.get("policy_kwargs") or {}, {} if given is None else given
        check_options("policy_kwargs", given)
        if given != saved and not cls._mean_the_same(saved, given, attributes):
            raise ValueError(
                f"{path} was saved with policy_kwargs={saved}, and load() was given {given}: the networks of a saved "
                "model are fixed, omit policy_kwargs."
            )

    @classmethod
    def _mean_the_same(cls, saved: dict[str, Any], given: dict[str, Any], attributes: dict[str, Any]) -> bool:
        try:
            return cls._described(saved, attributes) == cls._described(given, attributes)
        except ValueError:  # they mean no networks at all
            return False

    @classmethod
    def _described(cls, policy_kwargs: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """:return: what the arguments mean, as far as that is known without running code of the user's"""
        policy_kwargs = {name: value for name, value in policy_kwargs.items() if name != "device"}
        policy_class: Any = attributes.get("policy_class")
        if not knows_sizes(policy_class, policy_kwargs):
            return policy_kwargs
        check_sizes(attributes.get("observation_space"), policy_kwargs)
        unbuilt: Any = cls(policy_class, None, device="cpu", _init_setup_model=False)  # type: ignore[call-arg]
        vars(unbuilt).update({**attributes, "policy_kwargs": policy_kwargs})
        check_policy_class(unbuilt, QPolicy)
        spaces = attributes["observation_space"], attributes["action_space"]
        return dict(policy_class.description(*spaces, lambda _: 0.0, **unbuilt._complete_policy_kwargs()))

    @classmethod
    def _equals_sb3_dqn(cls) -> bool:
        has_own_values = cls.make_values is not ValueBasedAlgorithm.make_values or cls.values != "scalar"
        return cls.bootstrap in ("greedy", Greedy()) and not cls.policy_defaults and not has_own_values

    @classmethod
    def _in_place_of_sb3s(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        """
        :param attributes: of a model of SB3's DQN
        :return: replacements for those that differ here: our policy of the same networks, no schedule (it is built
            anew), and of the buffer what the user chose, as SB3 overwrites that with its own choice
        """
        name = attributes["policy_class"].__name__
        adapted: dict[str, Any] = {
            "policy_class": cls.policy_aliases[name if name in cls.policy_aliases else "MlpPolicy"],
            "exploration_schedule": None,
        }
        if attributes.get("replay_buffer_class") in SB3_BUFFERS:
            buffer_kwargs = attributes.get("replay_buffer_kwargs") or {}
            kept = {key: value for key, value in buffer_kwargs.items() if key == "handle_timeout_termination"}
            adapted |= {"replay_buffer_class": None, "replay_buffer_kwargs": kept}
        return adapted

    def get_env(self) -> VecEnv | None:
        """
        The training environment, None without one.

        A model loaded without an environment has none, and the failure that None then causes is far from its cause
        (`evaluate_policy(model, model.get_env())`): hence the warning.
        """
        env = super().get_env()
        if env is None:
            warnings.warn(f"This {self.algorithm} has no environment: {GIVE_ENV}.", stacklevel=2)
        return env

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
        trust: bool | None = None,
    ) -> None:
        """
        Load weights and optimizer state; those of SB3's DQN fit a linear head. Other parameters: see SB3.

        :param trust: see :meth:`load`
        :raises UnsafeFile: if the file is not trusted and holds anything but weights
        :raises RuntimeError: if the networks differ, as in SB3
        """
        given = load_path_or_dict
        weights: Any = given if isinstance(given, dict) else read_weights(given, trust)
        if not isinstance(given, dict):
            self._check_same_support(given, trust)
        self._learner = None  # it may hold copies of parameters, some of which change even if an error follows
        try:
            super().set_parameters(weights, exact_match, device)
        except RuntimeError as error:
            source = "the dictionary" if isinstance(load_path_or_dict, dict) else load_path_or_dict
            raise RuntimeError(
                f"The parameters in {source} do not fit the networks of this {self.algorithm} "
                f"({self.policy_class.__name__}, policy_kwargs={self.policy_kwargs}); build it with the policy and "
                f"policy_kwargs they come from. {error}"
            ) from error

    def _check_same_support(self, path: ModelPath, trust: bool | None) -> None:
        """:raises RuntimeError: if the file says that its outputs mean other returns; shapes do not tell"""
        values = self.policy.q_net.values
        if not isinstance(values, CategoricalValues):
            return
        try:
            attributes = read_attributes(path, trust=trust)
        except ValueError:  # weights are all that is needed
            return
        saved = {**(_objective_of(type(self)) if attributes.get("algorithm") == self.algorithm else {}), **attributes}
        if "values" not in saved:
            return
        theirs = resolve_values(saved["values"], saved.get("values_kwargs"), saved.get("loss", "huber"))
        if isinstance(theirs, CategoricalValues) and theirs.atoms == values.atoms and theirs != values:
            raise RuntimeError(
                f"The parameters in {path} are for {theirs!r}, and this {self.algorithm} has {values!r}: the same "
                f"outputs would mean other returns. Build it with values_kwargs={{'v_min': {theirs.v_min!r}, 'v_max': "
                f"{theirs.v_max!r}}}."
            )


def _objective_of(cls: type[ValueBasedAlgorithm]) -> dict[str, Any]:
    return {name: getattr(cls, name) for name in ("values", "values_kwargs", "bootstrap", "bootstrap_kwargs")}


def _converted(
    path: ModelPath, custom_objects: dict[str, Any] | None, policy_defaults: dict[str, Any], trust: bool | None
) -> tuple[SavedModel, dict[str, Any], dict[str, Any]]:
    """
    :return: what is in the file, its attributes, and those among them that replace attributes of version 0.1.0
    """
    with _without_deprecations():
        saved = read_model(path, custom_objects, trust)
    attributes = saved.attributes
    policy_kwargs = dict(attributes.get("policy_kwargs") or {})
    if "head" in policy_kwargs and policy_kwargs["head"] is None:
        del policy_kwargs["head"]  # the default
    if policy_kwargs.get("head") == "plain":
        policy_kwargs["head"] = "linear"
    replaced: dict[str, Any] = {}
    if replacement := DUELING.get(attributes.get("policy_class")):  # type: ignore[arg-type]
        replaced["policy_class"] = replacement
        if policy_defaults.get("head") != "dueling":
            policy_kwargs.setdefault("head", "dueling")
    if policy_kwargs != (attributes.get("policy_kwargs") or {}):
        replaced["policy_kwargs"] = policy_kwargs
    if replaced or renamed_attributes(attributes):
        warnings.warn(
            f"{path} was saved by version 0.1.0, whose files the next release no longer reads: save the model again.",
            FutureWarning,
            stacklevel=3,
        )
    return saved, {**attributes, **replaced}, replaced


@contextmanager
def _without_warnings_of_exploration(known: bool) -> Iterator[None]:
    """:param known: whether the arguments that are warned of are those of the file: its model has said it"""
    with warnings.catch_warnings():
        if known:
            for said in (".*explores by its noisy layers", "exploration_steps=.* changes nothing"):
                warnings.filterwarnings("ignore", said, RuntimeWarning)
        yield


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """The names in a file are not the user's: one warning about the file replaces those about each of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "^(Double|Dueling).* is deprecated", FutureWarning)
        yield
