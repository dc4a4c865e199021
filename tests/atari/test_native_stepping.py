"""Many games step a few at a time; nothing is lost, and no thread is left behind."""

import gc
import threading
import time
from typing import Any

import numpy as np
import pytest

from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.atari.frames import FramePipeline
from sb3_atari_dqn.atari.native_stepping import StaggeredSteps, joined, n_cores


class Counter:
    """How many games step at the same time."""

    def __init__(self) -> None:
        self.active, self.most, self._lock = 0, 0, threading.Lock()

    def add(self, number: int) -> None:
        with self._lock:
            self.active += number
            self.most = max(self.most, self.active)


class Game:
    """What the steps need of ALE's interface: an answer is waited for, and tells the action."""

    def __init__(self, counter: Counter, fails: bool = False) -> None:
        self._counter, self._fails = counter, fails

    def send(self, actions: list[int], paddle: list[float]) -> None:
        self._counter.add(1)
        self._action = actions[0]

    def recv(self) -> int:
        time.sleep(0.001)
        self._counter.add(-1)
        if self._fails:
            raise RuntimeError("this game broke")
        return self._action


def sent(steps: StaggeredSteps, games: list[Game], first: int = 0) -> None:
    list(steps.puts(games, [[first + number] for number in range(len(games))]))


def taken(steps: StaggeredSteps) -> list[Any]:
    steps.wait()
    arrived, steps.arrived = steps.arrived, []
    return joined(arrived)


def is_stepping(thread: threading.Thread) -> bool:
    return "(_step_all)" in thread.name


@pytest.mark.parametrize("n_games", [1, 2, 17, 40])
def test_replies_come_in_the_order_of_the_games(n_games):
    steps = StaggeredSteps(lambda answer: answer * 10)
    games = [Game(Counter()) for _ in range(n_games)]
    for first in (0, 100):
        sent(steps, games, first)
        assert taken(steps) == [10 * (first + number) for number in range(n_games)]
    steps.close()


def test_few_games_step_at_the_same_time():
    counter, steps = Counter(), StaggeredSteps(lambda answer: answer)
    sent(steps, [Game(counter) for _ in range(60)])
    taken(steps)
    steps.close()
    assert 1 <= counter.most <= 2 * n_cores()


def test_an_error_of_a_game_reaches_whoever_waits():
    counter = Counter()
    steps = StaggeredSteps(lambda answer: answer)
    sent(steps, [Game(counter, fails=number == 3) for number in range(16)])
    with pytest.raises(RuntimeError, match="this game broke"):
        taken(steps)
    assert counter.active == 0  # nothing is left to be taken for an answer to the next step
    steps.close()


def test_a_screen_that_cannot_be_read_leaves_an_environment_that_plays_on(monkeypatch):
    env = NativeAtariVecEnv("BreakoutNoFrameskip-v4", 16, seed=0)
    env.reset()
    with monkeypatch.context() as broken:
        broken.setattr(FramePipeline, "__call__", lambda self, screen: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            env.step(np.zeros(16, int))
    assert len(env.step(np.zeros(16, int))[0]) == 16
    env.reset()
    env.close()


def test_a_state_loaded_during_a_step_is_not_followed_by_its_answers():
    env: Any = NativeAtariVecEnv("PongNoFrameskip-v4", 16, seed=1)
    env.reset()
    env.step(np.zeros(16, int))
    state = env.state_dict()
    wanted = [env.step(np.full(16, action))[0] for action in (2, 3)]
    env.step_async(np.full(16, 5))
    env.load_state_dict(state)
    for action, stacks in zip((2, 3), wanted, strict=True):
        assert np.array_equal(env.step(np.full(16, action))[0], stacks)
    env.close()


def test_closed_steps_leave_no_thread():
    before = set(threading.enumerate())
    steps: Any = [StaggeredSteps(lambda answer: answer) for _ in range(3)]
    started = set(threading.enumerate()) - before
    assert len(started) >= 3
    for each in steps:
        each.close()
    assert_ended(started)


def test_a_forgotten_environment_leaves_no_thread():
    before = set(threading.enumerate())
    env = NativeAtariVecEnv("BreakoutNoFrameskip-v4", 16, seed=0)
    started = {each for each in set(threading.enumerate()) - before if is_stepping(each)}
    assert started
    del env
    gc.collect()
    assert_ended(started)


def assert_ended(started: set[threading.Thread]) -> None:
    """Threads of other tests' environments may end meanwhile."""
    for each in started:
        each.join(timeout=5)
    assert not any(each.is_alive() for each in started)
