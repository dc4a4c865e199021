"""Many games on few cores: a few of them step at a time, while their screens are preprocessed.

A game's C++ thread wakes up as soon as its action is sent. If all of a hundred games got theirs at once, their threads
would share the cores with the thread that learns meanwhile, which would get a hundredth of a core until the last game
has stepped, and leave the others idle afterwards. With one active game per core the scheduler gives learning its share.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

#: Screens that one thread preprocesses in the time of one game step.
_GAMES_PER_THREAD = 4


class StaggeredSteps:
    """
    Steps many games, each core one at a time. Actions go in and answers come out by one call of a C function each, so
    that Ctrl-C cannot lose any of them.

    :param read: makes a reply of a game's answer, in any thread
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        cores = n_cores()
        n_threads = -(-cores // _GAMES_PER_THREAD)
        active = -(-cores // n_threads)
        self._tasks: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(n_threads)]
        self._replies: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(n_threads)]
        for queues in zip(self._tasks, self._replies, strict=True):
            threading.Thread(target=_step_all, args=(*queues, active, read), daemon=True).start()
        #: of the last steps, as far as they have arrived: a list of replies per thread, or its error
        self.arrived: list[Any] = []

    def puts(self, games: Sequence[Any], numbers: Sequence[list[int]]) -> Any:
        """
        :param games: C++ interfaces
        :param numbers: the action of each
        :return: an iterator that sends all of them when it is exhausted, by C functions only
        """
        size = -(-len(games) // len(self._tasks))
        starts = [number * size for number in range(len(self._tasks))]
        tasks = [(games[at : at + size], numbers[at : at + size]) for at in starts]
        return map(SimpleQueue.put, self._tasks, tasks)

    def wait(self) -> None:
        """Wait until :attr:`arrived` is complete. Whoever takes the replies empties it."""
        while len(self.arrived) < len(self._replies):
            self.arrived.extend(map(SimpleQueue.get, self._replies[len(self.arrived) : len(self.arrived) + 1]))

    def close(self) -> None:
        """Let the threads end, after the steps in progress."""
        for tasks in self._tasks:
            tasks.put(None)


def _step_all(tasks: "SimpleQueue[Any]", replies: "SimpleQueue[Any]", active: int, read: Callable[[Any], Any]) -> None:
    while (task := tasks.get()) is not None:
        games, numbers = task
        sent, received, result = 0, 0, []
        try:
            for game in games:
                while sent < min(received + active, len(games)):
                    games[sent].send(numbers[sent], [1.0])
                    sent += 1
                received += 1
                answer = game.recv()
                if sent < len(games):  # another game steps while this screen is preprocessed
                    games[sent].send(numbers[sent], [1.0])
                    sent += 1
                result.append(read(answer))
            replies.put(result)
        except BaseException as error:  # raised where the replies are taken
            for game in games[received:sent]:  # their answers would be taken for those to the next step
                with suppress(Exception):
                    game.recv()
            replies.put(error)


def joined(arrived: Sequence[Any]) -> list[Any]:
    """
    :param arrived: see :attr:`StaggeredSteps.arrived`
    :return: the replies, in the order of the games
    :raises BaseException: what a thread raised
    """
    for part in arrived:
        if isinstance(part, BaseException):
            raise part
    return [reply for part in arrived for reply in part]


def n_cores() -> int:
    """:return: CPUs available to this process"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
