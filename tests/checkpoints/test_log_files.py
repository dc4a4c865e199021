"""Files that grow with a training go back to where they were, and on from there."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import VecMonitor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.checkpoints.log_files import (
    continued_logger,
    load_text_state,
    logger_files,
    logger_state,
    monitor_files,
    text_state,
)
from tests.support.continuing import through_json


def log(logger: Logger, step: int, **more: float) -> None:
    logger.record("value", step * 0.5)
    for name, value in more.items():
        logger.record(name, value)
    logger.dump(step)


def scalars(folder: Path) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return sorted((event.step, event.value) for event in events.Scalars("value"))  # files of one second have no order


@pytest.mark.parametrize("later_key", [False, True])
def test_a_logger_goes_on_without_a_gap_or_a_double_row(tmp_path, later_key):
    formats = ["csv", "json", "log", "tensorboard"]
    logger = configure(str(tmp_path / "killed"), formats)
    expected = configure(str(tmp_path / "expected"), formats)
    for step in range(3):
        log(logger, step)
        log(expected, step)
    state = through_json(logger_state(logger, tmp_path))
    texts = through_json(text_state([Path(file.name) for file in logger_files(logger)], tmp_path))
    log(logger, 3)  # lost with the process
    for out in logger.output_formats:
        out.close()
    more = {"new": 1.0} if later_key else {}
    other = continued_logger(state, texts, tmp_path)
    load_text_state(texts, tmp_path, logger_files(other))
    for step in (3, 4):
        log(other, step, **more)
        log(expected, step, **more)
    for each in (other, expected):
        each.close()
    for name in ("progress.csv", "progress.json", "log.txt"):
        killed, undisturbed = ((tmp_path / each / name).read_text() for each in ("killed", "expected"))
        assert killed == undisturbed.replace(str(tmp_path / "expected"), str(tmp_path / "killed"))
    assert scalars(tmp_path / "killed") == scalars(tmp_path / "expected") == [(step, step * 0.5) for step in range(5)]


def test_event_files_of_a_later_session_are_removed(tmp_path):
    logger = configure(str(tmp_path), ["tensorboard"])
    log(logger, 0)
    state = logger_state(logger, tmp_path)
    logger.close()
    later = continued_logger(state, {"files": []}, tmp_path)
    log(later, 1)
    later.close()
    again = continued_logger(state, {"files": []}, tmp_path)  # from the same checkpoint once more
    log(again, 1)
    again.close()
    assert scalars(tmp_path) == [(0, 0.0), (1, 0.5)]


def native(folder: Path) -> NativeAtariVecEnv:
    return NativeAtariVecEnv("BreakoutNoFrameskip-v4", 2, seed=1, monitor_dir=str(folder))


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: make_vec_env("CartPole-v1", 2, seed=1, monitor_dir=str(folder)),
        lambda folder: VecMonitor(make_vec_env("CartPole-v1", 2, seed=1), str(folder / "all")),
        native,
    ],
)
def test_monitor_files_are_found_and_written_on_though_a_new_environment_overwrote_them(tmp_path, make):
    env = make(tmp_path)
    opened = list(monitor_files(env))
    assert {Path(file.name).name for file in opened} == {path.name for path in tmp_path.glob("*.monitor.csv")}
    for file in opened:
        file.write("9.0,9,1.5\n")
        file.flush()
    paths = [Path(file.name) for file in opened]
    before = {path: path.read_text() for path in paths}
    state = through_json(text_state(paths, tmp_path))
    env.close()
    other = make(tmp_path)
    assert {path: path.read_text() for path in paths} != before
    handles = list(monitor_files(other))
    load_text_state(state, tmp_path, handles)
    assert {path: path.read_text() for path in paths} == before
    for file in handles:
        file.write("8.0,8,2.5\n")
        file.flush()
    assert {path: path.read_text() for path in paths} == {path: f"{text}8.0,8,2.5\n" for path, text in before.items()}
    other.close()


def test_a_run_folder_may_be_moved_and_files_may_be_missing(tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "elsewhere.csv"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.csv").write_text("one\n")
    outside.write_text("two\n")
    state = through_json(text_state([folder / "sub" / "a.csv", outside, folder / "missing.csv"], folder))
    moved = folder.rename(tmp_path / "moved")
    (moved / "sub" / "a.csv").unlink()
    outside.write_text("two\nthree\n")
    with outside.open("a") as handle:  # what a monitor of this training has opened
        load_text_state(state, moved, [handle])
    assert (moved / "sub" / "a.csv").read_text() == "one\n"
    assert outside.read_text() == "two\n"
    assert not (moved / "missing.csv").exists()


def test_files_of_somebody_else_are_not_touched(tmp_path):
    """A checkpoint may come from a stranger: what it names is written only where this training writes anyway."""
    run, mine = tmp_path / "run", tmp_path / "mine"
    for folder in (run, mine):
        folder.mkdir()
    (mine / "notes.csv").write_text("important\n")
    (run / "link.csv").symlink_to(mine / "notes.csv")
    content = np.frombuffer(b"gone\n", np.uint8)
    names = [str(mine / "notes.csv"), "../mine/notes.csv", "link.csv", "model.zip", "../new.csv"]
    with pytest.warns(UserWarning, match="does not belong to this run"):
        load_text_state({"files": [[name, content] for name in names]}, run, [])
    assert (mine / "notes.csv").read_text() == "important\n"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "mine"}
    assert {path.name for path in run.iterdir()} == {"link.csv"}

    others = configure(str(mine), ["csv", "tensorboard"])
    log(others, 1)
    others.close()
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    forged: dict[str, Any] = {
        "run": str(run),
        "folder": str(mine),
        "relative": "../mine",
        "formats": [["csv", []], ["json", []]],
    }
    forged["events"] = {}
    with pytest.warns(UserWarning, match="is not the file of this run"):
        continued_logger(forged, {"files": []}, run).close()
    with pytest.warns(UserWarning, match="holds other files"):
        continued_logger(
            {**forged, "formats": [["tensorboard", []]], "events": {"events.out.tfevents.1": 5}}, {"files": []}, run
        ).close()
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_nothing_outside_of_a_run_is_taken_for_its_own_by_a_forged_name(tmp_path):
    run, mine = tmp_path / "run", tmp_path / "mine"
    for folder in (run, mine):
        folder.mkdir()
    for name in ("events.out.tfevents.1", "README.md", "progress.csv", "log.txt"):
        (mine / name).write_text("mine")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    events: dict[str, Any]
    for events, formats in (
        ({"README.md": 0}, ["tensorboard"]),
        ({"../mine/events.out.tfevents.1": 0}, ["tensorboard"]),
        ({}, ["tensorboard", "csv", "log"]),
    ):
        forged = {"run": str(run), "folder": str(mine), "relative": "../mine", "events": events}
        short = [[str(mine / name), np.frombuffer(b"m", np.uint8)] for name in ("progress.csv", "log.txt")]
        with pytest.warns(UserWarning, match=r"holds other files|holds no event files of this run|is not the file"):
            continued_logger({**forged, "formats": [[kind, []] for kind in formats]}, {"files": short}, run).close()
        assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    new = {
        "run": "/elsewhere",
        "folder": "/elsewhere/logs",
        "relative": "../created",
        "formats": [["tensorboard", []]],
        "events": {},
    }
    with pytest.warns(UserWarning, match="the logs go on in .*run/tensorboard"):
        continued_logger(new, {"files": []}, run).close()
    assert not (tmp_path / "created").exists()


def test_a_copy_of_a_run_leaves_the_logs_of_the_original_alone_and_a_moved_run_finds_its_own(tmp_path):
    project = tmp_path / "project"
    run, board = project / "run", project / "tb" / "one"
    run.mkdir(parents=True)
    logger = configure(str(board), ["tensorboard"])
    log(logger, 0)
    state = through_json(logger_state(logger, run))
    log(logger, 1)
    logger.close()
    before = {path.name: path.read_bytes() for path in board.iterdir()}
    copy = project / "copy"
    copy.mkdir()
    with pytest.warns(UserWarning, match="of which this is a copy: the logs go on in .*copy/tensorboard"):
        other = continued_logger(state, {"files": []}, copy)
    log(other, 1)
    other.close()
    assert {path.name: path.read_bytes() for path in board.iterdir()} == before
    assert scalars(copy / "tensorboard") == [(1, 0.5)]

    moved = project.rename(tmp_path / "renamed")
    again = continued_logger(state, {"files": []}, moved / "run")
    log(again, 1)
    again.close()
    assert scalars(moved / "tb" / "one") == [(0, 0.0), (1, 0.5)]
    assert not project.exists()


def test_a_logger_of_the_screen_alone_creates_nothing(tmp_path, recwarn):
    logger = configure(None, ["stdout"])
    state = through_json(logger_state(logger, tmp_path))
    shutil.rmtree(logger.get_dir() or "")
    continued_logger(state, {"files": []}, tmp_path).close()
    assert not recwarn.list
    assert list(tmp_path.iterdir()) == []
