"""The share of dead hidden units during training, on states of the replay memory."""

from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn.callbacks.evaluation_episode import global_generators_restored
from sb3_atari_dqn.networks.dead_units import Units, check_activations, dead_units
from sb3_atari_dqn.validation import as_int, check_between, checked_flag

#: More is the mean of a layer: about half of its units.
MOST_TAU = 1


class LogDeadUnits(BaseCallback):
    """
    Log ``train/dead_units``: the share (0 to 1) of hidden units that are off in a sample of states.

    What counts as dead: see :func:`~sb3_atari_dqn.networks.dead_units.dead_units`. The states come from the replay
    memory, or the last rollouts, every transition with the same probability, the same ones for the same `seed` and
    environment step. The network computes in float32 and evaluation mode. The training does not change, not even in
    its last bit.

    For algorithms with a Q-network: ours, SB3's DQN, sb3-contrib's QR-DQN.

    :param every: environment steps between two measurements, over all environments; from the first transition on
    :param n_states: size of the sample
    :param per_layer: also log each layer: ``train/dead_units_conv1``, ...
    :param tau: 0 counts dead units; more, up to 1, counts units that are nearly dead too (0.025 in the paper)
    :param seed: of the sample
    :param verbose: 1 prints a line per measurement
    :raises ValueError: on a bad argument; before training starts, if the algorithm or its network does not fit
    Source: Sokar et al. 2023, see there.
    """

    def __init__(
        self,
        every: int = 10_000,
        n_states: int = 256,
        per_layer: bool = False,
        tau: float = 0.0,
        seed: int = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self.every, self.n_states = as_int("every", every, 1), as_int("n_states", n_states, 1)
        self.per_layer = checked_flag("per_layer", per_layer)
        check_between("tau", tau, 0, MOST_TAU)
        self.tau, self.seed = tau, as_int("seed", seed, 0)
        #: By layer, as measured last; empty before
        self.layers: dict[str, Units] = {}
        self._measured_at = 0
        self._continues = False

    @property
    def share(self) -> float | None:
        """:return: of dead units in all layers together, as measured last; None before"""
        return _share(list(self.layers.values())) if self.layers else None

    def _init_callback(self) -> None:
        if self._network is None or self._buffer is None:
            raise ValueError(
                f"LogDeadUnits needs an algorithm with a Q-network and a memory of states, got "
                f"{type(self.model).__name__}: leave the callback out."
            )
        check_activations(self._network)

    @property
    def _buffer(self) -> Any:
        """The replay memory, or the last rollouts"""
        return getattr(self.model, "replay_buffer", getattr(self.model, "rollout_buffer", None))

    @property
    def _network(self) -> Any:
        return getattr(self.model.policy, "q_net", getattr(self.model.policy, "quantile_net", None))

    def _on_training_start(self) -> None:
        buffer = self._buffer
        if not any(hasattr(buffer, name) for name in ("observations_at", "samples_at", "observations")):
            raise ValueError(
                f"LogDeadUnits cannot read the states of a {type(buffer).__name__}: give it `observations`, as SB3's "
                "buffers have them, or leave the callback out."
            )
        if not self._continues:
            self._measured_at, self.layers = self.num_timesteps, {}
        self._continues = False

    def _on_step(self) -> bool:
        is_filled = self._buffer.size() > 0
        if is_filled and self.num_timesteps - self._measured_at >= self.every:
            self._measured_at = self.num_timesteps
            self._measure()
        return True

    def _measure(self) -> None:
        with global_generators_restored():  # networks of the user's own may draw
            self.layers = dead_units(self._network, self._states(), self.tau)
        self.logger.record("train/dead_units", self.share)
        if self.per_layer:
            for name, units in self.layers.items():
                self.logger.record(f"train/dead_units_{name}", _share([units]))
        if self.verbose > 0:
            counts = ", ".join(f"{name} {units.dead}/{units.of}" for name, units in self.layers.items())
            print(f"Dead units after {self.num_timesteps} environment steps: {counts}")

    def _states(self) -> Any:
        """:return: of the replay memory, whose own generator draws nothing, [n_states, ...]"""
        buffer, env = self._buffer, self.model.get_vec_normalize_env()
        rng = np.random.default_rng((self.seed, self.num_timesteps))
        slots, envs = (rng.integers(high, size=self.n_states) for high in (buffer.size(), buffer.n_envs))
        if hasattr(buffer, "observations_at"):
            return buffer.observations_at(slots, envs)
        if hasattr(buffer, "samples_at"):
            return buffer.samples_at(slots, envs, env).observations
        stored, is_dict = buffer.observations, isinstance(buffer.observations, dict)
        drawn = {name: part[slots, envs] for name, part in (stored if is_dict else {"": stored}).items()}
        normalized = buffer._normalize_obs(drawn if is_dict else drawn[""], env)
        return {k: buffer.to_torch(v) for k, v in normalized.items()} if is_dict else buffer.to_torch(normalized)

    def state_dict(self) -> dict[str, Any]:
        """:return: when it measured last, and what it found"""
        layers = {name: list(units) for name, units in self.layers.items()}
        return {"n_calls": self.n_calls, "measured_at": self._measured_at, "layers": layers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self.n_calls, self._measured_at = state["n_calls"], state["measured_at"]
        self.layers = {name: Units(*counts) for name, counts in state["layers"].items()}
        self._continues = True


def _share(layers: list[Units]) -> float:
    return sum(units.dead for units in layers) / sum(units.of for units in layers)
