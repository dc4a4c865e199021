"""Replay buffers on disk: the same samples before and after, whatever the sizes; damage and misfits are refused."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import UnsafeFile, allow
from sb3_atari_dqn.algorithms.dqn import ClassicDQN
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.files import read, write
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.sb3_buffers import SEEDED, SeededReplayBuffer, stored_arrays
from tests.support.environments import Noise
from tests.support.stores import PLACES, short_blocks
from tests.support.streams import STREAMS, Stream


@short_blocks
def make(stream: Stream, n_slots: int, buffer_class=FrameReplayBuffer, **kwargs):
    sizes = n_slots * stream.n_envs, stream.observation_space, stream.action_space, "cpu", stream.n_envs
    return buffer_class(*sizes, n_stack=stream.n_stack, **({"n_steps": 2} | kwargs))


def filled(stream: Stream, n_slots: int, n_added: int, buffer_class=FrameReplayBuffer, **kwargs):
    buffer = make(stream, n_slots, buffer_class, **kwargs)
    for step in stream.steps(n_added):
        buffer.add(*step)
    return buffer


def saved(buffer) -> io.BytesIO:
    file = io.BytesIO()
    write(buffer, file)
    file.seek(0)
    return file


def oldest_first(buffer):
    """:return: all samples of a buffer in the order of time"""
    steps = np.arange(buffer.memory.steps - buffer.size(), buffer.memory.steps)
    slots, envs = (grid.ravel() for grid in np.meshgrid(steps % buffer.buffer_size, np.arange(buffer.n_envs)))
    return buffer.samples_at(slots, envs)


def assert_same(left, right) -> None:
    assert left.size() == right.size()
    assert_equal_parts(oldest_first(left), oldest_first(right))


def assert_equal_parts(left, right) -> None:
    for one, other in zip(left, right, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@settings(max_examples=60, deadline=None)
@given(STREAMS, st.integers(1, 9), st.integers(1, 25), st.sampled_from([0, 0, 1, 7]), st.integers(0, 25))
def test_a_loaded_buffer_gives_the_same_samples_and_goes_on_as_the_saved_one(stream, n_slots, n_added, more, later):
    original = filled(stream, n_slots, n_added)
    loaded = make(stream, n_slots + more)
    read(loaded, saved(original), "file")
    assert_same(original, loaded)
    again = make(stream, n_slots + 2 * more)  # saved once more, from a ring that begins elsewhere
    read(again, saved(loaded), "file")
    assert_same(original, again)
    reference = make(stream, n_slots + more)
    for step in stream.steps(later):
        original.add(*step)
        loaded.add(*step)
    if more == 0:
        assert_same(original, loaded)
        assert (original.pos, original.full) == (loaded.pos, loaded.full)
    elif loaded.size() >= original.size():
        newest = -original.size()
        read(reference, saved(loaded), "file")
        assert_same(loaded, reference)
        for one, other in zip(oldest_first(original), oldest_first(loaded), strict=True):
            per_env = other.unflatten(0, (stream.n_envs, -1))[:, newest:].flatten(0, 1)
            assert torch.equal(one, per_env)


def test_a_full_buffer_with_the_same_size_keeps_every_transition_in_its_slot():
    stream = Stream(n_envs=2, seed=1)
    original = filled(stream, 10, 27)
    loaded = make(stream, 10)
    read(loaded, saved(original), "file")
    slots, envs = np.arange(10), np.ones(10, int)
    assert_equal_parts(original.samples_at(slots, envs), loaded.samples_at(slots, envs))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(STREAMS, st.permutations(PLACES), st.integers(1, 20), st.integers(1, 45), st.sampled_from([0, 0, 1, 7]))
def test_frames_of_one_place_load_into_any_other_and_their_files_are_the_same(stream, places, n_slots, n_added, more):
    first, second, *_ = places
    original = filled(stream, n_slots, n_added, frame_storage=first)
    loaded = make(stream, n_slots + more, frame_storage=second)
    read(loaded, saved(original), "file")
    assert_same(original, loaded)
    if more == 0:
        assert saved(loaded).getvalue() == saved(original).getvalue()
    again = make(stream, n_slots + more, frame_storage=first)
    read(again, saved(loaded), "file")
    for step in stream.steps(n_slots + 20):
        loaded.add(*step)
        again.add(*step)
    assert_same(loaded, again)


def test_priorities_and_the_random_generator_go_on_where_they_were():
    stream = Stream(n_envs=2, seed=1)
    original = filled(stream, 10, 27, PrioritizedFrameReplayBuffer)
    original.update_priorities(np.arange(20), np.linspace(0, 5, 20))
    loaded = make(stream, 10, PrioritizedFrameReplayBuffer)
    read(loaded, saved(original), "file")
    for _ in range(3):
        one, other = original.sample(8), loaded.sample(8)
        assert one.indices.tolist() == other.indices.tolist()
        assert torch.equal(one.weights, other.weights)
    assert loaded.sampler.max_priority == original.sampler.max_priority > 5


@pytest.mark.parametrize(("saved_alpha", "alpha"), [(1.0, 0.5), (0.6, 1.0), (0.5, 0.0), (0.6, 0.6)])
def test_priorities_count_with_the_exponent_of_the_buffer_that_loads_them(saved_alpha, alpha):
    original, other = (
        filled(Stream(n_envs=2, seed=5), 9, 6, PrioritizedFrameReplayBuffer, alpha=each)
        for each in (saved_alpha, alpha)
    )
    for buffer in (original, other):
        buffer.update_priorities(np.arange(12), np.linspace(0.1, 9, 12))
    loaded = make(Stream(n_envs=2, seed=5), 9, PrioritizedFrameReplayBuffer, alpha=alpha)
    read(loaded, saved(original), "file")
    np.testing.assert_allclose(loaded.sampler.tree.leaves, other.sampler.tree.leaves, rtol=1e-12)
    assert loaded.sampler.max_priority == other.sampler.max_priority


def test_an_exponent_of_zero_has_forgotten_the_priorities():
    original = filled(Stream(n_envs=2, seed=5), 9, 6, PrioritizedFrameReplayBuffer, alpha=0)
    original.update_priorities(np.arange(4), np.array([1.0, 2.0, 3.0, 24.0]))
    loaded = make(Stream(n_envs=2, seed=5), 9, PrioritizedFrameReplayBuffer, alpha=0.5)
    read(loaded, saved(original), "file")
    np.testing.assert_allclose(loaded.sampler.tree.leaves, [24.000001**0.5] * 12 + [0] * 6, rtol=1e-12)


def test_a_uniform_buffer_fills_a_prioritized_one_at_highest_priority_and_the_other_way_round():
    stream = Stream()
    prioritized = make(stream, 10, PrioritizedFrameReplayBuffer)
    read(prioritized, saved(filled(stream, 10, 6)), "file")
    assert prioritized.sampler.tree[np.arange(10)].tolist() == [1.0] * 6 + [0.0] * 4
    uniform = make(stream, 10)
    read(uniform, saved(prioritized), "file")
    assert_same(uniform, prioritized)


def test_an_empty_buffer_can_be_saved_and_loaded():
    stream = Stream()
    loaded = filled(stream, 10, 3)
    read(loaded, saved(make(stream, 10)), "file")
    assert loaded.size() == 0


def damaged(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "cut short": content[:middle],
        "cut by a byte": content[:-1],
        "cut to its first line": content[:28],
        "a byte changed in the middle": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "a byte changed in the checksum": content[:-6] + bytes([content[-6] ^ 1]) + content[-5:],
        "a gap": content[:middle] + content[middle + 40 :],
        "something appended": content + b"x",
    }[how]


DAMAGES = [
    "cut short",
    "cut by a byte",
    "cut to its first line",
    "a byte changed in the middle",
    "a byte changed in the checksum",
    "a gap",
    "something appended",
]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("n_before", [0, 7])
def test_a_damaged_file_is_one_clear_error_and_the_buffer_stays_as_it_was(how, n_before):
    stream = Stream(n_envs=2, seed=4)
    file = io.BytesIO(damaged(saved(filled(stream, 10, 20)).getvalue(), how))
    buffer = filled(stream, 10, n_before)
    before = oldest_first(buffer) if n_before else ()
    with pytest.raises(ValueError, match=r"my\.pkl is damaged"):
        read(buffer, file, "my.pkl")
    assert buffer.size() == n_before
    assert_equal_parts(before, oldest_first(buffer) if n_before else ())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Stream(n_stack=2), r"observation shape \[4, 13, 13\], and this buffer has \[2, 13, 13\]"),
        (Stream(n_stack=2, channels=2), "n_stack 4, and this buffer has 2"),
        (Stream(n_envs=3), "number of environments 1, and this buffer has 3"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(other, message):
    with pytest.raises(ValueError, match=message):
        read(make(other, 10), saved(filled(Stream(), 10, 5)), "file")


def test_a_file_with_other_actions_or_more_transitions_than_fit_is_refused():
    stream = Stream()
    file = saved(filled(stream, 10, 8))
    fewer = FrameReplayBuffer(10, stream.observation_space, spaces.Discrete(2), "cpu", n_stack=4)
    with pytest.raises(ValueError, match=r"action space Discrete\(5\).*Discrete\(2\)"):
        read(fewer, file, "file")
    with pytest.raises(ValueError, match=r"8 transitions.*7.*buffer_size .*8"):
        read(make(stream, 7), file, "file")


# --- in the algorithms


def model_with(replay="uniform", n_stack=4):
    venv = VecFrameStack(make_vec_env(Noise, 2, seed=2), n_stack)
    return ClassicDQN("CnnPolicy", venv, replay=replay, buffer_size=200, learning_starts=10, seed=5, device="cpu")


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_a_model_takes_over_a_saved_buffer_and_trains_on(replay, tmp_path):
    model = model_with(replay).learn(64)
    model.save_replay_buffer(tmp_path / "buffer")
    assert [path.name for path in tmp_path.iterdir()] == ["buffer.pkl"]
    other = model_with(replay)
    other.load_replay_buffer(tmp_path / "buffer.pkl", truncate_last_traj=True)
    assert_same(model.replay_buffer, other.replay_buffer)
    other.learn(40)
    assert other.replay_buffer.size() == 32 + 20
    file = io.BytesIO()
    model.save_replay_buffer(file)
    file.seek(0)
    model_with(replay).load_replay_buffer(file)


def test_sb3s_own_buffers_are_saved_as_sb3_does(tmp_path):
    model = model_with("sb3").learn(20)
    model.save_replay_buffer(tmp_path / "buffer")
    other = model_with("sb3")
    other.load_replay_buffer(tmp_path / "buffer")
    assert np.array_equal(other.replay_buffer.observations, model.replay_buffer.observations)


def test_sb3s_buffer_of_other_environments_is_refused_and_the_own_one_stays(tmp_path):
    model_with("sb3", n_stack=2).learn(20).save_replay_buffer(tmp_path / "buffer")
    other = model_with("sb3")
    own = other.replay_buffer
    with pytest.raises(ValueError, match="observation_space"):
        other.load_replay_buffer(tmp_path / "buffer")
    assert other.replay_buffer is own


# --- vectors, in SB3's pickles


def vector_model(algorithm: Any = ClassicDQN, **kwargs: Any) -> Any:
    policy, env = ("MultiInputPolicy", BitFlippingEnv) if kwargs.pop("as_dict", False) else ("MlpPolicy", "CartPole-v1")
    return algorithm(policy, make_vec_env(env, 2, seed=2), **{**SMALL, **kwargs})


SMALL: dict[str, Any] = dict(buffer_size=60, learning_starts=10, batch_size=8, seed=5, device="cpu")
VECTORS: list[dict[str, Any]] = [{}, {"n_steps": 3}, {"as_dict": True}]


def pickled(model: Any) -> io.BytesIO:
    file = io.BytesIO()
    model.save_replay_buffer(file)
    file.seek(0)
    return file


def assert_stored_the_same(one: Any, other: Any) -> None:
    arrays, others = stored_arrays(one), stored_arrays(other)
    assert (one.pos, one.full, one.buffer_size, arrays.keys()) == (
        other.pos,
        other.full,
        other.buffer_size,
        others.keys(),
    )
    assert all(np.array_equal(array, others[name]) for name, array in arrays.items())


@pytest.mark.parametrize("kwargs", VECTORS, ids=str)
def test_what_sb3s_dqn_saved_goes_on_with_a_generator_of_its_own(kwargs):
    theirs, ours = vector_model(DQN, **kwargs).learn(40), vector_model(**kwargs)
    chosen = type(ours.replay_buffer)
    ours.load_replay_buffer(pickled(theirs))
    assert type(ours.replay_buffer) is chosen is SEEDED[type(theirs.replay_buffer)]
    assert_stored_the_same(ours.replay_buffer, theirs.replay_buffer)
    before = np.random.get_state(legacy=False)["state"]["pos"]
    ours.replay_buffer.sample(8)
    assert np.random.get_state(legacy=False)["state"]["pos"] == before
    ours.learn(20)
    assert ours.replay_buffer.full


@pytest.mark.parametrize("kwargs", VECTORS, ids=str)
def test_what_we_saved_goes_on_with_the_same_draws_and_loads_into_sb3s_dqn(kwargs):
    original, theirs = vector_model(**kwargs).learn(40), vector_model(DQN, **kwargs)
    again = vector_model(**kwargs, seed=None)  # a seed would win over the generator in the file
    again.load_replay_buffer(pickled(original))
    theirs.load_replay_buffer(pickled(original))
    for model in (again, theirs):
        assert_stored_the_same(model.replay_buffer, original.replay_buffer)
    for _ in range(3):
        assert torch.equal(again.replay_buffer.sample(8).rewards, original.replay_buffer.sample(8).rewards)
    theirs.learn(20)


@pytest.mark.parametrize("kwargs", VECTORS, ids=str)
def test_what_we_saved_draws_as_sb3_where_that_is_asked_for(kwargs):
    theirs, ours = vector_model(DQN, **kwargs), vector_model(replay="sb3", **kwargs)
    chosen = type(ours.replay_buffer)
    ours.load_replay_buffer(pickled(vector_model(**kwargs).learn(40)))
    assert type(ours.replay_buffer) is chosen is type(theirs.replay_buffer)


@pytest.mark.parametrize("replay", ["uniform", "sb3"])
@pytest.mark.parametrize(("saved_n", "n_steps"), [(1, 3), (3, 1), (3, 5)])
def test_vectors_load_into_a_model_with_another_n(saved_n, n_steps, replay):
    model = vector_model(n_steps=n_steps, gamma=0.5, replay=replay)
    chosen = type(model.replay_buffer)
    model.load_replay_buffer(pickled(vector_model(n_steps=saved_n, replay=replay).learn(40)))
    assert type(model.replay_buffer) is chosen
    if n_steps > 1:
        assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (n_steps, 0.5)


def test_a_pickle_keeps_what_becomes_of_timeouts_and_a_buffer_class_of_the_users_own():
    ignoring = vector_model(DQN, replay_buffer_kwargs={"handle_timeout_termination": False}).learn(20)
    model = vector_model()
    model.load_replay_buffer(pickled(ignoring))
    assert not model.replay_buffer.handle_timeout_termination
    own = pickled(vector_model(replay_buffer_class=OwnBuffer).learn(20))
    with pytest.raises(UnsafeFile, match=r"would run tests\.replay\.test_replay_files\.OwnBuffer"):
        model.load_replay_buffer(own)
    assert type(model.replay_buffer) is SeededReplayBuffer
    own.seek(0)
    model.load_replay_buffer(own, trust=True)
    assert type(model.replay_buffer) is OwnBuffer
    allow(AllowedBuffer)
    model.load_replay_buffer(pickled(vector_model(replay_buffer_class=AllowedBuffer).learn(20)))
    assert type(model.replay_buffer) is AllowedBuffer


class OwnBuffer(ReplayBuffer):
    """A user's."""


