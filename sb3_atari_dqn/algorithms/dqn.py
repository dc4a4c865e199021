"""Deep Q-learning: the constructor, and how its arguments become the parts of an algorithm.

B: batch, A: actions, N: environments, n: steps of the return.
"""

from typing import Any, TypeVar

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule

from sb3_atari_dqn.algorithms.arguments import (
    REAL_NUMBERS,
    SB3_GRADIENT_STEPS,
    SB3_TRAIN_FREQ,
    SHARES,
    WHOLE_NUMBERS,
    as_train_freq,
    check_real_numbers,
    check_replay_ratio,
    check_single_pace,
    real_numbers,
    under_new_names,
    whole_numbers,
)
from sb3_atari_dqn.algorithms.replay_learning import LearningFromReplay
from sb3_atari_dqn.algorithms.replay_memory import ReplayMemory
from sb3_atari_dqn.algorithms.resuming import ResumedTraining
from sb3_atari_dqn.algorithms.rollouts import OverlappedRollouts
from sb3_atari_dqn.algorithms.saved_models import GIVE_ENV, SavedModels
from sb3_atari_dqn.algorithms.training_log import TrainingLog
from sb3_atari_dqn.algorithms.training_state import prepared_callbacks
from sb3_atari_dqn.objectives.bootstrap import Bootstrap
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.scalar import LOSSES
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.replay.kinds import REPLAY_KINDS, check_own_buffer
from sb3_atari_dqn.validation import check_device, check_known, check_options, checked_flag

SelfDQN = TypeVar("SelfDQN", bound="ClassicDQN")


