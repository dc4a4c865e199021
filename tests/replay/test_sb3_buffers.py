"""SB3's buffers with a generator of their own: SB3's samples for the same draws, a seed, and a state to go on from."""

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_atari_dqn.checkpoints.state import Stateful, joined, split
from sb3_atari_dqn.replay.samplers import SB3Sampler
from sb3_atari_dqn.replay.sb3_buffers import SEEDED, SeededReplayBuffer, stored_arrays

THEIRS = [ReplayBuffer, NStepReplayBuffer, DictReplayBuffer]
BOX = spaces.Box(-1, 1, (3,), np.float32)
DICT = spaces.Dict({"joints": BOX, "gear": spaces.Discrete(4)})


def make(buffer_class: Any, n_slots: int = 10, n_envs: int = 2, **kwargs: Any) -> Any:
    """:return: a buffer of this SB3 class, or of ours"""
    space = DICT if issubclass(buffer_class, DictReplayBuffer) else BOX
    if issubclass(buffer_class, NStepReplayBuffer):
        kwargs = {"n_steps": 3, "gamma": 0.9, **kwargs}
    return buffer_class(n_slots * n_envs, space, spaces.Discrete(3), "cpu", n_envs, **kwargs)


def steps(buffer: Any, length: int, seed: int = 0) -> Iterator[tuple[Any, ...]]:
    """Random transitions, of which a third end an episode, half of these by a timeout."""
    rng, n = np.random.default_rng(seed), buffer.n_envs

    def observation() -> Any:
        vectors = rng.normal(size=(n, 3)).astype(np.float32)
        return (
            {"joints": vectors, "gear": rng.integers(4, size=n)} if isinstance(buffer.observations, dict) else vectors
        )

    for _ in range(length):
        done = rng.random(n) < 0.3
        infos = [{"TimeLimit.truncated": bool(over and rng.random() < 0.5)} for over in done]
        yield observation(), observation(), rng.integers(3, size=n), rng.normal(size=n), done, infos


def filled(buffer: Any, length: int = 7, seed: int = 0) -> Any:
    for step in steps(buffer, length, seed):
        buffer.add(*step)
    return buffer


def drawn(buffer: Any, times: int = 3) -> list[Any]:
    return [buffer.sample(8) for _ in range(times)]


def same(one: Any, other: Any) -> bool:
    """:return: whether batches, or whatever they consist of, are equal to the last bit"""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    values, arrays = split(state)
    return joined(json.loads(json.dumps(values)), arrays)


sizes = st.integers(1, 9), st.integers(1, 3), st.integers(1, 25), st.integers(0, 2**31)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(THEIRS), *sizes)
def test_samples_equal_sb3s_for_the_same_draws(kind, n_slots, n_envs, n_added, seed):
    theirs = filled(make(kind, n_slots, n_envs), n_added, seed)
    ours = filled(make(SEEDED[kind], n_slots, n_envs), n_added, seed)
    ours.sampler = SB3Sampler(n_envs)
    stored = copy.deepcopy(stored_arrays(ours))
    np.random.seed(seed)
    expected = drawn(theirs)
    np.random.seed(seed)
    got = drawn(ours)
    assert type(got[0]) is type(expected[0])
    assert same(got, expected)
    for part in (got[0].observations, got[0].next_observations):
        for tensor in part.values() if isinstance(part, dict) else (part,):
            tensor.fill_(0)
    assert same(stored_arrays(ours), stored), "batches share no memory with the buffer, and sampling marks nothing"


# --- random generators


@pytest.mark.parametrize("kind", THEIRS)
def test_draws_come_from_a_generator_of_its_own_whose_seed_comes_from_the_global_one(kind):
    np.random.seed(1)
    one = filled(make(SEEDED[kind]))
    np.random.seed(1)
    other = filled(make(SEEDED[kind]))
    np.random.seed(2)
    different = filled(make(SEEDED[kind]))
    before = np.random.get_state(legacy=False)
    batches = drawn(one)
    assert same(np.random.get_state(legacy=False), before)
    assert same(batches, drawn(other))
    assert not same(batches, drawn(different))


