"""The state of a replay memory: another one goes on from it, and giving it changes nothing."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_atari_dqn.checkpoints.state import Stateful, joined, split
from sb3_atari_dqn.replay import priority_updates
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from tests.support.stores import PLACES, short_blocks
from tests.support.streams import STREAMS, Stream

pytestmark = pytest.mark.slow

KINDS = [FrameReplayBuffer, PrioritizedFrameReplayBuffer]


@short_blocks
def make(stream: Stream, n_slots: int, kind=FrameReplayBuffer, **kwargs):
    sizes = n_slots * stream.n_envs, stream.observation_space, stream.action_space, "cpu", stream.n_envs
    return kind(*sizes, n_stack=stream.n_stack, **({"n_steps": 2} | kwargs))


def through_json(state):
    values, arrays = split(state)
    return joined(json.loads(json.dumps(values)), arrays)


def continued(buffer, empty):
    """:return: the empty buffer with the state and all frames of the other one"""
    empty.load_state_dict(through_json(buffer.state_dict()))
    for chunk in buffer.frames_since():
        empty.load_frames(chunk)
    return empty


def assert_equal_states(one, other) -> None:
    values, arrays = split(one)
    other_values, other_arrays = split(other)
    assert values == other_values
    for name, array in arrays.items():
        assert np.array_equal(array, other_arrays[name]), name


def assert_equal_batches(one, other) -> None:
    for left, right in zip(one, other, strict=True):
        same = np.array_equal if isinstance(left, np.ndarray) else torch.equal
        assert (left is None and right is None) or same(left, right)


def use(buffer, steps) -> list:
    """Add, sample, and give TD errors back, as a training does."""
    batches = []
    for number, step in enumerate(steps):
        buffer.add(*step)
        batches.append(buffer.sample(4))
        buffer.learned_from(batches[-1], torch.linspace(-1, number, 4))
    return batches


@settings(max_examples=60, deadline=None)
@given(STREAMS, st.sampled_from(KINDS), st.sampled_from(PLACES), st.integers(1, 9), st.integers(0, 25))
@pytest.mark.slow
def test_a_memory_with_the_state_of_another_goes_on_as_that_one(stream, kind, storage, n_slots, n_added):
    original = make(stream, n_slots, kind, frame_storage=storage)
    use(original, stream.steps(n_added))
    again = continued(original, make(stream, n_slots, kind, frame_storage=storage))
    assert_equal_states(original.state_dict(), again.state_dict())
    later = list(stream.steps(12))
    for one, other in zip(use(original, later), use(again, later), strict=True):
        assert_equal_batches(one, other)
    assert_equal_states(original.state_dict(), again.state_dict())


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.sampled_from(PLACES), st.integers(2, 9), st.lists(st.integers(0, 12), min_size=2, max_size=5))
def test_frames_read_since_the_last_time_are_all_that_is_needed(stream, storage, n_slots, pieces):
    original, since, kept = make(stream, n_slots, frame_storage=storage), 0, []
    for length in pieces:
        use(original, stream.steps(length))
        kept += list(original.frames_since(since))
        since = original.memory.steps
    again = make(stream, n_slots, frame_storage=storage)
    again.load_state_dict(through_json(original.state_dict()))
    for chunk in kept:
        again.load_frames(chunk)
    later = list(stream.steps(3))
    for one, other in zip(use(original, later), use(again, later), strict=True):
        assert_equal_batches(one, other)


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.sampled_from(KINDS), st.sampled_from(PLACES), st.integers(1, 9), st.integers(1, 25))
def test_a_state_is_a_copy_and_giving_it_changes_nothing(stream, kind, storage, n_slots, n_added):
    asked = make(stream, n_slots, kind, frame_storage=storage)
    left_alone = make(stream, n_slots, kind, frame_storage=storage)
    asked.seed(3), left_alone.seed(3)
    steps = list(stream.steps(n_added + 5))
    use(asked, steps[:n_added]), use(left_alone, steps[:n_added])
    state, frames = asked.state_dict(), list(asked.frames_since())
    kept = through_json(state)
    copies = [chunk.frames.copy() for chunk in frames]
    for one, other in zip(use(asked, steps[n_added:]), use(left_alone, steps[n_added:]), strict=True):
        assert_equal_batches(one, other)
    assert_equal_states(state, kept)
    assert all(np.array_equal(chunk.frames, copy) for chunk, copy in zip(frames, copies, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_of_a_memory_has_a_state(kind):
    buffer = make(Stream(), 5, kind)
    part = buffer.memory.plain
    stateful = [buffer, buffer.memory, buffer.sampler, part, part.store, part.final_frames, part.prefixes]
    if kind is PrioritizedFrameReplayBuffer:
        stateful += [buffer.sampler.tree, buffer._priority_updates]
    assert all(isinstance(each, Stateful) for each in stateful)


@pytest.mark.parametrize(
    ("other", "n_slots", "message"),
    [
        (Stream(), 6, r"rewards of shape \(5, 1\) and type float32, this replay memory \(6, 1\)"),
        (Stream(n_envs=2), 5, r"rewards of shape \(5, 1\)"),
        (Stream(n_stack=2), 5, r"prefixes of shape \(0, 3\) .* \(0, 1\)"),
        (Stream(n_stack=4, channels=2), 5, "frames of shape"),
    ],
)
def test_a_state_of_other_sizes_is_refused_and_nothing_changes(other, n_slots, message):
    original, misfit = make(Stream(), 5), make(other, n_slots)
    use(original, Stream().steps(7))
    use(misfit, other.steps(3))
    before = through_json(misfit.state_dict())
    with pytest.raises(ValueError, match=message):
        misfit.load_state_dict(original.state_dict())
    assert_equal_states(before, misfit.state_dict())


def sb3_sampling(*sizes, **kwargs):
    return FrameReplayBuffer(*sizes, sb3_sampling=True, **kwargs)


SAMPLINGS = [FrameReplayBuffer, PrioritizedFrameReplayBuffer, sb3_sampling]


@pytest.mark.parametrize(
    ("saved", "loading"), [(one, other) for one in SAMPLINGS for other in SAMPLINGS if one is not other]
)
def test_a_state_of_another_kind_of_sampling_is_refused_and_nothing_changes(saved, loading):
    original, misfit = make(Stream(), 5, saved), make(Stream(seed=9), 5, loading)
    use(original, Stream().steps(7))
    use(misfit, Stream(seed=9).steps(3))
    refused(misfit, original.state_dict())


def refused(part, state, match="The state (has|names) "):
    before = through_json(part.state_dict())
    with pytest.raises(ValueError, match=match):
        part.load_state_dict(state)
    assert_equal_states(before, part.state_dict())


def parts_of(buffer):
    memory = buffer.memory.plain
    sampler = [buffer.sampler, buffer.sampler.tree, buffer._priority_updates]
    return [buffer, buffer.memory, memory, memory.store, memory.final_frames, memory.prefixes, *sampler]


def paths_of(state, path=()):
    """:return: where each value of a state stands, dictionaries included"""
    for key, value in state.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*path, key))


def changed(state, path, change):
    if not path:
        return change(state)
    return {**state, path[0]: changed(state[path[0]], path[1:], change)}


def test_every_part_refuses_a_state_with_something_missing_added_or_of_another_kind_and_stays_as_it_was():
    buffer, other = (make(Stream(seed=seed), 6, PrioritizedFrameReplayBuffer) for seed in (1, 2))
    use(buffer, Stream(seed=1, end=0.3).steps(9))
    use(other, Stream(seed=2, end=0.3).steps(8))
    for part, same in zip(parts_of(buffer), parts_of(other), strict=True):
        state = same.state_dict()
        refused(part, {}), refused(part, {**state, "surplus": 1})
        for path in paths_of(state):
            lacking = changed(
                state, path[:-1], lambda inner, key=path[-1]: {k: v for k, v in inner.items() if k != key}
            )
            refused(part, lacking, None)
            refused(part, changed(state, path, lambda value: "?"), None)


def test_parts_refuse_states_whose_arrays_do_not_fit_together_and_stay_as_they_were():
    buffer = make(Stream(), 6, PrioritizedFrameReplayBuffer)
    use(buffer, Stream(end=0.3, break_off=0.2).steps(9))
    for part, name, value in (
        (buffer.memory.plain.final_frames, "rows", np.zeros((1, 7), np.int64)),
        (buffer.memory.plain.store, "free", np.zeros(3, np.int64)),
        (buffer.memory.plain.store, "overflow", np.zeros((1, 99), np.uint8)),
        (buffer.memory.plain, "expected", np.zeros((1, 3, 3, 3), np.uint8)),
        (buffer.sampler.tree, "leaves", np.zeros(5)),
        (buffer._priority_updates, "indices", np.zeros(5, np.int64)),
    ):
        refused(part, {**part.state_dict(), name: value})


# --- random generators


def filled(**kwargs):
    stream = Stream(seed=4)
    buffer = make(stream, 30, **kwargs)
    for step in stream.steps(20):
        buffer.add(*step)
    return buffer


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_draws_from_a_generator_of_its_own_whose_seed_comes_from_the_global_one(kind):
    np.random.seed(1)
    one = filled(kind=kind)
    np.random.seed(1)
    other = filled(kind=kind)
    before = np.random.get_state(legacy=False)
    assert_equal_batches(one.sample(8), other.sample(8))
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before["state"]["key"])
    assert np.random.get_state(legacy=False)["state"]["pos"] == before["state"]["pos"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_begins_the_generator_anew(kind):
    buffer = filled(kind=kind)
    batches = []
    for seed in (7, 7, 8):
        buffer.seed(seed)
        batches.append(buffer.sample(16))
    assert_equal_batches(batches[0], batches[1])
    assert not torch.equal(batches[0].actions, batches[2].actions)


def test_sb3s_sampling_neither_has_a_state_nor_takes_a_number_from_the_global_generator_before():
    np.random.seed(2)
    expected = np.random.randint(1000)
    np.random.seed(2)
    buffer = filled(sb3_sampling=True)
    assert np.random.randint(1000) == expected
    assert buffer.state_dict()["sampler"] == {}


# --- TD errors on their way from a device


@pytest.fixture
def slow_device(monkeypatch):
    """What is given back arrives late, as from a GPU: by copies that are fetched."""
    monkeypatch.setattr(priority_updates, "arrives_at_once", lambda errors: False)


@pytest.mark.usefixtures("slow_device")
def test_td_errors_on_their_way_are_in_the_state_and_stay_on_their_way():
    original = filled(kind=PrioritizedFrameReplayBuffer)
    original.learned_from(original.sample(4), torch.tensor([5.0, 6, 7, 8]))
    before = original.sampler.tree.leaves
    again = continued(original, make(Stream(seed=4), 30, PrioritizedFrameReplayBuffer))
    assert np.array_equal(original.sampler.tree.leaves, before)
    assert np.array_equal(again.sampler.tree.leaves, before)
    for _ in range(3):
        one, other = original.sample(4), again.sample(4)
        assert_equal_batches(one, other)
        for buffer, batch in ((original, one), (again, other)):
            buffer.learned_from(batch, torch.tensor([1.0, 2, 3, 4]))
        assert np.array_equal(original.sampler.tree.leaves, again.sampler.tree.leaves)
    assert original.sampler.max_priority == pytest.approx(8)


def test_the_states_of_equal_dictionaries_fit_and_of_others_are_refused_by_name():
    def of(*names):
        space = spaces.Dict({name: spaces.Box(0, 1, (3,)) for name in names})
        return FrameReplayBuffer(5, space, spaces.Discrete(2), "cpu", n_stack=1)

    of("a", "b").load_state_dict(of("b", "a").state_dict())
    with pytest.raises(ValueError, match="has no b, which this memory of observations has: load it"):
        of("a", "b").load_state_dict(of("a", "c").state_dict())
