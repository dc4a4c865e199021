"""The places where frames may lie, against a plain array; what they take, and what is refused."""

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_dqn import ClassicDQN, DuelingDQN, NatureAtari
from sb3_atari_dqn.replay import compressed_store, memory_check, stored_transitions
from sb3_atari_dqn.replay.buffer import FrameReplayBuffer
from sb3_atari_dqn.replay.compressed_store import CompressedFrameStore
from sb3_atari_dqn.replay.device_store import DeviceFrameStore
from sb3_atari_dqn.replay.frame_store import FrameLayout, FrameStore, HostFrameStore
from sb3_atari_dqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_atari_dqn.replay.stores import FRAME_STORES
from tests.support.environments import ImageAndVector, Noise
from tests.support.stores import ShortBlocks

STORES = [HostFrameStore, CompressedFrameStore, ShortBlocks, DeviceFrameStore]
DTYPES = [np.uint8, np.int16, np.uint16, np.float32, np.float64, np.bool_]


def layout_of(ring_steps=10, n_envs=1, frame_size=6, dtype=np.uint8) -> FrameLayout:
    return FrameLayout(ring_steps, n_envs, frame_size, np.dtype(dtype))


def random_frames(rng, *shape, dtype=np.uint8) -> np.ndarray:
    return rng.integers(256, size=shape).astype(dtype)


def fill(store, rng, n_steps: int) -> np.ndarray:
    """:return: the frames of all steps, [n_steps, N, F]"""
    frames = random_frames(rng, n_steps, store.layout.n_envs, store.layout.frame_size, dtype=store.layout.dtype)
    for step, now in enumerate(frames):
        store.write_step(step, now)
    return frames


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(STORES),
    st.integers(1, 40),
    st.integers(1, 3),
    st.sampled_from(DTYPES),
    st.lists(st.sampled_from(["step", "step", "step", "write", "jump", "reset"]), max_size=60),
    st.integers(0, 2**32 - 1),
)
def test_whatever_is_written_in_any_order_is_what_is_read(store_class, ring_steps, n_envs, dtype, work, seed):
    rng = np.random.default_rng(seed)
    store, size = store_class(layout_of(ring_steps, n_envs, 6, dtype)), 6
    plain, written = np.zeros((ring_steps, n_envs, size), dtype), np.zeros((ring_steps, n_envs), bool)
    step = 0
    for what in ["step", *work]:
        if what == "step":
            frames = random_frames(rng, n_envs, 2, 3, dtype=dtype).transpose(0, 2, 1)  # not in order in memory
            store.write_step(step, frames)
            plain[step % ring_steps], written[step % ring_steps] = frames.reshape(n_envs, size), True
            step += 1
        elif what == "write":
            env, steps = rng.integers(n_envs), step + np.arange(rng.integers(1, ring_steps + 1))
            frames = random_frames(rng, len(steps), size, dtype=dtype)
            store.write(steps, int(env), frames)
            plain[steps % ring_steps, env], written[steps % ring_steps, env] = frames, True
        elif what == "jump":
            step = int(rng.integers(3 * ring_steps))
        else:
            store.reset()
            written[:] = False
        places, envs = np.nonzero(written)
        for env in range(n_envs):
            mine = places[envs == env]
            assert np.array_equal(store.read(mine, env), plain[mine, env])
        if len(places):
            asked = rng.integers(len(places), size=(5, 2))
            batch = store.gather(store.rows(places, envs)[asked])
            assert batch.numpy().dtype == dtype
            assert np.array_equal(batch, plain[places, envs][asked])


@pytest.mark.parametrize("store_class", STORES)
def test_zeros_and_overflow_frames_stand_among_those_of_the_ring(store_class):
    rng = np.random.default_rng(0)
    store = store_class(layout_of(ring_steps=7, n_envs=2))
    frames, overflow = fill(store, rng, 7), random_frames(rng, 40, 6)  # more than the pool begins with
    rows = store.write_overflow(overflow)
    zero = store.layout.zero_row
    batch = store.gather(np.array([[rows[0], zero, 3], [0, rows[39], 13], [zero, zero, rows[17]]]))
    nothing = np.zeros(6, np.uint8)
    wanted = [
        [overflow[0], nothing, frames[1, 1]],
        [frames[0, 0], overflow[39], frames[6, 1]],
        [nothing, nothing, overflow[17]],
    ]
    assert np.array_equal(batch, wanted)
    assert np.array_equal(store.frames_of(np.array([zero, rows[1]])), [nothing, overflow[1]])
    store.release(rows)
    assert store.overflow_rows == 0


