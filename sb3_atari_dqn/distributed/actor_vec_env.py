"""Atari games that actors play, as an SB3 ``VecEnv`` whose actions come with its steps.

N: games, G: groups of them, k: vector steps of a block, K: frames in a stack, C: channels of a frame. N games are
stepped side by side; free-running (see `rounds`), a place may get another game between two blocks.

    learner   order b + 1 | -- vector steps of block b: store, update ------- | order b + 2 | -- block b + 1 ...
    actors    | play b + 1 with the weights of the order ... |  wait           | play b + 2 ...

Every number that an actor uses is in its order or was seeded before: the weights, the epsilons, the random numbers of
its groups. So in lock-step what is stored depends on the settings alone, not on how many actors there are or how fast
they are.
"""

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import ResultsWriter
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from sb3_atari_dqn.atari.native_support import implemented_wrappers
from sb3_atari_dqn.atari.native_vec_env import NativeAtariVecEnv
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.atari.wrappers import NatureAtari
from sb3_atari_dqn.distributed.acting import PolicySpec
from sb3_atari_dqn.distributed.actors import Actors, LocalActors, Recall
from sb3_atari_dqn.distributed.behaviour import Behaviour, check_takes_other_games
from sb3_atari_dqn.distributed.blocks import Block, advance, restart
from sb3_atari_dqn.distributed.cluster import Cluster
from sb3_atari_dqn.distributed.game_group import GroupSpec
from sb3_atari_dqn.distributed.ray_actors import RayActors
from sb3_atari_dqn.distributed.rounds import Rounds
from sb3_atari_dqn.distributed.settings import FREE_RUNNING, IN_PROCESS, ActorSettings
from sb3_atari_dqn.validation import as_int

_MOST_SEED = 2**32 - 1
_NOT_PLAYED = "its actors choose their actions: pass it to an algorithm of sb3_atari_dqn and call learn()"