class ClassicDQN(ResumedTraining, SavedModels, LearningFromReplay, ReplayMemory, OverlappedRollouts, DQN):  # type: ignore[misc]
    """
    Deep Q-learning with a target network, replay and a choice of torso, head, loss and exploration.

    With its defaults and the same data its parameters equal those of SB3's DQN, bit for bit, if the buffer draws as
    SB3's does (`replay="sb3"` or `replay_buffer_kwargs={"sb3_sampling": True}`). Its exploration draws
    differ.
    Source: Mnih et al. 2015. Deviations: those of SB3 (Adam, and the defaults below); epsilon-greedy is
    sampled per environment; SB3 draws once for all.

    :param policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class
    :param env: environment, its name, or a vectorized environment; its actions are discrete
    :param learning_rate: a number, or a function of the remaining progress (1 to 0)
    :param buffer_size: transitions kept, all environments together
    :param learning_starts: environment steps with random actions before the first update
    :param batch_size: transitions per update
    :param tau: step of the target network towards the online one at each of its updates; 1: copy, 0: none
    :param gamma: discount per environment step
    :param train_freq: vector steps between trainings, or a pair like (2, "episode"); default 4
    :param gradient_steps: updates per training; -1: as many as environment steps since the last one; default 1
    :param replay_buffer_class: a buffer class of your own instead of `replay`
    :param replay_buffer_kwargs: further arguments of the buffer
    :param optimize_memory_usage: store every observation once. Ours do so with images anyway, and then for any
        observations, n-step returns and timeouts; SB3's own (`replay="sb3"`) with its limits
    :param n_steps: number of steps in the n-step return
    :param target_update_interval: environment steps between updates of the target network; with 1 and a small tau
        the target follows softly; 0: after each vector step
    :param exploration_fraction: fraction of the training over which linear exploration falls; 0: none
    :param exploration_initial_eps: epsilon at the start
    :param exploration_final_eps: epsilon at the end
    :param max_grad_norm: the gradient's norm is clipped to this
    :param stats_window_size: number of episodes in the logged means
    :param tensorboard_log: folder of the TensorBoard logs
    :param policy_kwargs: see :class:`~sb3_atari_dqn.policies.QPolicy`
    :param verbose: 0 silent, 1 information, 2 debug
    :param seed: of all random generators
    :param device: "auto", "cpu", "cuda", ...
    :param loss: of scalar values: "huber", or "mse" (squared, as in Mnih et al. 2013)
    :param exploration: "linear", "exponential", or "none" (also None): greedy once learning has started
    :param exploration_steps: environment steps over which linear exploration falls, instead of `exploration_fraction`:
        the same whatever the length of the training
    :param exploration_decay_rate: of exponential exploration, per environment step
    :param exploration_delay: environment steps before `exploration_steps` or the exponential decay begin
    :param replay: short name of the kind of replay: "uniform", "prioritized", or "sb3" (SB3's own buffers)
    :param replay_ratio: instead of `train_freq` and `gradient_steps`: updates per stored transition, the same for any
        number of environments
    :param overlap: with `replay_ratio`: make the updates while the environments compute the next step
    :param learner: "reference", or "fast": the same update, optimized; float32 results differ by rounding
    :param precision: of the fast learner: "bf16", "fp32", or "auto": whichever is faster on this machine
    :param values: how returns are represented: "scalar" (expected returns), "categorical", "quantile", "implicit", or
        an object; default: the algorithm's
    :param values_kwargs: options of `values`, such as the number of atoms or quantiles
    :param bootstrap: what enters the target: "greedy", "double", "minto", "munchausen", or an object; default: the
        algorithm's
    :param bootstrap_kwargs: options of `bootstrap`
    :param learning_rate_steps: environment steps over which the learning rate falls linearly, whatever the length of
        the training
    :param learning_rate_final: to which it falls
    :param updates_per_transition: deprecated name of `replay_ratio`
    :param _init_setup_model: build the networks at once
    :raises ValueError: on a bad argument, naming it, its value and the way out
    """

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
        replay_ratio: float | None = None,
        overlap: bool = False,
        learner: str = "reference",
        precision: str = "auto",
        values: str | Values | None = None,
        values_kwargs: dict[str, Any] | None = None,
        bootstrap: str | Bootstrap | None = None,
        bootstrap_kwargs: dict[str, Any] | None = None,
        learning_rate_steps: int | None = None,
        learning_rate_final: float = 0.0,
        updates_per_transition: float | None = None,
        _init_setup_model: bool = True,
    ) -> None:
        check_device(device)
        check_options("replay_buffer_kwargs", {} if replay_buffer_kwargs is None else replay_buffer_kwargs)
        name = type(self).__name__
        paces = {"replay_ratio": replay_ratio, "updates_per_transition": updates_per_transition}
        given = {"learner": learner, **{key: value for key, value in paces.items() if value is not None}}
        renamed = under_new_names(name, given)
        check_single_pace(renamed.get("replay_ratio"), train_freq, gradient_steps)
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
        self.algorithm = name  # saved: no other algorithm may load the file
        self.loss = loss
        self._choose_objective(values, values_kwargs, bootstrap, bootstrap_kwargs)
        self.learning_rate_steps, self.learning_rate_final = learning_rate_steps, learning_rate_final
        self.exploration = exploration
        self.exploration_decay_rate, self.exploration_steps = exploration_decay_rate, exploration_steps
        self.exploration_delay = exploration_delay
        self.replay = replay
        self.replay_ratio, self.overlap = renamed.get("replay_ratio"), overlap
        self.pending_updates = 0.0
        self.learner, self.precision = renamed["learner"], precision
        # Number of frames in each part of an observation, and their axis, as far as the environment tells.
        self.n_stack: dict[str, int] | int = {}  # a number in models of version 0.1.0
        self.stack_axis: dict[str, int] = {}
        self._n_updates_at_target_update = 0
        self.largest_reward, self._first_mean_q, self._warned_of_q = None, None, 0.0
        self._learner = None
        self._log = TrainingLog()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._resolve_arguments()
        self._check_arguments()
        with self._completed_policy_kwargs():
            super()._setup_model()
        self._set_up_parts()

    def _resolve_arguments(self) -> None:
        """
        Bring the arguments, given to the constructor, to `load()` or read from a file, into their final form.

        :raises ValueError: on a number that is not whole or too small
        """
        attributes = vars(self)
        for old in ("updates_per_transition", "updates_owed", "exploration_rng", "exploration_schedule"):
            attributes.pop(old, None)
        attributes.update(whole_numbers(self, WHOLE_NUMBERS))
        attributes.update(real_numbers(self, REAL_NUMBERS))
        self.train_freq = as_train_freq(self.train_freq, self.n_envs)
        if self.replay_ratio is not None:
            self.train_freq, self.gradient_steps = (1, "step"), 0  # SB3's loop then makes no updates
        self._take_frame_stacking()

    def _check_arguments(self) -> None:
        """:raises ValueError: on the first bad argument; called at construction and at load"""
        check_real_numbers(self, SHARES)
        checked_flag("optimize_memory_usage", self.optimize_memory_usage)
        check_options("replay_buffer_kwargs", self.replay_buffer_kwargs)
        check_known("loss", self.loss, LOSSES)
        self._check_parts()
        check_known("replay", self.replay, REPLAY_KINDS)
        check_replay_ratio(self.replay_ratio, self.overlap)
        check_own_buffer(self.replay_buffer_class, self.replay)
        self._choose_replay()

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
            raise ValueError(f"This {self.algorithm} has no environment to learn in: {GIVE_ENV}.")
        options = (log_interval, tb_log_name or self.algorithm, reset_num_timesteps, progress_bar)
        with prepared_callbacks(self, callback):
            return super().learn(total_timesteps, callback, *options)
