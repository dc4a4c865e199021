"""Deep Q-learning: one algorithm with a thin training step, and two children that differ by their policies.

B: batch, A: actions, N: environments, n: steps of the return.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.algorithms.env_stacking import frame_stacking
from sb3_atari_dqn.algorithms.replay_memory import ReplayMemory
from sb3_atari_dqn.checkpoints.model_files import (
    ModelPath,
    destination,
    is_sb3_dqn,
    read_attributes,
    refuse_damaged,
    refuse_foreign,
    refuse_unknown,
    replacing,
)
from sb3_atari_dqn.finite import NonFiniteUpdate
from sb3_atari_dqn.learners.fast import FastLearner, check_policy
from sb3_atari_dqn.learners.precision import PRECISIONS
from sb3_atari_dqn.learners.reference import ReferenceLearner
from sb3_atari_dqn.learners.statistics import Statistics
from sb3_atari_dqn.learners.update import LearningRule
from sb3_atari_dqn.objectives.bootstrap import Bootstrap, Double, Greedy
from sb3_atari_dqn.objectives.objective import Objective
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.scalar import LOSSES, ScalarValues
from sb3_atari_dqn.policies import (
    CnnPolicy,
    DoubleCnnPolicy,
    DoubleMlpPolicy,
    DoubleMultiInputPolicy,
    DoubleQPolicy,
    DuelingCnnPolicy,
    DuelingMlpPolicy,
    DuelingMultiInputPolicy,
    MlpPolicy,
    MultiInputPolicy,
    QPolicy,
)
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.kinds import REPLAY_KINDS, SB3_BUFFERS, check_own_buffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer, PrioritizedSamples
from sb3_atari_dqn.schedules import EXPLORATIONS, DelayedEpsilon, EpsilonSchedule
from sb3_atari_dqn.validation import (
    check_between,
    check_device,
    check_dqn_arguments,
    check_exploration_delay,
    check_keys,
    check_known,
    check_single_pace,
)

SelfDQN = TypeVar("SelfDQN", bound="ClassicDQN")

Learner = ReferenceLearner | FastLearner
LEARNERS = ("plain", "fast")
_GIVE_ENV = "pass env= to load(), or call set_env()"
MOST_UPDATES = 1000  # per transition: far beyond any use
SB3_TRAIN_FREQ, SB3_GRADIENT_STEPS = 4, 1  # where nobody says how often to learn


class ClassicDQN(ReplayMemory):
    """
    Deep Q-learning with a target network, replay and a choice of torso, head, loss and exploration.

    With its defaults and the same data its parameters equal those of SB3's DQN, bit for bit.
    Source: Mnih et al. 2015. Deviations: those of SB3 (Adam, and the defaults below); epsilon is drawn for each
    environment by itself, where SB3 draws one coin for all of them.

    :param policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class
    :param env: environment, its name, or a vectorized environment; its actions are discrete
    :param learning_rate: a number, or a function of the remaining progress (1 to 0)
    :param buffer_size: transitions kept, all environments together
    :param learning_starts: environment steps with random actions before the first update
    :param batch_size: transitions per update
    :param tau: how far the target network moves towards the online one at each of its updates; 1 copies, 0 leaves it
    :param gamma: discount per environment step
    :param train_freq: vector steps between trainings, or a pair like (2, "episode"); default 4
    :param gradient_steps: updates per training; -1: as many as environment steps since the last one; default 1
    :param replay_buffer_class: a buffer class of your own instead of `replay`
    :param replay_buffer_kwargs: further arguments of the buffer
    :param optimize_memory_usage: store every observation once. Ours do so with images anyway, and then for any
        observations, n-step returns and timeouts; SB3's own (`replay="sb3"`) with its limits
    :param n_steps: rewards summed before the bootstrap
    :param target_update_interval: environment steps between updates of the target network; with 1 and a small tau
        the target follows softly; 0: after each vector step
    :param exploration_fraction: part of the training over which linear exploration falls; 0: none
    :param exploration_initial_eps: epsilon at the start
    :param exploration_final_eps: epsilon at the end
    :param max_grad_norm: the gradient is shortened to this norm
    :param stats_window_size: episodes over which the logged means go
    :param tensorboard_log: folder of the TensorBoard logs
    :param policy_kwargs: see :class:`~sb3_atari_dqn.policies.QPolicy`
    :param verbose: 0 silent, 1 information, 2 debug
    :param seed: of all random generators
    :param device: "auto", "cpu", "cuda", ...
    :param loss: "huber", or "mse" (squared, as in Mnih et al. 2013)
    :param exploration: "linear", "exponential", or "none" (also None): greedy once learning has started
    :param exploration_steps: environment steps over which linear exploration falls, instead of `exploration_fraction`:
        the same whatever the length of the training
    :param exploration_decay_rate: of exponential exploration, per environment step
    :param exploration_delay: environment steps during which epsilon stays where it starts, before `exploration_steps`
        or the exponential decay begin
    :param replay: short name of the kind of replay: "uniform", "prioritized", or "sb3" (SB3's own buffers)
    :param updates_per_transition: instead of `train_freq` and `gradient_steps`: updates per stored transition, the same
        for any number of environments
    :param overlap: with `updates_per_transition`: make the updates while the environments compute the next step
    :param learner: "plain", or "fast": the same algorithm, quicker; float32 results differ by rounding
    :param precision: of the fast learner: "bf16", "fp32", or "auto": what is faster on this machine
    :param _init_setup_model: build the networks at once
    :raises ValueError: on a bad argument, naming it, its value and the way out
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    policy_family: ClassVar[type[QPolicy]] = QPolicy
    bootstrap: ClassVar[Bootstrap] = Greedy()

    policy: QPolicy
    exploration_schedule: EpsilonSchedule

    def __init__(
        self,
        policy: str | type[QPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 32,
        tau: float = 1.0,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] | None = None,
        gradient_steps: int | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 10_000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        max_grad_norm: float = 10,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        loss: str = "huber",
        exploration: str | None = "linear",
        exploration_decay_rate: float = 1e-5,
        exploration_steps: int | None = None,
        exploration_delay: int = 0,
        replay: str = "uniform",
        updates_per_transition: float | None = None,
        overlap: bool = False,
        learner: str = "plain",
        precision: str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        check_device(device)
        check_single_pace(updates_per_transition, train_freq, gradient_steps)
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=SB3_TRAIN_FREQ if train_freq is None else train_freq,
            gradient_steps=SB3_GRADIENT_STEPS if gradient_steps is None else gradient_steps,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=dict(replay_buffer_kwargs or {}),  # SB3 writes into it
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            target_update_interval=target_update_interval,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            max_grad_norm=max_grad_norm,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        self.algorithm = type(self).__name__  # goes into the zip: no other algorithm may load it
        self.loss = loss
        self.exploration = exploration
        self.exploration_decay_rate, self.exploration_steps = exploration_decay_rate, exploration_steps
        self.exploration_delay = exploration_delay
        self.replay = replay
        self.updates_per_transition, self.overlap = updates_per_transition, overlap
        self.updates_owed = 0.0
        self.learner, self.precision = learner, precision
        # Frames in each part of an observation, and their axis, as far as the environment tells.
        self.n_stack: dict[str, int] | int = {}  # a number in models of version 0.1.0
        self.stack_axis: dict[str, int] = {}
        self.exploration_rng = np.random.default_rng()
        self._n_updates_at_target_update = 0
        self._learner: Learner | None = None
        self._statistics = Statistics()
        self._open_speed_window()
        if _init_setup_model:
            self._setup_model()

    # --- building

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """:raises ValueError: if the actions are not numbered"""
        actions = env.action_space
        if not isinstance(actions, spaces.Discrete):
            raise ValueError(f"Deep Q-learning needs a Discrete action space, got {actions}.")
        return DQN._wrap_env(env, verbose, monitor_wrapper)

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        check_known("policy", policy_name, self.policy_aliases)
        return self.policy_aliases[policy_name]

    def _setup_model(self) -> None:
        self._check_arguments()
        own_kwargs, self.policy_kwargs = self.policy_kwargs, {"values": self.make_values(), **self.policy_kwargs}
        try:
            super()._setup_model()
        finally:
            self.policy_kwargs = own_kwargs
        self._learner = None
        if self.learner == "fast":
            check_policy(self.policy, self.precision)
        self.exploration_schedule = self._make_exploration()

    def make_values(self) -> Values:
        """:return: how this algorithm represents returns; built once, with the networks"""
        return ScalarValues(self.loss)

    @property
    def objective(self) -> Objective:
        """What is learned from a batch, for any learner."""
        return Objective(self.policy.q_net.values, self.bootstrap, self.gamma)

    def _make_exploration(self) -> EpsilonSchedule:
        schedule = EXPLORATIONS[self.exploration or "none"](
            self.exploration_initial_eps,
            self.exploration_final_eps,
            self.exploration_fraction,
            self.exploration_steps,
            self.exploration_decay_rate,
        )
        return DelayedEpsilon(schedule, self.exploration_delay) if self.exploration_delay else schedule

    def _check_arguments(self) -> None:
        """:raises ValueError: on the first bad argument; called at construction and at load"""
        check_dqn_arguments(self)
        check_known("loss", self.loss, LOSSES)
        check_known("exploration", self.exploration or "none", EXPLORATIONS)
        check_exploration_delay(self.exploration_delay, self.exploration or "none", self.exploration_steps)
        check_known("replay", self.replay, REPLAY_KINDS)
        check_known("learner", self.learner, LEARNERS)
        check_known("precision", self.precision, (*PRECISIONS, "auto"))
        self._check_pace()
        if not issubclass(self.policy_class, self.policy_family):
            raise ValueError(
                f"{self.algorithm} needs a policy that is a {self.policy_family.__name__}, got "
                f"{self.policy_class.__module__}.{self.policy_class.__name__}; name one of "
                f"{', '.join(self.policy_aliases)} or derive from {self.policy_family.__name__}."
            )
        check_keys("policy_kwargs", self.policy_kwargs, signature(self.policy_class.__init__).parameters)
        check_own_buffer(self.replay_buffer_class, self.replay)
        if self.env is not None:
            stacking = frame_stacking(self.env)
            self.n_stack = {name: stacked.n_stack for name, stacked in stacking.items()}
            self.stack_axis = {name: stacked.axis for name, stacked in stacking.items()}
        self._choose_replay()

    def _check_pace(self) -> None:
        """:raises ValueError: on a bad number, or overlap without updates that are counted per transition"""
        if self.updates_per_transition is not None:
            check_between("updates_per_transition", self.updates_per_transition, 0, MOST_UPDATES, above_low=True)
            self.train_freq, self.gradient_steps = (1, "step"), 0  # of SB3's loop, which makes no updates then
        if not isinstance(self.overlap, bool):
            raise ValueError(f"overlap must be True or False, got {self.overlap!r}.")
        if self.overlap and self.updates_per_transition is None:
            raise ValueError("overlap=True needs updates_per_transition (0.25 is an update for every 4 transitions).")

    def set_random_seed(self, seed: int | None = None) -> None:
        super().set_random_seed(seed)
        if seed is not None:
            self.exploration_rng = np.random.default_rng(seed)

    # --- acting

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Epsilon-greedy actions, with a coin of its own for each observation.

        :param observation: one observation, or N of them
        :param state: handed through
        :param episode_start: not used
        :param deterministic: take the greedy action everywhere
        :return: actions [N], or one for one observation, and the state
        """

        def greedy() -> np.ndarray:
            nonlocal state
            actions, state = self.policy.predict(observation, state, episode_start, deterministic)
            return actions

        actions = greedy() if deterministic else self._epsilon_greedy(self._batch_shape(observation), greedy)
        return np.asarray(actions, dtype=self.action_space.dtype), state

    def _epsilon_greedy(self, shape: tuple[int, ...], greedy: Callable[[], np.ndarray]) -> np.ndarray:
        """
        :param shape: of the actions
        :param greedy: asks the network; not called if nobody wants to know
        :return: actions, of this shape
        """
        if self.exploration_rate == 0:
            return greedy()
        explores = self.exploration_rng.random(shape) < self.exploration_rate
        space = cast(spaces.Discrete, self.action_space)
        actions = space.start + self.exploration_rng.integers(space.n, size=shape)
        return actions if np.all(explores) else np.where(explores, actions, greedy())

    def _explore(self, observations: Any) -> np.ndarray:
        """As in :meth:`predict`, but the greedy actions are those of the learner, in its precision."""
        return self._epsilon_greedy((self.n_envs,), lambda: self._get_learner().greedy_actions(observations))

    def _batch_shape(self, observation: np.ndarray | dict[str, np.ndarray]) -> tuple[int, ...]:
        """:return: (N,), or () for a single observation"""
        if not self.policy.is_vectorized_observation(observation):
            return ()
        array = next(iter(observation.values())) if isinstance(observation, dict) else observation
        return (len(array),)

    # --- learning

    def learn(
        self: SelfDQN,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfDQN:
        """
        Train; see SB3.

        :param tb_log_name: name of the run for TensorBoard, by default that of the algorithm
        :raises ValueError: without an environment
        """
        if self.env is None:
            raise ValueError(f"This {self.algorithm} has no environment to learn in: {_GIVE_ENV}.")
        return super().learn(
            total_timesteps, callback, log_interval, tb_log_name or self.algorithm, reset_num_timesteps, progress_bar
        )

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        prepared = super()._setup_learn(*args, **kwargs)
        if self._learner is not None:
            self._learner.refresh()
        self._open_speed_window()
        return prepared

    def _on_step(self) -> None:
        """Called after each vector step: target network and epsilon."""
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            self._update_target_network()
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining, self.num_timesteps)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _update_target_network(self) -> None:
        polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
        polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)  # copied, see SB3 #996
        self._n_updates_at_target_update = self._n_updates
        if self._learner is not None:
            self._learner.target_changed()

    def _get_learner(self) -> Learner:
        """:return: what makes the updates; built when it is first needed, as it may measure the machine"""
        if self._learner is None:
            if self.learner == "plain":
                self._learner = ReferenceLearner(self.policy)
            else:
                self._learner = FastLearner(self.policy, self.precision, self.batch_size)
                if self.verbose >= 1:
                    print(f"Learning in {self._learner.precision}: {self._learner.reason}")
        return self._learner

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """
        Update the online network.

        :param gradient_steps: how many updates
        :param batch_size: B
        """
        self._prepare_training()
        for _ in range(gradient_steps):
            self._gradient_step(batch_size)
        self._record_training()

    def _prepare_training(self) -> None:
        self._update_learning_rate(self.policy.optimizer)
        if isinstance(self.replay_buffer, PrioritizedFrameReplayBuffer):
            self.replay_buffer.anneal(self._current_progress_remaining)
            self.logger.record("train/beta", self.replay_buffer.beta)

    def _gradient_step(self, batch_size: int) -> None:
        """
        Sample, update, and tell the memory how wrong the values were.

        :param batch_size: B
        :raises ValueError: if the loss or its gradient is not finite; the parameters are then those before the update
        """
        learner = self._get_learner()
        batch = self._sample(batch_size, learner.captures)
        try:
            update = learner.update(batch, self._learning_rule)
        except NonFiniteUpdate as error:
            raise ValueError(
                f"Update {self._n_updates + 1}, at environment step {self.num_timesteps}, has {error}: the training "
                "has diverged, and the parameters are those before this update. Lower learning_rate, scale or clip "
                "the rewards, or take loss='huber'."
            ) from error
        if isinstance(batch, PrioritizedSamples):
            cast(PrioritizedFrameReplayBuffer, self.replay_buffer).update_priorities(batch.indices, update.priorities)
        self._n_updates += 1
        self._statistics.add(update.statistics)

    @property
    def _learning_rule(self) -> LearningRule:
        return LearningRule(self.objective, self.max_grad_norm)

    def _sample(self, batch_size: int, learner_gathers: bool) -> Any:
        """
        :return: SB3's samples, or those with importance weights, their actions counted from 0; of frames on a device,
            perhaps only their rows
        """
        buffer = self.replay_buffer
        gathering = learner_gathers and isinstance(buffer, FrameReplayBuffer)
        with buffer.gathering_later() if gathering else nullcontext():  # type: ignore[attr-defined]
            batch = buffer.sample(batch_size, env=self._vec_normalize_env)
        first = self.policy.first_action
        return batch._replace(actions=batch.actions - first) if first else batch

    # --- logs

    def _record_training(self) -> None:
        """Means over the updates since the last record; they are read from the device here, all at once."""
        if not self._statistics:
            return
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, mean in zip(self._learning_rule.statistics, self._statistics.take(), strict=True):
            self.logger.record(f"train/{name}", mean)
        self.logger.record("train/target_age", self._n_updates - self._n_updates_at_target_update)

    def loss_totals(self) -> tuple[int, float]:
        """:return: updates that this object has made, and the sum of their losses; the logs are not disturbed"""
        updates, sums = self._statistics.totals()
        return updates, sums[0] if sums else 0.0

    def _open_speed_window(self) -> None:
        """Start measuring speeds from here."""
        self._speed_window = time.perf_counter(), self.num_timesteps, self._n_updates

    def dump_logs(self) -> None:
        """Write the logs, with the speeds since they were last written."""
        self._record_training()
        started, env_steps, updates = self._speed_window
        elapsed = max(time.perf_counter() - started, 1e-9)
        self.logger.record("time/env_steps_per_second", (self.num_timesteps - env_steps) / elapsed)
        self.logger.record("time/updates_per_second", (self._n_updates - updates) / elapsed)
        self._open_speed_window()
        super().dump_logs()

    # --- files

    def _excluded_save_params(self) -> list[str]:
        own = "_replay_buffer", "_speed_window", "_learner", "_statistics", "_normalization"
        return [*super()._excluded_save_params(), *own]

    def save(self, path: ModelPath, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """
        Save the model, without its replay buffer; an interruption leaves an older file whole.

        :param path: file, named as SB3 names it (".zip" is added to a bare name), or a file object
        :param exclude: attributes to leave out
        :param include: attributes to keep although SB3 leaves them out
        """
        if not isinstance(path, str | Path):
            super().save(path, exclude, include)
            return
        with replacing(destination(path)) as file:
            super().save(file, exclude, include)

    @classmethod
    def load(
        cls: type[SelfDQN],
        path: ModelPath,
        env: GymEnv | None = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfDQN:
        """
        Load a model that this class saved, or, as the two are the same algorithm, :class:`ClassicDQN` one that SB3's
        DQN saved; parameters: see SB3.

        Without `seed` among them the exploration goes on where the saved model stood.

        :raises ValueError: if another algorithm saved the file, or an argument is unknown or bad
        """
        check_device(device)
        attributes = read_attributes(path, custom_objects)
        if cls.policy_family is QPolicy and is_sb3_dqn(attributes):
            custom_objects = {**cls._in_place_of_sb3s(attributes), **(custom_objects or {})}
        else:
            refuse_foreign(path, attributes, cls.__name__)
        check_single_pace(
            kwargs.get("updates_per_transition", attributes.get("updates_per_transition")),
            kwargs.get("train_freq"),
            kwargs.get("gradient_steps"),
        )
        refuse_unknown(kwargs, {*attributes, *signature(cls.__init__).parameters}, cls.__name__)
        if kwargs.get("updates_per_transition", 0) is None and attributes.get("updates_per_transition") is not None:
            kwargs = {"train_freq": SB3_TRAIN_FREQ, "gradient_steps": SB3_GRADIENT_STEPS} | kwargs
        model = super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        if kwargs.get("seed") is None:
            model.exploration_rng = attributes.get("exploration_rng", model.exploration_rng)
        return model

    @classmethod
    def _in_place_of_sb3s(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        """
        :param attributes: of a model of SB3's DQN
        :return: those that have another form here: our policy of the same networks, no schedule (it is built anew), and
            of the buffer what the user chose, as SB3 writes its own choice over that
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

        A model that was loaded without an environment has none, and what is then done with None fails far from here
        (`evaluate_policy(model, model.get_env())`): this warns of it.
        """
        env = super().get_env()
        if env is None:
            warnings.warn(f"This {self.algorithm} has no environment: {_GIVE_ENV}.", stacklevel=2)
        return env

    def set_parameters(
        self,
        load_path_or_dict: Any,
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """
        Take over weights and optimizer state; those of SB3's DQN fit a plain head. Parameters: see SB3.

        :raises RuntimeError: if the networks differ, as in SB3
        """
        refuse_damaged(load_path_or_dict)
        self._learner = None  # it may hold copies, of what changes in part even where an error follows
        try:
            super().set_parameters(load_path_or_dict, exact_match, device)
        except RuntimeError as error:
            source = "the dictionary" if isinstance(load_path_or_dict, dict) else load_path_or_dict
            raise RuntimeError(
                f"The parameters in {source} do not fit the networks of this {self.algorithm} "
                f"({self.policy_class.__name__}, policy_kwargs={self.policy_kwargs}); build it with the policy and "
                f"policy_kwargs they come from. {error}"
            ) from error


class DoubleDQN(ClassicDQN):
    """
    Double Q-learning: the online network chooses the action to bootstrap from, the target network values it.

    Source: van Hasselt et al. 2016. Deviation: none beside those of :class:`ClassicDQN`, whose parameters it has.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": DoubleMlpPolicy,
        "CnnPolicy": DoubleCnnPolicy,
        "MultiInputPolicy": DoubleMultiInputPolicy,
    }
    policy_family = DoubleQPolicy
    bootstrap = Double()


class DuelingDQN(DoubleDQN):
    """
    Double Q-learning with a dueling head: Q = V + A - mean over the actions of A, each sample by itself.

    Source: Wang et al. 2016. Deviations beside those of :class:`ClassicDQN`, whose parameters it has: the gradient
    into the shared convolutions is rescaled only if asked (`policy_kwargs=dict(rescale_shared_gradient=True)`).
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": DuelingMlpPolicy,
        "CnnPolicy": DuelingCnnPolicy,
        "MultiInputPolicy": DuelingMultiInputPolicy,
    }