class ActorVecEnv(VecEnv):
    """
    N Atari games on actors. An algorithm of this package learns from them as from :class:`NativeAtariVecEnv`; nothing
    else can step them, since actors choose the actions.

    :param env_id: registered Atari game without a frame skip of its own
    :param n_envs: N
    :param seed: game i is seeded with ``seed + i`` at the first reset; None draws one from numpy's global generator
    :param monitor_dir: folder for SB3's monitor files, written by the learner; None writes none
    :param env_kwargs: keyword arguments of ``ale_py.AtariEnv``
    :param preset: the preprocessing
    :param n_stack: K
    :param ray: an :class:`ActorSettings`, or a mapping of its options, or an address
    :raises ValueError: on a bad setting, if Ray is missing, or its cluster does not fit
    """

    #: Read by the algorithms: actions come from :meth:`next_actions`
    chooses_actions = True

    _current: Block | None  # of all groups, side by side
    _position: int  # vector steps of the current block that have been given out
    _begun: int  # episodes likewise
    _stacks: np.ndarray
    #: Numbers of the games that the N places have, int64 [N]
    playing: np.ndarray

    def __init__(
        self,
        env_id: str,
        n_envs: int = 8,
        seed: int | None = None,
        monitor_dir: str | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        preset: AtariPreset = NatureAtari.preset,
        n_stack: int = 4,
        ray: ActorSettings | Mapping[str, Any] | str = ActorSettings(),  # noqa: B008
    ) -> None:
        n_envs = as_int("n_envs", n_envs, 1)
        seed = None if seed is None else as_int("seed", seed, 0, _MOST_SEED)
        self.settings = ActorSettings.of(ray).divided(n_envs)
        trial = NativeAtariVecEnv(env_id, 1, 0, None, env_kwargs, preset=preset, n_stack=n_stack)  # checks the rest
        space: Any = trial.observation_space
        self.n_stack, self._channels = n_stack, space.shape[0] // n_stack
        games = n_envs // self._groups
        kwargs = dict(env_kwargs or {})
        spec = GroupSpec(env_id, games, kwargs, preset, n_stack, self.settings.reload_after, self.settings.compress)
        self._specs = [spec] * self._groups
        self.games = [
            RemoteGame(number, env_id, preset, trial.env_method("get_action_meanings")[0], monitor_dir)
            for number in range(n_envs)
        ]
        super().__init__(n_envs, space, trial.action_space)
        trial.close()
        self._cluster = None if self.settings.address == IN_PROCESS else Cluster(self.settings)
        self._rounds: Rounds | None = None
        self._policy: PolicySpec | None = None  # that the actors were built for
        self._is_open = True
        self._behaviour: Behaviour | None = None
        self._forget()
        self.seed(seed)

    @property
    def _groups(self) -> int:
        assert self.settings.groups is not None
        return self.settings.groups

    # --- what an algorithm does

    def act_for(self, model: Any) -> None:
        """
        Called before a training begins.

        :param model: whose policy the actors follow
        :raises ValueError: if they cannot build it
        :raises RuntimeError: after :meth:`close`
        """
        if self.settings.mode == FREE_RUNNING:
            check_takes_other_games(model)
        self._check_open()
        self._behaviour = Behaviour(model, self.num_envs, self.settings)
        policy = self._behaviour.policy()
        if self._rounds is not None and policy != self._policy:  # those of the model before end
            self._rounds.actors.close()
            self._rounds = None
        if self._rounds is None:
            self._rounds = Rounds(self.settings, partial(self._make_actors, policy), self._frame_shape)
            self._policy = policy
            model._last_obs = None  # they have played nothing: the training begins with a reset

    def _make_actors(self, policy: PolicySpec, recall: Recall) -> Actors:
        if self._cluster is None:
            return LocalActors(self._specs, policy)
        return RayActors(self._cluster, self.settings, self._specs, policy, recall)

    def reset(self) -> np.ndarray:
        """
        Start an episode in every game; blocks that are on their way are thrown away.

        :return: uint8 [N, K * C, H, W]
        :raises RuntimeError: before :meth:`act_for`
        """
        self._check_open()
        rounds, games = self._connected(), self.num_envs // self._groups
        self._forget()
        self._stacks = rounds.reset(self._seeds[::games])
        self._reset_seeds()
        self._reset_options()
        return self._stacks

    def next_actions(self) -> tuple[np.ndarray, np.ndarray]:
        """
        What was done in the next vector step; waits for its block where need be.

        :return: observations, those of the last step unless other games follow, uint8 [N, K * C, H, W]; and actions,
            int64 [N]
        """
        if self._current is None or self._position == self.settings.block_steps:
            self._current = None  # its memory may go back to Ray before the next ones come
            assert self._behaviour is not None
            self._current, groups, self._stacks = self._connected().next(self._behaviour)
            self._position = self._begun = 0
            self.playing = self._games_of(groups)
        return self._stacks, self._current.actions[self._position]

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: of :meth:`next_actions`
        :raises RuntimeError: on others
        """
        block, step = self._current, self._position
        if block is None or step == len(block.actions) or not np.array_equal(actions, block.actions[step]):
            raise RuntimeError(f"The games of {type(self).__name__} cannot be stepped, {_NOT_PLAYED}.")

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """:return: observations, uint8 [N, K * C, H, W]; rewards, float32 [N]; dones, bool [N]; infos"""
        block, step = self._current, self._position
        assert block is not None
        dones = block.dones[step]
        stacks = advance(self._stacks, block.frames[step])
        infos = self._infos(block, step, stacks)
        n_begun = int(np.count_nonzero(dones))
        if n_begun:
            restart(stacks, dones, block.first_frames[self._begun : self._begun + n_begun])
        self._stacks, self._begun = stacks, self._begun + n_begun
        self._position = step + 1
        return stacks, block.rewards[step].copy(), dones.copy(), infos

    def statistics(self) -> dict[str, float]:
        """
        :return: numbers for the logs, since they were asked for last: age of the weights by which the blocks were
            played, in rounds, seconds that the learner waited, megabytes received; and actors replaced so far
        """
        return {} if self._rounds is None else self._rounds.statistics()

    def close(self) -> None:
        """End the actors, and Ray where it was started for them; a second call does nothing."""
        self._is_open = False
        if self._rounds is not None:
            self._rounds.actors.close()
            self._rounds = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
        for game in self.games:
            game.close()

    # --- blocks

    def _forget(self) -> None:
        """No block has begun."""
        self._current, self._position, self._begun = None, 0, 0
        self._stacks = np.zeros((self.num_envs, *self.observation_space.shape), np.uint8)  # type: ignore[misc]
        self.playing = np.arange(self.num_envs)

    def _games_of(self, groups: np.ndarray) -> np.ndarray:
        games = self.num_envs // self._groups
        return (groups[:, None] * games + np.arange(games)).ravel()

    @property
    def _frame_shape(self) -> tuple[int, ...]:
        return self._channels, *self.observation_space.shape[1:]  # type: ignore[index]

    def _check_open(self) -> None:
        """:raises RuntimeError: after :meth:`close`"""
        if not self._is_open:
            raise RuntimeError(f"This {type(self).__name__} is closed: create another one.")

    def _connected(self) -> Rounds:
        if self._rounds is None:
            raise RuntimeError(f"The actors of this {type(self).__name__} follow no policy, {_NOT_PLAYED}.")
        return self._rounds

    def _infos(self, block: Block, step: int, stacks: np.ndarray) -> list[dict[str, Any]]:
        """:param stacks: before episodes are restarted"""
        counts, truncated = block.counts[step].tolist(), block.truncated[step].tolist()
        infos: list[dict[str, Any]] = [
            {
                "lives": lives,
                "episode_frame_number": of_game,
                "frame_number": of_rom,
                "TimeLimit.truncated": cut,
            }
            for (lives, of_game, of_rom), cut in zip(counts, truncated, strict=True)
        ]
        if block.td_errors.size:
            for info, td_error in zip(infos, block.td_errors[step].tolist(), strict=True):
                info["td_error"] = td_error
        for number in np.flatnonzero(block.dones[step]):
            infos[number]["terminal_observation"] = stacks[number].copy()
        for _, place, raw_return, frames in block.scores[block.scores[:, 0] == step].tolist():
            infos[int(place)]["episode"] = self.games[self.playing[int(place)]].end(raw_return, int(frames))
        return infos

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """
        Waits for the blocks that are on their way, and keeps them.

        :return: plain values and arrays; a copy. Before :meth:`act_for`, without anything that could be continued
        """
        return {
            "rounds": None if self._rounds is None else self._rounds.state_dict(),
            "current": None if self._current is None else self._current.state_dict(),
            "position": [self._position, self._begun],
            "playing": self.playing.copy(),
            "stacks": self._stacks.copy(),
            "games": [game.start for game in self.games],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Rebuild all games by replay, see :meth:`NativeAtariVecEnv.load_state_dict`.

        :param state: as `state_dict` of an environment with the same arguments gave it
        :raises ValueError: if it does not fit
        :raises RuntimeError: before :meth:`act_for`
        """
        if state["rounds"] is None:
            raise ValueError("Nothing had been played when this state was taken: begin the training anew.")
        groups = len(state["rounds"]["groups"])
        if state["stacks"].shape != self._stacks.shape or groups != self._groups:
            raise ValueError(
                f"The state of {groups} groups with observations {list(state['stacks'].shape)} does not fit "
                f"{self._groups} groups with {list(self._stacks.shape)}: create the environment with the same n_envs, "
                "n_stack, preset and groups."
            )
        self._connected().load_state_dict(state["rounds"])
        self._forget()
        self._current = None if state["current"] is None else Block.from_state(state["current"])
        self._position, self._begun = state["position"]
        self._stacks, self.playing = np.array(state["stacks"]), np.array(state["playing"])
        self._seeds = [None] * self.num_envs
        for game, start in zip(self.games, state["games"], strict=True):
            game.start = start

    # --- the rest of SB3's interface

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: a public attribute of :class:`RemoteGame`
        :raises AttributeError: on any other name
        """
        if attr_name.startswith("_") or not hasattr(self.games[0], attr_name):
            raise AttributeError(f"A game on an actor has no attribute {attr_name!r}; evaluate in other environments.")
        return [getattr(self.games[index], attr_name) for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """:raises AttributeError: always"""
        raise AttributeError(f"{attr_name!r} of a game on an actor cannot be set.")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """:raises AttributeError: on a method that :class:`RemoteGame` does not have"""
        return [method(*args, **kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """:return: whether the games implement this wrapper, see :class:`NativeAtariVecEnv`"""
        games = [self.games[index] for index in self._get_indices(indices)]
        return [wrapper_class in implemented_wrappers(game.preset, game.fires) for game in games]


class RemoteGame:
    """
    What the learner knows of one game: its registration, its preset, and its monitor file.

    :param number: of the game
    :param env_id: registered environment
    :param preset: the preprocessing
    :param actions: their meanings
    :param monitor_dir: folder for ``NUMBER.monitor.csv``; None writes no file
    """

    def __init__(
        self, number: int, env_id: str, preset: AtariPreset, actions: Sequence[str], monitor_dir: str | None
    ) -> None:
        self.spec, self.preset, self.render_mode = gym.spec(env_id), preset, None
        self.metadata: dict[str, Any] = {"render_modes": []}
        self.fires = preset.fire_on_reset and "FIRE" in actions
        self._actions = list(actions)
        self.start = time.time()
        #: What writes its monitor file
        self.monitor_writer: ResultsWriter | None = None
        if monitor_dir is not None:
            header: Any = {"t_start": self.start, "env_id": env_id}
            self.monitor_writer = ResultsWriter(os.path.join(monitor_dir, str(number)), header)

    def get_action_meanings(self) -> list[str]:
        """:return: names of the actions"""
        return list(self._actions)

    def end(self, raw_return: float, frames: int) -> dict[str, float]:
        """
        :param raw_return: of the full game
        :param frames: its length in raw frames
        :return: the row of its monitor file
        """
        row = {"r": raw_return, "l": frames, "t": round(time.time() - self.start, 6)}
        if self.monitor_writer is not None:
            self.monitor_writer.write_row(row)
        return row

    def close(self) -> None:
        """Close the file."""
        if self.monitor_writer is not None:
            self.monitor_writer.close()
