"""Files that grow with a training (monitor, CSV and log files, TensorBoard): how far they were, and back to there.

A checkpoint holds the whole content of text files: a few bytes per episode, and whoever creates the environments or the
logger of a continued training overwrites them at first. Of TensorBoard's event files it holds the sizes.
"""

import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from stable_baselines3.common.logger import (
    CSVOutputFormat,
    HumanOutputFormat,
    JSONOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
    make_output_format,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.checkpoints.env_journal import layers
from sb3_atari_dqn.checkpoints.env_state import vec_layers
from sb3_atari_dqn.checkpoints.state import State

#: Of log files that are brought back.
_SUFFIXES = (".csv", ".json", ".txt")
#: Of SB3's formats that are text files.
_LOG_NAMES = {"csv": "progress.csv", "json": "progress.json", "log": "log.txt"}

#: Names of TensorBoard's files.
_EVENTS = r"events\.out\.tfevents\.[^/\\]+"
#: Bytes at the beginning of a file outside of the run's folder that show that the run wrote it: its first rows.
_LEAST_CONTENT = 64

_KINDS: dict[type[KVWriter], str] = {
    CSVOutputFormat: "csv",
    JSONOutputFormat: "json",
    TensorBoardOutputFormat: "tensorboard",
}


def monitor_files(env: VecEnv) -> Iterator[TextIO]:
    """:return: the open files of all monitors that can be reached: not those in other processes"""
    yield from (writer.file_handler for writer in monitor_writers(env))


def monitor_writers(env: VecEnv) -> Iterator[Any]:
    """:return: SB3's writers of these files"""
    *wrappers, base = vec_layers(env)
    owners = [*wrappers, *(layer for each in getattr(base, "envs", ()) for layer in layers(each))]
    writers = [vars(owner).get("results_writer") for owner in owners]
    if hasattr(type(base), "state_dict"):  # native games, which are no gymnasium environments
        writers += base.get_attr("monitor_writer")
    yield from (writer for writer in writers if writer is not None)


def text_state(paths: Iterable[Path], folder: Path) -> State:
    """
    :param paths: of text files, which need not exist
    :param folder: of the run, which may be moved before the run continues
    :return: their content, plain
    """
    found = sorted({path.resolve() for path in paths if path.is_file()})
    return {"files": [[_relative(path, folder), np.fromfile(path, np.uint8)] for path in found]}


def load_text_state(state: State, folder: Path, handles: Iterable[TextIO]) -> None:
    """
    Bring files back to what they were, in place, as they may be open already. Only what this training writes anyway is
    touched: files that are open, and log files inside of its folder.

    :param state: from `text_state`
    :param folder: of the run
    :param handles: open files, which are then written on at their ends
    """
    opened = [*handles]
    own = {Path(handle.name).resolve() for handle in opened}
    for name, content in state["files"]:
        path = (folder / name).resolve()  # an absolute name replaces the folder
        if path not in own and not (path.is_relative_to(folder.resolve()) and path.suffix in _SUFFIXES):
            warnings.warn(f"{path} does not belong to this run any more: it stays as it is.", stacklevel=4)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(content.tobytes())
            file.truncate()
    for handle in opened:
        handle.flush()
        handle.seek(0, os.SEEK_END)


def restore_monitor_files(state: State, folder: Path, handles: Iterable[TextIO] = ()) -> list[Path]:
    """
    Bring those monitor files back that environments have overwritten since, as SB3's Monitor does when it is built.

    :param state: from `text_state`
    :param folder: of the run
    :param handles: open files, which are left to :func:`load_text_state`
    :return: what was brought back; what another process still writes there goes over its rows
    """
    own = {Path(handle.name).resolve() for handle in handles}
    found = [(folder / name, name, content) for name, content in state["files"] if name.endswith(Monitor.EXT)]
    overwritten = [
        (path, name, content)
        for path, name, content in found
        if path.is_file() and path.resolve() not in own and _is_inside(path, folder)
        if not _have_common_beginning(path, content.tobytes())
    ]
    load_text_state({"files": [[name, content] for _, name, content in overwritten]}, folder, [])
    return [path for path, _, _ in overwritten]


def _have_common_beginning(path: Path, before: bytes) -> bool:
    """:return: False if a file was overwritten, but not if its end was cut off or rows were added"""
    with path.open("rb") as file:
        return before.startswith(file.read(len(before)))


def _relative(path: Path, folder: Path) -> str:
    folder = folder.resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


# --- SB3's logger


def logger_files(logger: Logger) -> list[TextIO]:
    """:return: the open text files of a logger"""
    return [out.file for out in logger.output_formats if _kind(out) in ("csv", "json", "log")]  # type: ignore[attr-defined]


def logger_state(logger: Logger, run_folder: Path) -> State:
    """
    :param logger: SB3's
    :param run_folder: of the run
    :return: where it writes to, and how far its event files are; plain
    """
    formats = [[kind, list(getattr(out, "keys", ()))] for out in logger.output_formats if (kind := _kind(out))]
    for out in logger.output_formats:
        if isinstance(out, TensorBoardOutputFormat) and out.writer is not None:
            out.writer.flush()
    state: State = {
        "run": str(run_folder.resolve()),
        "folder": None,
        "relative": None,
        "formats": formats,
        "events": {},
    }
    if (folder := logger.get_dir()) is not None:
        state["folder"] = str(Path(folder).resolve())
        state["relative"] = os.path.relpath(state["folder"], state["run"])
        state["events"] = {path.name: path.stat().st_size for path in _event_files(Path(folder))}
    return state


def continued_logger(state: State, texts: State, run_folder: Path) -> Logger:
    """
    :param state: from `logger_state`
    :param texts: from `text_state`
    :param run_folder: of the run, which may have been moved or copied
    :return: a logger that writes on in the same folder. Event files are cut to what they were, those that are younger
        are removed; text files are new: :func:`load_text_state` comes next
    """
    folder = _place(state, run_folder)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _cut_events(folder, state["events"])
    outs = []
    for kind, keys in state["formats"]:
        if folder is not None and (problem := _why_left_out(kind, folder, state["events"], texts, run_folder)):
            warnings.warn(problem, stacklevel=4)
            continue
        out = HumanOutputFormat(sys.stdout) if folder is None else make_output_format(kind, str(folder), "")
        if isinstance(out, CSVOutputFormat):
            out.keys = list(keys)
        outs.append(out)
    return Logger(folder=None if folder is None else str(folder), output_formats=outs)


def _why_left_out(kind: str, folder: Path, events: State, texts: State, run_folder: Path) -> str:
    """:return: why a format is not written on, a sentence; empty if it is"""
    if kind in _LOG_NAMES and not _is_ours(path := folder / _LOG_NAMES[kind], texts, run_folder):
        return f"{path} is not the file of this run: it is not written on."
    if kind == "tensorboard" and not events and not _is_inside(folder, run_folder):
        return f"{folder} holds no event files of this run: TensorBoard's are not written there."
    return ""


def _is_inside(path: Path, run_folder: Path) -> bool:
    return path.resolve().is_relative_to(run_folder.resolve())


def _place(state: State, run_folder: Path) -> Path | None:
    """
    The logs of a run may lie elsewhere. Of a run that was moved they are looked for where they would have moved with
    it; a copy, or a run without them, begins new ones in its own folder. A checkpoint may come from a stranger: outside
    of the run's folder nothing is created, and the event files there must be those of the run.
    """
    if state["folder"] is None or all(kind == "stdout" for kind, _ in state["formats"]):  # SB3 names a temporary folder
        return None
    here, then, before = run_folder.resolve(), Path(state["run"]), Path(state["folder"])
    moved_with_it = (here / state["relative"]).resolve()
    if before.is_relative_to(then) and _is_inside(moved_with_it, here):
        return moved_with_it
    if here == then or not then.exists():
        for place in (before, moved_with_it):
            if place.is_dir() and _holds(place, state["events"]):
                return place
        why = f"{before} is not there any more" if not before.is_dir() else f"{before} holds other files"
    else:
        why = f"{before} belongs to {then}, of which this is a copy"
    place = here / "tensorboard"
    warnings.warn(f"{why}: the logs go on in {place}.", stacklevel=5)
    return place


def _cut_events(folder: Path, sizes: dict[str, int]) -> None:
    """Where all files of the run are, those beside them are younger ones of the same run."""
    if not sizes or not _holds(folder, sizes):
        return
    for path in _event_files(folder):
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])


def _is_ours(path: Path, texts: State, run_folder: Path) -> bool:
    """:return: whether a file may be overwritten: it is in the run folder, or begins with what the run had written"""
    if _is_inside(path, run_folder):
        return True
    before = {(run_folder / name).resolve(): content.tobytes() for name, content in texts["files"]}.get(path.resolve())
    if before is None or len(before) < _LEAST_CONTENT or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(before)) == before


def _holds(folder: Path, sizes: State) -> bool:
    """:return: whether all these event files are there; other names than theirs are none"""
    return all(re.fullmatch(_EVENTS, name) and (folder / name).is_file() for name in sizes)


def _kind(out: Any) -> str | None:
    """:return: SB3's name of a format; None for one of the user's own"""
    if isinstance(out, HumanOutputFormat):
        return "log" if out.own_file else "stdout"
    return _KINDS.get(type(out))


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*")) if folder.is_dir() else []
