"""Learning from replay: batches out of a buffer, targets of a target network. B: batch."""

from typing import TYPE_CHECKING, ClassVar

from stable_baselines3 import DQN
from stable_baselines3.common.utils import polyak_update

from sb3_atari_dqn.algorithms.base import ValueBasedAlgorithm
from sb3_atari_dqn.replay.hooks import hooks_of

if TYPE_CHECKING:

    class _Host(ValueBasedAlgorithm, DQN):  # type: ignore[misc]
        pass

else:
    _Host = ValueBasedAlgorithm


class LearningFromReplay(_Host):
    """A mixin for SB3's DQN: its update and its target network, through learner and hooks."""

    _counters: ClassVar[tuple[str, ...]] = (
        *ValueBasedAlgorithm._counters,
        *("_n_calls", "_n_updates_at_target_update", "pending_updates"),
    )
    _n_updates_at_target_update: int

    def _check_parts(self) -> None:
        super()._check_parts()
        if not {**self.policy_defaults, **self.policy_kwargs}.get("target_network", True):
            raise ValueError(
                f"policy_kwargs target_network=False: {type(self).__name__} takes its targets from a target network; "
                "omit it, or use PQN, which needs none."
            )

    def _on_step(self) -> None:
        """Called after each vector step: target network and epsilon."""
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            self._update_target_network()
        self.exploration_rate = self.explorer.schedule(self._current_progress_remaining, self.num_timesteps)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _update_target_network(self) -> None:
        polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
        self._copy_statistics()
        self._n_updates_at_target_update = self._n_updates
        if self._learner is not None:
            self._learner.target_changed()

    def _copy_statistics(self) -> None:
        """Of batch norm (see SB3 #996) and spectral norm; SB3 leaves counters where they are."""
        for own, target in zip(self.q_net.buffers(), self.q_net_target.buffers(), strict=True):
            if own.is_floating_point():
                target.copy_(own)

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
        hooks = hooks_of(self.replay_buffer)
        hooks.anneal(self._current_progress_remaining)
        self._record_each(hooks.statistics())

    def _gradient_step(self, batch_size: int) -> None:
        """
        Sample, update, and pass the priorities to the replay buffer.

        :param batch_size: B
        :raises ValueError: if the loss or its gradient is not finite; the parameters are then those before the update
        """
        hooks = hooks_of(self.replay_buffer)
        batch = hooks.sample(batch_size, self._vec_normalize_env, self._get_learner().captures)
        hooks.learned_from(batch, self._update_with(batch).priorities)

    def _record_training(self) -> bool:
        found = super()._record_training()
        if found:
            self.logger.record("train/target_age", self._n_updates - self._n_updates_at_target_update)
        return found

    def dump_logs(self) -> None:
        """Write the logs, with the speeds since they were last written."""
        self._record_training()
        self._record_speeds()
        super().dump_logs()
