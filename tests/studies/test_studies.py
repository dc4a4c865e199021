"""`python benchmarks/study.py`: its declarations, its commands, and real runs that are stopped and continued."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sb3_atari_dqn.reports.curves import REQUIRED, read_study
from tests.support import markers
from tests.support.commands import run as run_command
from tests.support.fake_runs import START, write_run

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = [sys.executable, str(BENCHMARKS / "study.py")]
sys.path.append(str(BENCHMARKS))  # as the script does

from studies.plan import runs_of, studies  # noqa: E402
from studies.record import Place, Record, active_seconds  # noqa: E402
from studies.table import COLUMNS, POINTS, rows, status, write_table  # noqa: E402

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
    assert {"pong_short", "pong_peers", "four_million_frames", "pqn_ten_million", "switches"} <= set(studies())


@pytest.mark.parametrize("name", studies())
def test_every_declared_study_can_be_run(name):
    runs = runs_of(name)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)  # an unfinished study has equal seeds
    commands = [run.begin(Path("/study")) for run in runs]
    assert len({tuple(command) for command in commands}) == len(runs)
    for run, command in zip(runs, commands, strict=True):
        assert command[1:6] == ["-m", "sb3_atari_dqn", "train", "--algo", run.algorithm]
        for text in command[command.index("-params") + 1 :] if "-params" in command else ():
            key, _, value = text.partition(":")
            assert eval(value) == {**run.params, **run._callback()}[key]  # as the zoo does


def test_pong_stops_at_its_goal_and_five_games_are_sticky():
    (first, *_) = runs_of("pong_short")
    assert "'mean_return': 18" in first.begin(Path())[-1]
    sticky = runs_of("four_million_frames")
    assert {run.env for run in sticky} == {
        f"{game}NoFrameskip-v0" for game in ("Pong", "Breakout", "SpaceInvaders", "MsPacman", "Qbert")
    }
    assert {run.steps for run in sticky} == {1_000_000}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": None}, "study tiny has no steps"),
        ({"game": "Pong"}, "study tiny has game; known: about, protocol"),
        ({"protocol": "other"}, "study tiny has protocol 'other'; known: classic, small"),
        ({"settings": [{"algorithm": "dqn", "name": "x"}]}, "a setting of study tiny has name; known: algorithm"),
        ({"settings": [{"algorithm": "dqn"}, {"algorithm": "dqn"}]}, "study tiny has dqn, Pong, seed 0 twice"),
    ],
)
def test_wrong_declarations_are_named(tmp_path, changes, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        runs_of("tiny", declared(tmp_path, **changes))


def test_an_unknown_study_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"Unknown study 'pong'; studies\.yml has tiny"):
        runs_of("pong", declared(tmp_path))
    (tmp_path / "studies.yml").write_text("- a list")
    with pytest.raises(ValueError, match="must have the keys protocols and studies"):
        runs_of("tiny", tmp_path / "studies.yml")


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
    assert write_table([place.run], tmp_path, tmp_path / "new/t.csv") == 1
    (curve,) = read_study(tmp_path / "new/t.csv")
    assert (curve.system, curve.game, curve.scores.tolist()) == ("dqn_qr short", "Pong", [-21.0, -20.0, -18.0])


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


def test_the_status_says_what_is_done_and_left(tmp_path):
    episodes = [(-21.0, 400, 10.0)]
    for record, says in (
        (Record(), "not begun"),
        (Record(periods=[[0.0, 3600.0]]), "stopped, 100 of 1,000 steps, score -21.0, 1.00 h"),
        (Record(periods=[[0.0, None]]), "running, or cut off"),
        (Record(periods=[[0.0, 1.0]], status=2), "failed with status 2"),
        (Record(periods=[[0.0, 1.0]], ended="goal"), "done (goal)"),
    ):
        place = Place(runs_of("tiny", declared(tmp_path))[0], tmp_path)
        if place.run_folder is None:
            began(tmp_path, tmp_path, episodes, record)
        place.save(record)
        text = status([place.run], tmp_path, 0.0)
        assert text.startswith("dqn_qr short, Pong, seed 0: ")
        assert says in text
        assert text.endswith("1 of 1 runs done, 0 left" if record.ended else "0 of 1 runs done, 1 left")


def test_a_damaged_record_is_named(tmp_path):
    place = began(tmp_path, tmp_path, [], Record())
    (place.folder / "Pong.json").write_text('{"steps": 1}')
    with pytest.raises(ValueError, match=r"Pong\.json is damaged"):
        place.record()


# --- real runs

SMALL: dict[str, Any] = {
    "protocol": "small", "games": ["CartPole"], "steps": 1200, "window": 5,
    "settings": [
        {"algorithm": "dqn_dueling", "params": {"learning_starts": 200, "train_freq": 64, "gradient_steps": 1,
                                                "checkpoint_freq": 100}},
    ],
}  # fmt: skip


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "tiny/tiny.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_study_is_stopped_and_continued_and_makes_one_table(tmp_path):
    markers.require("a study is started", *markers.NOT_FAST)
    more = {"settings": [*SMALL["settings"], {"algorithm": "ppo", "setting": "broken", "params": {"gamma": "no"}}]}
    file = declared(tmp_path, **{**SMALL, "steps": 2500, **more})
    command = [*SCRIPT, "tiny", "--studies", str(file), "--runs", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = Place(runs_of("tiny", file)[0], tmp_path / "tiny")
    deadline = time.monotonic() + 200
    while place.checkpoint_steps is None and time.monotonic() < deadline:
        time.sleep(0.05)
    busy = run_command(command)
    assert "another process runs this study" in busy.stdout
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    assert "dqn_dueling, CartPole, seed 0: stopped" in output
    stopped_at = place.checkpoint_steps
    assert stopped_at is not None
    assert stopped_at < 2500
    assert place.record().ended is None

    again = run_command(command)
    assert again.returncode == 1, again.stdout  # because of the second setting
    assert "dqn_dueling, CartPole, seed 0: continued" in again.stdout
    assert "dqn_dueling, CartPole, seed 0: done (steps)" in again.stdout
    assert "ppo broken, CartPole, seed 0: failed, see" in again.stdout
    assert "1 of 2 runs done, 1 left" in again.stdout
    record = json.loads((place.folder / "CartPole.json").read_text())
    assert len(record["periods"]) == 2
    found = [row for row in table_of(tmp_path) if row["algorithm"] == "dqn_dueling"]
    steps = [int(row["step"]) for row in found]
    assert steps == sorted(steps)
    assert steps[-1] > stopped_at
    assert {row["state"] for row in found} == {"steps"}


@pytest.mark.slow
def test_a_study_that_is_done_does_nothing(tmp_path):
    file = declared(tmp_path, **SMALL)
    record = Record(["a"], ["b"], 1, [[START, START + 9]], ended="steps")
    (one,) = runs_of("tiny", file)
    Place(one, tmp_path / "tiny").save(record)
    done = run_command([*SCRIPT, "tiny", "--studies", str(file), "--runs", str(tmp_path)])
    assert done.returncode == 0, done.stdout
    assert "1 of 1 runs done, 0 left" in done.stdout
    assert "begun" not in done.stdout
    unknown = run_command([*SCRIPT, "tinny", "--studies", str(file)])
    assert unknown.returncode == 2
    assert unknown.stdout == "study: error: Unknown study 'tinny'; studies.yml has tiny\n"
