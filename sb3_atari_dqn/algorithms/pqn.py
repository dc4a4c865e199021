"""PQN: parallelised Q-learning without replay memory and without target network.

N: environments, T: vector steps of a rollout, B: transitions in a minibatch.

    main thread    act | updates with rollout k - 1 | store | act | updates | store | ...      lambda-returns of k
    environments       | step ..................... |       |     | step .. |       | ...
                   |<------------------------------ rollout k --------------------------->|
"""

import time
from typing import Any, TypeVar, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import safe_mean
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_atari_dqn.algorithms.arguments import (
    check_real_numbers,
    check_rollout,
    minibatch_size,
    whole_numbers,
)
from sb3_atari_dqn.algorithms.base import ValueBasedAlgorithm
from sb3_atari_dqn.algorithms.divergence import largest
from sb3_atari_dqn.algorithms.failures import explained_failures
from sb3_atari_dqn.algorithms.growing_rollout import GrowingRollout
from sb3_atari_dqn.algorithms.normalization import NormalizationSnapshot, starting_anew
from sb3_atari_dqn.algorithms.remote_acting import actions_of_actors
from sb3_atari_dqn.algorithms.resuming import ResumedTraining
from sb3_atari_dqn.algorithms.saved_models import GIVE_ENV, SavedModels
from sb3_atari_dqn.algorithms.training_log import TrainingLog
from sb3_atari_dqn.algorithms.training_state import prepared_callbacks
from sb3_atari_dqn.finite import check_observations, check_transition
from sb3_atari_dqn.learners.update import GreedyChoice
from sb3_atari_dqn.objectives.outputs import Values
from sb3_atari_dqn.objectives.returns import ReturnObjective
from sb3_atari_dqn.objectives.scalar import LOSSES
from sb3_atari_dqn.policies import QPolicy
from sb3_atari_dqn.replay.rollout_buffer import RolloutBuffer
from sb3_atari_dqn.validation import as_int, check_device, check_known, checked_flag, counted

SelfPQN = TypeVar("SelfPQN", bound="PQN")

_MOST_PER_UPDATE = 128  # by default, as Gallici et al. 2024
_WHOLE_NUMBERS = {"n_steps": 1, "batch_size": 1, "n_epochs": 1, "exploration_delay": 0, "_stats_window_size": 1}
_SHARES = ("gamma", "q_lambda", "exploration_initial_eps", "exploration_final_eps")


