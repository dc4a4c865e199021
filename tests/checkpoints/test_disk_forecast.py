"""A disk that will be full before the training ends."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_atari_dqn.checkpoints.disk_forecast import forecast, forecast_in

GB = 10**9


def test_a_disk_that_suffices_is_no_reason_to_warn():
    found = forecast(free_bytes=10 * GB, written_bytes=GB, steps=100_000, steps_left=900_000)
    assert found.needed_bytes == 9 * GB
    assert found.suffices


def test_a_disk_that_is_too_small_is_told_with_the_step_at_which_it_is_full():
    found = forecast(free_bytes=4 * GB, written_bytes=GB, steps=100_000, steps_left=900_000)
    assert not found.suffices
    assert found.full_in_steps == 380_000, "4 GB less the reserve of 5 %, at 1 GB per 100,000 steps"
    message = found.message(Path("logs/run"), step=100_000)
    assert "logs/run will be full at about step 480,000" in message
    assert "ends at step 1,000,000: 9.0 GB are still to be written, 4.0 GB are free" in message


def test_a_small_part_of_the_disk_is_left_to_others():
    assert forecast(100, 10, 10, 95).suffices
    assert not forecast(100, 10, 10, 96).suffices


@pytest.mark.parametrize(("written", "steps"), [(0, 1000), (-5, 1000), (100, 0)])
def test_without_growth_or_steps_there_is_nothing_to_extrapolate(written, steps):
    assert forecast(0, written, steps, 10**9).suffices


def test_a_full_disk_is_full_at_once():
    assert forecast(0, 1, 1, 1).full_in_steps == 0


@pytest.mark.parametrize("bad", [{"free_bytes": -1}, {"steps": -1}, {"steps_left": -1}])
def test_negative_numbers_are_refused(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} must be at least 0, got -1"):
        forecast(**{"free_bytes": 1, "written_bytes": 1, "steps": 1, "steps_left": 1, **bad})


positive = st.integers(1, 10**15)


@given(positive, positive, positive, positive)
def test_what_is_called_enough_is_enough_and_what_is_full_is_full_before_the_end(free, written, steps, left):
    found = forecast(free, written, steps, left)
    if found.suffices:
        assert written * left <= free * steps
    else:
        assert found.full_in_steps < left


def test_the_free_space_is_that_of_the_folders_disk(tmp_path):
    found = forecast_in(tmp_path, written_bytes=1, steps=1, steps_left=1)
    assert found.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
