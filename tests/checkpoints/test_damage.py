"""Damaged, foreign and malicious files: each is refused in one sentence, and nothing is silently accepted."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zstandard

from sb3_atari_dqn.checkpoints import manifest as manifests
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, newest, newest_intact, verified
from sb3_atari_dqn.checkpoints.manifest import FileEntry, Manifest
from sb3_atari_dqn.checkpoints.storage import DamagedCheckpoint, OtherVersion, UnreadableCheckpoint
from tests.support.checkpoints import Ring, assert_whole, states, write, written


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Two checkpoints of different frames."""
    path = tmp_path_factory.mktemp("original")
    written(path, (40, 120), keep=2)
    return path


@pytest.fixture
def copy(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def files_of(checkpoint: Checkpoint) -> dict[str, Path]:
    """:return: all files of a checkpoint by a short name"""
    own = {path.name: path for path in sorted(checkpoint.path.iterdir())}
    frames = [checkpoint.path.parent / "frames" / entry.name for entry in checkpoint.manifest.frames]
    return own | {f"frames {index}": path for index, path in enumerate(frames)}


FILES = [
    *("counters.json", "counters.safetensors", "manifest.json", "model.json", "model.safetensors"),
    *("frames 0",),
]


def assert_refused(folder: Path, path: Path, problem: str = ".*") -> None:
    with pytest.raises(DamagedCheckpoint) as caught:
        newest(folder)
    assert caught.value.path == path
    assert re.match(f"{re.escape(str(path))} is damaged: {problem}", str(caught.value))
    assert re.search(
        r"The last intact checkpoint before it is that of step 40: continue from .*-step40\.$", str(caught.value)
    )
    intact = newest_intact(folder)
    assert intact is not None
    assert intact.step == 40


def test_the_list_of_files_is_complete(original):
    assert list(files_of(newest(original))) == FILES


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_found(copy, name):
    path = files_of(newest(copy))[name]
    content = path.read_bytes()
    generator = np.random.default_rng(len(name))
    n_positions = min(200, len(content))
    positions = {0, len(content) - 1, *generator.permutation(len(content))[:n_positions].tolist()}
    for position in sorted(positions):
        flipped = bytearray(content)
        flipped[position] ^= int(generator.integers(1, 256))
        path.write_bytes(flipped)
        with pytest.raises(UnreadableCheckpoint) as caught:
            verified(copy / "000002-step160")
        assert caught.value.path == path, position
    path.write_bytes(content)
    assert_whole(newest(copy))


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_named_with_the_intact_checkpoint_before_it(copy, name):
    path = files_of(newest(copy))[name]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    assert_refused(copy, path, "its checksum does not match")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length", [0, 1, -1])
def test_a_truncated_file_is_refused(copy, name, length):
    path = files_of(newest(copy))[name]
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(
        copy, path, "its end is missing" if name == "manifest.json" else r"it has [\d,]+ bytes instead of [\d,]+\."
    )


@pytest.mark.parametrize("name", FILES)
def test_a_longer_file_is_refused(copy, name):
    path = files_of(newest(copy))[name]
    path.write_bytes(path.read_bytes() + b"\n")
    assert_refused(copy, path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(copy, name):
    path = files_of(newest(copy))[name]
    path.unlink()
    assert_refused(copy, path, r"the file is missing\.")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("replace", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_and_not_waited_for(copy, name, replace):
    path = files_of(newest(copy))[name]
    path.unlink()
    replace(path)
    assert_refused(copy, path, r"it is not a file\.")


@pytest.mark.parametrize("name", ["counters.json", "manifest.json", "model.safetensors"])
def test_the_file_of_another_checkpoint_is_refused(copy, name):
    path = files_of(newest(copy))[name]
    shutil.copy(copy / "000001-step40" / name, path)
    assert_refused(copy, path)


def test_a_renamed_checkpoint_is_refused(copy):
    (copy / "000001-step40").rename(copy / "000003-step40")
    with pytest.raises(DamagedCheckpoint, match="belongs in a folder named 000001-step40"):
        newest(copy)


def test_without_an_intact_checkpoint_there_is_another_way_out(copy):
    for name in ("000001-step40", "000002-step160"):
        (copy / name / "manifest.json").write_text("")
    with pytest.raises(DamagedCheckpoint, match="There is no intact checkpoint before it: begin anew"):
        newest(copy)
    assert newest_intact(copy) is None


def test_damage_is_found_while_reading_too(copy):
    checkpoint = newest(copy)
    for path in files_of(checkpoint).values():
        path.write_bytes(path.read_bytes()[::-1])
    for read in (lambda: checkpoint.state("model"), lambda: list(checkpoint.frames())):
        with pytest.raises(DamagedCheckpoint, match="its checksum does not match"):
            read()


def test_a_training_continues_from_the_intact_checkpoint_and_removes_the_damaged_one(copy):
    files_of(newest(copy))["model.json"].unlink()
    intact = newest_intact(copy)
    assert intact is not None
    ring = Ring()
    ring.steps = intact.step
    with CheckpointFolder(copy, keep=2, after=intact) as folder:
        write(folder, ring, 30)
    assert sorted(path.name for path in copy.glob("*-step*")) == ["000001-step40", "000003-step70"]
    assert_whole(newest(copy))


def test_a_damaged_manifest_does_not_cost_the_others_their_frames(copy):
    (copy / "000002-step160" / "manifest.json").write_text("")
    before = set((copy / "frames").iterdir())
    after = Checkpoint.open(copy / "000001-step40")
    with CheckpointFolder(copy, after=after) as folder:
        assert set((copy / "frames").iterdir()) == before  # nobody knows what the damaged one needs
        ring = Ring()
        ring.steps = 40
        assert_whole(write(folder, ring, 5))
    assert_whole(after)
    assert len(list((copy / "frames").iterdir())) == 2


# --- sealed by somebody else


def sealed(checkpoint: Checkpoint, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Write another manifest whose checksum is right; :return: its path"""
    path = checkpoint.path / "manifest.json"
    values = json.loads(path.read_text())
    del values["sha256"]
    values = change(values) or values
    data = json.dumps(values, indent=1).removesuffix("\n}").encode() + b',\n "sha256": "'
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode() + b'"\n}\n')
    return path


def part(values):
    return values["parts"]["model"]["arrays"]


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no checkpoint": (lambda v: v.update(format="other"), "its format is not sb3_atari_dqn checkpoint"),
    "a list": (lambda v: ["a\n}"], "valid JSON"),
    "version true": (lambda v: v.update(format_version=True), "its format version is True"),
    "no version": (lambda v: v.pop("format_version") and None, "its format version is None"),
    "no step": (lambda v: v.pop("step") and None, "its step is None"),
    "step -1": (lambda v: v.update(step=-1), "its step is -1"),
    "step 1.5": (lambda v: v.update(step=1.5), "its step is 1.5"),
    "no meta": (lambda v: v.update(meta=[]), "it has no meta"),
    "no parts": (lambda v: v.update(parts=None), "it lists no parts"),
    "part up": (lambda v: v["parts"].update({"../x": v["parts"]["model"]}), r"file name '\.\./x'"),
    "part absolute": (lambda v: v["parts"].update({"/etc/x": v["parts"]["model"]}), "file name '/etc/x'"),
    "part without files": (lambda v: v["parts"].update(model=1), "part without files"),
    "part without arrays": (lambda v: v["parts"].update(model={"json": part(v)}), "its size is None"),
    "no size": (lambda v: part(v).pop("size") and None, "its size is None"),
    "huge size": (lambda v: part(v).update(size=1 << 70), "not a count"),
    "huge JSON": (lambda v: v["parts"]["model"]["json"].update(size=1 << 30), "1,073,741,824 bytes, where 16,777,216"),
    "no checksum": (lambda v: part(v).update(sha256=None), "it has the checksum None"),
    "long checksum": (lambda v: part(v).update(sha256="0" * 65), "it has the checksum"),
    "no frames": (lambda v: v.update(frames={}), "no frames"),
    "frames a number": (lambda v: v.update(frames=[1]), "its size is None"),
    "frames up": (lambda v: v["frames"][0].update(name="../000001-step40/model.json"), "it has the file name"),
    "frames absolute": (lambda v: v["frames"][0].update(name="/etc/passwd"), "it has the file name '/etc/passwd'"),
    "frames backslash": (lambda v: v["frames"][0].update(name="..\\x"), "it has the file name"),
    "frames without a name": (lambda v: v["frames"][0].pop("name") and None, "it has the file name None"),
    "frames bomb": (lambda v: v["frames"][0].update(raw_size=1 << 40), "1,099,511,627,776 bytes, where 134,217,728"),
    "frames step": (lambda v: v["frames"][0].update(first="0"), "its first is '0'"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_that_says_something_else_is_refused(copy, name):
    change, problem = CHANGES[name]
    path = sealed(newest(copy), change)
    assert_refused(copy, path, f".*{problem}")


def test_a_manifest_is_accepted_if_nothing_changes(copy):
    sealed(newest(copy), lambda values: None)
    assert_whole(newest(copy))


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "\x00"])
def test_json_that_breaks_readers_is_refused(copy, text, monkeypatch):
    path = newest(copy).path / "manifest.json"
    data = text.encode() + b' "sha256": "'
    path.write_bytes(data + hashlib.sha256(data).hexdigest().encode() + b'"\n}\n')
    assert_refused(copy, path, "it is not valid JSON")


def test_another_version_of_the_format_is_named_and_kept(copy):
    path = sealed(newest(copy), lambda values: values.update(format_version=2, step="?"))
    message = (
        rf"{path} has version 2 of the checkpoint format, and this installation reads version 1: use sb3-atari-dqn "
        r"[\w.]+, which wrote it\."
    )
    with pytest.raises(OtherVersion, match=message):
        newest(copy)
    assert not issubclass(OtherVersion, DamagedCheckpoint)


def sealed_with(checkpoint: Checkpoint, part: str, **contents: bytes) -> None:
    """Replace files of a part, and put their checksums into the manifest."""

    def change(values):
        for kind, content in contents.items():
            suffix = "json" if kind == "json" else "safetensors"
            (checkpoint.path / f"{part}.{suffix}").write_bytes(content)
            entry = FileEntry(len(content), hashlib.sha256(content).hexdigest())
            values["parts"][part][kind] = dataclasses.asdict(entry)

    sealed(checkpoint, change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"$array": "missing"}',
        '{"$array": []}',
        '{"$tensor": {}}',
        '{"$float": "x"}',
        '{"$float": []}',
    ],
)
def test_json_that_is_no_state_is_refused(copy, text):
    checkpoint = newest(copy)
    sealed_with(checkpoint, "model", json=text.encode())
    with pytest.raises(DamagedCheckpoint, match=r"model\.json is damaged: it is not a state"):
        newest(copy).state("model")


def header(text: str, length: int | None = None) -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        header("{", 1 << 62),
        header('{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}') + bytes(4),
        header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4000000000]}}') + bytes(4),
        header('{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}') + bytes(4),
        header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}') + bytes(8),
        header('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}') + bytes(12),
    ],
    ids=["empty", "huge header", "huge shape", "huge offset", "unknown type", "hole", "rest"],
)
def test_arrays_that_claim_something_else_are_refused_before_memory_is_taken(copy, content):
    sealed_with(newest(copy), "model", arrays=content)
    checkpoint = newest(copy)
    tracemalloc.start()
    with pytest.raises(DamagedCheckpoint, match=r"model\.safetensors is damaged: it is not a safetensors file"):
        checkpoint.state("model")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def sealed_frames(checkpoint: Checkpoint, content: bytes, raw_size: int) -> None:
    def change(values):
        entry = values["frames"][0]
        (checkpoint.path.parent / "frames" / entry["name"]).write_bytes(content)
        entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest(), raw_size=raw_size)

    sealed(checkpoint, change)


BOMB = 1 << 30


@pytest.mark.parametrize(
    ("content", "raw_size", "problem"),
    [
        (zstandard.compress(bytes(BOMB)), 1000, "it unpacks to 1,073,741,824 bytes instead of 1,000"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(BOMB)), 1000, "it unpacks to .* instead of"),
        (zstandard.compress(bytes(1000)), 1000, "it is not a safetensors file"),
        (b"not zstd", 1000, "."),
        (zstandard.compress(header("{}")) + zstandard.compress(bytes(BOMB)), 10, "."),
    ],
    ids=["bomb", "bomb of unknown size", "zeros", "text", "second bomb"],
)
def test_frames_that_unpack_to_something_else_are_refused_before_memory_is_taken(copy, content, raw_size, problem):
    sealed_frames(newest(copy), content, raw_size)
    checkpoint = newest(copy)
    before = psutil.Process().memory_info().rss
    with pytest.raises(DamagedCheckpoint, match=rf"\.zst is damaged: {problem}"):
        list(checkpoint.frames())
    assert psutil.Process().memory_info().rss - before < 100e6


@pytest.mark.parametrize("name", ["a", "0/1", "0/-1/2/", "0/1/2.5/", "0/9999999999/1/"])
def test_frames_that_name_no_step_are_refused(copy, name):
    content = header(json.dumps({name: {"dtype": "U8", "shape": [1, 4], "data_offsets": [0, 4]}})) + bytes(4)
    sealed_frames(newest(copy), zstandard.compress(content), len(content))
    with pytest.raises(DamagedCheckpoint, match="which are not frames"):
        list(newest(copy).frames())


def test_a_part_larger_than_memory_is_refused_before_it_is_read(copy):
    checkpoint = newest(copy)
    path = checkpoint.path / "model.safetensors"
    os.truncate(path, 1 << 43)  # takes no space on the disk
    entry = checkpoint.manifest.parts["model"]
    large = dataclasses.replace(entry, arrays=FileEntry(1 << 43, "0" * 64))
    forged = dataclasses.replace(checkpoint.manifest, parts={"model": large})
    with pytest.raises(MemoryError, match=r"model\.safetensors takes 8796\.09 GB of memory"):
        Checkpoint(checkpoint.path, forged).state("model")


def test_a_large_manifest_is_not_read(copy):
    path = newest(copy).path / "manifest.json"
    os.truncate(path, 1 << 40)
    assert_refused(copy, path, "it has 1,099,511,627,776 bytes, where 16,777,216 are allowed")


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path):
    with CheckpointFolder(tmp_path) as folder, pytest.raises(ValueError, match="shorten meta"):
        folder.write(0, states(0), {"text": "x" * manifests.LARGEST_JSON})
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_manifest_comes_back_as_it_was(original):
    manifest = newest(original).manifest
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
