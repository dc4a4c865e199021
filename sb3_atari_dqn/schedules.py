"""Epsilon, the probability of a random action, over time. Pure Python: knows neither SB3 nor gymnasium.

Every schedule is called with `progress_remaining` (1 at the start of training, 0 at its end, as SB3 counts)
and `env_steps` (transitions seen, all environments together), and uses the one it needs.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from sb3_atari_dqn.arguments import check_known

EXPLORATIONS = ("linear", "exponential", "none")


class EpsilonSchedule(Protocol):
    """:return: epsilon in [0, 1]"""

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float: ...


@dataclass(frozen=True)
class LinearEpsilon:
    """
    From `initial` to `final` in a straight line over the first `fraction` of training, then constant.

    :param fraction: part of the whole training in (0, 1]
    Source: Mnih et al. 2015, Methods. Deviation: the length is a fraction of the run and not a number of frames,
    and the arithmetic is that of SB3's `LinearSchedule`, to the last bit.
    """

    initial: float
    final: float
    fraction: float

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        elapsed = 1 - progress_remaining
        if elapsed > self.fraction:
            return self.final
        return self.initial + elapsed * (self.final - self.initial) / self.fraction


@dataclass(frozen=True)
class ExponentialEpsilon:
    """
    final + (initial - final) * exp(-rate * env_steps), whatever the length of the run.

    :param rate: decay per environment step; after ln(2) / rate steps half of the way is done
    """

    initial: float
    final: float
    rate: float

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.final + (self.initial - self.final) * math.exp(-self.rate * env_steps)


@dataclass(frozen=True)
class NoEpsilon:
    """Always 0: the greedy action, for networks that explore by themselves."""

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return 0.0


def epsilon_schedule(kind: str, initial: float, final: float, fraction: float, rate: float) -> EpsilonSchedule:
    """
    :param kind: "linear", "exponential" or "none"
    :param initial: epsilon at the start
    :param final: epsilon at the end
    :param fraction: of the linear schedule, see there
    :param rate: of the exponential schedule, per environment step
    :raises ValueError: if the kind is unknown
    """
    check_known("exploration", kind, EXPLORATIONS)
    if kind == "linear":
        return LinearEpsilon(initial, final, fraction)
    if kind == "exponential":
        return ExponentialEpsilon(initial, final, rate)
    return NoEpsilon()
