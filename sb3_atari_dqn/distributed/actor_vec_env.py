"""Atari games that actors play, as an SB3 ``VecEnv`` whose actions come with its steps.

N: games, G: groups of them, k: vector steps of a block, K: frames in a stack, C: channels of a frame.

    learner   order b + 1 | -- vector steps of block b: store, update ------- | order b + 2 | -- block b + 1 ...
    actors    | play b + 1 with the weights of the order ... |  wait           | play b + 2 ...

Every number that an actor uses is in its order or was seeded before: the weights, the epsilons, the random numbers of
its groups. So what is stored depends on the settings alone, not on how many actors there are or how fast they are.
"""

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
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
from sb3_atari_dqn.distributed.actors import Actors, LocalActors
from sb3_atari_dqn.distributed.behaviour import Behaviour
from sb3_atari_dqn.distributed.blocks import Block, Order, advance, restart, stacks_after
from sb3_atari_dqn.distributed.cluster import Cluster
from sb3_atari_dqn.distributed.game_group import GroupRecord, GroupSpec
from sb3_atari_dqn.distributed.ray_actors import RayActors
from sb3_atari_dqn.distributed.settings import IN_PROCESS, ActorSettings
from sb3_atari_dqn.validation import as_int

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

    _blocks: deque[Block]  # received, all groups side by side, not begun
    _current: Block | None
    _position: int  # vector steps of the current block that have been given out
    _begun: int  # episodes likewise
    _ordered: int  # blocks on their way
    _number: int  # of the next order
    _stacks: np.ndarray

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
        self._actors: Actors | None = None
        self._behaviour: Behaviour | None = None
        self._records = [GroupRecord() for _ in range(self._groups)]
        self._weights: tuple[Any, int] = (None, 0)  # what they depend on, and their version
        self._trainings = 0
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
        """
        self._behaviour = Behaviour(model, self.num_envs, self.settings.exploration)
        self._trainings += 1  # between two of them, the weights may have been set from outside
        if self._actors is None:
            policy = self._behaviour.policy()
            if self._cluster is None:
                self._actors = LocalActors(self._specs, policy)
            else:
                self._actors = RayActors(self._cluster, self.settings, self._specs, policy, self._recall)

    def reset(self) -> np.ndarray:
        """
        Start an episode in every game; blocks that are on their way are thrown away.

        :return: uint8 [N, K * C, H, W]
        :raises RuntimeError: before :meth:`act_for`
        """
        actors = self._connected()
        for _ in range(self._ordered):
            self._receive()
        self._forget()
        games = self.num_envs // self._groups
        actors.reset([self._seeds[number * games] for number in range(self._groups)])
        self._stacks = self._receive_reset()
        self._reset_seeds()
        self._reset_options()
        return self._stacks

    def next_actions(self) -> np.ndarray:
        """
        The actions of the next vector step; waits for its block where need be.

        :return: int64 [N]
        """
        if self._current is None or self._position == self.settings.block_steps:
            self._current = None  # its memory may go back to Ray before the next ones come
            self._order_ahead()
            if not self._blocks:
                self._receive()
            self._current, self._position, self._begun = self._blocks.popleft(), 0, 0
        return self._current.actions[self._position]

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: of :meth:`next_actions`
        :raises RuntimeError: on others
        """
        if self._current is None or not np.array_equal(actions, self._current.actions[self._position]):
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
        """:return: numbers for the logs: seconds that the learner waited, megabytes received, actors replaced"""
        return {} if self._actors is None else self._actors.statistics()

    def close(self) -> None:
        """End the actors, and Ray where it was started for them; a second call does nothing."""
        if self._actors is not None:
            self._actors.close()
            self._actors = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None
        for game in self.games:
            game.close()

    # --- blocks

    def _forget(self) -> None:
        """No block is there, and none is on its way."""
        self._blocks, self._current = deque(), None
        self._position = self._begun = self._ordered = self._number = 0
        self._stacks = np.zeros((self.num_envs, *self.observation_space.shape), np.uint8)  # type: ignore[misc]

    def _order_ahead(self) -> None:
        """Order until `blocks_ahead` blocks beside the next one are played or there, each with the weights of now."""
        behaviour, actors = self._behaviour, self._connected()
        assert behaviour is not None
        steps, weights = self.settings.block_steps, None
        since = self._trainings, behaviour.n_updates
        if self._weights[0] != since:
            self._weights = since, self._weights[1] + 1
        while (ahead := len(self._blocks) + self._ordered) <= self.settings.blocks_ahead:
            weights = behaviour.weights() if weights is None else weights
            epsilons = np.split(behaviour.epsilons(ahead * steps, steps), self._groups, axis=1)
            actors.order([Order(self._number, self._weights[1], each) for each in epsilons], weights)
            self._number += 1
            self._ordered += 1

    def _receive(self) -> None:
        """Take the next block of each group, and put them side by side."""
        replies = self._connected().take()
        frame_shape = (self._channels, *self.observation_space.shape[1:])  # type: ignore[index]
        blocks = [reply.block.uncompressed(frame_shape) for reply in replies]  # type: ignore[union-attr]
        for record, block, reply in zip(self._records, blocks, replies, strict=True):
            record.add(reply.memo, stacks_after(block, record.stacks))
        self._ordered -= 1
        self._blocks.append(side_by_side(blocks))

    def _receive_reset(self) -> np.ndarray:
        replies = self._connected().take()
        for record, reply in zip(self._records, replies, strict=True):
            record.add(reply.memo, np.asarray(reply.stacks))
        return np.concatenate([record.stacks for record in self._records])

    def _recall(self, group: int) -> dict[str, Any] | None:
        return self._records[group].state_dict(self._channels)

    def _connected(self) -> Actors:
        if self._actors is None:
            raise RuntimeError(f"The actors of this {type(self).__name__} follow no policy, {_NOT_PLAYED}.")
        return self._actors

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
        for number in np.flatnonzero(block.dones[step]):
            infos[number]["terminal_observation"] = stacks[number].copy()
        for _, number, raw_return, frames in block.scores[block.scores[:, 0] == step].tolist():
            infos[int(number)]["episode"] = self.games[int(number)].end(raw_return, int(frames))
        return infos

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """
        Waits for the blocks that are on their way, and keeps them.

        :return: plain values and arrays; a copy
        :raises RuntimeError: before the first reset
        """
        while self._ordered:
            self._receive()
        current = [] if self._current is None else [self._current.state_dict()]
        return {
            "blocks": [*current, *(block.state_dict() for block in self._blocks)],
            "begun": None if self._current is None else [self._position, self._begun],
            "number": self._number,
            "stacks": self._stacks.copy(),
            "groups": [record.state_dict(self._channels) for record in self._records],
            "games": [game.start for game in self.games],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Rebuild all games by replay, see :meth:`NativeAtariVecEnv.load_state_dict`.

        :param state: as `state_dict` of an environment with the same arguments gave it
        :raises ValueError: if it does not fit
        :raises RuntimeError: before :meth:`act_for`
        """
        if state["stacks"].shape != self._stacks.shape or len(state["groups"]) != self._groups:
            raise ValueError(
                f"The state of {len(state['groups'])} groups with observations {list(state['stacks'].shape)} does not "
                f"fit {self._groups} groups with {list(self._stacks.shape)}: create the environment with the same "
                "n_envs, n_stack, preset and groups."
            )
        self._connected().restore(state["groups"])
        self._forget()
        blocks = [Block.from_state(each) for each in state["blocks"]]
        if state["begun"] is not None:
            self._current, (self._position, self._begun) = blocks.pop(0), state["begun"]
        self._blocks.extend(blocks)
        self._number, self._stacks = state["number"], np.array(state["stacks"])
        self._seeds = [None] * self.num_envs
        for record, each in zip(self._records, state["groups"], strict=True):
            record.load_state_dict(each)
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


def side_by_side(blocks: Sequence[Block]) -> Block:
    """
    :param blocks: of the groups, uncompressed, each of k steps
    :return: one block of all games
    """
    starts = np.cumsum([0, *(block.shape[1] for block in blocks)])
    scores = [
        block.scores + np.array([0, start, 0, 0], np.float64) for block, start in zip(blocks, starts, strict=False)
    ]
    joined = {
        name: np.concatenate([getattr(block, name) for block in blocks], axis=1)
        for name in ("actions", "rewards", "dones", "truncated", "frames", "counts")
    }
    return Block(**joined, first_frames=_first_frames(blocks), scores=np.concatenate(scores))


def _first_frames(blocks: Sequence[Block]) -> np.ndarray:
    """:return: those of all games, in the order of steps and then of games"""
    steps = np.concatenate([np.nonzero(block.dones)[0] for block in blocks])
    order = np.argsort(steps, kind="stable")
    return np.concatenate([block.first_frames for block in blocks])[order]