@pytest.mark.parametrize("store_class", STORES)
def test_asking_for_no_frames_gives_none(store_class):
    store = store_class(layout_of())
    assert store.frames_of(np.empty(0, np.int64)).shape == (0, 6)
    assert store.read(np.empty(0, np.int64), 0).shape == (0, 6)


# --- compressed


@pytest.mark.parametrize(("ring_steps", "n_steps"), [(3, 3), (3, 100), (9, 9), (10, 14), (11, 23), (1, 5)])
def test_in_mid_block_the_frames_of_the_last_turn_are_still_there(ring_steps, n_steps):
    store = ShortBlocks(layout_of(ring_steps, n_envs=2))
    frames = fill(store, np.random.default_rng(1), n_steps)
    newest = np.arange(n_steps - ring_steps, n_steps)
    for env in range(2):
        assert np.array_equal(store.read(newest, env), frames[newest, env])


def test_frames_that_cannot_be_compressed_come_back_as_they_were():
    store = CompressedFrameStore(layout_of(ring_steps=100, frame_size=7_056))
    frames = fill(store, np.random.default_rng(0), 250)
    batch = store.gather(store.rows(np.arange(150, 250), np.int64(0)).reshape(10, 10))
    assert np.array_equal(batch.reshape(100, -1), frames[150:, 0])
    assert 1.0 < store.nbytes / (100 * 7_056) < 1.01


def test_a_frame_that_was_never_written_is_not_made_up():
    store = ShortBlocks(layout_of(ring_steps=10))
    fill(store, np.random.default_rng(0), 2)
    with pytest.raises(IndexError, match="Block 2 of environment 0 "):
        store.gather(np.array([[7]]))


@pytest.fixture(scope="module", params=["Pong", "Breakout", "MsPacman"])
def game_frames(request):
    """Random play, [1500, 7056]"""
    gym.register_envs(ale_py)
    env: Any = make_vec_env(f"{request.param}NoFrameskip-v4", 1, seed=0, wrapper_class=NatureAtari)
    rng = np.random.default_rng(0)
    frames = [env.reset()]
    for _ in range(1_499):
        frames.append(env.step(rng.integers(env.action_space.n, size=1))[0])
    return np.concatenate(frames).reshape(1_500, -1)


@pytest.mark.slow
def test_real_games_take_less_than_a_tenth_and_the_store_knows_how_much(game_frames):
    tracemalloc.start()
    store = CompressedFrameStore(layout_of(1_500, frame_size=7_056))
    for step, frame in enumerate(game_frames):
        store.write_step(step, frame[None])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pool = store.pool_nbytes
    assert np.array_equal(store.read(np.arange(1_500), 0), game_frames)
    assert taken - pool < store.layout.nbytes / 10
    assert taken - pool == pytest.approx(store.nbytes, rel=0.1)


def test_the_count_of_compressed_bytes_follows_every_turn_of_the_ring():
    store = ShortBlocks(layout_of(ring_steps=10, n_envs=2, frame_size=300))
    fill(store, np.random.default_rng(0), 37)
    blocks = [block for block in store._blocks if block is not None]
    assert len(blocks) == 2 * (4 - 1)
    expected = sum(map(len, blocks)) + len(blocks) * compressed_store._OBJECT_BYTES
    assert store.nbytes == expected + 2 * 3 * 300
    store.reset()
    assert store.nbytes == 2 * 3 * 300


def test_a_ring_whose_rest_will_not_fit_warns_while_it_fills_and_says_how_much_would(monkeypatch):
    monkeypatch.setattr(compressed_store, "available_bytes", lambda: 256 * 3 * 300)
    store = ShortBlocks(layout_of(ring_steps=3_000, frame_size=300))
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=r"1\d\d% .*buffer_size .*(48|49|50|51)%"):
        fill(store, rng, 3 * 256 + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(store, rng, 3 * 500)  # half as many blocks more: nothing is said again
    monkeypatch.setattr(compressed_store, "available_bytes", lambda: 10**9)
    store.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fill(store, rng, 3_100)


# --- how much memory is asked for


def images(slots: int, frame_storage: str, buffer_class=FrameReplayBuffer, **kwargs):
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    return buffer_class(slots, space, spaces.Discrete(6), "cpu", n_stack=4, frame_storage=frame_storage, **kwargs)


def test_compressed_frames_count_with_a_tenth_before_training(monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: memory_check.RESERVE_BYTES + 10_000_000)
    assert images(13_000, "compressed").full_nbytes() < 10_000_000
    with pytest.raises(MemoryError, match=r"buffer_size=1000000 .*0\.71 GB .*would fit"):
        images(1_000_000, "compressed")
    with pytest.raises(MemoryError, match=r"buffer_size=13000 .* 0.09 GB"):
        images(13_000, "device")


class OnCard(HostFrameStore):
    """Pretends that its frames lie on a device of their own."""

    @classmethod
    def host_nbytes(cls, layout, device):
        return 0

    @classmethod
    def device_nbytes(cls, layout, device):
        return layout.nbytes


def test_a_device_that_cannot_hold_the_frames_says_how_many_transitions_it_could(monkeypatch):
    monkeypatch.setattr(stored_transitions, "available_on", lambda device: memory_check.RESERVE_BYTES + 1_000_000)
    monkeypatch.setitem(FRAME_STORES, "card", OnCard)
    with pytest.raises(MemoryError, match=r"7\.06 GB on cpu.*0\.00 GB .*\b141 transitions"):
        images(1_000_000, "card")
    assert images(130, "card").buffer_size == 130


def test_only_a_cuda_device_is_asked_for_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (123, 456))
    assert memory_check.available_on(torch.device("cuda:0")) == 123
    assert memory_check.available_on(torch.device("meta")) is None


