"""Checkpoints of a training: what was written comes back; only what is new is written; the last ones are kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, newest, newest_intact
from sb3_atari_dqn.checkpoints.manifest import installed_versions
from tests.support.checkpoints import Ring, assert_whole, files, states, write, written

NUMBERS = ["?", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f2", "f4", "f8"]
any_array = arrays.arrays(
    st.sampled_from([np.dtype(kind) for kind in NUMBERS]), arrays.array_shapes(min_dims=0, min_side=0, max_side=3)
)
any_tensor = st.builds(
    lambda dtype, shape: torch.arange(int(np.prod(shape))).reshape(shape).to(dtype),
    st.sampled_from([torch.bfloat16, torch.float16, torch.float64, torch.bool, torch.uint8, torch.int64]),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=3),
)
texts = st.text(st.characters())  # lone surrogates too
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    plain | any_array | any_tensor,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, np.ndarray | torch.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        as_bytes = one.tobytes() if isinstance(one, np.ndarray) else one.reshape(-1).to(torch.float64).tolist()
        assert as_bytes == (
            other.tobytes() if isinstance(other, np.ndarray) else other.reshape(-1).to(torch.float64).tolist()
        )
    else:
        assert repr(one) == repr(other)  # NaN, and the sign of 0


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, values, max_size=4), st.dictionaries(texts, plain, max_size=3))
def test_any_plain_state_comes_back_as_it_was(tmp_path_factory, state, meta):
    path = tmp_path_factory.mktemp("checkpoints")
    with CheckpointFolder(path) as folder:
        folder.write(3, {"part": state}, meta)
    checkpoint = newest(path)
    assert_same(checkpoint.state("part"), state)
    assert_same(checkpoint.meta, meta)


def test_what_comes_back_can_be_written_to_and_is_independent_of_the_files(tmp_path):
    checkpoint = written(tmp_path)[-1]
    state = checkpoint.state("counters")
    state["seen"] += 1
    assert checkpoint.state("counters")["seen"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(6)[::-2],
        torch.arange(6).reshape(2, 3).T,
        torch.nn.Parameter(torch.ones(2)),
        np.broadcast_to(np.float32(2), (3, 2)),
    ],
    ids=["transposed", "reversed", "transposed tensor", "parameter", "broadcast"],
)
def test_arrays_may_lie_in_memory_in_any_way(tmp_path, array):
    with CheckpointFolder(tmp_path) as folder:
        found = folder.write(0, {"part": {"array": array, "again": array}}).state("part")
    assert found["array"].tolist() == found["again"].tolist() == array.tolist()
    assert found["array"].dtype == array.dtype


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, [("a", "i4")]),
        np.zeros(2, complex),
        np.array(["a"]),
        np.array([object()]),
        np.zeros(2, ">i4"),
        np.zeros(2, "datetime64[s]"),
        np.ma.masked_equal([1, 2], 1),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2).to_sparse(),
    ],
    ids=lambda array: f"{type(array).__name__} {array.dtype}",
)
def test_arrays_that_a_file_cannot_hold_are_refused_with_their_place_and_nothing_is_written(tmp_path, array):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(TypeError, match="at /replay/a/0: only dense arrays"):
        folder.write(0, {"model": {"x": np.ones(2)}, "replay": {"a": [array]}})
    assert files(tmp_path) == {".lock"}


@pytest.mark.parametrize("state", [{"$array": "0"}, {"a": {"$float": "nan"}}, {"a": [{"$tensor": None}]}])
def test_dictionaries_that_would_be_read_as_arrays_are_refused(tmp_path, state):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(TypeError, match="that key is reserved"):
        folder.write(0, {"part": state})


@pytest.mark.parametrize("name", ["", "A", "../a", "/etc", "a/b", "a.b", "manifest", "1", "é", "a" * 65])
def test_parts_have_plain_names(tmp_path, name):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(ValueError, match="A part cannot be named"):
        folder.write(0, {name: {}})


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ({"n": 10**5000}, ValueError, "part cannot be written: .*digits"),
        ({"text": "x" * (17 << 20)}, ValueError, r"of part take 17,825,\d+ bytes, and 16,777,216 can be read: use arr"),
        ({"x": (1,)}, TypeError, "tuple at /part/x"),
    ],
)
def test_what_could_not_be_read_again_is_refused_before_anything_is_written(tmp_path, state, error, message):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(error, match=message):
        folder.write(0, {"part": state})
    assert files(tmp_path) == {".lock"}


def test_meta_is_plain(tmp_path):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(TypeError, match="array at /meta/a: meta is for plain"):
        folder.write(0, {}, {"a": np.ones(1)})


@pytest.mark.parametrize("step", [-1, 1.5, True, "1"])
def test_steps_are_counts(tmp_path, step):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(ValueError, match="must be a whole number of steps"):
        folder.write(step, {})


@pytest.mark.parametrize("keep", [0, -1, 1.0, True, "3"])
def test_the_number_of_checkpoints_to_keep_is_above_0(tmp_path, keep):
    with pytest.raises(ValueError, match="keep="):
        CheckpointFolder(tmp_path / "new", keep)
    assert not (tmp_path / "new").exists()


def test_other_programs_can_read_the_files(tmp_path):
    checkpoint = written(tmp_path)[-1]
    loaded = safetensors.torch.load_file(checkpoint.path / "model.safetensors")
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32, torch.bfloat16}
    manifest = json.loads((checkpoint.path / "manifest.json").read_text())
    assert (manifest["step"], manifest["meta"]) == (120, {"algorithm": "dqn"})
    assert manifest["versions"] == installed_versions()
    assert set(manifest["versions"]) == {"python", "sb3-atari-dqn", "stable-baselines3", "gymnasium", "torch", "numpy"}


# --- only what is new


def test_a_later_checkpoint_writes_only_new_frames(tmp_path):
    ring = Ring()
    with CheckpointFolder(tmp_path) as folder:
        write(folder, ring, 60)
        before = {path: path.stat() for path in tmp_path.rglob("*.zst")}
        write(folder, ring, 7)
        after = {path: path.stat() for path in tmp_path.rglob("*.zst")}
        write(folder, ring, 0)
    assert ring.asked_since == [0, 60, 67]
    assert before.keys() < after.keys()
    assert all(after[path].st_mtime_ns == status.st_mtime_ns for path, status in before.items())
    (new,) = after.keys() - before.keys()
    assert new.name.startswith("60-67-")
    assert after[new].st_size < next(iter(before.values())).st_size / 5
    assert_whole(newest(tmp_path))


def test_frames_go_with_the_last_checkpoint_that_needs_one_of_them(tmp_path):
    ring = Ring(84)  # so that the oldest frames needed are the last ones of their file
    with CheckpointFolder(tmp_path, keep=2) as folder:
        for step in range(40, 321, 40):
            write(folder, ring, 40)
            oldest = max(0, max(40, step - 40) - 84)  # that the older one of the kept checkpoints needs
            lasts = sorted(int(path.name.split("-")[1]) for path in (tmp_path / "frames").iterdir())
            assert lasts == [last for last in range(40, step + 1, 40) if last >= oldest]
            assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == min(3, step // 40 + 1)
            assert_whole(newest(tmp_path), 84)


def test_frames_are_written_again_where_the_memory_was_replaced(tmp_path):
    ring = Ring()
    with CheckpointFolder(tmp_path) as folder:
        write(folder, ring, 60)
        ring.steps = 20
        folder.write(20, states(20), frames=ring.source())
        folder.write(20, states(20), frames=ring.source(), whole=True)
    assert ring.asked_since == [0, 0, 0]
    assert_whole(newest(tmp_path))


def test_large_chunks_are_spread_over_files_and_come_back_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr("sb3_atari_dqn.checkpoints.frame_files._FILE_BYTES", 500)
    checkpoint = written(tmp_path, (95,))[-1]
    assert len(checkpoint.manifest.frames) == 10
    assert [chunk.first_step for chunk in checkpoint.frames()] == list(range(0, 96, 10))
    assert_whole(checkpoint)


# --- the last ones are kept, of one training


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_checkpoints_are_kept(tmp_path, keep):
    written(tmp_path, (10, 20, 0, 30), keep)
    names = sorted(path.name for path in tmp_path.iterdir() if "step" in path.name)
    assert names == ["000001-step10", "000002-step30", "000003-step30", "000004-step60"][-keep:]
    for name in names:
        assert_whole(Checkpoint.open(tmp_path / name))


def continued(path: Path, after: Checkpoint) -> tuple[CheckpointFolder, Ring]:
    ring = Ring()
    ring.steps = after.step
    return CheckpointFolder(path, after=after), ring


def test_a_continued_training_goes_on_from_the_files_of_its_checkpoint(tmp_path):
    written(tmp_path)
    folder, ring = continued(tmp_path, newest(tmp_path))
    with folder:
        write(folder, ring, 30)
    assert ring.asked_since == [120]
    assert_whole(newest(tmp_path))


def test_checkpoints_after_the_one_that_a_training_continues_are_removed_once_there_is_a_new_one(tmp_path):
    first, *later = written(tmp_path)
    folder, ring = continued(tmp_path, first)
    with folder:
        assert all(each.path.exists() for each in later)
        again = write(folder, ring, 30)  # the same frames as before: one file
        assert not any(each.path.exists() for each in later)
        assert_whole(again)
    assert newest(tmp_path).path == again.path
    assert [entry.name for entry in again.manifest.frames] == [entry.name for entry in later[0].manifest.frames]


def test_a_new_training_does_not_mix_its_checkpoints_with_those_of_another(tmp_path):
    written(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=r"holds checkpoints of another training, the last one of step 120: continue"):
        CheckpointFolder(tmp_path)
    assert files(tmp_path) == before
    with CheckpointFolder(tmp_path, after=newest(tmp_path)):
        pass  # the refused one holds no lock


def test_a_training_continues_in_the_folder_of_its_checkpoint(tmp_path):
    checkpoint = written(tmp_path / "a")[-1]
    written(tmp_path / "b")
    with pytest.raises(ValueError, match="continue in the folder of the checkpoint"):
        CheckpointFolder(tmp_path / "b", after=checkpoint)


def test_a_training_finds_its_checkpoint_after_it_has_locked_the_folder(tmp_path):
    last = written(tmp_path)[-1]
    with CheckpointFolder(tmp_path, after=newest) as folder:
        assert folder.after is not None
        assert folder.after.manifest == last.manifest

        def find(path):
            raise AssertionError("it looked before it had the lock")

        with pytest.raises(ValueError, match="Another training"):
            CheckpointFolder(tmp_path, after=find)


def test_a_folder_in_which_nothing_can_be_continued_stays_as_it_is(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=f"{folder} holds no checkpoint"):
            CheckpointFolder(folder, after=newest)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_checkpoints_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=f"{folder} holds no checkpoint"):
            newest(folder)
        assert newest_intact(folder) is None
