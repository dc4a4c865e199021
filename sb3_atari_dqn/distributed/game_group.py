"""A group of games that one network plays, block by block. G: games, k: vector steps of a block."""

from typing import Any, NamedTuple, cast

import numpy as np
from gymnasium import spaces

from sb3_atari_dqn.atari.native_vec_env import NativeAtariVecEnv
from sb3_atari_dqn.atari.presets import AtariPreset
from sb3_atari_dqn.checkpoints.state import generator_state, load_generator_state
from sb3_atari_dqn.distributed.acting import ActingNetwork
from sb3_atari_dqn.distributed.blocks import Block, Order, Reply
from sb3_atari_dqn.distributed.td_errors import Returns, td_errors
from sb3_atari_dqn.exploration import EpsilonGreedy

#: Keeps the seeds of exploration and noise apart from those of the games
_EXPLORATION, _NOISE = 0x6578706C, 0x6E6F6973


class GroupSpec(NamedTuple):
    """
    Games of a group, as arguments of :class:`NativeAtariVecEnv`.

    :param env_id: registered Atari game
    :param n_games: G
    :param env_kwargs: of the environment
    :param preset: the preprocessing
    :param n_stack: frames per observation
    :param reload_after: steps after which a game loads its ROM again
    :param compress: whether blocks are sent compressed
    """

    env_id: str
    n_games: int
    env_kwargs: dict[str, Any]
    preset: AtariPreset
    n_stack: int
    reload_after: int
    compress: bool


