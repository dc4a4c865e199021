"""Argument checks: the value and the way out are in the message."""

import numpy as np
import pytest
import torch

from sb3_atari_dqn import ClassicDQN
from sb3_atari_dqn.validation import (
    as_int,
    check_between,
    check_device,
    check_known,
    check_options,
    renamed,
    renamed_value,
)


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3)])
def test_whole_numbers_of_any_kind_become_int(value):
    number = as_int("n_steps", value, 1)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", ["1e6", 2.5, None, True, float("nan"), float("inf"), [4]])
def test_what_is_no_whole_number_is_shown(value):
    with pytest.raises(ValueError, match="buffer_size must be ") as error:
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
    says = r"device='cuda(:0)?' .*\(.+\).*'cpu'.*'auto'"
    with pytest.raises(ValueError, match=says):
        ClassicDQN("MlpPolicy", "CartPole-v1", device=device)
    with pytest.raises(ValueError, match=says):
        ClassicDQN.load(tmp_path / "model", device=device)


@pytest.mark.parametrize("device", ["cdua", "", None])
def test_what_is_no_device_is_named(device):
    with pytest.raises(ValueError, match=r"device=.*'cpu'.*'auto'"):
        check_device(device)


def test_a_number_is_a_gpu_to_a_pytorch_with_cuda_and_no_device_to_another():
    says = r"device='?99'? (is not a PyTorch device|cannot be used on this machine \(.+\)); use 'cpu', or"
    with pytest.raises(ValueError, match=says):
        check_device(99)


def test_options_have_names():
    check_options("the options of a preset", {"size": 3})
    with pytest.raises(ValueError, match=r"the options of a preset .*3 \(int\)"):
        check_options("the options of a preset", {3: 3})
    with pytest.raises(ValueError, match="the options of a preset must be"):
        check_options("the options of a preset", None)


RENAMES = {"frames": "frame_storage"}


def test_an_option_under_its_old_name_is_taken_and_the_new_spelling_given():
    with pytest.warns(FutureWarning, match=r"frames='ram' in replay_buffer_kwargs .*; use frame_storage='ram'\."):
        options = renamed("replay_buffer_kwargs", {"frames": "ram", "alpha": 1}, RENAMES)
    assert options == {"frame_storage": "ram", "alpha": 1}


def test_an_option_under_both_of_its_names_is_refused():
    with pytest.raises(ValueError, match="frames='ram' and frame_storage='device' in replay_buffer_kwargs"):
        renamed("replay_buffer_kwargs", {"frames": "ram", "frame_storage": "device"}, RENAMES)


def test_a_value_in_its_old_spelling_is_taken_and_the_new_one_given():
    with pytest.warns(FutureWarning, match=r"learner='plain' in DQN .*; use learner='reference'\."):
        assert renamed_value("DQN", "learner", "plain", {"plain": "reference"}) == "reference"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", ["reference", "fast", None, 3, ["plain"]])
def test_new_spellings_and_other_values_pass_without_a_warning(value):
    given = {"frame_storage": value}
    assert renamed("replay_buffer_kwargs", given, RENAMES) == given
    assert renamed_value("DQN", "learner", value, {"plain": "reference"}) == value
