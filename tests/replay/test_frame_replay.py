"""FrameReplayBuffer against SB3's buffers and a slow twin: the same samples, byte for byte."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from tests.support.naive import NaiveReplay
from tests.support.stores import PLACES, short_blocks
from tests.support.streams import Stream

GAMMA = 0.9


@short_blocks
def ours(stream: Stream, n_slots: int, n_steps: int = 1, **kwargs) -> FrameReplayBuffer:
    return FrameReplayBuffer(
        n_slots * stream.n_envs,
        stream.observation_space,
        stream.action_space,
        "cpu",
        stream.n_envs,
        n_stack=stream.n_stack,
        n_steps=n_steps,
        gamma=GAMMA,
        **({"sb3_sampling": True} | kwargs),
    )


def theirs(stream: Stream, n_slots: int, n_steps: int = 1) -> ReplayBuffer:
    sizes = n_slots * stream.n_envs, stream.observation_space, stream.action_space, "cpu", stream.n_envs
    return ReplayBuffer(*sizes) if n_steps == 1 else NStepReplayBuffer(*sizes, n_steps=n_steps, gamma=GAMMA)


def filled_slots(buffer: ReplayBuffer) -> np.ndarray:
    return np.arange(buffer.size())


def samples(buffer: ReplayBuffer, seed: int):
    """Every slot three times, with random environments."""
    np.random.seed(seed)
    return buffer._get_samples(np.tile(filled_slots(buffer), 3))


def assert_same_samples(left, right) -> None:
    """But for the next observation of a terminated transition."""
    goes_on = left.dones.squeeze(1) == 0
    for name in ("observations", "actions", "dones", "rewards", "discounts"):
        one, other = getattr(left, name), getattr(right, name)
        assert (one is None and other is None) or (one.dtype == other.dtype and torch.equal(one, other)), name
    assert left.next_observations.dtype == right.next_observations.dtype
    assert torch.equal(left.next_observations[goes_on], right.next_observations[goes_on])


streams = st.builds(
    Stream,
    n_stack=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    n_envs=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    end=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    channels_last=st.booleans(),
)


places = st.sampled_from(PLACES)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(streams, places, st.integers(1, 12), st.integers(1, 4), st.integers(1, 40))
def test_samples_equal_sb3s_for_the_same_stream_and_index(stream, frame_storage, n_slots, n_steps, n_added):
    mine, sb3 = ours(stream, n_slots, n_steps, frame_storage=frame_storage), theirs(stream, n_slots, n_steps)
    for number, step in enumerate(stream.steps(n_added)):
        mine.add(*step)
        sb3.add(*step)
        assert (mine.pos, mine.full, mine.size()) == (sb3.pos, sb3.full, sb3.size())
        if number % 7 == 0 or number == n_added - 1:
            assert_same_samples(samples(mine, number), samples(sb3, number))


@settings(max_examples=200, deadline=None)
@given(streams, places, st.sampled_from([0.0, 0.2]), st.integers(1, 12), st.integers(1, 4), st.integers(1, 30))
def test_samples_equal_those_of_the_naive_twin(stream, frame_storage, break_off, n_slots, n_steps, n_added):
    stream.break_off = break_off
    mine, twin = (
        ours(stream, n_slots, n_steps, frame_storage=frame_storage),
        NaiveReplay(n_slots, stream.n_envs, n_steps, GAMMA),
    )
    for step in stream.steps(n_added):
        mine.add(*step)
        twin.add(*step)
    slots, envs = (grid.ravel() for grid in np.meshgrid(filled_slots(mine), np.arange(stream.n_envs)))
    batch = mine.samples_at(slots, envs)
    for place, (slot, env) in enumerate(zip(slots, envs, strict=True)):
        sample = twin.at(slot, env)
        assert np.array_equal(batch.observations[place], sample["obs"])
        assert batch.actions[place].tolist() == [sample["action"]]
        assert batch.rewards[place].item() == pytest.approx(sample["reward"], abs=1e-5)
        assert bool(batch.dones[place]) == sample["terminated"]
        if batch.discounts is not None:
            assert batch.discounts[place].item() == pytest.approx(sample["discount"], rel=1e-6)
        if not sample["terminated"]:
            assert np.array_equal(batch.next_observations[place], sample["next_obs"])


def filled(stream: Stream, n_slots: int, n_added: int, **kwargs) -> FrameReplayBuffer:
    buffer = ours(stream, n_slots, **kwargs)
    for step in stream.steps(n_added):
        buffer.add(*step)
    return buffer


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("frame_storage", PLACES)
@pytest.mark.parametrize("seed", range(3))
def test_many_environments_and_several_turns_of_the_ring_equal_sb3(seed, frame_storage, n_steps):
    stream = Stream(n_stack=4, n_envs=8, seed=seed, end=0.05)
    mine, sb3 = ours(stream, 50, n_steps, frame_storage=frame_storage), theirs(stream, 50, n_steps)
    for step in stream.steps(180):
        mine.add(*step)
        sb3.add(*step)
    assert_same_samples(samples(mine, seed), samples(sb3, seed))


def test_sample_draws_the_indices_that_sb3_draws():
    stream = Stream(n_envs=2, end=0.0)
    mine, sb3 = ours(stream, 30), theirs(stream, 30)
    for step in stream.steps(20):
        mine.add(*step)
        sb3.add(*step)
    np.random.seed(3)
    left = mine.sample(16)
    np.random.seed(3)
    assert_same_samples(left, sb3.sample(16))


def test_timeouts_count_as_ends_where_they_are_not_handled():
    stream = Stream(n_stack=2, end=0.5, seed=4)
    buffer = filled(stream, 40, 40, handle_timeout_termination=False)
    twin = Stream(n_stack=2, end=0.5, seed=4)
    done = np.array([step[4][0] for step in twin.steps(40)])
    batch = buffer.samples_at(np.arange(40), np.zeros(40, dtype=int))
    assert np.array_equal(batch.dones.squeeze(1).numpy(), done.astype(np.float32))


def test_after_a_termination_the_next_observation_is_the_last_one_moved_by_its_newest_frame():
    stream = Stream(n_stack=3, end=1.0, seed=1)
    batch = filled(stream, 20, 20).samples_at(np.arange(20), np.zeros(20, dtype=int))
    over = batch.dones.squeeze(1) == 1
    assert over.any()
    moved = torch.cat([batch.observations[:, 1:], batch.observations[:, -1:]], dim=1)
    assert torch.equal(batch.next_observations[over], moved[over])


@pytest.mark.parametrize("frame_storage", PLACES)
def test_changing_the_arrays_that_were_added_changes_nothing_stored(frame_storage):
    stream = Stream(n_stack=2, end=0.0)
    buffer = ours(stream, 10, frame_storage=frame_storage)
    obs, next_obs, *rest = next(stream.steps(1))
    buffer.add(obs, next_obs, *rest)
    kept = obs.copy(), next_obs.copy()
    obs[:], next_obs[:] = 7, 7
    batch = buffer.samples_at(np.zeros(1, int), np.zeros(1, int))
    assert np.array_equal(batch.observations, kept[0])
    assert np.array_equal(batch.next_observations, kept[1])


@pytest.mark.parametrize("frame_storage", PLACES)
def test_batches_share_no_memory_with_the_buffer_or_with_each_other(frame_storage):
    buffer = filled(Stream(n_stack=2, end=0.0), 10, 10, frame_storage=frame_storage)
    slots, envs = np.arange(10), np.zeros(10, int)
    first = buffer.samples_at(slots, envs)
    kept = first.observations.clone()
    buffer.samples_at(slots, envs).observations.fill_(9)
    assert torch.equal(first.observations, kept)
    assert torch.equal(buffer.samples_at(slots, envs).observations, kept)


@pytest.mark.parametrize("n_added", [0, 5, 64])
def test_an_observation_that_is_no_stack_is_refused_by_environment_and_step_and_nothing_is_stored(n_added):
    stream = Stream(n_stack=4, n_envs=2, end=0.0)
    buffer = filled(stream, 100, n_added)
    obs, next_obs, action, reward, done, infos = next(stream.steps(1))
    next_obs[1, 0] += 1  # not the second oldest frame of the observation
    if n_added == 5:  # between two checks: an episode that begins here is compared
        obs, next_obs = obs + np.array([0, 1], np.uint8).reshape(2, 1, 1, 1), next_obs
    with pytest.raises(ValueError, match=rf"environment 1 at step {n_added} .*n_stack=4"):
        buffer.add(obs, next_obs, action, reward, done, infos)
    assert buffer.size() == n_added


def test_images_that_are_no_stacks_are_refused_within_64_steps_and_stored_whole_on_request():
    space, actions = spaces.Box(0, 255, (3, 13, 13), np.uint8), spaces.Discrete(2)
    images = np.random.default_rng(0).integers(256, size=(101, 1, 3, 13, 13), dtype=np.uint8)
    stacked, whole = (FrameReplayBuffer(100, space, actions, "cpu", n_stack=n_stack) for n_stack in (3, 1))

    def add_all(buffer, images):
        for now, after in pairwise(images):
            buffer.add(now, after, np.array([0]), np.array([0.0]), np.array([False]), [{}])

    with pytest.raises(ValueError, match="n_stack=1"):
        add_all(stacked, images[:65])
    add_all(whole, images)
    batch = whole.samples_at(np.arange(100), np.zeros(100, int))
    assert np.array_equal(batch.observations, images[:-1, 0])
    assert np.array_equal(batch.next_observations, images[1:, 0])


def test_a_truncation_without_its_final_observation_is_refused():
    stream = Stream(n_stack=4, end=0.0)
    obs, _, action, reward, _, _ = next(stream.steps(1))
    with pytest.raises(ValueError, match="info lacks the terminal_observation"):
        ours(stream, 10).add(obs, obs + 1, action, reward, np.array([True]), [{"TimeLimit.truncated": True}])


@pytest.mark.parametrize(
    ("n_stack", "message"),
    [
        (0, "n_stack .*1.* 0"),
        (3, r"n_stack=3 .*\(4, 84, 84\)"),
        (300, r"n_stack=300 .*\(4, 84, 84\)"),
    ],
)
def test_a_stack_that_does_not_fit_the_observations_is_refused_by_shape(n_stack, message):
    with pytest.raises(ValueError, match=message):
        FrameReplayBuffer(10, spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(2), n_stack=n_stack)


@pytest.mark.parametrize("frame_storage", ["Ram", "gpu", 1])
def test_an_unknown_place_for_the_frames_is_refused(frame_storage):
    with pytest.raises(ValueError, match=rf"Unknown frame_storage={frame_storage!r}; known: ram, compressed, device"):
        ours(Stream(), 10, frame_storage=frame_storage)


@pytest.mark.parametrize("frame_storage", PLACES)
@short_blocks
def test_vectors_of_any_kind_are_stored_along_their_last_axis(frame_storage):
    space = spaces.Box(-1, 1, (4,), np.float32)
    buffer = FrameReplayBuffer(10, space, spaces.Box(-1, 1, (2,)), "cpu", n_stack=2, frame_storage=frame_storage)
    obs = np.array([[0, 0, 0.25, 0.5]], np.float32)
    after = np.array([[0.25, 0.5, 0.75, 1]], np.float32)
    buffer.add(obs, after, np.array([[0.1, -0.1]], np.float32), np.array([1.0]), np.array([False]), [{}])
    batch = buffer.samples_at(np.zeros(1, int), np.zeros(1, int))
    assert np.array_equal(batch.observations, obs)
    assert np.array_equal(batch.next_observations, after)
    assert np.array_equal(batch.actions, np.array([[0.1, -0.1]], np.float32))


@pytest.mark.parametrize(("n_actions", "limit"), [(18, 7_063), (300, 7_064)])
def test_a_slot_takes_at_most_7064_bytes_and_the_rest_is_k_frames_per_environment(n_actions, limit):
    space, n_envs, slots = spaces.Box(0, 255, (4, 84, 84), np.uint8), 2, 50
    buffer = FrameReplayBuffer(100, space, spaces.Discrete(n_actions), "cpu", n_envs, n_stack=4)
    arrays = buffer.memory.plain.depths, buffer.memory.plain.flags, buffer.rewards, buffer.actions
    per_slot = 7_056 + sum(array.nbytes for array in arrays) / 100
    assert per_slot == limit
    frames = buffer.memory.plain.layout.nbytes / 7_056
    assert frames == n_envs * (slots + 4) + 1
    assert buffer.full_nbytes() == buffer.memory.plain.layout.nbytes + sum(array.nbytes for array in arrays)


def test_overflow_frames_go_when_their_transitions_are_overwritten():
    stream = Stream(n_stack=4, n_envs=2, end=0.5, seed=2)
    buffer = ours(stream, 20)
    held = []
    for step in stream.steps(400):
        buffer.add(*step)
        held.append(buffer.memory.plain.store.overflow_rows)
    assert max(held[200:]) <= 2 * (20 + 4) * 4  # at most a final and a head of three for each transition
    truncations = ((buffer.memory.plain.flags & 2) > 0).sum()
    heads = 3 * len(buffer.memory.plain.prefixes)
    assert held[-1] == truncations + heads


@pytest.mark.parametrize("frame_storage", PLACES)
def test_reset_forgets_everything(frame_storage):
    buffer = filled(Stream(n_stack=4, end=0.5), 10, 15, frame_storage=frame_storage)
    buffer.reset()
    assert buffer.size() == 0
    assert buffer.memory.plain.store.overflow_rows == 0
    again = Stream(n_stack=4, end=0.5, seed=9)
    fresh = ours(again, 10)
    for step in again.steps(15):
        buffer.add(*step)
        fresh.add(*step)
    assert_same_samples(samples(buffer, 0), samples(fresh, 0))


# --- what callers may get wrong

VECTORS = spaces.Box(-np.inf, np.inf, (3,), np.float32)


def vector_buffer(buffer_class=FrameReplayBuffer, **kwargs):
    arguments = {"buffer_size": 20, "n_stack": 1, **kwargs}
    return buffer_class(arguments.pop("buffer_size"), VECTORS, spaces.Discrete(4), "cpu", 2, **arguments)


def vector_step(**changes):
    step = dict(obs=np.zeros((2, 3), np.float32), next_obs=np.ones((2, 3), np.float32), action=np.zeros(2, int))
    return {**step, "reward": np.zeros(2, np.float32), "done": np.zeros(2, bool), "infos": [{}, {}], **changes}


@pytest.mark.parametrize("frame_storage", PLACES)
@pytest.mark.parametrize(
    "wrong",
    [
        {"obs": np.zeros((2, 5))},
        {"next_obs": np.zeros((2, 1))},
        {"next_obs": np.zeros((2, 5))},
        {"action": np.zeros(3, int)},
        {"reward": np.zeros(3)},
    ],
)
@short_blocks
def test_a_step_of_another_shape_is_refused_and_nothing_is_stored(frame_storage, wrong):
    buffer = vector_buffer(frame_storage=frame_storage)
    buffer.add(**vector_step())
    with pytest.raises(ValueError, match=r"shape|reshape"):
        buffer.add(**vector_step(**wrong))
    assert (buffer.pos, buffer.memory.steps) == (1, 1)


@pytest.mark.parametrize("frame_storage", PLACES)
@short_blocks
def test_observations_of_another_type_are_cast_as_sb3_does(frame_storage):
    ours_ = vector_buffer(frame_storage=frame_storage, sb3_sampling=True)
    theirs_ = ReplayBuffer(20, VECTORS, spaces.Discrete(4), "cpu", 2)
    generator = np.random.default_rng(0)
    obs = generator.normal(size=(2, 3))
    for step in range(8):
        reached = generator.normal(size=(2, 3))
        done = np.array([step == 3, step == 5])
        infos = [{"terminal_observation": reached[i], "TimeLimit.truncated": bool(done[i])} for i in range(2)]
        for buffer in (ours_, theirs_):
            buffer.add(obs, reached, np.zeros(2, int), np.zeros(2), done, infos)
        obs = np.where(done[:, None], generator.normal(size=(2, 3)), reached)
    assert_same_samples(samples(ours_, 1), samples(theirs_, 1))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_steps": 1.5}, "n_steps must be .*got 1.5"),
        ({"gamma": float("nan")}, r"gamma must be a number in \[0, 1\], got nan"),
        ({"gamma": "x"}, "gamma must be a number"),
        ({"buffer_size": -5}, "buffer_size .*1.* -5"),
        ({"alpha": "x"}, "alpha must be a number"),
        ({"alpha": float("inf")}, "alpha must be a number"),
        ({"beta": 2}, r"beta .*\[0, 1\].* 2"),
        ({"epsilon": 0}, r"epsilon .*\(0,"),
    ],
)
def test_bad_numbers_are_refused_by_name(kwargs, message):
    with pytest.raises(ValueError, match=message):
        vector_buffer(PrioritizedFrameReplayBuffer, **kwargs)


@pytest.mark.parametrize(("start", "reads"), [("zeros", False), ("unseen", True)])
def test_an_episode_that_begins_with_zeros_reads_no_stored_frame(monkeypatch, start, reads):
    """From a GPU, reading one would wait for everything that it still computes."""
    stream = Stream(n_stack=3, n_envs=2, end=0.3, starts=(start,))
    buffer, calls = ours(stream, 50, frame_storage="device"), []
    frames_of = buffer.memory.plain.store.frames_of

    def noted(rows: np.ndarray) -> np.ndarray:
        calls.append(rows)
        return frames_of(rows)

    monkeypatch.setattr(buffer.memory.plain.store, "frames_of", noted)
    for step in stream.steps(40):
        buffer.add(*step)
    assert bool(calls) is reads
