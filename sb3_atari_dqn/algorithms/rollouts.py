"""Collecting and learning: updates counted per transition, and made while the environments step.

N: environments.

    main thread     act | -- pending updates, on what is stored --- | store   | act | ...
    environments        | step ........................... |  idle  |         |     | step ...

The updates made during a step see the transitions stored before it, and the actions of that step were chosen before
them: behaviour is at most one block of updates behind. What is sampled and what is stored keep one fixed order, so that
a run depends on its seed and the number of environments alone, not on who was faster.
"""

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.algorithms.failures import explained_failures
from sb3_atari_dqn.algorithms.remote_acting import actions_of_actors

if TYPE_CHECKING:
    from stable_baselines3 import DQN as _Host
else:
    _Host = object

# Rounding error of sums of decimal fractions.
_ROUNDING = 1e-9


class OverlappedRollouts(_Host):
    """
    A mixin for SB3's off-policy algorithms, whose loop makes the updates until `replay_ratio` is set.

    Each vector step then adds N * `replay_ratio` to the pending updates, and whole updates are made: right after the
    step, or with `overlap` during the next one. Updates still pending when training stops are made when it continues.

    Deviations from SB3's loop: the transition at which a callback stops the training is stored too, so that none is
    lost; in ours, before the callbacks are called. Greedy actions are the learner's, with the noise of noisy layers.
    """

    replay_ratio: float | None
    overlap: bool
    pending_updates: float

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """
        One vector step, with its updates; parameters as in SB3.

        :raises ValueError: on a NaN or infinity of environments or network
        :raises RuntimeError: if the process of an environment ended
        """
        with explained_failures(self):
            return self._collect(env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval)

    def _collect(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None,
        learning_starts: int,
        log_interval: int | None,
    ) -> RolloutReturn:
        if self.replay_ratio is None:
            try:
                rollout = super().collect_rollouts(
                    env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval
                )
                if not rollout.continue_training:
                    self._store_last_step(replay_buffer, callback.locals, log_interval)
            except BaseException:
                self._last_obs = None  # perhaps the environments went on: the next learn() resets them
                raise
            return rollout
        callback.on_rollout_start()
        actions = self._choose_actions(learning_starts, env.num_envs)
        try:
            env.step_async(actions)
        except BaseException:
            self._last_obs = None  # the step may be on its way: the next learn() resets them
            raise
        try:
            if self.overlap:
                self._make_pending_updates()
        finally:  # the step is on its way: whatever happened, Ctrl-C included, it is waited for and stored
            seen = self._store_step(env, replay_buffer, actions)
        if not self.overlap:
            self._make_pending_updates()
        callback.update_locals(seen)
        go_on = callback.on_step()
        self._count_episodes(seen["dones"], log_interval)
        if go_on:
            callback.on_rollout_end()
        return RolloutReturn(env.num_envs, int(seen["dones"].sum()), go_on)

    def _pace_arguments(self) -> dict[str, Any]:
        """:return: how often to learn, as the constructor takes it"""
        if self.replay_ratio is not None:  # SB3's pace is what that makes of it
            return {"train_freq": None, "gradient_steps": None}
        frequency, unit = self.train_freq  # type: ignore[misc]
        return {"train_freq": (frequency, getattr(unit, "value", unit))}

    def _choose_actions(self, learning_starts: int, n_envs: int) -> np.ndarray:
        """
        :return: random ones before learning starts, then those of the exploration policy; those that actors chose,
            where there are any, [N]
        """
        if (played := actions_of_actors(self)) is not None:
            return played
        if self.num_timesteps < learning_starts:
            return np.array([self.action_space.sample() for _ in range(n_envs)])
        return self._explore(self._last_obs)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """SB3's loop asks here and plays what ours plays; its own choice is that of :meth:`predict`, without noise."""
        actions = self._choose_actions(learning_starts, n_envs)
        return actions, actions

    def _explore(self, observations: Any) -> np.ndarray:
        """:return: actions [N]"""
        raise NotImplementedError

    def _store_step(self, env: VecEnv, replay_buffer: ReplayBuffer, actions: np.ndarray) -> dict[str, Any]:
        """
        Wait for the step and store it; its updates are pending from here on.

        :return: the local variables for callbacks, under SB3's names
        """
        try:
            new_obs, rewards, dones, infos = env.step_wait()
        except BaseException:
            self._last_obs = None  # how far they got is unknown: the next learn() resets them
            raise
        self.num_timesteps += env.num_envs
        self._take_step(replay_buffer, actions, new_obs, rewards, dones, infos)
        if self.num_timesteps > self.learning_starts:
            self.pending_updates += env.num_envs * cast(float, self.replay_ratio)
        return {
            "self": self,
            "env": env,
            "replay_buffer": replay_buffer,
            "actions": actions,
            "new_obs": new_obs,
            "rewards": rewards,
            "dones": dones,
            "infos": infos,
        }

    def _store_last_step(self, replay_buffer: ReplayBuffer, seen: dict[str, Any], log_interval: int | None) -> None:
        """
        SB3's loop forgets the step at which a callback stops the training, and the next training would go on from the
        observation before it, in another episode perhaps.

        :param seen: the local variables of the loop, as the callbacks know them
        """
        step = (seen[name] for name in ("buffer_actions", "new_obs", "rewards", "dones", "infos"))
        self._take_step(replay_buffer, *step)
        self._count_episodes(seen["dones"], log_interval)

    def _take_step(
        self,
        replay_buffer: ReplayBuffer,
        actions: np.ndarray,
        new_obs: Any,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """What SB3's loop does with a step."""
        self._update_info_buffer(infos, dones)
        self._store_transition(replay_buffer, actions, new_obs, rewards, dones, infos)
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        self._on_step()

    def _make_pending_updates(self) -> None:
        """An update is subtracted once it is made: an interrupted one is still pending."""
        if self.pending_updates + _ROUNDING < 1 or not self._may_learn():
            return
        self._prepare_training()
        for _ in range(math.floor(self.pending_updates + _ROUNDING)):
            self._gradient_step(self.batch_size)
            self.pending_updates = max(self.pending_updates - 1, 0.0)

    def _may_learn(self) -> bool:
        """:return: false before learning starts, and for a loaded model without its replay memory"""
        return self.num_timesteps > self.learning_starts and cast(ReplayBuffer, self.replay_buffer).size() > 0

    def _prepare_training(self) -> None:
        """Bring learning rate and schedules up to date."""
        raise NotImplementedError

    def _gradient_step(self, batch_size: int) -> None:
        """Make one update."""
        raise NotImplementedError

    def _count_episodes(self, dones: np.ndarray, log_interval: int | None) -> None:
        for _ in range(int(dones.sum())):
            self._episode_num += 1
            if log_interval is not None and self._episode_num % log_interval == 0:
                self.dump_logs()
