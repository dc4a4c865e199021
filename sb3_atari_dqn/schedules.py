"""Epsilon, the probability of a random action, and beta, the correction of prioritized replay, over time.

Pure Python: knows neither SB3 nor gymnasium.

Every schedule of epsilon is called with `progress_remaining` (1 at the start of training, 0 at its end, as SB3 counts)
and `env_steps` (transitions seen, all environments together), and uses the one it needs.
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
    From `initial` to `final` in a straight line over the first `fraction` of training, then constant.

    :param fraction: part of the whole training; 0: `final` from the start, above 1: `final` is never reached
    Source: Mnih et al. 2015, Methods. Deviation: the length is a fraction of the run and not a number of frames,
    and the arithmetic is that of SB3's `LinearSchedule`, to the last bit.
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
    From `initial` to `final` in a straight line over the first `steps` of training, whatever its length.

    :param steps: environment steps, above 0
    Source: Mnih et al. 2015, Methods. Deviation: counts environment steps, of several frames each.
    """

    initial: float
    final: float
    steps: int

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.initial + min(env_steps / self.steps, 1.0) * (self.final - self.initial)


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
class DelayedEpsilon:
    """
    Another schedule that counts environment steps, begun late; its beginning until then.

    :param schedule: the other
    :param delay: environment steps before it begins
    """

    schedule: EpsilonSchedule
    delay: int

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return self.schedule(progress_remaining, max(env_steps - self.delay, 0))


@dataclass(frozen=True)
class NoEpsilon:
    """Always 0: the greedy action, for networks that explore by themselves."""

    def __call__(self, progress_remaining: float, env_steps: int = 0) -> float:
        return 0.0


@dataclass(frozen=True)
class LinearBeta:
    """
    From `initial` to `final` in a straight line over the whole training.

    :raises ValueError: if one of them lies outside [0, 1]
    Source: Schaul et al. 2016, section 3.4. Deviation: none.
    """

    initial: float
    final: float

    def __post_init__(self) -> None:
        if not (0 <= self.initial <= 1 and 0 <= self.final <= 1):
            raise ValueError(f"beta and final_beta must lie in [0, 1], got {self.initial!r} and {self.final!r}.")

    def __call__(self, progress_remaining: float) -> float:
        return self.initial + (1 - progress_remaining) * (self.final - self.initial)


def _linear(initial: float, final: float, fraction: float, steps: int | None) -> EpsilonSchedule:
    return LinearEpsilon(initial, final, fraction) if steps is None else LinearEpsilonOverSteps(initial, final, steps)


# Every builder takes (initial, final, fraction of training, steps or None, rate per environment step).
EXPLORATIONS: dict[str, Callable[[float, float, float, int | None, float], EpsilonSchedule]] = {
    "linear": lambda initial, final, fraction, steps, rate: _linear(initial, final, fraction, steps),
    "exponential": lambda initial, final, fraction, steps, rate: ExponentialEpsilon(initial, final, rate),
    "none": lambda initial, final, fraction, steps, rate: NoEpsilon(),
}
