"""Schedules of epsilon (probability of a random action), beta (importance-sampling exponent of prioritized replay) and
the learning rate.

Pure Python: independent of SB3 and gymnasium.

Epsilon schedules take `progress_remaining` (as in SB3, from 1 at the start of training to 0 at its end) and `env_steps`
(transitions so far, over all environments), and use one of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class EpsilonSchedule(Protocol):
    """:return: epsilon in [0, 1]"""

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float: ...


@dataclass(frozen=True)
class LinearEpsilon:
    """
    Linear from `initial` to `final` over the first `fraction` of training, then constant.

    :param fraction: of the total training length; 0: `final` from the start, above 1: never reaches `final`
    Source: Mnih et al. 2015, Methods. Deviation: the length is a fraction of training, not a number of frames.
    Bitwise identical to SB3's `LinearSchedule`.
    """

    initial: float
    final: float
    fraction: float

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        elapsed = 1 - progress_remaining
        if elapsed > self.fraction or self.fraction == 0:
            return self.final
        return self.initial + elapsed * (self.final - self.initial) / self.fraction


@dataclass(frozen=True)
class LinearEpsilonOverSteps:
    """
    Linear from `initial` to `final` over the first `steps` environment steps, independent of the training length.

    :param steps: environment steps, above 0
    Source: Mnih et al. 2015, Methods. Deviation: counts environment steps, each of several frames.
    """

    initial: float
    final: float
    steps: int

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.initial + min(env_steps / self.steps, 1.0) * (self.final - self.initial)


@dataclass(frozen=True)
class ExponentialEpsilon:
    """
    final + (initial - final) * exp(-rate * env_steps), independent of the training length.

    :param rate: decay per environment step; the half-life is ln(2) / rate steps
    """

    initial: float
    final: float
    rate: float

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.final + (self.initial - self.final) * math.exp(-self.rate * env_steps)


@dataclass(frozen=True)
class DelayedEpsilon:
    """
    Delays the start of another schedule, which counts environment steps; returns its initial value until then.

    :param schedule: the schedule to delay
    :param delay: in environment steps
    """

    schedule: EpsilonSchedule
    delay: int

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.schedule(progress_remaining, max(env_steps - self.delay, 0))


@dataclass(frozen=True)
class NoEpsilon:
    """Always 0: greedy actions, for networks with built-in exploration."""

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return 0.0


@dataclass(frozen=True)
class LinearRate:
    """
    Learning rate that falls linearly to 0 over the total training length.

    Bitwise identical to the RL Zoo's `SimpleLinearSchedule`, which exported models cannot name.
    """

    initial_value: float

    def __call__(self, progress_remaining: float) -> float:
        return progress_remaining * self.initial_value


@dataclass(frozen=True)
class LinearRateOverSteps:
    """
    Learning rate that falls linearly from `initial` to `final` over the first `steps` environment steps, then constant.

    :param steps: environment steps, above 0
    """

    initial: float
    final: float
    steps: int

    def __call__(self, env_steps: int) -> float:
        return self.initial + min(env_steps / self.steps, 1.0) * (self.final - self.initial)


@dataclass(frozen=True)
class LinearBeta:
    """
    Linear from `initial` to `final` over the total training length.

    :raises ValueError: if one of them is outside [0, 1]
    Source: Schaul et al. 2016, section 3.4. Deviation: none.
    """

    initial: float
    final: float

    def __post_init__(self) -> None:
        if not (0 <= self.initial <= 1 and 0 <= self.final <= 1):
            raise ValueError(f"beta={self.initial!r} and final_beta={self.final!r} must be in [0, 1].")

    def __call__(self, progress_remaining: float) -> float:
        return self.initial + (1 - progress_remaining) * (self.final - self.initial)


def _linear(initial: float, final: float, fraction: float, steps: int | None) -> EpsilonSchedule:
    return LinearEpsilon(initial, final, fraction) if steps is None else LinearEpsilonOverSteps(initial, final, steps)


# Each builder takes (initial, final, fraction of training, steps or None, rate per environment step).
EXPLORATIONS: dict[str, Callable[[float, float, float, int | None, float], EpsilonSchedule]] = {
    "linear": lambda initial, final, fraction, steps, rate: _linear(initial, final, fraction, steps),
    "exponential": lambda initial, final, fraction, steps, rate: ExponentialEpsilon(initial, final, rate),
    "none": lambda initial, final, fraction, steps, rate: NoEpsilon(),
}