class AllowedBuffer(ReplayBuffer):
    """A user's, who says so."""


OPTIMIZED: dict[str, Any] = {
    "optimize_memory_usage": True,
    "replay_buffer_kwargs": {"handle_timeout_termination": False},
}


def test_a_pickle_without_next_observations_is_refused_where_they_are_needed():
    file = pickled(vector_model(DQN, **OPTIMIZED).learn(20))
    for kwargs in ({}, {"n_steps": 3}, {"n_steps": 3, "replay": "sb3"}):
        model = vector_model(**kwargs)
        own = model.replay_buffer
        file.seek(0)
        with pytest.raises(ValueError, match=r"optimize_memory_usage=True.* replay='sb3' and n_steps=1"):
            model.load_replay_buffer(file)
        assert model.replay_buffer is own
    file.seek(0)
    model = vector_model(replay="sb3", **OPTIMIZED)
    model.load_replay_buffer(file)
    model.learn(20)


@pytest.mark.parametrize("replay", ["uniform", "sb3"])
def test_vectors_whose_file_stores_each_once_name_the_way_in(replay):
    once = {"replay_buffer_kwargs": {"frame_storage": "ram"}}
    file = pickled(vector_model(**once).learn(20))
    with pytest.raises(ValueError, match=r"replay='uniform' and replay_buffer_kwargs=\{'frame_storage': 'ram'\}"):
        vector_model(replay=replay).load_replay_buffer(file)
    vector_model(**once).load_replay_buffer(file)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_a_pickle_is_refused_without_being_executed(tmp_path):
    (tmp_path / "buffer.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"replay='sb3'"):
        model_with().load_replay_buffer(tmp_path / "buffer.pkl")


def test_a_model_with_sb3s_buffer_refuses_ours_by_name(tmp_path):
    model_with().learn(20).save_replay_buffer(tmp_path / "buffer")
    with pytest.raises(ValueError, match=r"replay='uniform'"):
        model_with("sb3").load_replay_buffer(tmp_path / "buffer")


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = model_with().learn(20)
    model.save_replay_buffer(tmp_path / "buffer")
    before = (tmp_path / "buffer.pkl").read_bytes()

    def interrupt(steps, env):
        raise KeyboardInterrupt

    monkeypatch.setattr(model.replay_buffer.memory.plain.store, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_replay_buffer(tmp_path / "buffer")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
