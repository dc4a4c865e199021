"""Damage a checkpoint of a real run in every way that a disk has, and see whether anything is accepted.

    python benchmarks/damaged_checkpoints.py RUN_FOLDER --out benchmarks/results/damaged_checkpoints.json

Each file of the newest checkpoint, and some files of frames that it needs, are cut, removed, and have one bit flipped
at many places; then the checkpoint is opened as `resume` opens it. The run folder is copied first.
"""

import argparse
import json
import random
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from report import circumstances, write

from sb3_atari_dqn.checkpoints.checkpoint import newest
from sb3_atari_dqn.checkpoints.training import open_archive

Change = Callable[[bytes], bytes | None]


def cut(at: int) -> Change:
    return lambda content: content[:at]


def flipped(at: int, bit: int) -> Change:
    def change(content: bytes) -> bytes:
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        return bytes(damaged)

    return change


def of_version(number: int) -> Change:
    return lambda content: content.replace(b'"format_version": 1', b'"format_version": %d' % number)


def changes(path: Path, positions: int, rng: random.Random) -> Iterator[tuple[str, Change]]:
    size = path.stat().st_size
    for at in sorted({0, 1, size // 2, size - 1}):
        yield "cut", cut(at)
    yield "missing", lambda _: None
    for at in rng.sample(range(size), min(positions, size)):
        yield "one bit flipped", flipped(at, rng.randrange(8))
    if path.name == "manifest.json":
        yield "another version", of_version(2)


def message_of(folder: Path) -> str | None:
    """:return: what opening says, None if it was accepted"""
    try:
        open_archive(folder, keep=2).close()
    except (ValueError, OSError) as error:
        return str(error)
    return None


def kind_of(message: str, folder: Path) -> str:
    """:return: the message without names and numbers"""
    short = message.replace(str(folder), "").split(" The last intact")[0].split(" There is no intact")[0]
    short = re.sub(r"\S*/(manifest\.json|\S+\.safetensors\.zst|\S+\.safetensors|\S+\.json)", "FILE", short)
    return re.sub(r"[\d,]*\d", "N", short)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--positions", type=int, default=200, help="flipped bits in each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    found: dict[str, dict[str, Counter[str]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoints"
        shutil.copytree(args.run / "checkpoints", folder)
        checkpoint = newest(folder)
        frames = [folder / "frames" / each.name for each in checkpoint.manifest.frames]
        for path in [*sorted(checkpoint.path.iterdir()), *frames[:3]]:
            content = path.read_bytes()
            of_file = found.setdefault(path.name if path.parent == checkpoint.path else "frames", {})
            for kind, change in changes(path, args.positions, rng):
                damaged = change(content)
                path.unlink()
                if damaged is not None:
                    path.write_bytes(damaged)
                said = "ACCEPTED" if damaged == content else message_of(folder)
                of_file.setdefault(kind, Counter())["ACCEPTED" if said is None else kind_of(said, folder)] += 1
                path.write_bytes(content)
        assert message_of(folder) is None  # all is whole again
    figures: dict[str, Any] = {
        file: {kind: dict(said) for kind, said in kinds.items()} for file, kinds in found.items()
    }
    write({**circumstances("torch", "safetensors", "zstandard"), "figures": figures}, args.out)
    every = [said for kinds in found.values() for said in kinds.values()]
    accepted = sum(said["ACCEPTED"] for said in every)
    print(json.dumps({"damaged": sum(map(Counter.total, every)), "accepted": accepted}))
    if accepted:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
