"""How often: after a number of environment steps, or after a time."""

import re
from dataclasses import dataclass
from numbers import Real

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|seconds?|m|min|minutes?|h|hours?)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Frequency:
    """
    :param steps: environment steps; None: by time
    :param seconds: None: by steps
    """

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, value: float | str) -> "Frequency":
        """
        :param value: environment steps, or a time like "30s", "5min", "2h"
        :raises ValueError: on anything else
        """
        if isinstance(value, str) and (match := _TIME.fullmatch(value.strip().lower())) and float(match[1]) > 0:
            return cls(seconds=float(match[1]) * _SECONDS[match[2][0]])
        if (isinstance(value, Real) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal()):
            number = float(value)
            if 1 <= number < 1e18 and number.is_integer():
                return cls(steps=int(number))
        raise ValueError(
            f"checkpoint_freq={value!r}: give a number of environment steps such as 100000, or a time such as '30s', "
            "'5min' or '2h'."
        )

    def is_over(self, steps_then: int, seconds_then: float, steps: int, seconds: float) -> bool:
        """
        :param steps_then: environment steps at the last time
        :param seconds_then: on the clock at the last time
        :param steps: now
        :param seconds: now
        """
        if self.steps is not None:
            return steps - steps_then >= self.steps
        return self.seconds is not None and seconds - seconds_then >= self.seconds