@pytest.mark.parametrize("kind", THEIRS)
def test_a_seed_begins_the_generator_anew(kind):
    buffer = filled(make(SEEDED[kind]))
    batches = []
    for seed in (7, 7, 8):
        buffer.seed(seed)
        batches.append(drawn(buffer))
    assert same(batches[0], batches[1])
    assert not same(batches[0], batches[2])


@pytest.mark.parametrize("kind", THEIRS)
def test_an_empty_buffer_says_so(kind):
    with pytest.raises(ValueError, match="the replay buffer is empty"):
        make(SEEDED[kind]).sample(4)


def test_leaving_out_next_observations_is_refused():
    with pytest.raises(ValueError, match="leave out optimize_memory_usage=True, or use FrameReplayBuffer"):
        make(SeededReplayBuffer, optimize_memory_usage=True, handle_timeout_termination=False)


# --- state


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(THEIRS), *sizes, st.integers(0, 25))
def test_a_buffer_with_the_state_of_another_goes_on_as_that_one(kind, n_slots, n_envs, n_added, seed, n_before):
    original = filled(make(SEEDED[kind], n_slots, n_envs), n_added, seed)
    again = filled(make(SEEDED[kind], n_slots, n_envs), n_before, seed + 1)
    drawn(original)
    again.load_state_dict(through_json(original.state_dict()))
    assert same(original.state_dict(), again.state_dict())
    for step in steps(original, 12, seed + 2):
        assert same(drawn(original, 1), drawn(again, 1))
        original.add(*step)
        again.add(*step)
    assert same(original.state_dict(), again.state_dict())


@pytest.mark.parametrize("kind", THEIRS)
def test_a_state_is_a_copy_and_giving_it_changes_nothing(kind):
    asked, left_alone = (filled(make(SEEDED[kind])) for _ in range(2))
    assert all(isinstance(buffer, Stateful) for buffer in (asked, left_alone))
    left_alone.sampler.load_state_dict(asked.sampler.state_dict())
    state = asked.state_dict()
    kept = copy.deepcopy(state)
    for buffer in (asked, left_alone):
        filled(buffer, 15, seed=1)
    assert same(drawn(asked), drawn(left_alone))
    assert same(state, kept)


@pytest.mark.parametrize(
    ("sizes", "kind", "message"),
    [
        ((9, 2), ReplayBuffer, "10 transitions per environment, this replay memory 9: build it"),
        ((10, 3), ReplayBuffer, r"of shape \(7, 2, 3\) and type float32, this replay memory \(7, 3, 3\)"),
        ((10, 2), DictReplayBuffer, "has no arrays/observations/gear, which this replay memory has: load it"),
    ],
)
def test_a_state_of_other_sizes_is_refused_and_nothing_changes(sizes, kind, message):
    misfit = filled(make(SEEDED[kind], *sizes), 3)
    before = misfit.state_dict()
    with pytest.raises(ValueError, match=message):
        misfit.load_state_dict(filled(make(SeededReplayBuffer)).state_dict())
    assert same(misfit.state_dict(), before)


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize("lost", ["slots", "filled", "pos", "arrays", "sampler"])
def test_a_state_that_lacks_something_is_refused_and_nothing_changes(lost, kind):
    buffer, state = filled(make(SEEDED[kind])), filled(make(SEEDED[kind]), 5, seed=1).state_dict()
    before = buffer.state_dict()
    lacking = {name: value for name, value in state.items() if name != lost}
    for bad in (lacking, {**state, lost: None}, {**state, "sampler": {}}, {**state, "sampler": {"rng": {}}}):
        with pytest.raises(ValueError, match=r"The state has |is not the state of"):
            buffer.load_state_dict(bad)
        assert same(buffer.state_dict(), before)


@pytest.mark.parametrize("kind", THEIRS)
def test_a_pickle_holds_the_generator(kind):
    buffer = filled(make(SEEDED[kind]))
    drawn(buffer)
    assert same(drawn(pickle.loads(pickle.dumps(buffer))), drawn(buffer))
