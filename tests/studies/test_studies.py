"""Studies: their declarations, commands, records, tables, and real runs that are stopped, killed and continued."""

import csv
import errno
import fcntl
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import pytest
import yaml

from sb3_atari_dqn.commands import sweep
from sb3_atari_dqn.reports.curves import REQUIRED, read_study
from sb3_atari_dqn.studies.plan import Run, name_of, runs_of, studies
from sb3_atari_dqn.studies.record import Place, Record, active_seconds
from sb3_atari_dqn.studies.table import COLUMNS, POINTS, rows, write_table
from sb3_atari_dqn.studies.training import Training
from tests.support import markers
from tests.support.fake_runs import START, games, write_goal_evaluations, write_run

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OURS = BENCHMARKS / "studies.yml"
SWEEP = [sys.executable, "-m", "sb3_atari_dqn", "sweep"]

PONG = {
    "about": "a test", "protocol": "classic", "games": ["Pong"], "seeds": [0], "steps": 1000, "window": 2,
    "settings": [{"algorithm": "dqn_qr", "conf": "short"}],
}  # fmt: skip
PROTOCOLS = {"classic": {"env": "{game}NoFrameskip-v4"}, "small": {"env": "{game}-v1"}}


def declared(folder: Path, **changes) -> Path:
    study = {key: value for key, value in {**PONG, **changes}.items() if value is not None}
    path = folder / "studies.yml"
    path.write_text(yaml.safe_dump({"protocols": PROTOCOLS, "studies": {"tiny": study}}))
    return path


# --- declarations


def test_the_studies_of_the_project_are_there():
    of_pqn = {"pqn_ten_million", "pqn_parts", "pong_pqn"}
    assert {"pong_short", "pong_peers", "four_million_frames", "switches", *of_pqn} <= set(studies(OURS))


@pytest.mark.parametrize("name", studies(OURS))
def test_every_declared_study_can_be_run(name):
    runs = runs_of(name, OURS)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)  # an unfinished study has equal seeds
    commands = [run.begin(Path("/study")) for run in runs]
    assert len({tuple(command) for command in commands}) == len(runs)
    for run, command in zip(runs, commands, strict=True):
        assert command[1:6] == ["-m", "sb3_atari_dqn", "train", "--algo", run.algorithm]
        for text in command[command.index("-params") + 1 :] if "-params" in command else ():
            key, _, value = text.partition(":")
            assert eval(value) == {**run.params, **run._callbacks()}[key]  # as the zoo does


def test_pong_stops_at_its_goal_and_five_games_are_sticky():
    (first, *_) = runs_of("pong_short", OURS)
    assert "'mean_return': 18" in first.begin(Path())[-1]
    sticky = runs_of("four_million_frames", OURS)
    assert {run.env for run in sticky} == {
        f"{game}NoFrameskip-v0" for game in ("Pong", "Breakout", "SpaceInvaders", "MsPacman", "Qbert")
    }
    assert {run.steps for run in sticky} == {1_000_000}


