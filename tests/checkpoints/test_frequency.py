import numpy as np
import pytest

from sb3_atari_dqn.checkpoints.frequency import Frequency


@pytest.mark.parametrize(
    ("value", "steps", "seconds"),
    [
        (1, 1, None),
        (50_000, 50_000, None),
        (1e5, 100_000, None),
        (np.int64(50), 50, None),
        ("100", 100, None),
        ("30s", None, 30),
        ("5min", None, 300),
        ("1.5 h", None, 5400),
        ("2 Minutes", None, 120),
        ("1hour", None, 3600),
    ],
)
def test_steps_and_times(value, steps, seconds):
    assert Frequency.parse(value) == Frequency(steps, seconds)


@pytest.mark.parametrize(
    "value", [0, -5, 1.5, True, None, "", "0", "0min", "min", "5 days", "-3s", [5], float("nan"), float("inf")]
)
def test_anything_else_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"checkpoint_freq=.*give a number of environment steps"):
        Frequency.parse(value)


def test_what_is_over():
    assert [Frequency(steps=100).is_over(50, 0, now, 1e9) for now in (149, 150, 151)] == [False, True, True]
    assert [Frequency(seconds=60).is_over(0, 30, 10**9, now) for now in (89.9, 90.0)] == [False, True]
