"""Several Atari games in C++, each on a thread of its own that runs without Python's interpreter lock.

One ``ALEVectorInterface`` holds one game here, not all of them: what happens after a lost life (a no-op, FIRE) concerns
one game, and an interface with several games steps all of them or none. Measured per processor second, the games cost
3 to 7 % more this way.

C++ delivers whole colour screens, and the preset's own pipeline makes the picture of them. C++ could make gray
pictures of 84 x 84 itself, but would pool two frames after the conversion to gray: where a paddle moves over another
colour, levels differ by 16 in Pong, 29 in Qbert. That would save an eighth of a step; gray made of small colour
pictures costs more.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from operator import methodcaller
from typing import Any, NamedTuple

import ale_py
import numpy as np
from ale_py import ALEInterface, roms

from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.native_support import NativeSettings

#: Frames, as good as no limit; C++ adds one to it.
NO_LIMIT = 2**30

#: Its type stubs ask for arrays and for every argument; C++ takes lists, and has defaults.
_INTERFACE: Any = getattr(ale_py, "ALEVectorInterface", None)  # native_settings has seen to it
_RECEIVE = methodcaller("recv")

#: From this many games on, their pictures are made on several Python threads; OpenCV lets them run at once. A picture
#: takes about 85 us: on one thread, no machine could play more than 12,000 steps per second.
_MANY_GAMES = 16


class Reply(NamedTuple):
    """
    What a game answers to an action or a reset.

    :param frame: the preset's picture, uint8 [C, H, W], C = 1 for gray, 3 for colour
    :param reward: raw reward, summed over the held frames
    :param over: the game has ended
    :param lives: lives left
    :param episode_frames: raw frames since the game was reset
    :param frames: raw frames since the game was loaded
    :param screen: the colour picture that ``frame`` was made of, uint8 [H, W, 3]; C++ makes a new one for each reply
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
    How a game begins, before C++ plays it.

    :param screen: height and width of its pictures
    :param actions: names of the actions, by number
    :param frames: frames that ALE plays by itself after a reset, and counts
    :param paid: raw reward of the first 0, 1, 2, ... no-ops, which C++ does not report
    """

    screen: tuple[int, int]
    actions: tuple[str, ...]
    frames: int
    paid: tuple[int, ...]


class GamePool:
    """
    Plays one setting in ``n_games`` independent games.

    Sending and receiving run inside one call of a C function (``list.extend`` over a ``map``): Python delivers Ctrl-C
    between its own instructions only, so no action is sent, and no answer lost, by halves. Receiving twice would wait
    forever.

    :param settings: what to play
    :param n_games: how many
    """

    def __init__(self, settings: NativeSettings, n_games: int) -> None:
        self.opening = _opening(settings)
        self.picture = FramePipeline(settings.preset, (*self.opening.screen, 3))
        self._noop_max = settings.preset.noop_max
        self._interfaces = [_interface(settings, self.opening.screen) for _ in range(n_games)]
        self._addressed: list[Any] = []
        self._sent: list[None] = []
        self._answers: list[Any] = []
        self._loaded: dict[int, tuple[int, Any]] = {}  # seed and start of games that nobody has begun to play
        self._workers = ThreadPoolExecutor(_cores()) if n_games >= _MANY_GAMES else None

    @property
    def in_flight(self) -> bool:
        """Whether an answer is still to be received."""
        return bool(self._sent)

    @property
    def closed(self) -> bool:
        return not self._interfaces

    def send(self, games: Sequence[int], actions: Sequence[int]) -> None:
        """
        Let some games step; returns at once.

        :param games: their numbers
        :param actions: one for each, known to the game: C++ would wait forever for the answer to another
        """
        for game in games if self._loaded else ():
            self._loaded.pop(game, None)
        self._addressed = [self._interfaces[game] for game in games]
        numbers = [[action] for action in actions]
        self._sent.extend(map(_INTERFACE.send, self._addressed, numbers, repeat([1.0])))

    def receive(self) -> list[Reply]:
        """:return: the answers of the games that were sent an action, in that order; waits for them"""
        if not self._answers:
            self._answers.extend(map(_RECEIVE, self._addressed))
        answers, self._answers, self._sent = self._answers, [], []
        if self._workers is None or len(answers) < _MANY_GAMES:
            return self._read(answers)
        size = -(-len(answers) // _cores())
        parts = [answers[first : first + size] for first in range(0, len(answers), size)]
        return [reply for replies in self._workers.map(self._read, parts) for reply in replies]

    def _read(self, answers: list[Any]) -> list[Reply]:
        return [
            self._reply(observations, int(rewards[0]), bool(terminations[0]), info)
            for observations, rewards, terminations, _, info in answers
        ]

    def play(self, game: int, action: int) -> Reply:
        """Let one game step and wait for its answer."""
        self.send([game], [action])
        return self.receive()[0]

    def load(self, seeds: Sequence[int | None]) -> None:
        """
        Load all games that are about to be reset with a seed, many at once; :meth:`reset` takes them from here.

        Loading takes about 0.1 s of a core for each: 256 games one by one, half a minute.

        :param seeds: of each game, as :meth:`reset` will be given it
        """
        seeded = [(game, seed) for game, seed in enumerate(seeds) if seed is not None]
        if self._workers is not None:
            starts = self._workers.map(lambda each: self._interfaces[each[0]].reset([0], [each[1]]), seeded)
            self._loaded = {game: (seed, start) for (game, seed), start in zip(seeded, starts, strict=True)}

    def reset(self, game: int, seed: int | None) -> tuple[Reply, int]:
        """
        Start a game anew, with 1 to ``noop_max`` no-ops, drawn uniformly.

        C++ draws from 0 to its own ``noop_max`` - 1, so that is one higher here; a 0 is drawn again.

        :param game: its number
        :param seed: in [0, 2**31); the game is loaded anew and draws from this seed alone. None goes on drawing
        :return: its first frame, and what the no-ops paid
        """
        reply, noops = self._reset(game, -1 if seed is None else seed)
        while noops == 0 and self._noop_max > 0:
            reply, noops = self._reset(game, -1)
        return reply, self.opening.paid[min(noops, self._noop_max)]

    def _reset(self, game: int, seed: int) -> tuple[Reply, int]:
        loaded_with, start = self._loaded.pop(game, (-1, None))
        observations, info = start if start and loaded_with == seed else self._interfaces[game].reset([0], [seed])
        reply = self._reply(observations, 0, False, info)
        return reply, reply.episode_frames - self.opening.frames

    def _reply(self, observations: np.ndarray, reward: int, over: bool, info: dict[str, np.ndarray]) -> Reply:
        return Reply(
            self.picture(observations[0, 0]).transpose(2, 0, 1),
            reward,
            over,
            int(info["lives"][0]),
            int(info["episode_frame_number"][0]),
            int(info["frame_number"][0]),
            observations[0, 0],
        )

    def close(self) -> None:
        """End the threads; one that plays a step finishes it first."""
        self._addressed, self._sent, self._answers = [], [], []
        self._interfaces, self._loaded = [], {}
        if self._workers is not None:
            self._workers.shutdown()


def _cores() -> int:
    """:return: processors that this process may use"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        use_fire_reset=False,  # one frame, before the no-ops; SB3 holds it after them
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        max_episode_steps=NO_LIMIT,
        repeat_action_probability=settings.repeat_action_probability,
        full_action_space=settings.full_action_space,
    )


@functools.cache  # loading a game takes about as long as 80 steps in it
def _opening(settings: NativeSettings) -> Opening:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    game = ALEInterface()
    game.setFloat("repeat_action_probability", 0.0)
    game.loadROM(_rom(settings))
    game.reset_game()
    actions = game.getLegalActionSet() if settings.full_action_space else game.getMinimalActionSet()
    frames = game.getEpisodeFrameNumber()
    paid = [0]
    for _ in range(settings.preset.noop_max):
        paid.append(paid[-1] + int(game.act(ale_py.Action.NOOP)))
    return Opening(game.getScreenDims(), tuple(action.name for action in actions), frames, tuple(paid))


def _rom(settings: NativeSettings) -> Any:
    return roms.get_rom_path(settings.game)