def test_the_goal_is_added_to_the_callbacks_of_a_study(tmp_path):
    def callbacks(declared_ones) -> list:
        (run,) = runs_of("tiny", declared(tmp_path, goal=18, params={"callback": declared_ones}))
        return run.settings["params"]["callback"]

    stop = {"sb3_atari_dqn.callbacks.StopAtReturn": {"mean_return": 18, "episodes": 2, "verbose": 1}}
    assert callbacks("a.B") == ["a.B", stop]
    assert callbacks(["a.B", {"a.C": {"n": 1}}]) == ["a.B", {"a.C": {"n": 1}}, stop]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"steps": None}, "study tiny has no steps: add it"),
    ({"game": "Pong"}, "Unknown key 'game' in study tiny; did you mean 'games'?"),
    ({"protocol": "other"}, "study tiny has protocol 'other'; known: classic, small"),
    ({"protocol": ["classic"]}, "study tiny has protocol ['classic']; known"),
    ({"steps": "1e6"}, "study tiny: steps must be an integer, got '1e6' (str); YAML reads this as a string"),
    ({"steps": 0}, "study tiny: steps must be at least 1, got 0"),
    ({"seeds": 3}, "study tiny: seeds must be a list such as [a, b], got 3"),
    ({"seeds": [0, -1]}, "study tiny: seeds must be at least 0, got -1"),
    ({"seeds": [0, 0]}, "study tiny: seeds has 0 twice: remove one"),
    ({"games": []}, "study tiny: games must be a list such as [a, b], got []"),
    ({"games": ["ALE/Pong"]}, "study tiny: games has 'ALE/Pong', which cannot be part of a file name"),
    ({"window": 0}, "study tiny: window must be at least 1"),
    ({"goal": "high"}, "study tiny: goal must be a finite number, got 'high'"),
    ({"hours": 0}, "study tiny: hours must be a number in (0, 8760], got 0"),
    ({"params": ["gamma:1"]}, "study tiny: params must be a mapping such as {gamma: 0.99}, got ['gamma:1']"),
    ({"params": {"gamma": float("nan")}}, "study tiny: gamma of params must be finite, got nan"),
    (
        {"params": {"policy_kwargs": {"a": [float("inf")]}}},
        "study tiny: policy_kwargs of params must be finite, got inf",
    ),
    ({"params": {"seed": 3}}, "study tiny: params cannot have seed: give seeds to the study"),
    ({"settings": {"algorithm": "dqn"}}, "study tiny: settings must be a list"),
    ({"settings": ["dqn"]}, "study tiny: a setting must be a mapping with algorithm, got 'dqn'"),
    ({"settings": [{"conf": "short"}]}, "study tiny: a setting has no algorithm: add it"),
    (
        {"settings": [{"algorithm": "dqn", "name": "x"}]},
        "Unknown key 'name' in study tiny: a setting; known: ",
    ),
    ({"settings": [{"algorithm": 5}]}, "study tiny: a setting has algorithm: 5; give a name"),
    (
        {"settings": [{"algorithm": "dqn", "conf": "a.yml"}]},
        "study tiny: a setting has conf a.yml, but there is no",
    ),
    ({"settings": [{"algorithm": "dqn"}, {"algorithm": "dqn"}]}, "study tiny has dqn, Pong, seed 0 twice"),
]