class PQN(ResumedTraining, SavedModels, ValueBasedAlgorithm, BaseAlgorithm):
    """
    Q-learning from many environments at once, on what they have just done: lambda-returns as targets, layer norm in
    place of a target network. Nothing is replayed.

    Source: Gallici et al. 2024, algorithm 2. Deviations: truncated episodes bootstrap from their last state; the loss
    is the squared error, not half of it; layer norm of images is over channels and pixels, with a gain and a bias per
    channel; images in dictionaries go through SB3's NatureCNN, which has no layer norm; weights are initialized as SB3
    does. With `overlap` the updates with a rollout are made, in equal parts,
    while the environments step through the next one: its first action is chosen without any of them, its last one with
    nearly all; the action values in the targets are those at the time of acting.

    :param policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class
    :param env: environment, its name, or a vectorized environment; its actions are discrete
    :param learning_rate: a number, or a function of the remaining progress (1 to 0)
    :param n_steps: T, vector steps of a rollout; set on a trained model, the updates that are pending are dropped
    :param batch_size: B, transitions per update; divides N * T. None: the largest up to 128 that does
    :param n_epochs: how often each transition is learned from
    :param gamma: discount per environment step
    :param q_lambda: weight of longer returns in a lambda-return; 0: one-step targets, 1: whole returns
    :param exploration_fraction: fraction of the training over which linear exploration falls; 0: none
    :param exploration_initial_eps: epsilon at the start
    :param exploration_final_eps: epsilon at the end
    :param max_grad_norm: the gradient's norm is clipped to this
    :param stats_window_size: number of episodes in the logged means
    :param tensorboard_log: folder of the TensorBoard logs
    :param policy_kwargs: see :class:`~sb3_atari_dqn.policies.QPolicy`; the optimizer is RAdam, and hidden layers
        are layer-normalized, unless they say otherwise
    :param verbose: 0 silent, 1 information, 2 debug
    :param seed: of all random generators
    :param device: "auto", "cpu", "cuda", ...
    :param loss: of scalar values: "mse" (the default), or "huber"
    :param exploration: see :class:`~sb3_atari_dqn.algorithms.dqn.ClassicDQN`, as for the other arguments
    :param overlap: make the updates while the environments compute their steps
    :raises ValueError: on a bad argument, naming it, its value and the way out
    """

    policy_defaults = {"optimizer_class": torch.optim.RAdam, "normalization": "layer", "target_network": False}
    torso_defaults = {"features_extractor_kwargs": {"normalization": "layer"}}
    _counters = (*ValueBasedAlgorithm._counters, "_rollout_is_whole", "_rollouts_since_log")

    policy: QPolicy
    #: What None as batch size has become
    _fitted_batch_size: int | None = None

    def __init__(
        self,
        policy: str | type[QPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 2.5e-4,
        n_steps: int = 32,
        batch_size: int | None = None,
        n_epochs: int = 2,
        gamma: float = 0.99,
        q_lambda: float = 0.65,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.001,
        max_grad_norm: float = 10,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        loss: str | None = None,
        exploration: str | None = "linear",
        exploration_decay_rate: float = 1e-5,
        exploration_steps: int | None = None,
        exploration_delay: int = 0,
        overlap: bool = False,
        learner: str = "reference",
        precision: str = "auto",
        values: str | Values | None = None,
        values_kwargs: dict[str, Any] | None = None,
        learning_rate_steps: int | None = None,
        learning_rate_final: float = 0.0,
        _init_setup_model: bool = True,
    ) -> None:
        check_device(device)
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
        )
        self.algorithm = type(self).__name__  # saved: no other algorithm may load the file
        self.n_steps, self.n_epochs = n_steps, n_epochs
        self.batch_size: int = batch_size  # type: ignore[assignment]  # resolved below
        self.gamma, self.q_lambda = gamma, q_lambda
        self.max_grad_norm = max_grad_norm
        self.loss = loss
        self._choose_objective(values, values_kwargs, None, None)
        self.learning_rate_steps, self.learning_rate_final = learning_rate_steps, learning_rate_final
        self.exploration, self.exploration_fraction = exploration, exploration_fraction
        self.exploration_initial_eps, self.exploration_final_eps = exploration_initial_eps, exploration_final_eps
        self.exploration_decay_rate, self.exploration_steps = exploration_decay_rate, exploration_steps
        self.exploration_delay = exploration_delay
        self.exploration_rate = 0.0
        self.overlap = overlap
        self.learner, self.precision = learner, precision
        self.n_stack, self.stack_axis = {}, {}
        self.largest_reward, self._first_mean_q, self._warned_of_q = None, None, 0.0
        self._learner = None
        self._log = TrainingLog()
        self._rollouts: RolloutBuffer | None = None
        self._rollout_is_whole = True  # the last one
        self._rollouts_since_log = 0
        if _init_setup_model:
            self._setup_model()

    # --- building

    def _setup_model(self) -> None:
        self._resolve_arguments()
        self._check_arguments()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        with self._completed_policy_kwargs():
            self.policy = self.policy_class(  # type: ignore[assignment]
                self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
            )
        self.policy = self.policy.to(self.device)
        self._create_aliases()
        self._set_up_parts()

    def _create_aliases(self) -> None:
        self.q_net = self.policy.q_net

    def _resolve_arguments(self) -> None:
        """:raises ValueError: on a number that is not whole or too small"""
        self._resolve_batch_size()
        vars(self).update(whole_numbers(self, _WHOLE_NUMBERS))
        vars(self).pop("exploration_schedule", None)
        self._take_frame_stacking()
        normalization = self._vec_normalize_env
        if normalization is not None and normalization.norm_obs:
            self.n_stack, self.stack_axis = {}, {}  # frames are another number each time they are normalized

    def _resolve_batch_size(self) -> None:
        """With None it follows the rollouts, also those of a loaded model in other environments."""
        if self.batch_size is None or self.batch_size == self._fitted_batch_size:
            n_steps = as_int("n_steps", self.n_steps, _WHOLE_NUMBERS["n_steps"])
            self.batch_size = self._fitted_batch_size = minibatch_size(self.n_envs, n_steps, _MOST_PER_UPDATE)

    def _check_arguments(self) -> None:
        """:raises ValueError: on the first bad argument; called at construction and at load"""
        check_real_numbers(self, _SHARES)
        if self.loss is not None:
            check_known("loss", self.loss, LOSSES)
        self._check_parts()
        checked_flag("overlap", self.overlap)
        if self.env is not None:
            check_rollout(self.n_envs, self.n_steps, self.batch_size)

    @property
    def objective(self) -> ReturnObjective:
        return ReturnObjective(self.policy.q_net.values, gamma=self.gamma)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_rollouts", "q_net"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def _pace_arguments(self) -> dict[str, Any]:
        return {"batch_size": None} if self.batch_size == self._fitted_batch_size else {}

    @classmethod
    def _with_pace(cls, attributes: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        return dict(kwargs)

    # --- the rollouts and their state

    @property
    def rollout_buffer(self) -> RolloutBuffer:
        """The last two rollouts; reserved when first needed"""
        if self._rollouts is None:
            self._rollouts = self._new_rollout_buffer()
        return self._rollouts

    def _fitting_rollout_buffer(self) -> RolloutBuffer:
        """:return: the last two rollouts, unless `n_steps` was set since: they and their updates are then dropped"""
        if self.rollout_buffer.rollout_steps != self.n_steps:
            self._rollouts = self._new_rollout_buffer()
        return self.rollout_buffer

    def _new_rollout_buffer(self) -> RolloutBuffer:
        sizes: Any = (self.n_steps, self.observation_space, self.action_space, self.device, self.n_envs)
        stacking: Any = {"n_stack": self.n_stack or 1, "stack_axis": self.stack_axis or None}
        try:
            return RolloutBuffer(*sizes, **stacking, seed=self.seed)
        except MemoryError as error:
            raise MemoryError(
                f"Two rollouts of n_steps={self.n_steps:,} with {counted(self.n_envs, 'environment')} do not fit into "
                "memory; lower n_steps."
            ) from error

    def set_random_seed(self, seed: int | None = None) -> None:
        super().set_random_seed(seed)
        if seed is not None and self._rollouts is not None:
            self._rollouts.seed(seed)

    def why_not_saved(self) -> str | None:
        """:return: None: this model can be saved in a checkpoint"""
        return None

    @property
    def transitions_kept(self) -> int:
        """How many are stored at any time"""
        return 2 * self.n_steps * self.n_envs

    def _memory_identity(self) -> dict[str, Any]:
        return {"n_steps": self.n_steps}

    def _memory(self) -> RolloutBuffer:
        return self.rollout_buffer

    def _existing_memory(self) -> RolloutBuffer | None:
        return self._rollouts

    def _largest_reward_learned_from(self) -> float | None:
        return self.largest_reward

    # --- training

    def learn(
        self: SelfPQN,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfPQN:
        """
        Train for whole rollouts; see SB3.

        :param log_interval: in rollouts; None: no logs
        :param tb_log_name: name of the run for TensorBoard, by default that of the algorithm
        :raises ValueError: without an environment
        """
        if self.env is None:
            raise ValueError(f"This {self.algorithm} has no environment to learn in: {GIVE_ENV}.")
        self._resolve_batch_size()
        vars(self).update(whole_numbers(self, _WHOLE_NUMBERS))  # they may have been set since they were checked
        check_rollout(self.n_envs, self.n_steps, self.batch_size)
        with prepared_callbacks(self, callback):
            total_timesteps, callback = self._setup_learn(
                total_timesteps, callback, reset_num_timesteps, tb_log_name or self.algorithm, progress_bar
            )
            callback.on_training_start(locals(), globals())
            while self.num_timesteps < total_timesteps:
                with explained_failures(self):
                    goes_on = self._collect_rollout(callback)
                if not goes_on:
                    break
                self._rollouts_since_log += 1
                if log_interval is not None and self._rollouts_since_log >= log_interval:
                    self.dump_logs()
            callback.on_training_end()
        return self

    def _collect_rollout(self, callback: BaseCallback) -> bool:
        """
        One rollout, and as many updates: with `overlap` those of the one before.

        :return: False if a callback stops the training; the rollout is then forgotten
        """
        callback.on_rollout_start()
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)  # another training's, maybe
        self._update_learning_rate(self.policy.optimizer)
        buffer, growing = self._fitting_rollout_buffer(), GrowingRollout(self.gamma)
        self._make_updates(0 if self._rollout_is_whole else buffer.pending_updates)
        self._rollout_is_whole = False
        pending = buffer.pending_updates
        for step in range(1, self.n_steps + 1):
            updates = pending * step // self.n_steps - pending * (step - 1) // self.n_steps
            if not self._step(callback, growing, updates):
                return False
        last = self._greedy_choice(self._last_obs)
        targets = growing.targets(self.policy.q_net.values, last.outputs, self.q_lambda)
        buffer.begin_epochs(targets, self.n_epochs, self.batch_size)
        self._rollout_is_whole = True
        if not self.overlap:
            self._make_updates(buffer.pending_updates)
        callback.on_rollout_end()
        return True

    def _step(self, callback: BaseCallback, growing: GrowingRollout, updates: int) -> bool:
        """
        One vector step, and some of the pending updates while the environments make it.

        :return: False if a callback stops the training
        """
        env = cast(VecEnv, self.env)
        self.exploration_rate = self.explorer.schedule(self._current_progress_remaining, self.num_timesteps)
        choice = self._greedy_choice(self._last_obs)
        if (actions := actions_of_actors(self)) is None:
            actions = self.explorer.actions(self.exploration_rate, (self.n_envs,), lambda: choice.actions)
        with starting_anew(self):
            env.step_async(actions)
        try:
            self._make_updates(updates)
        finally:  # the step is on its way: whatever happened, Ctrl-C included, it is waited for
            with starting_anew(self):
                seen = self._take_step(env.step_wait(), actions, growing, choice.outputs)
        callback.update_locals(seen)
        return callback.on_step()

    def _take_step(
        self,
        step: tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]],
        actions: np.ndarray,
        growing: GrowingRollout,
        outputs: Tensor,
    ) -> dict[str, Any]:
        """
        Add a vector step to the rollout.

        :return: the local variables for callbacks, under SB3's names
        :raises ValueError: on a reward or an observation that is not finite; nothing is stored then
        """
        new_obs, rewards, dones, infos = step
        rewards, dones = np.asarray(rewards, np.float32), np.asarray(dones, bool)
        normalization = self._vec_normalize_env
        raw_rewards = rewards if normalization is None else normalization.get_original_reward()
        raw_obs = new_obs if normalization is None else normalization.get_original_obs()
        check_transition(raw_rewards, raw_obs, infos, self.num_timesteps)
        self.rollout_buffer.add(
            cast(Any, self._last_obs), _reached(new_obs, dones, infos), actions, rewards, dones, infos
        )
        truncated = dones & [bool(info.get("TimeLimit.truncated", False)) for info in infos]
        growing.add(outputs, rewards, dones, truncated)
        if truncated.any():
            envs = np.flatnonzero(truncated)
            growing.bootstrap_from(envs, self._greedy_choice(_last_states(envs, infos)).outputs)
        self.largest_reward = max(cast(float, self.largest_reward), largest(rewards))
        self._normalization.take()
        self._last_obs, self._last_episode_starts = new_obs, dones
        self.num_timesteps += self.n_envs
        self._episode_num += int(dones.sum())
        self._update_info_buffer(infos, dones)
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        return {
            **{"self": self, "env": self.env, "actions": actions, "new_obs": new_obs},
            **{"rewards": rewards, "dones": dones, "infos": infos},
        }

    def _greedy_choice(self, observations: Any) -> GreedyChoice:
        return self._get_learner().greedy_choice(observations)

    def _make_updates(self, n: int) -> None:
        """
        An update stays pending until it is made, and so does one that is interrupted.

        :raises ValueError: see `_update_with`; its rollout is then dropped, or no later training would get past it
        """
        buffer = self.rollout_buffer
        for _ in range(n):
            try:
                self._update_with(buffer.minibatch())
            except ValueError:
                buffer.drop_minibatches()
                raise
            buffer.learned()

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        self._normalization = NormalizationSnapshot(self._vec_normalize_env)
        with starting_anew(self):
            prepared = super()._setup_learn(*args, **kwargs)
            check_observations(self._last_obs, self.num_timesteps)
        self._normalization.take()
        return prepared

    def dump_logs(self) -> None:
        """Write the logs of the rollouts since they were last written, under SB3's names."""
        self._rollouts_since_log = 0
        self._record_training()
        self._record_speeds()
        elapsed = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        steps = self.num_timesteps - self._num_timesteps_at_start
        record = self.logger.record
        record("rollout/exploration_rate", self.exploration_rate)
        if self.ep_info_buffer:
            record("rollout/ep_rew_mean", safe_mean([info["r"] for info in self.ep_info_buffer]))
            record("rollout/ep_len_mean", safe_mean([info["l"] for info in self.ep_info_buffer]))
        if self.ep_success_buffer:
            record("rollout/success_rate", safe_mean(self.ep_success_buffer))
        record("time/episodes", self._episode_num, exclude="tensorboard")
        record("time/fps", int(steps / elapsed))
        record("time/time_elapsed", int(elapsed), exclude="tensorboard")
        record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)


