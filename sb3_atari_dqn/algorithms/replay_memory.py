"""The memory of a model: chosen by name, reserved when it is first needed, saved and taken back."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_atari_dqn.algorithms.divergence import extent
from sb3_atari_dqn.algorithms.normalization import NormalizationSnapshot, starting_anew
from sb3_atari_dqn.algorithms.replay_state import obstacle
from sb3_atari_dqn.checkpoints.allowed_names import UnsafeFile, allow, trusts
from sb3_atari_dqn.checkpoints.model_files import ModelPath, destination, replacing
from sb3_atari_dqn.checkpoints.safe_pickle import load_pickle
from sb3_atari_dqn.finite import check_observations, check_transition
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.files import is_ours as is_replay_file
from sb3_atari_dqn.replay.files import read as read_replay
from sb3_atari_dqn.replay.files import write as write_replay
from sb3_atari_dqn.replay.hooks import hooks_of
from sb3_atari_dqn.replay.kinds import REPLAY_KINDS, SB3_BUFFERS, ReplayChoice, frames_once, warn_of_ignored_n_steps
from sb3_atari_dqn.replay.sb3_buffers import can_convert, converted
from sb3_atari_dqn.replay.stores import in_new_spelling

if TYPE_CHECKING:
    from stable_baselines3 import DQN as _Host
else:
    _Host = object

# Stands for the replay buffer while SB3 builds the model: SB3 allocates at once what it finds to be None.
_NOT_YET = cast(ReplayBuffer, object())

_HER_NEEDS_ENV = "HerReplayBuffer needs the environment: pass env= to load() or call set_env()."


class ReplayMemory(_Host):
    """
    A DQN whose replay buffer is of one of our kinds, or SB3's, or a class of the user's.

    Deviation from SB3: memory is reserved on first use, so that a model loaded to play takes none.
    """

    replay: str
    largest_reward: float | None
    _rewards_seen: tuple[float, ...]
    _building = False
    _given_seed: int | None = None  # by the user, not by a file
    _normalization = NormalizationSnapshot(None)
    _replay_buffer: ReplayBuffer | None

    def _setup_model(self) -> None:
        chosen = self.replay_buffer_class, dict(self.replay_buffer_kwargs), self.n_steps
        warn_of_ignored_n_steps(self.replay_buffer_class, self.n_steps)
        # SB3 would write its own choice of buffer over these and take it for the user's at the next load; and refuse,
        # or warn of, n-step returns that our buffers know.
        self.replay_buffer_class, self.n_steps = ReplayBuffer, 1
        self._building = True
        try:
            super()._setup_model()
        finally:
            self._building = False
            self.replay_buffer_class, self.replay_buffer_kwargs, self.n_steps = chosen

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> Any:
        """See SB3; a seed that comes out of the file was not given by the user."""
        model = super().load(*args, **kwargs)
        model._given_seed = kwargs.get("seed")
        return model

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_given_seed", "_rewards_seen"]

    @property
    def replay_buffer(self) -> ReplayBuffer:
        """The stored transitions"""
        if self._building:
            return _NOT_YET
        if self._replay_buffer is None:
            self._replay_buffer = self._make_replay_buffer()
        return self._replay_buffer

    @replay_buffer.setter
    def replay_buffer(self, buffer: ReplayBuffer | None) -> None:
        self._replay_buffer = buffer

    def _choose_replay(self) -> ReplayChoice:
        """
        :return: class of the replay buffer and its further arguments, which are brought to their new spelling in
            `replay_buffer_kwargs` too
        """
        own_class = self.replay_buffer_class
        if own_class is not None and not issubclass(own_class, FrameReplayBuffer):
            return own_class, dict(self.replay_buffer_kwargs)
        self.replay_buffer_kwargs = in_new_spelling(self.replay_buffer_kwargs)
        return REPLAY_KINDS[self.replay](self) if own_class is None else frames_once(self, own_class)

    def set_random_seed(self, seed: int | None = None) -> None:
        """:param seed: of all random generators, that of a replay buffer that exists already included"""
        super().set_random_seed(seed)
        self._given_seed = seed
        if seed is not None:
            hooks_of(self._replay_buffer).seed(seed)

    def why_not_saved(self) -> str | None:
        """:return: why this model cannot be saved in a checkpoint, in one line; None if it can be"""
        return obstacle(self._choose_replay()[0])

    @property
    def transitions_kept(self) -> int:
        """How many the full replay memory holds"""
        return self.buffer_size

    def _memory_identity(self) -> dict[str, Any]:
        return {"buffer_size": self.buffer_size}

    def _memory(self) -> ReplayBuffer:
        return self.replay_buffer

    def _existing_memory(self) -> ReplayBuffer | None:
        return self._replay_buffer

    def _make_replay_buffer(self) -> ReplayBuffer:
        buffer_class, kwargs = self._choose_replay()
        per_env = self.buffer_size // self.n_envs
        if 1 < self.n_steps >= per_env:
            raise ValueError(
                f"n_steps={self.n_steps} is as long as the memory of each environment: buffer_size={self.buffer_size} "
                f"holds {per_env} transitions of each of {self.n_envs}; raise buffer_size."
            )
        if issubclass(buffer_class, HerReplayBuffer):
            if self.env is None:
                raise ValueError(_HER_NEEDS_ENV)
            kwargs["env"] = self.env
        try:
            return buffer_class(
                self.buffer_size,
                self.observation_space,
                self.action_space,
                device=self.device,
                n_envs=self.n_envs,
                optimize_memory_usage=self.optimize_memory_usage,
                **kwargs,
            )
        except MemoryError as error:
            if issubclass(buffer_class, FrameReplayBuffer):  # has said how many would fit
                raise
            raise MemoryError(
                f"buffer_size={self.buffer_size:,} transitions do not fit into memory ({error}); make it smaller."
            ) from error

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        own = self.optimize_memory_usage
        if hooks_of(self._replay_buffer).sees_resets:
            self.optimize_memory_usage = False  # SB3 would cut the last trajectory off
        self._normalization = NormalizationSnapshot(self._vec_normalize_env)
        try:
            with self._starting_anew():
                prepared = super()._setup_learn(*args, **kwargs)
                first = self._last_obs if self._vec_normalize_env is None else self._last_original_obs
                check_observations(first, self.num_timesteps)
        finally:
            self.optimize_memory_usage = own
        normalizes = self._vec_normalize_env is not None and self._vec_normalize_env.norm_obs
        hooks_of(self.replay_buffer).learning_starts(normalizes)
        self._normalization.take()
        if self.largest_reward is not None and (size := self.replay_buffer.size()):  # it may have been loaded
            self._see(self.replay_buffer.rewards[:size])
        return prepared

    def _largest_reward_learned_from(self) -> float | None:
        own = self.replay_buffer_class
        if own is not None and own not in SB3_BUFFERS and not issubclass(own, FrameReplayBuffer):
            return None  # HerReplayBuffer gives other rewards than it was given, the user's own may
        normalization = self._vec_normalize_env
        if normalization is not None and normalization.norm_reward:
            return float(normalization.clip_reward)
        return self.largest_reward

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray,
        new_obs: Any,
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Parameters as in SB3.

        :raises ValueError: on a reward or an observation that is not finite; nothing is stored then
        """
        original = self._vec_normalize_env  # which turns an infinite reward into its own largest
        rewards = reward if original is None else original.get_original_reward()
        observations = new_obs if original is None else original.get_original_obs()
        with self._starting_anew():
            check_transition(rewards, observations, infos, self.num_timesteps)
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
        self._normalization.take()
        if self.largest_reward is not None:
            self._see(rewards)

    def _see(self, rewards: np.ndarray) -> None:
        """:param rewards: that this model learns from, before a normalization"""
        low, high = extent(rewards)
        self._rewards_seen = min((low, *self._rewards_seen)), max((high, *self._rewards_seen))
        self.largest_reward = max(cast(float, self.largest_reward), high, -low)

    @contextmanager
    def _starting_anew(self) -> Iterator[None]:
        """See :func:`starting_anew`; a trajectory cannot go on after a reset either."""
        try:
            with starting_anew(self):
                yield
        except BaseException:
            if isinstance(self._replay_buffer, HerReplayBuffer):
                self._replay_buffer.truncate_last_trajectory()
            raise

    def save_replay_buffer(self, path: ModelPath) -> None:
        """
        Save the stored transitions; an interruption leaves an older file whole.

        A buffer that stores each frame once goes into a compressed file of our own, SB3's buffers into SB3's pickle.

        :param path: file (".pkl", SB3's suffix for any, is added to a bare name), or a file object
        """
        buffer = self.replay_buffer
        if isinstance(path, str | Path):
            with replacing(destination(path, "pkl")) as file:
                self.save_replay_buffer(file)
        elif isinstance(buffer, FrameReplayBuffer):
            write_replay(buffer, cast(BinaryIO, path))
        else:
            super().save_replay_buffer(path)

    def load_replay_buffer(self, path: ModelPath, truncate_last_traj: bool = True, trust: bool | None = None) -> None:
        """
        Take over saved transitions; nothing in the file is executed.

        :param path: file that `save_replay_buffer` wrote, or a file object
        :param truncate_last_traj: see SB3; only for HerReplayBuffer
        :param trust: let the pickle of an SB3 buffer run code; None: as SB3_ATARI_DQN_TRUST says

        If this model was given a seed (in its constructor, in `load` or by `set_random_seed`), sampling begins anew
        with it; otherwise it continues with the generator in the file.

        :raises UnsafeFile: if it is not trusted and needs something outside of the allow-list; the message names it
        :raises ValueError: if the file is damaged or does not fit this model, which then stays as it was
        """
        trusted = trusts(trust)
        if isinstance(path, str | Path):
            path = Path(path)
            with (path if path.suffix or path.exists() else path.with_name(f"{path.name}.pkl")).open("rb") as file:
                self._load_replay_file(file, str(path), truncate_last_traj, trusted)
        else:
            self._load_replay_file(path, "The file", truncate_last_traj, trusted)
        if self._given_seed is not None:
            hooks_of(self._replay_buffer).seed(self._given_seed)

    def _load_replay_file(self, file: Any, name: str, truncate_last_traj: bool, trusted: bool) -> None:
        stores_frames_once = issubclass(self._choose_replay()[0], FrameReplayBuffer)
        if stores_frames_once != is_replay_file(file):
            kinds = ["an SB3 buffer (a pickle)", "a buffer that stores each frame once"]
            ways_out = ["replay='uniform' and replay_buffer_kwargs={'frame_storage': 'ram'}", "replay='sb3'"]
            raise ValueError(
                f"{name} holds {kinds[not stores_frames_once]}, and this model has {kinds[stores_frames_once]}: build "
                f"it with {ways_out[stores_frames_once]}, or leave the file out."
            )
        if not stores_frames_once:
            self._load_sb3_buffer(file, name, truncate_last_traj, trusted)
            return
        buffer = self._make_replay_buffer() if self._replay_buffer is None else self._replay_buffer
        read_replay(cast(FrameReplayBuffer, buffer), file, name)
        self._replay_buffer = buffer

    def _load_sb3_buffer(self, file: Any, name: str, truncate_last_traj: bool, trusted: bool) -> None:
        """:raises ValueError: if it is damaged, or does not fit; the model's own buffer then stays"""
        if self.env is None and issubclass(self._choose_replay()[0], HerReplayBuffer):
            raise ValueError(_HER_NEEDS_ENV)
        if self.replay_buffer_class is not None:
            allow(self.replay_buffer_class)  # the user gave it to this model
        own_buffer = self._replay_buffer
        try:
            buffer = pickle.load(file) if trusted else load_pickle(file, name)
            self._take_sb3_buffer(buffer, truncate_last_traj)
        except UnsafeFile:
            raise
        except Exception as error:  # a damaged pickle leads to any of them
            self._replay_buffer = own_buffer
            raise ValueError(
                f"{name} is damaged, no replay buffer comes out of it ({type(error).__name__}: {error}): take another "
                "copy, or move it away to begin with an empty memory."
            ) from error
        try:
            self._replay_buffer = self._fitting(cast(ReplayBuffer, self._replay_buffer), name)
        except BaseException:
            self._replay_buffer = own_buffer
            raise

    def _take_sb3_buffer(self, buffer: Any, truncate_last_traj: bool) -> None:
        """What SB3 does with what comes out of a pickle."""
        if not isinstance(buffer, ReplayBuffer):
            raise TypeError(f"it holds a {type(buffer).__name__}")
        if not hasattr(buffer, "handle_timeout_termination"):  # of SB3 before 2.1
            buffer.handle_timeout_termination = False
            buffer.timeouts = np.zeros_like(buffer.dones)
        if isinstance(buffer, HerReplayBuffer):
            buffer.set_env(cast(VecEnv, self.env))
            if truncate_last_traj:
                buffer.truncate_last_trajectory()
        buffer.device = self.device
        self._replay_buffer = buffer

    def _fitting(self, loaded: ReplayBuffer, name: str) -> ReplayBuffer:
        """
        :param loaded: out of the file `name`
        :return: its transitions in a buffer of this model's class, with this model's n-step returns
        :raises ValueError: if it comes from other environments, or lacks something
        """
        for what in ("n_envs", "observation_space", "action_space"):
            stored, wanted = getattr(loaded, what), getattr(self, what)
            if stored != wanted:
                raise ValueError(f"The replay buffer in {name} has {what}={stored}, this model has {wanted}.")
        buffer_class, kwargs = self._choose_replay()
        if not can_convert(loaded, buffer_class):
            raise ValueError(
                f"The replay buffer in {name} was saved with SB3's optimize_memory_usage=True, which leaves out what "
                "this model needs: build it with replay='sb3' and n_steps=1, or leave the file out."
            )
        return converted(loaded, buffer_class, kwargs)