class GameGroup:
    """
    Its games and its random numbers are its own: what it plays depends on its seeds and on the orders it gets, not on
    the process it is in or the groups beside it.

    :param spec: of the games
    :param network: of the process
    """

    def __init__(self, spec: GroupSpec, network: ActingNetwork) -> None:
        self._spec, self._network = spec, network
        self._env = NativeAtariVecEnv(
            spec.env_id, spec.n_games, seed=0, env_kwargs=spec.env_kwargs, preset=spec.preset, n_stack=spec.n_stack
        )
        self._env.reload_after = spec.reload_after
        self._explorer = EpsilonGreedy(_no_schedule, cast(spaces.Discrete, self._env.action_space), 0)
        self._noise = network.state_dict()
        self._stacks = np.zeros((spec.n_games, *cast(Any, self._env.observation_space).shape), np.uint8)
        self._taken: list[np.ndarray] = []  # values of actions, of the block that is being played
        self._best: list[np.ndarray] = []  # largest values, likewise
        self._known: list[tuple[int, int]] = [(-1, 0)] * spec.n_games  # of each journal: seed and length that were sent

    def reset(self, seed: int | None) -> Reply:
        """
        :param seed: of the first game, the next ones count on from it; None: go on with the random numbers as they are
        :return: first observations
        """
        if seed is not None:
            self._known = [(-1, 0)] * self._spec.n_games
            self._env.seed(seed)
            self._explorer.seed([_EXPLORATION, seed])
            self._network.seed(int(np.random.SeedSequence([_NOISE, seed]).generate_state(1)[0]))
            self._noise = self._network.state_dict()
        self._stacks = self._env.reset()
        return Reply(None, None, self._stacks, self.memo())

    def play(self, order: Order, weights: np.ndarray) -> Reply:
        """
        :param order: the block
        :param weights: of the version in the order
        :raises NonFiniteValues: on an action value that is NaN or infinite
        """
        self._network.load(order.version, weights)
        self._network.load_state_dict(self._noise)
        self._taken, self._best = [], []
        recorder = _Recorder(order.epsilons.shape, self._env.observation_space.shape, self._spec.n_stack)
        for step, epsilons in enumerate(order.epsilons):
            actions = self._actions(epsilons)
            self._env.step_async(actions)
            self._stacks, rewards, dones, infos = self._env.step_wait()
            recorder.add(step, actions, self._stacks, rewards, dones, infos)
        block = recorder.block(self._td_errors(recorder))
        self._noise = self._network.state_dict()
        return Reply(order, block.compressed() if self._spec.compress else block, None, self.memo())

    def memo(self) -> dict[str, Any]:
        """
        :return: what has changed since the last one: with the frame stacks, which the learner has, enough to rebuild
            the group (:meth:`restore`)
        """
        state = self._env.state_dict()
        channels = self._stacks.shape[1] // self._spec.n_stack
        journals, self._known = _news(state["journals"], self._known)
        for game, stack in zip(state["games"], self._stacks, strict=True):
            if np.array_equal(game["frame"], stack[-channels:]):
                game["frame"] = None
        return {
            "journals": journals,
            "games": state["games"],
            "exploration": generator_state(self._explorer._rng),
            "noise": self._noise,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """
        Play everything again up to where a memo was taken.

        :param state: from :meth:`GroupRecord.state_dict`
        :raises ValueError: if the games are not the same
        """
        fixed = {"seeds": [None] * self._spec.n_games, "reload_after": self._spec.reload_after}
        games = {"stacks": np.array(state["stacks"]), "journals": state["journals"], "games": state["games"]}
        self._env.load_state_dict({**fixed, **games, "ready": True, "in_flight": False})
        self._stacks = np.array(state["stacks"])
        load_generator_state(self._explorer._rng, state["exploration"])
        self._noise = state["noise"]
        self._known = [(journal["seed"], len(journal["entries"])) for journal in state["journals"]]

    def close(self) -> None:
        """Stop the games."""
        self._env.close()

    def _actions(self, epsilons: np.ndarray) -> np.ndarray:
        """:return: of the next step; their values are kept where TD errors are asked for"""
        network = self._network
        if network.returns is None:
            return self._explorer.actions(
                epsilons, epsilons.shape, lambda: network.greedy_actions(network.action_values(self._stacks))
            )
        values = network.action_values(self._stacks)
        actions = self._explorer.actions(epsilons, epsilons.shape, lambda: network.greedy_actions(values))
        self._taken.append(network.values_of(values, actions))
        self._best.append(values.numpy().max(axis=1))
        return actions

    def _td_errors(self, recorder: "_Recorder") -> np.ndarray:
        """:return: see :class:`Block`"""
        if self._network.returns is None:
            return np.zeros((0, 0), np.float32)
        best = [*self._best, self._network.action_values(self._stacks).numpy().max(axis=1)]
        return recorder.td_errors(np.array(self._taken), np.array(best), self._network.returns)


class GroupRecord:
    """The learner's record of a group: enough to rebuild it after the last block that was received."""

    def __init__(self) -> None:
        self._state: dict[str, Any] | None = None

    def add(self, memo: dict[str, Any], stacks: np.ndarray) -> None:
        """
        :param memo: of the newest reply
        :param stacks: observations after it, uint8 [G, K * C, H, W]
        """
        before = [None] * len(memo["journals"]) if self._state is None else self._state["journals"]
        journals = [_joined(old, new) for old, new in zip(before, memo["journals"], strict=True)]
        self._state = {**memo, "journals": journals, "stacks": stacks.copy()}

    @property
    def stacks(self) -> np.ndarray:
        """Observations after what was added last, uint8 [G, K * C, H, W]"""
        assert self._state is not None
        return self._state["stacks"]

    def state_dict(self, channels: int) -> dict[str, Any] | None:
        """
        :param channels: of a frame
        :return: what :meth:`GameGroup.restore` takes, plain; None if nothing was added
        """
        if self._state is None:
            return None
        stacks = self._state["stacks"]
        games = [
            game if game["frame"] is not None else {**game, "frame": stack[-channels:].copy()}
            for game, stack in zip(self._state["games"], stacks, strict=True)
        ]
        return {**self._state, "games": games, "stacks": stacks.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`"""
        self._state = {**state, "stacks": np.asarray(state["stacks"])}


class _Recorder:
    """Fills the arrays of a block."""

    def __init__(self, shape: tuple[int, ...], stack_shape: Any, n_stack: int) -> None:
        self._channels = stack_shape[0] // n_stack
        frame_shape = (self._channels, *stack_shape[1:])
        self._actions, self._rewards = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        self._dones, self._truncated = np.zeros(shape, bool), np.zeros(shape, bool)
        self._frames = np.empty((*shape, *frame_shape), np.uint8)
        self._first_frames = [np.empty((0, *frame_shape), np.uint8)]
        self._counts = np.zeros((*shape, 3), np.int64)
        self._scores: list[tuple[float, ...]] = []

    def add(
        self,
        step: int,
        actions: np.ndarray,
        stacks: np.ndarray,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        self._actions[step], self._rewards[step], self._dones[step] = actions, rewards, dones
        newest = stacks[:, -self._channels :]
        self._frames[step] = newest
        if dones.any():
            self._first_frames.append(newest[dones])
        for game, info in enumerate(infos):
            self._counts[step, game] = info["lives"], info["episode_frame_number"], info["frame_number"]
            self._truncated[step, game] = info["TimeLimit.truncated"]
            if dones[game]:
                self._frames[step, game] = info["terminal_observation"][-self._channels :]
            if "episode" in info:
                self._scores.append((step, game, info["episode"]["r"], info["episode"]["l"]))

    def td_errors(self, taken: np.ndarray, best: np.ndarray, returns: Returns) -> np.ndarray:
        """Parameters as in :func:`td_errors`."""
        return td_errors(self._rewards, self._dones, self._truncated, taken, best, returns)

    def block(self, errors: np.ndarray) -> Block:
        """:param errors: see :class:`Block`"""
        return Block(
            self._actions,
            self._rewards,
            self._dones,
            self._truncated,
            self._frames,
            np.concatenate(self._first_frames),
            self._counts,
            errors,
            np.array(self._scores, np.float64).reshape(-1, 4),
        )


def _news(
    journals: list[dict[str, Any]], known: list[tuple[int, int]]
) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """
    :param journals: of the games
    :param known: seed and length of each that were sent before
    :return: of each journal its seed, from where on it is new, and what is new; and seed and length of each
    """
    news = []
    for journal, (seed, length) in zip(journals, known, strict=True):
        start = length if journal["seed"] == seed else 0
        news.append({"seed": journal["seed"], "start": start, "entries": journal["entries"][start:]})
    return news, [(journal["seed"], len(journal["entries"])) for journal in journals]


def _joined(before: dict[str, Any] | None, news: dict[str, Any]) -> dict[str, Any]:
    """:return: the whole journal"""
    entries = news["entries"]
    if news["start"]:
        assert before is not None
        entries = np.concatenate([before["entries"], entries])
    return {"seed": news["seed"], "entries": np.array(entries)}  # a copy: what came by Ray keeps its whole message


def _no_schedule(progress_remaining: float, env_steps: int = 0) -> float:
    raise NotImplementedError("The learner's orders say how to explore.")