@pytest.mark.parametrize(("changes", "says"), WRONG)
def test_wrong_declarations_are_named(tmp_path, changes, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        runs_of("tiny", declared(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a list", "must have the keys protocols and studies"),
        ("protocols: {}\nstudies: {a: {}}", "must have the keys protocols and studies"),
        ("protocols: {a: {}}\nstudies: {a: {}}\nseeds: [0]", "Unknown key 'seeds' in"),
        ("protocols: {a: {}}\nstudies: {a b/c: {}}", "a study cannot be named 'a b/c': use letters"),
        ("protocols: {a: {}}\nstudies: {tiny: 3}", "study tiny must be a mapping with protocol, games"),
        ("studies: [", "is not YAML"),
        ("protocols: {a: {}}\nstudies:\n  tiny:\n    steps: 1\n    steps: 2\n", "the key steps is there twice"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_a_file_that_is_none_of_studies_is_named(tmp_path, text, says):
    (tmp_path / "studies.yml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(says)):
        runs_of("tiny", tmp_path / "studies.yml")


@pytest.mark.parametrize("protocol", [{"env": "Pong-v5"}, {"env": "{game}{seed}"}, {}, {"env": "{game}", "sticky": 1}])
def test_a_wrong_protocol_is_named(tmp_path, protocol):
    file = tmp_path / "studies.yml"
    file.write_text(yaml.safe_dump({"protocols": {"classic": protocol}, "studies": {"tiny": PONG}}))
    with pytest.raises(ValueError, match="protocol classic"):
        runs_of("tiny", file)


def test_the_only_study_needs_no_name(tmp_path):
    file = declared(tmp_path)
    assert name_of(None, file) == name_of("tiny", file) == "tiny"
    with pytest.raises(ValueError, match=r"Unknown study 'pong'; studies\.yml has tiny"):
        name_of("pong", file)
    with pytest.raises(ValueError, match=r"has several studies, pong_short, .*: choose one with --name"):
        name_of(None, OURS)
    with pytest.raises(ValueError, match=r"none\.yml cannot be read \(No such file"):
        name_of(None, tmp_path / "none.yml")


def test_a_configuration_is_looked_for_beside_the_study(tmp_path):
    (tmp_path / "mine.yml").touch()
    (run,) = runs_of("tiny", declared(tmp_path, settings=[{"algorithm": "dqn_qr", "conf": "mine.yml"}]))
    assert run.conf == str(tmp_path / "mine.yml")
    assert run.setting == "mine.yml"


def test_an_environment_with_a_slash_is_found_again(tmp_path):
    file = tmp_path / "studies.yml"
    protocols = {"ale": {"env": "ALE/{game}-v5"}}
    file.write_text(yaml.safe_dump({"protocols": protocols, "studies": {"tiny": {**PONG, "protocol": "ale"}}}))
    (run,) = runs_of("tiny", file)
    (tmp_path / run.folder / run.algorithm / "ALE-Pong-v5_3").mkdir(parents=True)
    found = Place(run, tmp_path).run_folder
    assert found is not None
    assert found.name == "ALE-Pong-v5_3"


# --- the table


def began(folder: Path, tmp_path: Path, episodes, record: Record, **changes) -> Place:
    """:return: a run of the study with these episodes"""
    (run,) = runs_of("tiny", declared(tmp_path, **changes))
    place = Place(run, folder)
    write_run(place.folder / run.algorithm / f"{run.env}_1", episodes, algo=run.algorithm, seed=run.seed)
    place.save(record)
    return place


def test_the_table_has_a_row_per_point_with_protocol_and_origin(tmp_path):
    record = Record(["abc", "abc"], ["a machine"], 1, [[START - 5.0, START + 100.0]], ended="steps")
    place = began(tmp_path, tmp_path, [(-21.0, 400, 10.0), (-19.0, 800, 30.0), (-17.0, 800, 60.0)], record)
    found = list(rows(place))
    assert tuple(sorted(found[0])) == tuple(sorted(COLUMNS))
    assert set(REQUIRED) <= set(COLUMNS)
    assert [row["step"] for row in found] == [100, 300, 500]  # the monitor counts frames
    assert [row["frames"] for row in found] == [400, 1200, 2000]
    assert [row["score"] for row in found] == [-21.0, -20.0, -18.0]
    assert [row["episodes"] for row in found] == [1, 2, 2]
    assert [row["seconds"] for row in found] == [15.0, 35.0, 65.0]
    last = found[-1]
    assert (last["state"], last["commit"], last["machine"]) == ("steps", "abc", "a machine")
    assert (last["sticky"], last["life_loss"], last["measured"]) == ("0.0", "true", "training")
    assert write_table([place.run], tmp_path, tmp_path / "new/t.csv") == (1, [])
    (curve,), _ = read_study(tmp_path / "new/t.csv")
    assert (curve.system, curve.game, curve.scores.tolist()) == ("dqn_qr short", "Pong", [-21.0, -20.0, -18.0])


def test_evaluations_that_confirm_a_goal_are_rows_of_their_own_protocol(tmp_path):
    record = Record(["abc"], ["a machine"], 1, [[START - 5.0, START + 100.0]], ended="goal")
    place = began(tmp_path, tmp_path, [(19.0, 400, 10.0), (19.0, 800, 60.0)], record, goal=18, evaluation_games=2)
    assert "'evaluation_games': 2" in place.run.begin(tmp_path)[-1]
    assert place.run_folder is not None
    write_goal_evaluations(place.run_folder, [100, 300], [[16.0, 17.0], [18.0, 19.0]], [20.0, 70.0])
    found = list(rows(place))
    assert [(row["measured"], row["epsilon"], row["state"]) for row in found] == [
        *[("training", "0.05", "goal")] * 2, *[("evaluation", "0.001", "goal")] * 2,
    ]  # fmt: skip
    assert [(row["step"], row["frames"], row["score"], row["episodes"], row["seconds"]) for row in found[2:]] == [
        (100, 400, 16.5, 2, 25.0), (300, 1200, 18.5, 2, 75.0),
    ]  # fmt: skip
    write_table([place.run], tmp_path, tmp_path / "t.csv")
    (curve,), _ = read_study(tmp_path / "t.csv", "evaluation")
    assert (curve.scores.tolist(), curve.at_goal, curve.protocol.measured) == ([16.5, 18.5], True, "evaluation")
    (curve,), _ = read_study(tmp_path / "t.csv")
    assert (curve.scores.tolist(), curve.at_goal, curve.protocol.measured) == ([19.0, 19.0], True, "training")


def test_a_run_without_frames_is_left_out_of_the_table_and_the_others_are_not(tmp_path, capsys):
    changes = {"games": ["Pong", "Breakout"], "params": {}}
    folder = tmp_path / "tiny"
    for run, config in zip(
        runs_of("tiny", declared(tmp_path, **changes)), ({"env_wrapper": ["a.B"]}, None), strict=True
    ):
        place = Place(run, folder)
        write_run(place.folder / run.algorithm / f"{run.env}_1", [(1.0, 400, 10.0)], config=config, env=run.env)
        place.save(Record(["a"], ["b"], 1, [[START, START + 9]], ended="steps", settings=run.settings))
    status, output = told(capsys, declared(tmp_path, **changes), "--runs", tmp_path, "--status")
    assert status == 0
    assert "2 of 2 done" in output
    assert "tiny.csv lacks dqn_qr short, Pong, seed 0: " in output
    assert "does not say how many frames a step has: which wrapper is in its config.yml?" in output
    assert [row["game"] for row in table_of(tmp_path)] == ["Breakout"]
    assert told(capsys, declared(tmp_path, **changes), "--runs", tmp_path) == (0, mock.ANY)


def test_long_runs_are_thinned_and_keep_their_last_episode(tmp_path):
    episodes = [(float(k), 40, 1.0 * k) for k in range(1, 101)]
    found = list(rows(began(tmp_path, tmp_path, episodes, Record())))
    assert len(found) == POINTS
    assert found[-1]["step"] == 1000
    assert found[-1]["score"] == 99.5
    assert found[-1]["state"] == "partial"


def test_pauses_between_processes_do_not_count():
    record = Record(periods=[[100.0, 110.0], [500.0, 520.0], [1000.0, None]])
    times = np.array([90.0, 105.0, 110.0, 300.0, 505.0, 1004.0])
    assert active_seconds(record, times).tolist() == [0.0, 5.0, 10.0, 10.0, 15.0, 34.0]


def test_a_run_that_was_cut_off_ended_with_its_last_file(tmp_path):
    record = Record(["a"], ["b"], 1, [[START, None]])
    place = began(tmp_path, tmp_path, [(-21.0, 400, 10.0)], record)
    assert place.run_folder is not None
    for path in place.run_folder.glob("*.monitor.csv"):
        os.utime(path, (START + 42, START + 42))
    place.close_period(record)
    assert record.periods == [[START, START + 42]]


def test_the_outcome_is_read_from_the_runs_own_files(tmp_path):
    place = began(tmp_path, tmp_path, [(19.0, 400, 10.0)], Record(), goal=18)
    assert place.outcome() is None
    assert place.run_folder is not None
    (place.run_folder / "checkpoints/000001-step900").mkdir(parents=True)
    assert (place.outcome(), place.checkpoint_steps) == (None, 900)
    (place.run_folder / "checkpoints/000002-step1000").mkdir()
    assert place.outcome() == "steps"
    place.log.write_text("...\nStopped at 900 steps: a mean return of 18.2 over 10 episodes\n")
    assert place.outcome() == "goal"


@pytest.mark.parametrize("ended", [None, "steps"])
def test_a_run_is_not_continued_with_other_settings(tmp_path, ended):
    (run,) = runs_of("tiny", declared(tmp_path))
    place = Place(run, tmp_path)
    place.check_settings()  # not begun
    place.save(Record(settings=run.settings, ended=ended))
    if ended is None:
        (place.folder / "dqn_qr/PongNoFrameskip-v4_1/checkpoints/000001-step500").mkdir(parents=True)
    place.check_settings()
    for changes, says in (
        ({"steps": 2000}, "began with other steps (1000) than the study has now (2000)"),
        ({"params": {"gamma": 0.9}}, "began with other params ({}) than the study has now ({'gamma': 0.9})"),
        ({"goal": 18}, "began with other params"),
    ):
        (other,) = runs_of("tiny", declared(tmp_path, **changes))
        with pytest.raises(ValueError, match=re.escape(f"dqn_qr short, Pong, seed 0 {says}")):
            Place(other, tmp_path).check_settings()
    place.save(Record(periods=[[0.0, 1.0]], ended=ended))  # of an older version
    place.check_settings()


def test_what_failed_before_its_first_checkpoint_begins_anew_with_corrected_settings(tmp_path):
    (wrong,) = runs_of("tiny", declared(tmp_path, params={"gamma": 2}))
    Place(wrong, tmp_path).save(Record(settings=wrong.settings, periods=[[0.0, 1.0]], status=1))
    (corrected,) = runs_of("tiny", declared(tmp_path))
    Place(corrected, tmp_path).check_settings()


def test_a_damaged_record_is_named(tmp_path):
    place = began(tmp_path, tmp_path, [], Record())
    (place.folder / "Pong.json").write_text('{"steps": 1}')
    with pytest.raises(ValueError, match=r"Pong\.json is damaged"):
        place.record()


# --- real runs

SMALL: dict[str, Any] = {
    "protocol": "small", "games": ["CartPole"], "steps": 1500, "window": 5,
    "settings": [
        {"algorithm": "dqn_dueling", "params": {"learning_starts": 200, "train_freq": 64, "gradient_steps": 1,
                                                "checkpoint_freq": 200}},
        {"algorithm": "dqn_qr", "setting": "broken", "params": {"gamma": 2}},
    ],
}  # fmt: skip


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "tiny/tiny.csv").open() as file:
        return list(csv.DictReader(file))


def told(capsys, *arguments: object) -> tuple[int, str]:
    """:return: status and output of the command, in this process"""
    status = 0
    try:
        sweep.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        status = int(ended.code or 0)
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def wait_for_checkpoint(place: Place, above: int = 0) -> None:
    end = time.monotonic() + 200
    while (place.checkpoint_steps or 0) <= above:
        assert time.monotonic() < end, place.log.read_text()
        time.sleep(0.05)


def training_of(program: int, place: Place) -> psutil.Process:
    """:return: the process that trains a run, started by a program"""
    children = psutil.Process(program).children(recursive=True)
    return next(child for child in children if str(place.folder) in " ".join(child.cmdline()))


@pytest.mark.slow
def test_a_study_is_killed_stopped_and_continued_and_makes_one_table(tmp_path, capsys):
    markers.require("a study is started", *markers.NOT_FAST)
    file = declared(tmp_path, **SMALL)
    command = [*SWEEP, str(file), "--runs", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = Place(runs_of("tiny", file)[0], tmp_path / "tiny")
    wait_for_checkpoint(place)
    training_of(process.pid, place).kill()
    wait_for_checkpoint(place, above=place.checkpoint_steps or 0)  # it goes on
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    events = [line.partition("seed 0: ")[2] for line in output.splitlines() if "dqn_dueling, CartPole" in line]
    assert [re.sub(r"\d+", "N", line) for line in events] == [
        *("begins", "was killed by SIGKILL: is tried again", "continues from step N", "stopped"),
    ]
    stopped_at = place.checkpoint_steps
    assert stopped_at is not None
    assert stopped_at < 1500
    assert place.record().ended is None
    arguments = [file, "--runs", tmp_path]
    _, shown = told(capsys, *arguments, "--status")
    assert re.search(r"dqn_dueling +CartPole +0  stopped +\d+%", shown)
    assert re.search(r"dqn_qr broken +CartPole +0  waiting\n", shown)

    status, again = told(capsys, *arguments)
    assert status == 1, again  # because of the second setting
    assert f"dqn_dueling, CartPole, seed 0: continues from step {stopped_at:,}" in again
    assert "dqn_dueling, CartPole, seed 0: done (steps)" in again
    assert re.search(r"dqn_qr broken, CartPole, seed 0: failed with status 1: ValueError: gamma .*log: ", again)
    assert "1 of 2 done, 1 failed" in again
    record = json.loads((place.folder / "CartPole.json").read_text())
    assert len(record["periods"]) == 3
    found = [row for row in table_of(tmp_path) if row["algorithm"] == "dqn_dueling"]
    steps = [int(row["step"]) for row in found]
    assert steps == sorted(steps)
    assert steps[-1] > stopped_at
    assert {row["state"] for row in found} == {"steps"}


@pytest.mark.parametrize("hours", [None, 1e-9])
def test_a_training_that_fails_when_it_is_stopped_has_failed(tmp_path, hours):
    """As on a disk that is too full for its checkpoint."""
    (run,) = runs_of("tiny", declared(tmp_path, hours=hours))
    waits = "signal.signal(15, lambda *_: sys.exit('disk full')); print(1, flush=True); time.sleep(60)"
    training = Training(run, tmp_path, 1)
    with mock.patch.object(Run, "begin", return_value=[sys.executable, "-c", f"import signal, sys, time; {waits}"]):
        attempt = training.attempt(signal.SIGKILL)
        assert attempt.poll() is None
    while not training.place.log.read_text():
        time.sleep(0.01)
    if hours is None:
        attempt.stop()
    while (outcome := attempt.poll()) is None:
        time.sleep(0.01)
    assert outcome.state == "failed"
    assert "failed with status 1: disk full" in outcome.text
    assert (training.place.record().ended, training.place.record().status) == (None, 1)


def test_a_run_whose_record_cannot_be_written_fails_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    """As on a full disk."""
    save = Place.save

    def full(self, record):
        if self.run.game == "Pong":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, record)

    monkeypatch.setattr(Place, "save", full)
    monkeypatch.setattr(Run, "begin", lambda *_: [sys.executable, "-c", ""])
    file = declared(tmp_path, games=["Pong", "Breakout"])
    status, output = told(capsys, file, "--runs", tmp_path, "--parallel", 2)
    assert status == 1
    assert f"Pong, seed 0: failed: {tmp_path / 'tiny/dqn_qr_short/seed0'}: No space left on device" in output
    assert "Breakout, seed 0: done (steps)" in output


def test_the_status_is_shown_if_the_table_cannot_be_written(tmp_path, capsys):
    file = declared(tmp_path)
    (tmp_path / "tiny").mkdir()
    status, output = told(capsys, file, "--runs", tmp_path, "--status", "--out", "/proc/none.csv")
    assert status == 2
    assert re.search(r"dqn_qr short +Pong +0  waiting\n", output)
    assert output.splitlines()[-1].startswith("/proc/none.csv cannot be written (")


def test_a_study_that_is_done_does_nothing(tmp_path, capsys):
    runs = runs_of("pong_short", OURS)
    for each in runs:
        Place(each, tmp_path / "pong_short").save(Record(["a"], ["b"], 1, [[START, START + 9]], ended="steps"))
    status, output = told(capsys, OURS, "--name", "pong_short", "--runs", tmp_path, "--ray", "local")
    assert (status, "6 of 6 done\n" in output, "begins" in output) == (0, True, False)


def test_only_some_games_and_seeds_are_run_and_the_table_has_all(tmp_path, capsys):
    file = declared(tmp_path, games=["Pong", "Breakout"], seeds=[0, 1])
    for run in runs_of("tiny", file):
        place = Place(run, tmp_path / "tiny")
        place.save(Record(["a"], ["b"], 1, [[START, START + 9]], ended="steps", settings=run.settings))
        write_run(place.folder / run.algorithm / f"{run.env}_1", games(2), algo=run.algorithm, env=run.env)
    only = [file, "--runs", tmp_path, "--games", "Breakout", "--seeds", "1"]
    _, printed = told(capsys, *only, "--commands")
    assert printed.count("\n") == 1
    assert "--env BreakoutNoFrameskip-v4 " in printed
    assert "--seed 1 " in printed
    for options in (["--status"], []):
        (tmp_path / "tiny/tiny.csv").unlink(missing_ok=True)
        status, output = told(capsys, *only, *options)
        assert status == 0
        assert "1 of 1 done" in output
        found = {(row["game"], row["seed"]) for row in table_of(tmp_path)}
        assert found == {(game, seed) for game in ("Pong", "Breakout") for seed in "01"}


def test_another_terminal_sees_what_runs_and_what_was_cut_off_before(tmp_path, capsys):
    file = declared(tmp_path, settings=[{"algorithm": "dqn_qr"}, {"algorithm": "dqn_dueling"}])
    for run, start in zip(runs_of("tiny", file), (time.time() - 100, time.time() + 1), strict=True):
        Place(run, tmp_path / "tiny").save(Record(["a"], ["b"], 1, [[start, None]]))
    with sweep._only_one(tmp_path / "tiny"):
        _, output = told(capsys, file, "--runs", tmp_path, "--status")
    assert re.search(r"dqn_qr +Pong +0  cut off", output)
    assert re.search(r"dqn_dueling +Pong +0  running", output)
    _, output = told(capsys, file, "--runs", tmp_path, "--status")
    assert "0 of 2 done, 2 cut off\n" in output


def test_the_status_says_that_a_changed_study_would_not_go_on(tmp_path, capsys):
    (run,) = runs_of("tiny", declared(tmp_path))
    Place(run, tmp_path / "tiny").save(Record(["a"], ["b"], 1, [[0.0, 9.0]], ended="steps", settings=run.settings))
    _, output = told(capsys, declared(tmp_path, steps=2000), "--runs", tmp_path, "--status")
    assert "dqn_qr short, Pong, seed 0 began with other steps (1000) than the study has now (2000)" in output


def test_one_program_at_a_time_runs_a_study(tmp_path, capsys):
    folder = tmp_path / "tiny"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, output = told(capsys, declared(tmp_path), "--runs", tmp_path)
    assert status == 2
    assert output == f"sweep: error: another process runs this study in {folder}: wait for it, or stop it\n"


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({}, ["--seeds", "0", "7"], "tiny has no seed 7; it has 0"),
        ({"games": ["Pong", "Qbert"]}, ["--games", "Pong", "pong"], "tiny has no game pong; it has Pong, Qbert"),
        ({}, ["--gpus", "1"], "--gpus 1 divides the GPUs of a cluster: add --ray, or leave it out"),
        ({}, ["--ray", "in-process"], "--ray in-process is for the actors of one training: leave it out"),
        ({}, ["--out", "/proc/version/x.csv"], "/proc/version/x.csv cannot be written"),
        ({}, ["--out", "/proc"], "/proc cannot be written"),
        ({"params": {"buffersize": 3}}, [], "Unknown key 'buffersize' in the hyperparameters of dqn_qr; did you mean"),
        ({"params": {"policy_kwarg.head": "x"}}, [], "Unknown key 'policy_kwarg'"),
        ({"steps": 10**16}, [], "study tiny: steps must be at most"),
        ({"settings": [{"algorithm": "dqn_quer"}]}, [], "Unknown algorithm 'dqn_quer'; known: a2c, "),
        ({"settings": [{"algorithm": "dqn_qr", "conf": "shrt"}]}, [], "Unknown conf 'shrt'; known: "),
        (
            {"settings": [{"algorithm": "dqn", "conf": "short"}]},
            [],
            "conf short is for the algorithms of this package, not dqn: leave it out",
        ),
        ({"games": ["Pung"]}, [], "Unknown environment 'PungNoFrameskip-v4'; did you mean PongNoFrameskip-v4?"),
        ({}, ["--ray", "127.0.0.1:1"], "ray: no cluster at 127.0.0.1:1 (Connection refused): start one"),
        ({}, ["--ray", "ray://me:secret@head:1"], "ray: address must be HOST:PORT"),
        ({}, ["--runs", "/proc/none"], "/proc/none/tiny cannot be written"),
    ],
)
def test_what_cannot_train_is_said_before_anything_is_written(tmp_path, capsys, changes, options, says):
    file = declared(tmp_path, **changes)
    status, output = told(capsys, file, "--runs", tmp_path / "runs", *options)
    assert status == 2
    assert output.startswith(f"sweep: error: {says}")
    assert output.count("\n") == 1
    assert "secret" not in output
    assert not (tmp_path / "runs").exists()


def test_the_projects_studies_are_started_by_their_names(capsys, monkeypatch):
    script = str(BENCHMARKS / "study.py")
    monkeypatch.setattr(sys, "argv", [script])
    runpy.run_path(script, run_name="__main__")
    assert "pong_peers: the same goal" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [script, "pong_short", "--commands", "--seeds", "2"])
    runpy.run_path(script, run_name="__main__")
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == 2
    assert all("sb3_atari_dqn_studies/pong_short/" in command and "--seed 2 " in command for command in commands)
