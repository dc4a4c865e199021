"""Which precision is chosen, and that choosing leaves no trace."""

import numpy as np
import pytest
import torch

from sb3_atari_dqn.learners import precision
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.learners.precision import choose_precision
from tests.support.batches import make_policy

SHAPE = (4, 2, 36, 36)


def pretend(monkeypatch, fp32, bf16):
    """Let forward and backward take these times."""
    times = {torch.float32: fp32, torch.bfloat16: bf16}
    monkeypatch.setattr(precision, "_time", lambda network, shape, device: times[network.dtype])


@pytest.mark.parametrize(
    ("bf16", "chosen"), [(8.9, "bf16"), (8.999, "bf16"), (9.0, "fp32"), (9.5, "fp32"), (10.0, "fp32"), (80.0, "fp32")]
)
def test_bf16_must_save_a_tenth_of_the_time(bf16, chosen, monkeypatch):
    pretend(monkeypatch, fp32=10.0, bf16=bf16)
    assert choose_precision(make_policy().q_net, SHAPE, torch.device("cpu"))[0] == chosen


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [({"fp32": 16.5, "bf16": 5.3}, 1), ({"fp32": 1.4, "bf16": 0.9}, 2), ({"fp32": 0.012, "bf16": 0.006}, 9)],
)
def test_passes_that_take_seconds_are_measured_once(seconds, passes, monkeypatch):
    begun = []

    def take(network, shape, device):
        name = "fp32" if network.dtype == torch.float32 else "bf16"
        begun.append(name)
        return 1000 * seconds[name]

    monkeypatch.setattr(precision, "_time", take)
    assert choose_precision(make_policy().q_net, SHAPE, torch.device("cpu"))[0] == "bf16"
    assert (begun.count("fp32"), begun.count("bf16")) == (passes, passes)


def test_the_reason_names_both_times(monkeypatch):
    pretend(monkeypatch, fp32=12.34, bf16=5.67)
    assert choose_precision(make_policy().q_net, SHAPE, torch.device("cpu")) == (
        "bf16",
        "forward and backward take fp32 12.3 ms and bf16 5.7 ms",
    )


def test_the_learner_measures_with_its_batch_and_its_images(monkeypatch):
    shapes = []

    def note(network, shape, device):
        shapes.append(shape)
        return 1.0

    monkeypatch.setattr(precision, "_time", note)
    FastLearner(make_policy(), "auto", batch_size=7)
    assert set(shapes) == {(7, 2, 36, 36)}


def test_measuring_draws_no_random_number_and_leaves_the_network_alone():
    network = make_policy().q_net
    before = [parameter.detach().clone() for parameter in network.parameters()]
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state(legacy=False))
    chosen, reason = choose_precision(network, SHAPE, torch.device("cpu"))
    assert chosen in ("fp32", "bf16")
    assert reason.count(" ms") == 2
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state(legacy=False)) == numpy_state
    assert all(map(torch.equal, network.parameters(), before))
    assert all(parameter.grad is None and parameter.dtype == torch.float32 for parameter in network.parameters())


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_precision_that_is_asked_for_is_not_measured(name, monkeypatch):
    monkeypatch.setattr(precision, "_time", None)
    learner = FastLearner(make_policy(), name, batch_size=4)
    assert (learner.precision, learner.reason) == (name, "as asked")
