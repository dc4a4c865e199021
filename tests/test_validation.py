"""Argument checks: the value and the way out are in the message."""

import numpy as np
import pytest
import torch

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.validation import (
    as_int,
    check_between,
    check_device,
    check_exploration_delay,
    check_known,
    check_options,
    checked_train_freq,
)


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3)])
def test_whole_numbers_of_any_kind_become_int(value):
    number = as_int("n_steps", value, 1)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", ["1e6", 2.5, None, True, float("nan"), float("inf"), [4]])
def test_what_is_no_whole_number_is_shown(value):
    with pytest.raises(ValueError, match=r"buffer_size .*whole number") as error:
        as_int("buffer_size", value, 1)
    assert repr(value) in str(error.value)


def test_a_number_below_the_minimum_is_shown_with_the_minimum():
    with pytest.raises(ValueError, match=r"batch_size .*\b1\b.*-5"):
        as_int("batch_size", -5, 1)


@pytest.mark.parametrize(("value", "above_low"), [(0, False), (1, True), (1, False), (np.float32(0.5), True)])
def test_numbers_inside_an_interval_pass(value, above_low):
    check_between("tau", value, 0, 1, above_low)


@pytest.mark.parametrize(("value", "above_low"), [(0, True), (-0.1, False), (1.1, False), ("0.5", False), (None, True)])
def test_numbers_outside_an_interval_are_shown_with_it(value, above_low):
    with pytest.raises(ValueError, match=r"tau .*0, 1\]") as error:
        check_between("tau", value, 0, 1, above_low)
    assert repr(value) in str(error.value)


def test_nan_lies_outside_every_interval():
    with pytest.raises(ValueError, match="got nan"):
        check_between("gamma", float("nan"), 0, float("inf"))


@pytest.mark.parametrize("name", ["Huber", None, 3, ["huber"]])
def test_unknown_names_are_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"loss .*huber, mse"):
        check_known("loss", name, {"mse": 1, "huber": 2})


@pytest.mark.parametrize(
    ("given", "checked"), [(4, (4, "step")), (np.int64(4), (4, "step")), ([2, "episode"], (2, "episode"))]
)
def test_train_freq_becomes_a_pair(given, checked):
    assert checked_train_freq(given, n_envs=1) == checked


@pytest.mark.parametrize(
    ("train_freq", "n_envs", "message"),
    [
        (0, 1, "train_freq .*1.* 0"),
        ((1, "epoch"), 1, "train_freq .*'epoch'.*episode, step"),
        ((1, "episode"), 2, r"train_freq=\(1, 'episode'\) .*\b2 environments"),
        ((1, 2, 3), 1, "train_freq .*whole number"),
    ],
)
def test_bad_train_freq_is_shown(train_freq, n_envs, message):
    with pytest.raises(ValueError, match=message):
        checked_train_freq(train_freq, n_envs)


@pytest.mark.parametrize(("exploration", "steps"), [("linear", 100), ("exponential", None)])
def test_schedules_that_count_environment_steps_can_be_delayed(exploration, steps):
    check_exploration_delay(50, exploration, steps)


@pytest.mark.parametrize(("exploration", "steps"), [("linear", None), ("none", 100)])
def test_a_delay_of_a_schedule_that_counts_no_steps_is_refused(exploration, steps):
    check_exploration_delay(0, exploration, steps)
    with pytest.raises(ValueError, match=r"exploration_delay=50 .* give exploration_steps"):
        check_exploration_delay(50, exploration, steps)


@pytest.mark.parametrize("device", ["auto", "cpu", "cpu:0", torch.device("cpu")])
def test_a_device_that_is_there_is_taken(device):
    check_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")])
def test_cuda_without_cuda_is_refused_by_whatever_takes_a_device(device, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if torch.version.cuda:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    model = ClassicDQN("MlpPolicy", "CartPole-v1", buffer_size=10)
    model.save(tmp_path / "model")
    says = r"device='cuda(:0)?' cannot be used on this machine \(.+\); give 'cpu', or 'auto'"
    with pytest.raises(ValueError, match=says):
        ClassicDQN("MlpPolicy", "CartPole-v1", device=device)
    with pytest.raises(ValueError, match=says):
        ClassicDQN.load(tmp_path / "model", device=device)


@pytest.mark.parametrize("device", ["cdua", "", 3, None])
def test_what_is_no_device_is_named(device):
    with pytest.raises(ValueError, match=r"'cpu'.*'auto'"):
        check_device(device)


def test_options_have_names():
    check_options("the options of a preset", {"size": 3})
    with pytest.raises(ValueError, match=r"options of a preset.* 3 \(int\)"):
        check_options("the options of a preset", {3: 3})
    with pytest.raises(ValueError, match=r"options of a preset .*mapping"):
        check_options("the options of a preset", None)
