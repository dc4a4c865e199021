"""What an algorithm learns: its class says, and the constructor's `values` and `bootstrap` may say otherwise."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from sb3_atari_dqn.algorithms.arguments import check_values_and_bootstrap, takes
from sb3_atari_dqn.algorithms.saved_objective import choice
from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.objectives.bootstrap import Bootstrap
from sb3_atari_dqn.objectives.categorical import CategoricalValues
from sb3_atari_dqn.objectives.checks import rehearse
from sb3_atari_dqn.objectives.names import VALUES, resolve_bootstrap, resolve_values
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.validation import check_options

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm as _Host
else:
    _Host = object

#: Where the support holds the returns, only an error of the network is beyond it.
_MUCH_CLIPPED = 0.5


class ChosenObjective(_Host):
    """A mixin for SB3's algorithms: representation of returns, bootstrap rule and the networks that go with them."""

    #: Representation of returns, by short name or the object itself; see :mod:`~sb3_atari_dqn.objectives.names`.
    values: str | Values = "scalar"
    values_kwargs: dict[str, Any] | None = None
    #: What enters the target, by short name or the object itself.
    bootstrap: str | Bootstrap = "greedy"
    bootstrap_kwargs: dict[str, Any] | None = None
    #: Defaults of `policy_kwargs`, which the user's override.
    policy_defaults: ClassVar[dict[str, Any]] = {}
    #: Likewise, for policies of images: the torso and its arguments.
    torso_defaults: ClassVar[dict[str, Any]] = {}

    policy: QPolicy
    gamma: float
    max_grad_norm: float
    loss: str | None
    _warned_of_support: bool = False
    #: What the networks were built for; None if make_values() is the user's and may give a new object each time
    _built_values: Values | None = None
    #: Smallest and largest reward stored by this object, before a normalization; empty where nothing counts them
    _rewards_seen: tuple[float, ...] = ()
    #: Of the replay memory
    _largest_reward_learned_from: Callable[[], float | None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Options belong to the class that chose what they are of: one with another choice begins without any."""
        super().__init_subclass__(**kwargs)
        for name in ("values", "bootstrap"):
            if name in vars(cls) and f"{name}_kwargs" not in vars(cls):
                setattr(cls, f"{name}_kwargs", None)

    def _choose_objective(
        self,
        values: str | Values | None,
        values_kwargs: dict[str, Any] | None,
        bootstrap: str | Bootstrap | None,
        bootstrap_kwargs: dict[str, Any] | None,
    ) -> None:
        """
        Keep what the user chose; the options of the class belong to its own choice, named or not, and to no other one.

        :raises ValueError: if options are not a mapping
        """
        for name, options in (("values_kwargs", values_kwargs), ("bootstrap_kwargs", bootstrap_kwargs)):
            check_options(name, {} if options is None else options)
        given: dict[str, Any] = {"values": values, "values_kwargs": values_kwargs}
        given |= {"bootstrap": bootstrap, "bootstrap_kwargs": bootstrap_kwargs}
        own = {name: getattr(self, name) for name in given}
        if values is not None or values_kwargs is not None:
            self.values, self.values_kwargs = choice("values", given, own)
        if bootstrap is not None or bootstrap_kwargs is not None:
            self.bootstrap, self.bootstrap_kwargs = choice("bootstrap", given, own)

    def make_values(self) -> Values:
        """:return: how this algorithm represents returns; called once, when the networks are built"""
        return resolve_values(self.values, self.values_kwargs, self.loss)

    def _check_values_unchanged(self) -> None:
        """:raises ValueError: if attributes that the networks were built for have changed since"""
        if self._built_values is not None and (wanted := self.make_values()) != self._built_values:
            raise ValueError(
                f"This {type(self).__name__} was built for {self._built_values!r}, and its attributes values, "
                f"values_kwargs and loss now say {wanted!r}: give them to the constructor of a new model."
            )

    @property
    def objective(self) -> Objective:
        """What is learned from a batch, by any learner."""
        bootstrap = resolve_bootstrap(self.bootstrap, self.bootstrap_kwargs)
        return Objective(self.policy.q_net.values, bootstrap, self.gamma)

    @property
    def _learning_rule(self) -> LearningRule:
        return LearningRule(self.objective, self.max_grad_norm)

    def _complete_policy_kwargs(self) -> dict[str, Any]:
        """:return: the user's, and for the rest what the algorithm sets, as far as the policy's class takes it"""
        if "values" in self.policy_kwargs:
            raise ValueError("policy_kwargs: values is an argument of the algorithm itself: pass values= beside it.")
        values, bootstrap = self.make_values(), resolve_bootstrap(self.bootstrap, self.bootstrap_kwargs)
        check_values_and_bootstrap(type(self).__name__, values, bootstrap)
        if type(values) not in VALUES.values():
            rehearse(values, int(self.action_space.n), self.device)  # type: ignore[attr-defined]
        Objective(values, bootstrap)  # raises if they do not go together
        unset = ("head", None), ("features_extractor_class", None)
        given = {name: value for name, value in self.policy_kwargs.items() if (name, value) not in unset}
        own_head = getattr(self.policy_class, "default_head", None)  # policies of 0.1.0 have the attribute
        defaults = {**self.policy_defaults, **({"head": own_head} if own_head else {}), "values": values}
        taken = {name: value for name, value in defaults.items() if takes(self.policy_class, name)}
        if "values" not in taken and values != ScalarValues():
            raise ValueError(
                f"{self.policy_class.__name__} must take values={values!r} and pass it to QPolicy.__init__."
            )
        if given.get("noisy") is False:
            taken.pop("noisy_std", None)
        return {**taken, **self._torso(given), **given}

    def _torso(self, given: dict[str, Any]) -> dict[str, Any]:
        """
        :param given: by the user, of whose `features_extractor_kwargs` each replaces one of the algorithm's
        :return: the algorithm's torso, named by the user or not, unless the user names another one
        """
        is_ours = issubclass(self.policy_class, QPolicy) and self.policy_class.takes_images()
        named = given.get("features_extractor_class")
        if not is_ours or (named is not None and not self._is_own_torso(named)):
            return {}
        arguments = dict(self.torso_defaults.get("features_extractor_kwargs", {}))
        if given.get("net_arch") is not None:
            arguments.pop("hidden_size", None)  # both size the hidden layer of the head
        if (options := given.pop("features_extractor_kwargs", None)) is not None:
            check_options("features_extractor_kwargs", options)
            if "features_dim" in options:  # another name of it
                arguments.pop("hidden_size", None)
            arguments |= options
        return {**self.torso_defaults, **({"features_extractor_kwargs": arguments} if arguments else {})}

    def _is_own_torso(self, named: Any) -> bool:
        policy_class: Any = self.policy_class
        own = self.torso_defaults.get("features_extractor_class", policy_class.default_features_extractor)
        return QPolicy.is_same_torso(named, own)

    def _rewards_learned_from(self) -> tuple[float, ...]:
        """:return: the smallest and the largest reward, or only the largest absolute value; empty if that is unknown"""
        largest = self._largest_reward_learned_from()
        normalization = self._vec_normalize_env
        is_normalized = normalization is not None and normalization.norm_reward  # not those that it was given
        if largest is None or (is_normalized and self._rewards_seen):
            return ()
        return self._rewards_seen or (largest,)

    def _warn_of_support(self, clipped: float) -> None:
        """
        A categorical distribution has no atoms beyond its support: such returns are learned as its edge.

        :param clipped: share of the targets' probability beyond the support, mean since the last record
        """
        values = self.policy.q_net.values
        if self._warned_of_support or not isinstance(values, CategoricalValues):
            return
        beyond = _beyond_support(self._rewards_learned_from(), values)
        if beyond is None and clipped < _MUCH_CLIPPED:
            return
        self._warned_of_support = True
        what = f"Rewards of {beyond:g} are" if beyond is not None else f"{clipped:.0%} of the targets' probability is"
        warnings.warn(
            f"{what} beyond the support of {values!r}, which learns them as its edge: give values_kwargs v_min and "
            f"v_max that hold the returns (sums of rewards, with gamma={self.gamma:g}), or clip or scale the rewards.",
            RuntimeWarning,
            stacklevel=2,
        )


def _beyond_support(rewards: tuple[float, ...], values: CategoricalValues) -> float | None:
    """
    :param rewards: the smallest and the largest, or only the largest absolute value
    :return: the first that the support does not hold
    """
    low, high = values.v_min, values.v_max
    if len(rewards) == 1:
        low, high = 0, max(high, -low)
    return next((each for each in rewards if not low <= each <= high), None)
