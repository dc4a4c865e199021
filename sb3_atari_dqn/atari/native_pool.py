"""Several Atari games in C++, each on its own thread and without Python's GIL.

Each game has its own ``ALEVectorInterface``: the reset after a lost life (a no-op, FIRE) steps a single game, but an
interface with several games always steps all of them. One interface per game costs 3 to 7 % more CPU time.

C++ returns full RGB screens, and the preset's own pipeline preprocesses them. C++ could return 84x84 grayscale images
itself, but it max-pools after the grayscale conversion: where a paddle moves over another colour, pixels differ by up
to 16 in Pong and 29 in Qbert. Its images would save an eighth of a step; converting downscaled RGB images to grayscale
costs more.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from operator import methodcaller
from typing import Any, NamedTuple

import ale_py
import numpy as np
from ale_py import ALEInterface, roms

from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.native_journal import RESET, Journal
from sb3_atari_dqn.atari.native_stepping import StaggeredSteps, joined, n_cores
from sb3_atari_dqn.atari.native_support import NativeSettings

#: In frames, effectively unlimited; C++ adds one to it.
NO_LIMIT = 2**30

#: The type stubs require arrays and all arguments; C++ accepts lists and has defaults.
_INTERFACE: Any = getattr(ale_py, "ALEVectorInterface", None)  # native_settings checks that it exists
_RECEIVE = methodcaller("recv")

#: From this many games on, they step one per core at a time, and threads preprocess the screens meanwhile; OpenCV
#: releases the GIL. One screen takes about 85 us.
_MANY_GAMES = 16


class Reply(NamedTuple):
    """
    The result of an action or a reset.

    :param frame: preprocessed frame, uint8 [C, H, W], C = 1 for grayscale, 3 for RGB
    :param reward: raw reward, summed over the skipped frames
    :param over: whether the game is over
    :param lives: lives left
    :param episode_frames: raw frames since the game was reset
    :param frames: raw frames since the ROM was loaded
    :param screen: the RGB screen ``frame`` was computed from, uint8 [H, W, 3]; C++ allocates a new one per reply
    """

    frame: np.ndarray
    reward: int
    over: bool
    lives: int
    episode_frames: int
    frames: int
    screen: np.ndarray


class Opening(NamedTuple):
    """
    Properties of a game, measured before C++ plays it.

    :param screen: height and width of the screen
    :param actions: action meanings, in the order of the action space
    :param frames: frames that ALE plays and counts by itself during a reset
    :param noop_returns: raw return of the first 0, 1, 2, ... no-ops, which C++ does not report
    """

    screen: tuple[int, int]
    actions: tuple[str, ...]
    frames: int
    noop_returns: tuple[int, ...]


class GamePool:
    """
    ``n_games`` independent games with the same settings.

    Sending and receiving each run inside one call of a C function (``list.extend`` over a ``map``): Python handles
    Ctrl-C between its own instructions only, so an interrupt cannot leave some actions unsent or some replies lost.
    Receiving twice would block forever. For the same reason, the journals of the games are written in these calls.

    :param settings: the game and its settings
    :param n_games: number of games
    """

    def __init__(self, settings: NativeSettings, n_games: int) -> None:
        self.opening = _opening(settings)
        self.pipeline = FramePipeline(settings.preset, (*self.opening.screen, 3))
        self._settings = settings
        self._noop_max = settings.preset.noop_max
        #: what each game was loaded with and has done since; None before its first loading
        self.journals: list[Journal | None] = [None] * n_games
        self._interfaces = [_interface(settings, self.opening.screen) for _ in range(n_games)]
        self._addressed: list[Any] = []
        self._sent: list[None] = []
        self._answers: list[Any] = []
        self._loaded: dict[int, tuple[int, Any]] = {}  # seed and first reply of preloaded games
        self.reload_after: int | None = None  # see NativeAtariVecEnv
        self._workers = ThreadPoolExecutor(n_cores()) if n_games >= _MANY_GAMES else None
        self._staggered: StaggeredSteps | None = None
        if n_games >= _MANY_GAMES:
            self._staggered = self._new_staggered()
        self._sent_staggered = False

    def _new_staggered(self) -> StaggeredSteps:
        staggered = StaggeredSteps(functools.partial(_reply_to_step, self.pipeline))
        weakref.finalize(self, staggered.close)
        return staggered

    @property
    def in_flight(self) -> bool:
        """Whether a reply is still pending."""
        return bool(self._sent)

    @property
    def closed(self) -> bool:
        return not self._interfaces

    def send(self, games: Sequence[int], actions: Sequence[int]) -> None:
        """
        Step some games without waiting for the results.

        :param games: indices of the games
        :param actions: one valid action per game: C++ would block forever on an invalid one
        """
        for game in games if self._loaded else ():
            self._loaded.pop(game, None)
        self._addressed = [self._interfaces[game] for game in games]
        numbers = [[action] for action in actions]
        entries = map(bytearray.append, [self._entries(game) for game in games], actions)
        self._sent_staggered = self._staggered is not None and len(games) >= _MANY_GAMES
        sends = (
            self._staggered.puts(self._addressed, numbers)
            if self._staggered is not None and self._sent_staggered
            else map(_INTERFACE.send, self._addressed, numbers, repeat([1.0]))
        )
        self._sent.extend(chain(entries, sends))

    def receive(self) -> list[Reply]:
        """Wait for the games of the last :meth:`send`. :return: their replies, in the same order"""
        if self._staggered is not None and self._sent_staggered:
            self._staggered.wait()
            arrived, self._staggered.arrived, self._sent = self._staggered.arrived, [], []
            return joined(arrived)
        if not self._answers:
            self._answers.extend(map(_RECEIVE, self._addressed))
        answers, self._answers, self._sent = self._answers, [], []
        return [_reply_to_step(self.pipeline, answer) for answer in answers]

    def play(self, game: int, action: int) -> Reply:
        """Step one game and wait for its reply."""
        self.send([game], [action])
        return self.receive()[0]

    def load(self, seeds: Sequence[int | None]) -> None:
        """
        Preload, in parallel, the games that are about to be reset with a seed; :meth:`reset` then uses them.

        Loading a game takes about 0.1 s of CPU time: half a minute for 256 games in sequence.

        :param seeds: per game, as later passed to :meth:`reset`
        """
        seeded = [(game, seed) for game, seed in enumerate(seeds) if seed is not None]
        if self._workers is not None:
            starts = self._workers.map(lambda each: self._start(*each), seeded)
            self._loaded = {game: (seed, start) for (game, seed), start in zip(seeded, starts, strict=True)}

    def reset(self, game: int, seed: int | None) -> tuple[Reply, int]:
        """
        Reset a game, with 1 to ``noop_max`` no-ops, drawn uniformly.

        C++ draws from 0 to its own ``noop_max`` - 1, so we pass one more; a draw of 0 is repeated.

        :param game: index of the game
        :param seed: in [0, 2**31); reloads the ROM and reseeds the generator. None keeps the generator's state
        :return: the first frame, and the raw return of the no-ops
        """
        reply, noops = self._reset(game, -1 if seed is None else seed)
        while noops == 0 and self._noop_max > 0:
            reply, noops = self._reset(game, -1)
        return reply, self.opening.noop_returns[min(noops, self._noop_max)]

    def _reset(self, game: int, seed: int) -> tuple[Reply, int]:
        loaded_with, start = self._loaded.pop(game, (-1, None))
        observations, info = start if start and loaded_with == seed else self._start(game, seed)
        reply = _reply(self.pipeline, observations, 0, False, info)
        return reply, reply.episode_frames - self.opening.frames

    def _start(self, game: int, seed: int) -> Any:
        """:return: what C++ answers to a reset, which is in the journal"""
        if seed < 0:
            entry = map(bytearray.append, [self._entries(game)], [RESET])
        else:
            entry = map(self.journals.__setitem__, [game], [Journal(seed)])
        return list(chain(entry, map(_INTERFACE.reset, [self._interfaces[game]], [[0]], [[seed]])))[1]

    def _entries(self, game: int) -> bytearray:
        journal = self.journals[game]
        return bytearray() if journal is None else journal.entries

    def rebuild(self, journals: Sequence[Journal | None]) -> tuple[list[Any], list[Reply | None]]:
        """
        Play journals again on new games, on all cores.

        :param journals: one per game
        :return: the games, and the reply to the last entry of each; nothing of this pool has changed yet
        """

        def rebuilt(journal: Journal | None) -> tuple[Any, Reply | None]:
            interface = _interface(self._settings, self.opening.screen)
            if journal is None:
                return interface, None
            is_reset, answer = journal.replay(interface)
            return interface, _reply(self.pipeline, answer[0], 0, False, answer[1]) if is_reset else _reply_to_step(
                self.pipeline, answer
            )

        with ThreadPoolExecutor(n_cores()) as workers:
            interfaces, replies = zip(*workers.map(rebuilt, journals), strict=True)
        return list(interfaces), list(replies)

    def replace(self, interfaces: list[Any], journals: Sequence[Journal | None]) -> None:
        """
        :param interfaces: from :meth:`rebuild`; a step in flight is forgotten
        :param journals: that they were rebuilt from
        """
        if self._staggered is not None:
            self._staggered.close()
            self._staggered = self._new_staggered()
        self._addressed, self._sent, self._answers, self._loaded = [], [], [], {}
        self._interfaces, self.journals = interfaces, list(journals)

    def close(self) -> None:
        """Stop the threads; a step in progress finishes first."""
        self._addressed, self._sent, self._answers = [], [], []
        self._interfaces, self._loaded = [], {}
        self.journals = []
        if self._workers is not None:
            self._workers.shutdown()
        if self._staggered is not None:
            self._staggered.close()


def _reply_to_step(pipeline: FramePipeline, answer: Any) -> Reply:
    observations, rewards, terminations, _, info = answer
    return _reply(pipeline, observations, int(rewards[0]), bool(terminations[0]), info)


def _reply(
    pipeline: FramePipeline, observations: np.ndarray, reward: int, over: bool, info: dict[str, np.ndarray]
) -> Reply:
    return Reply(
        pipeline(observations[0, 0]).transpose(2, 0, 1),
        reward,
        over,
        int(info["lives"][0]),
        int(info["episode_frame_number"][0]),
        int(info["frame_number"][0]),
        observations[0, 0],
    )


def _interface(settings: NativeSettings, screen: tuple[int, int]) -> Any:
    preset = settings.preset
    return _INTERFACE(
        rom_path=_rom(settings),
        num_envs=1,
        frame_skip=preset.frame_skip,
        stack_num=1,
        img_height=screen[0],
        img_width=screen[1],
        grayscale=False,
        maxpool=preset.max_pool_frames == 2,
        noop_max=preset.noop_max + 1 if preset.noop_max > 0 else 0,
        use_fire_reset=False,  # presses FIRE for one frame before the no-ops; SB3 for a step after them
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        max_episode_steps=NO_LIMIT,
        repeat_action_probability=settings.repeat_action_probability,
        full_action_space=settings.full_action_space,
    )


@functools.cache  # loading a ROM takes as long as about 80 steps
def _opening(settings: NativeSettings) -> Opening:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    game = ALEInterface()
    game.setFloat("repeat_action_probability", 0.0)
    game.loadROM(_rom(settings))
    game.reset_game()
    actions = game.getLegalActionSet() if settings.full_action_space else game.getMinimalActionSet()
    frames = game.getEpisodeFrameNumber()
    noop_returns = [0]
    for _ in range(settings.preset.noop_max):
        noop_returns.append(noop_returns[-1] + int(game.act(ale_py.Action.NOOP)))
    return Opening(game.getScreenDims(), tuple(action.name for action in actions), frames, tuple(noop_returns))


def _rom(settings: NativeSettings) -> Any:
    return roms.get_rom_path(settings.game)