def _reached(new_obs: Any, dones: np.ndarray, infos: list[dict[str, Any]]) -> Any:
    """:return: the observations that the actions led to: where an episode ended, its last one"""
    if not dones.any():
        return new_obs
    final = {env: infos[env]["terminal_observation"] for env in _ended(dones) if "terminal_observation" in infos[env]}
    if isinstance(new_obs, dict):
        return {key: _replaced(part, {env: each[key] for env, each in final.items()}) for key, part in new_obs.items()}
    return _replaced(new_obs, final)


def _ended(dones: np.ndarray) -> list[int]:
    return np.flatnonzero(dones).tolist()


def _last_states(envs: np.ndarray, infos: list[dict[str, Any]]) -> Any:
    """
    :param envs: whose episodes were truncated
    :return: their last observations, as a batch
    :raises ValueError: if one of them is missing
    """
    for env in envs:
        if "terminal_observation" not in infos[env]:
            raise ValueError(
                f"Environment {env} truncated its episode, and its info lacks the terminal_observation, which SB3's "
                "vectorized environments give: targets need the value of the last state."
            )
    return _joined([infos[env]["terminal_observation"] for env in envs])


def _replaced(array: np.ndarray, rows: dict[int, np.ndarray]) -> np.ndarray:
    changed = array.copy()
    for row, value in rows.items():
        changed[row] = value
    return changed


def _joined(observations: list[Any]) -> Any:
    """:return: single observations as a batch"""
    if isinstance(observations[0], dict):
        return {key: np.stack([each[key] for each in observations]) for key in observations[0]}
    return np.stack(observations)