def test_frames_on_a_card_take_its_memory_and_none_of_the_host():
    layout, card, host = layout_of(), torch.device("cuda"), torch.device("cpu")
    assert (DeviceFrameStore.host_nbytes(layout, card), DeviceFrameStore.device_nbytes(layout, card)) == (0, 66)
    assert (DeviceFrameStore.host_nbytes(layout, host), DeviceFrameStore.device_nbytes(layout, host)) == (66, 0)


def test_a_device_out_of_memory_is_a_memory_error_that_names_the_way_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(MemoryError, match=r"do not fit on cpu; make buffer_size smaller or set frame_storage='ram'"):
        DeviceFrameStore(layout_of())


def test_numbers_that_torch_does_not_know_cannot_be_stored_on_a_device():
    with pytest.raises(ValueError, match=r"type (float128|longdouble) cannot be stored on a device"):
        DeviceFrameStore(layout_of(dtype=np.longdouble))


# --- in the algorithms


def model_with(frame_storage, algorithm=ClassicDQN, **kwargs):
    venv = VecFrameStack(make_vec_env(Noise, 2, seed=2), 4)
    settings = dict(
        buffer_size=200, learning_starts=10, seed=5, device="cpu", replay_buffer_kwargs={"frame_storage": frame_storage}
    )
    return algorithm("CnnPolicy", venv, **settings | kwargs)


def place_of_frames(model) -> FrameStore:
    return model.replay_buffer.memory.plain.store


@pytest.mark.slow
@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_a_training_learns_the_same_wherever_its_frames_lie(replay):
    learned = []
    for frame_storage in ("ram", "compressed", "device"):
        model = model_with(frame_storage, DuelingDQN, replay=replay, n_steps=2).learn(60)
        learned.append(torch.cat([parameter.flatten() for parameter in model.policy.parameters()]))
    assert torch.equal(learned[0], learned[1])
    assert torch.equal(learned[0], learned[2])


def test_a_saved_model_keeps_the_place_of_its_frames(tmp_path: Path):
    model_with("compressed").save(tmp_path / "model")
    loaded = ClassicDQN.load(tmp_path / "model", env=model_with("ram").get_env(), device="cpu")
    assert isinstance(place_of_frames(loaded), CompressedFrameStore)


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_an_unknown_place_is_refused_when_the_model_is_built(replay):
    message = "Unknown frame_storage in replay_buffer_kwargs 'zip'; known: compressed, device, ram"
    with pytest.raises(ValueError, match=message):
        model_with("zip", replay=replay)


def test_sb3s_buffers_refuse_a_place_for_frames_and_say_what_to_leave_out():
    with pytest.raises(ValueError, match=r"frame_storage='compressed' in replay_buffer_kwargs .* leave it out"):
        model_with("compressed", replay="sb3")


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
def test_vectors_and_dictionaries_are_compressed_on_request(replay):
    kwargs = dict(replay=replay, buffer_size=100, replay_buffer_kwargs={"frame_storage": "compressed"}, device="cpu")
    model = ClassicDQN("MlpPolicy", make_vec_env("CartPole-v1", 1), **kwargs)
    assert isinstance(place_of_frames(model), CompressedFrameStore)
    assert isinstance(model.replay_buffer, PrioritizedFrameReplayBuffer) == (replay == "prioritized")
    model = ClassicDQN("MultiInputPolicy", make_vec_env(ImageAndVector, 1), **kwargs)
    parts = model.replay_buffer.memory.parts.values()  # type: ignore[attr-defined]
    assert {type(part.store) for part in parts} == {CompressedFrameStore}
