"""What every value-based algorithm has: an objective, a learner, exploration and logs.

B: batch, N: environments.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import update_learning_rate
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_atari_dqn.algorithms import divergence
from sb3_atari_dqn.algorithms.arguments import (
    LEARNERS,
    OLD_LEARNERS,
    check_exploration_delay,
    check_policy_class,
)
from sb3_atari_dqn.algorithms.chosen_objective import ChosenObjective
from sb3_atari_dqn.algorithms.env_stacking import frame_stacking
from sb3_atari_dqn.algorithms.failures import checkpoint_hint, explained_failures, watch_workers
from sb3_atari_dqn.algorithms.model_sizes import check_sizes
from sb3_atari_dqn.algorithms.remote_acting import actors_of, let_actors_follow
from sb3_atari_dqn.algorithms.training_log import TrainingLog
from sb3_atari_dqn.exploration import EpsilonGreedy, exploration_of
from sb3_atari_dqn.finite import NonFiniteUpdate
from sb3_atari_dqn.learners.fast import FastLearner, check_policy
from sb3_atari_dqn.learners.precision import PRECISIONS
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.update import Update
from sb3_atari_dqn.objectives.bootstrap import Greedy, Munchausen
from sb3_atari_dqn.objectives.scalar import ScalarValues
from sb3_atari_dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, QPolicy
from sb3_atari_dqn.schedules import EXPLORATIONS, EpsilonSchedule, LinearRateOverSteps
from sb3_atari_dqn.validation import check_known, renamed_value

Learner = ReferenceLearner | FastLearner


class ValueBasedAlgorithm(ChosenObjective):
    """A mixin for SB3's algorithms: updates, exploration and logs, through objective and learner."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }

    policy: QPolicy
    explorer: EpsilonGreedy
    exploration_rate: float
    batch_size: int
    exploration: str | None
    exploration_steps: int | None
    exploration_delay: int
    learner: str
    precision: str
    learning_rate_steps: int | None
    learning_rate_final: float
    _learner: Learner | None
    _log: TrainingLog
    #: Attributes that are plain numbers and change while it trains
    _counters: ClassVar[tuple[str, ...]] = (
        *("num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_n_updates"),
        *("exploration_rate", "_current_progress_remaining", "largest_reward", "_first_mean_q", "_warned_of_q"),
    )
    #: The largest absolute reward seen, in the units of the stored ones; None if unknown, as in older files
    largest_reward: float | None
    _first_mean_q: float | None
    _warned_of_q: float
    #: Path of the last checkpoint of this training, kept by what writes them and named in messages; not saved
    last_checkpoint: str | Path | None = None

    #: Number of frames in each part of an observation, and their axis, as far as the environment tells; the former is a
    #: number in models of version 0.1.0
    n_stack: dict[str, int] | int
    stack_axis: dict[str, int]

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "last_checkpoint"]

    # --- building

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """:raises ValueError: if the actions are not discrete"""
        actions = env.action_space
        if not isinstance(actions, spaces.Discrete):
            raise ValueError(f"Deep Q-learning needs a Discrete action space, got {actions}.")
        return BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        check_known("policy", policy_name, self.policy_aliases)
        return self.policy_aliases[policy_name]

    def _take_frame_stacking(self) -> None:
        if self.env is not None:
            stacking = frame_stacking(self.env)
            self.n_stack = {name: stacked.n_stack for name, stacked in stacking.items()}
            self.stack_axis = {name: stacked.axis for name, stacked in stacking.items()}

    def _check_parts(self) -> None:
        """:raises ValueError: on a bad argument that says how to explore, to learn, or by which policy"""
        check_known("exploration", self.exploration or "none", EXPLORATIONS)
        check_exploration_delay(self.exploration_delay, self.exploration or "none", self.exploration_steps)
        check_known("learner", self.learner, LEARNERS)
        check_known("precision", self.precision, (*PRECISIONS, "auto"))
        check_policy_class(self, QPolicy)
        self._warn_of_no_exploration()
        if self.learner == "reference" and self.precision == "bf16":
            warnings.warn(
                "precision='bf16' changes nothing: learner='reference' computes in float32. Give learner='fast', or "
                "omit precision.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _warn_of_no_exploration(self) -> None:
        if (self.exploration or "none") != "none":
            return
        name = type(self).__name__
        noisy = self.policy_kwargs.get("noisy", self.policy_defaults.get("noisy", False))
        if self.policy_defaults.get("noisy") and not noisy:
            warnings.warn(
                f"{name} explores by its noisy layers, and policy_kwargs switch them off: it will not explore at all. "
                "Give exploration='linear', with exploration_fraction and exploration_final_eps.",
                RuntimeWarning,
                stacklevel=2,
            )
        elif self.exploration_steps is not None:
            warnings.warn(
                f"exploration_steps={self.exploration_steps} changes nothing: this {name} takes no random actions "
                "(exploration='none'). Give exploration='linear' for both, or omit exploration_steps; ignore this if a "
                "configuration for several algorithms gives it.",
                RuntimeWarning,
                stacklevel=2,
            )

    @contextmanager
    def _completed_policy_kwargs(self) -> Iterator[None]:
        """In here `policy_kwargs` include what the algorithm sets."""
        own = self.policy_kwargs
        self.policy_kwargs = self._complete_policy_kwargs()
        try:
            yield
        finally:
            self.policy_kwargs = own

    def _set_up_parts(self) -> None:
        """What belongs to the policy that was just built."""
        self._learner = None
        if type(self).make_values is ChosenObjective.make_values:
            self._built_values = self.make_values()
        self.policy.set_training_mode(False)  # its noise is for updates and collection, which turn it on
        if self.learner == "fast":
            check_policy(self.policy, self.precision)
        self.explorer = EpsilonGreedy(exploration_of(self), cast(spaces.Discrete, self.action_space), self.seed)

    def _network_shapes(self) -> dict[str, Tensor]:
        """
        :return: the state dict of the networks that the attributes describe, on torch's device "meta"
        :raises ValueError: if that takes long even there
        """
        check_sizes(self.observation_space, self.policy_kwargs)
        spaces = self.observation_space, self.action_space
        policy_class: Any = self.policy_class
        return dict(policy_class.shapes(*spaces, lambda _: 0.0, **self._complete_policy_kwargs()))

    # --- acting

    @property
    def exploration_schedule(self) -> EpsilonSchedule:
        """Epsilon over time; SB3's name"""
        return self.explorer.schedule

    @exploration_schedule.setter
    def exploration_schedule(self, schedule: EpsilonSchedule) -> None:
        if "explorer" in vars(self):  # SB3's constructor sets its own before there is one
            self.explorer.schedule = schedule

    def set_random_seed(self, seed: int | None = None) -> None:
        super().set_random_seed(seed)
        if seed is not None and "explorer" in vars(self):  # otherwise there are no networks yet
            self.explorer.seed(seed)
            self.policy.seed_layers(seed)

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Epsilon-greedy actions, sampled for each observation.

        :param observation: one observation, or N of them
        :param state: handed through
        :param episode_start: not used
        :param deterministic: greedy actions only
        :return: actions [N], or one for one observation, and the state
        """

        def greedy() -> np.ndarray:
            nonlocal state
            actions, state = self.policy.predict(observation, state, episode_start, deterministic)
            return actions

        shape = self._batch_shape(observation)
        actions = greedy() if deterministic else self.explorer.actions(self.exploration_rate, shape, greedy)
        return np.asarray(actions, dtype=self.action_space.dtype), state

    def _explore(self, observations: Any) -> np.ndarray:
        """As in :meth:`predict`, but the greedy actions are those of the learner, in its precision."""
        return self.explorer.actions(
            self.exploration_rate, (self.n_envs,), lambda: self._get_learner().greedy_actions(observations)
        )

    def _batch_shape(self, observation: np.ndarray | dict[str, np.ndarray]) -> tuple[int, ...]:
        """:return: (N,), or () for a single observation"""
        if not self.policy.is_vectorized_observation(observation):
            return ()
        array = next(iter(observation.values())) if isinstance(observation, dict) else observation
        return (len(array),)

    # --- learning

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        self._check_values_unchanged()
        if self.largest_reward is None and self._n_updates == 0:
            self.largest_reward = 0.0
        if self.env is not None:
            watch_workers(self.env)
            let_actors_follow(self)
        with explained_failures(self):
            prepared = super()._setup_learn(*args, **kwargs)
        if self._learner is not None:
            self._learner.refresh()
        self._log.open_speed_window(self.num_timesteps, self._n_updates)
        return prepared

    def _get_learner(self, recorded: str | None = None) -> Learner:
        """
        :param recorded: precision that a checkpoint names, in place of "auto", which would measure anew
        :return: the learner, built when first needed, as it may time the machine
        """
        if self._learner is None:
            self.learner = renamed_value(type(self).__name__, "learner", self.learner, OLD_LEARNERS)
            check_known("learner", self.learner, LEARNERS)  # it may have been set since it was checked
            if self.learner == "reference":
                self._learner = ReferenceLearner(self.policy)
            else:
                self._learner = self._fast_learner(recorded)
        return self._learner

    def _fast_learner(self, recorded: str | None) -> FastLearner:
        """See `_get_learner`; says which precision it takes, and before it measures, which may take half a minute."""
        precision = recorded or self.precision
        if self.verbose >= 1 and precision == "auto" and is_image_space(self.policy.observation_space):
            print("Measuring whether bf16 or fp32 is faster here (precision='bf16' or 'fp32' skips this)")
        learner = FastLearner(self.policy, precision, self.batch_size)
        if self.verbose >= 1:
            print(f"Learning in {learner.precision}: {'as in the checkpoint' if recorded else learner.reason}")
        return learner

    def _update_learning_rate(self, optimizers: Any) -> None:
        """SB3's schedules know the share of the training that remains; `learning_rate_steps` counts steps instead."""
        if self.learning_rate_steps is None:
            super()._update_learning_rate(optimizers)
            return
        initial = self.lr_schedule(1)
        falls = LinearRateOverSteps(initial, min(self.learning_rate_final, initial), self.learning_rate_steps)
        rate = falls(self.num_timesteps)
        self.logger.record("train/learning_rate", rate)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            update_learning_rate(optimizer, rate)

    def _update_with(self, batch: Any) -> Update:
        """
        Make one update.

        :param batch: for the learner
        :raises ValueError: if the loss or its gradient is not finite; the parameters are then those before the update
        """
        try:
            update = self._get_learner().update(self._counted_from_zero(batch), self._learning_rule)
        except NonFiniteUpdate as error:
            raise ValueError(
                f"Update {self._n_updates + 1}, at environment step {self.num_timesteps}, has {error}: the training "
                "has diverged, and the parameters are those before this update. "
                f"{self._ways_out('scale or clip the rewards')}{checkpoint_hint(self)}"
            ) from error
        self._n_updates += 1
        self._log.add(update.statistics)
        return update

    def _counted_from_zero(self, batch: Any) -> Any:
        """:return: the batch, its actions as the networks number them"""
        first = self.policy.first_action
        return batch._replace(actions=batch.actions - first) if first else batch

    # --- logs

    def _record_each(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.logger.record(f"train/{name}", value)

    def _record_training(self) -> bool:
        """
        Record means over the updates since the last record; the device is read here, once.

        :return: whether there were any
        """
        means = self._log.take(self._learning_rule.statistics)
        if means:
            self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
            self._record_each(means)
            self._warn_of_divergence(means["mean_q"])
            self._warn_of_support(means.get("clipped_target", 0.0))
        return bool(means)

    def _warn_of_divergence(self, mean_q: float) -> None:
        """:param mean_q: since the last record"""
        if self._first_mean_q is None:
            self._first_mean_q = abs(mean_q)
        largest = self._largest_reward_learned_from()
        if largest is None:
            return
        bootstrap, n_actions = self.objective.bootstrap, int(cast(spaces.Discrete, self.action_space).n)
        bonus = bootstrap.largest_bonus(n_actions) if isinstance(bootstrap, Munchausen) else 0.0
        usual = max(divergence.return_bound(largest + bonus, self.gamma), self._first_mean_q)
        if largest > 0 and divergence.is_worth_a_warning(mean_q, usual, self._warned_of_q):
            self._warned_of_q = abs(mean_q)
            text = divergence.warning(mean_q, largest, bonus, self.gamma, self.num_timesteps, self._n_updates)
            ways_out = self._ways_out("clip the rewards", *self._ways_to_stable_targets())
            warnings.warn(f"{text} {ways_out}{checkpoint_hint(self)}", RuntimeWarning, stacklevel=2)

    def _ways_out(self, *others: str) -> str:
        """:return: what to do about numbers that grow, of which this model does not do it already, as a sentence"""
        ways = ["lower learning_rate", *others]
        if self.policy.q_net.values == ScalarValues("mse"):
            ways.append("use loss='huber'")
        text = f"{', '.join(ways[:-1])} or {ways[-1]}."
        return text[0].upper() + text[1:]

    def _ways_to_stable_targets(self) -> list[str]:
        if self.policy.q_net_target is None:
            return []
        double = ["use bootstrap='double'"] if isinstance(self.objective.bootstrap, Greedy) else []
        return ["raise target_update_interval", *double]

    def loss_totals(self) -> tuple[int, float]:
        """:return: number of updates of this object, and the sum of their losses; the logs are not disturbed"""
        return self._log.loss_totals()

    def _record_speeds(self) -> None:
        """Record the speeds since they were recorded last."""
        for name, speed in self._log.take_speeds(self.num_timesteps, self._n_updates).items():
            self.logger.record(f"time/{name}", speed)
        if (actors := actors_of(self.env)) is not None:
            for name, value in actors.statistics().items():
                self.logger.record(f"actors/{name}", value)
