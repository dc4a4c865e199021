"""Runs jobs until all are done, have failed, or a signal stops them; what was lost is tried again."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Protocol

from sb3_atari_dqn.studies.job import FAILED, LOST, STOPPED, Attempt, Job, Outcome

_PAUSE_S = 0.2  # between two looks at the jobs
#: A closed terminal sends SIGHUP
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Losses of one job without progress between them: then something else is wrong
_MOST_LOSSES = 3


class Pool(Protocol):
    """Where jobs run."""

    def has_room(self) -> bool:
        """Whether another job may begin"""

    def begin(self, job: Job) -> None:
        """:param job: is begun as soon as there are free CPUs"""

    def ended(self) -> Iterator[tuple[Job, Outcome]]:
        """:return: those that have ended since the last call"""

    def stop(self) -> None:
        """Ask all jobs to end soon."""

    def kill(self) -> None:
        """End all jobs now."""


class Screen(Protocol):
    """Shows what happens."""

    def begun(self, job: Job, text: str) -> None:
        """:param text: what it does, after its name"""

    def ended(self, job: Job, text: str) -> None:
        """:param text: how it has ended, or what follows"""

    def note(self, text: str) -> None:
        """:param text: about all jobs"""

    def refresh(self) -> None:
        """Called several times per second."""


class Local:
    """
    Jobs as processes of this machine.

    :param parallel: how many at a time
    """

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._attempts: list[tuple[Job, Attempt]] = []

    def has_room(self) -> bool:
        return len(self._attempts) < self._parallel

    def begin(self, job: Job) -> None:
        self._attempts.append((job, job.attempt(signal.SIGTERM)))  # a checkpoint, and the end

    def ended(self) -> Iterator[tuple[Job, Outcome]]:
        for each in list(self._attempts):
            job, attempt = each
            if (outcome := attempt.poll()) is not None:
                self._attempts.remove(each)
                yield job, outcome

    def stop(self) -> None:
        for _, attempt in self._attempts:
            attempt.stop()

    def kill(self) -> None:
        for _, attempt in self._attempts:
            attempt.kill()


class Runner:
    """
    :param pool: where jobs run
    :param screen: what the user sees
    """

    def __init__(self, pool: Pool, screen: Screen) -> None:
        self._pool, self._screen = pool, screen
        self._losses: dict[str, tuple[int, int]] = {}  # by name: progress, and losses since it was reached
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._signals = self._passed_on = 0
        self.failed: list[str] = []

    @property
    def stopped(self) -> bool:
        """Whether the user has stopped it"""
        return self._signals > 0

    def run(self, jobs: Sequence[Job]) -> None:
        """:param jobs: are begun in this order"""
        self._waiting.extend(jobs)
        before = {number: signal.signal(number, self._stop) for number in _SIGNALS if not _is_ignored(number)}
        try:
            while self._running or (self._waiting and not self._signals):
                self._begin()
                time.sleep(_PAUSE_S)
                self._pass_on()
                for job, outcome in self._pool.ended():
                    self._running -= 1
                    self._after(job, outcome)
                self._screen.refresh()
        finally:
            if self._running:  # by an error of ours
                self._pool.kill()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _begin(self) -> None:
        while self._waiting and not self._signals and self._pool.has_room():
            job = self._waiting.popleft()
            text = job.announcement()
            self._pool.begin(job)
            self._running += 1
            self._screen.begun(job, text)

    def _after(self, job: Job, outcome: Outcome) -> None:
        text = outcome.text
        if outcome.state == LOST and self._signals:
            outcome = Outcome(STOPPED, text)
        if outcome.state == LOST:
            progress, (reached, losses) = job.progress, self._losses.get(job.name, (-1, 0))
            losses = 1 if progress > reached else losses + 1
            self._losses[job.name] = max(progress, reached), losses
            if losses < _MOST_LOSSES:
                self._waiting.appendleft(job)
                text += ": is tried again"
            else:
                outcome = Outcome(FAILED, text)
                text += f" {losses} times without progress: failed, often for lack of memory"
        if outcome.state == FAILED:
            self.failed.append(job.name)
        self._screen.ended(job, text)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _pass_on(self) -> None:
        if self._passed_on == self._signals:
            return
        self._passed_on = self._signals
        if self._signals == 1:
            self._screen.note("Stopping; once more kills.")
            self._pool.stop()
        else:
            self._screen.note("Killing.")
            self._pool.kill()


def _is_ignored(number: int) -> bool:
    """:return: whether SIGHUP is to be ignored, as nohup says"""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
