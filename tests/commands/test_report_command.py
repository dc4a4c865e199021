"""``python -m sb3_atari_dqn report``."""

import contextlib
import csv
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sb3_atari_dqn.commands.report import main
from sb3_atari_dqn.reports import metrics
from sb3_atari_dqn.reports.curves import REQUIRED
from sb3_atari_dqn.reports.human import human_scores, normalised
from sb3_atari_dqn.reports.protocol import Protocol, as_cells
from tests.support.commands import files
from tests.support.fake_runs import NATURE, games, write_evaluations, write_goal_evaluations, write_run

FIGURES = {"aggregates.png", "curves.png", "profiles.png"}
CLASSIC = Protocol("training", sticky=0.0, life_loss=True, clip=True, epsilon=0.01, noops=30)
DOPAMINE = Protocol("training", sticky=0.25, life_loss=False, clip=True, epsilon=0.01, noops=0)
WHOLE_GAMES = {"env_wrapper": [{"sb3_atari_dqn.atari.NatureAtari": {"terminal_on_life_loss": False}}]}


def seeds(logs: Path, algo: str, env: str = "PongNoFrameskip-v4", n: int = 3, **options) -> list[str]:
    """:return: run folders with one game of 400 frames every 10 s"""
    folders = [logs / algo / f"{env}_{seed}" for seed in range(n)]
    return [
        str(write_run(folder, games(30, seed=seed), algo=algo, env=env, seed=seed, **options))
        for seed, folder in enumerate(folders)
    ]


def rows(system="dqn_qr", game="Pong", seed=0, scores=(-20.0, 0.0, 10.0), protocol=CLASSIC, **more):
    """:return: of a study, a million frames apart"""
    common = {"algorithm": system, "setting": "", "game": game, "seed": seed, **as_cells(protocol)}
    return [
        {**common, "step": 250_000 * k, "frames": 1_000_000 * k, "score": score, "seconds": 600.0 * k, **more}
        for k, score in enumerate(scores, start=1)
    ]


def study(path: Path, lines) -> str:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, lines[0].keys())
        table.writeheader()
        table.writerows(lines)
    return str(path)


def result_of(*arguments):
    main([*arguments, "-o", "out"])
    return json.loads(Path("out/report.json").read_text())


def error_of(capsys, *arguments):
    """:return: the one line that a failing command prints"""
    capsys.readouterr()
    before = files(Path())
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("report: error: ")
    assert captured.err.count("\n") == 1
    assert files(Path()) == before
    return captured.err


def test_runs_of_two_algorithms_are_compared_at_equal_frames(runs, capsys):
    ours, theirs = seeds(runs / "logs", "dqn_dueling"), seeds(runs / "logs", "dqn", n=2)
    result = result_of(*ours, *theirs, "--window", "5")
    assert capsys.readouterr().out.endswith("Wrote out\n")
    assert {path.name for path in Path("out").iterdir()} == {*FIGURES, "improvement.png", "report.md", "report.json"}
    for name in FIGURES:
        with Image.open(Path("out") / name) as picture:
            assert picture.format == "PNG"
    assert result["frames"] == 12_000  # 30 games of 400 frames
    assert result["systems"] == ["dqn_dueling", "dqn"]
    expected = [np.mean([row[0] for row in games(30, seed=seed)[-5:]]) for seed in range(3)]
    cell = result["per_game"]["Pong"]["systems"]["dqn_dueling"]
    assert cell["score"] == pytest.approx(np.mean(expected))
    assert cell["seeds"] == 3
    low, high = cell["interval"]
    assert low < cell["score"] < high
    assert (low, high) == pytest.approx((min(expected), max(expected)), abs=0.02)  # of three runs
    iqm = float(metrics.iqm([normalised("Pong", np.array(expected))]))
    assert result["aggregates"]["dqn_dueling"]["IQM"]["value"] == pytest.approx(iqm)
    assert result["by_frames"]["dqn"]["along"][-1] == 12_000
    assert result["by_hours"]["dqn"]["along"][-1] == pytest.approx(300 / 3600)
    page = Path("out/report.md").read_text()
    assert "| dqn_dueling | training | 0 | yes | yes | 0.05 | 30 |" in page
    for name in (*FIGURES, "improvement.png"):
        assert f"]({name})" in page


def test_settings_that_differ_are_separate_systems_and_seeds_are_not(runs):
    logs = runs / "logs"
    short = seeds(logs / "a", "dqn_qr", conf_file="short", hyperparams={"precision": "bf16", "callback": "any"})
    greedy = seeds(logs / "b", "dqn_qr", conf_file="short", hyperparams={"bootstrap": "greedy", "precision": "bf16"})
    other = seeds(logs / "c", "dqn_qr", config={**NATURE, "gamma": 0.9})
    shipped = seeds(logs / "d", "dqn_qr", config={**NATURE, "gamma": 0.99})
    elsewhere = seeds(logs / "d", "dqn_qr", env="BreakoutNoFrameskip-v4", config={**NATURE, "gamma": 0.99})
    result = result_of(*short, *greedy, *other, *shipped, "--window", "5")
    assert result["systems"] == [
        *("dqn_qr short bootstrap=default", "dqn_qr short bootstrap=greedy", "dqn_qr gamma=0.9", "dqn_qr gamma=0.99"),
    ]
    result = result_of(*shipped, *elsewhere, "--window", "5")
    assert result["systems"] == ["dqn_qr"]
    assert result["games"] == ["Breakout", "Pong"]


def test_one_seed_has_no_interval_and_says_so(runs, capsys):
    result = result_of(*seeds(runs / "logs", "dqn_dueling", n=1))
    assert "dqn_dueling has one seed only of Pong: no interval" in capsys.readouterr().out
    assert result["aggregates"]["dqn_dueling"]["IQM"]["interval"] is None
    assert result["per_game"]["Pong"]["systems"]["dqn_dueling"]["interval"] is None
    assert result["profiles"]["systems"]["dqn_dueling"]["low"] is None
    assert not Path("out/improvement.png").exists()
    assert result["remarks"][-1].startswith("A score averages up to 100% of the episodes of its run: lower --window")


def test_runs_of_different_protocols_are_refused_or_marked(runs, capsys):
    ours = seeds(runs / "a", "dqn_dueling")
    theirs = seeds(runs / "b", "dqn", config=WHOLE_GAMES)
    says = "dqn differs from dqn_dueling: life-loss termination no instead of yes"
    assert says in error_of(capsys, *ours, *theirs)
    result = result_of(*ours, *theirs, "--across-protocols")
    assert says in result["marks"]["decisive"]["dqn"]
    page = Path("out/report.md").read_text()
    assert f"‡ **Another protocol, not comparable:** {says}." in page
    assert page.count("dqn ‡") >= 4  # in every table
    assert says in capsys.readouterr().out


def test_evaluations_are_another_measure(runs, capsys):
    folders = seeds(runs / "logs", "dqn_dueling", n=2)
    assert "has no evaluations.npz" in error_of(capsys, *folders, "--measure", "evaluation")
    for folder, score in zip(folders, (1.0, 3.0), strict=True):
        write_evaluations(Path(folder), [1000, 3000], [[0.0, 0.0], [score, score]])
    result = result_of(*folders, "--measure", "evaluation")
    assert result["per_game"]["Pong"]["systems"]["dqn_dueling"]["score"] == 2.0
    assert result["protocols"]["dqn_dueling"]["measured"] == "evaluation"
    assert result["frames"] == 12_000


def test_published_scores_are_laid_over_at_equal_frames(runs, capsys):
    lines = [row for seed in range(2) for row in rows(seed=seed, protocol=DOPAMINE, scores=(-20, -10, 0, 10 + seed))]
    table = study(runs / "s.csv", lines)
    result = result_of(table, "--frames", "4e6", "--published", "dopamine:qr-dqn", "dopamine:rainbow-impala")
    cells = result["per_game"]["Pong"]["systems"]
    assert cells["dopamine:qr-dqn"]["score"] == 7.36
    assert cells["dqn_qr"]["score"] == 10.5
    assert result["aggregates"]["dopamine:qr-dqn"]["IQM"]["value"] == pytest.approx((7.36 + 20.7) / 35.3)
    assert result["by_frames"]["dopamine:qr-dqn"]["along"][-1] == 4e6
    assert result["marks"] == {"decisive": {}, "minor": {}}
    says = "cleanrl:pqn differs from dqn_qr: sticky actions 0 instead of 0.25, life-loss termination yes instead of no"
    assert says in error_of(capsys, table, "--published", "cleanrl:pqn")
    assert "known: cleanrl:pqn" in error_of(capsys, table, "--published", "rainbow")
    result = result_of(table, "--published", "cleanrl:pqn", "--across-protocols")
    assert result["aggregates"]["cleanrl:pqn"]["IQM"]["value"] is None  # published at 40M frames only
    assert "cleanrl:pqn has no published score of Pong at 4,000,000 frames" in capsys.readouterr().out


def test_a_study_without_times_has_no_panel_of_hours(runs):
    def width(**more):
        result = result_of(study(runs / "s.csv", rows(**more)))
        with Image.open("out/curves.png") as picture:
            return bool(result["by_hours"]), picture.width

    (with_hours, wide), (without, narrow) = width(), width(seconds="")
    assert (with_hours, without) == (True, False)
    assert narrow < 0.7 * wide


def test_a_run_that_reached_its_goal_counts_with_its_last_score(runs, capsys):
    early = rows(seed=0, scores=(-20, 18), state="goal")
    late = rows(seed=1, scores=(-20, -20, 0, 10), state="steps")
    result = result_of(study(runs / "s.csv", [*early, *late]))
    assert result["frames"] == 4e6
    assert result["per_game"]["Pong"]["systems"]["dqn_qr"]["score"] == 14
    assert "1 of 2 runs of dqn_qr stopped at their goal earlier" in capsys.readouterr().out


def test_a_run_folder_says_itself_that_it_reached_its_goal(runs):
    stop = {"callback": [{"sb3_atari_dqn.callbacks.StopAtReturn": {"mean_return": 18}}]}
    winner = [(19.0, 400, 10.0 * (k + 1)) for k in range(12)]
    loser = [(-21.0, 400, 10.0 * (k + 1)) for k in range(30)]
    folders = [
        str(write_run(runs / f"logs/{seed}/Pong_1", lines, algo="dqn_qr", config={**NATURE, **stop}, seed=seed))
        for seed, lines in enumerate((winner, loser))
    ]
    assert result_of(*folders)["frames"] == 12_000


def test_a_goal_that_evaluation_games_must_confirm_is_reached_once_they_do(runs):
    stop = {"callback": [{"sb3_atari_dqn.callbacks.StopAtReturn": {"mean_return": 18, "evaluation_games": 2}}]}
    winner = [(19.0, 400, 10.0 * (k + 1)) for k in range(12)]
    other = [(19.0, 400, 10.0 * (k + 1)) for k in range(30)]
    folders = [
        str(write_run(runs / f"logs/{seed}/Pong_1", lines, algo="dqn_qr", config={**NATURE, **stop}, seed=seed))
        for seed, lines in enumerate((winner, other))
    ]
    for folder, mean, at in zip(folders, (18, 17), (3000, 7500), strict=True):
        write_goal_evaluations(Path(folder), [1000, at], [[0.0, 0.0], [mean - 1, mean + 1]], [15.0, 47.5])
    assert result_of(*folders)["frames"] == 12_000  # the other one has not stopped there, and has no more scores
    result = result_of(*folders, "--measure", "evaluation")
    assert result["frames"] == 30_000  # the winner counts on with its last score
    assert result["per_game"]["Pong"]["systems"]["dqn_qr"]["score"] == 17.5
    assert (result["protocols"]["dqn_qr"]["measured"], result["protocols"]["dqn_qr"]["epsilon"]) == (
        "evaluation",
        0.001,
    )


def test_a_study_with_both_kinds_of_scores_is_read_as_one_of_them(runs, capsys):
    evaluated = replace(CLASSIC, measured="evaluation", epsilon=0.001)
    lines = rows(seed=0) + rows(seed=1) + rows(seed=0, scores=(1.0, 2.0, 18.0), protocol=evaluated, state="goal")
    result = result_of(path := study(runs / "s.csv", [{"state": "", **line} for line in lines]))
    assert (result["per_game"]["Pong"]["systems"]["dqn_qr"]["score"], capsys.readouterr().out) == (10.0, "Wrote out\n")
    result = result_of(path, "--measure", "evaluation")
    assert result["per_game"]["Pong"]["systems"]["dqn_qr"]["score"] == 18.0
    assert result["protocols"]["dqn_qr"]["epsilon"] == 0.001
    assert f"Skipped: dqn_qr, Pong, seed 1 in {path} has no scores of evaluation" in capsys.readouterr().out


def test_only_games_that_all_played_are_compared(runs, capsys):
    ours = rows("A", "Pong") + rows("A", "Breakout", scores=(1, 2, 3))
    theirs = rows("B", "Pong")
    result = result_of(study(runs / "s.csv", ours + theirs))
    assert result["games"] == ["Pong"]
    assert "Breakout left out of the comparison: not every system played it (A did)" in capsys.readouterr().out
    assert "No game was played by all of A, B" in error_of(
        capsys, study(runs / "t.csv", rows("A", "Pong") + rows("B", "Breakout"))
    )
    assert result_of("s.csv", "--games", "pong")["games"] == ["Pong"]
    assert "No run plays Qbert: choose --games from Pong, Breakout" in error_of(capsys, "s.csv", "--games", "qbert")


def test_runs_that_are_too_short_are_named(runs, capsys):
    table = study(runs / "s.csv", [*rows(seed=0, scores=(1, 2, 3, 4)), *rows(seed=1, scores=(1, 2))])
    assert result_of(table)["frames"] == 2e6
    assert "dqn_qr, Pong, seed 1 has 2,000,000 frames, not 4,000,000" in error_of(capsys, table, "--frames", "4e6")
    result_of(table, "--frames", "2.05e6")  # the last episode ends a little before the run
    late = [{**row, "frames": row["frames"] + 5_000_000} for row in rows(seed=2)]
    says = "dqn_qr, Pong, seed 2 has its first score at 6,000,000 frames, and 3,000,000 are compared"
    assert says in error_of(capsys, study(runs / "t.csv", [*rows(seed=0), *late]))


def test_no_runs_and_folders_without_one_are_errors(runs, capsys):
    assert "no runs: name run folders" in error_of(capsys)
    assert "There is no run folder nowhere" in error_of(capsys, "nowhere")
    assert "There is no file nothing.csv" in error_of(capsys, "nothing.csv")
    (runs / "empty").mkdir()
    assert "empty is not a run folder" in error_of(capsys, "empty")
    young = str(write_run(runs / "logs/dqn_dueling/PongNoFrameskip-v4_9", []))
    assert "holds no finished episode yet" in error_of(capsys, young)
    result_of("empty", young, *seeds(runs / "logs", "dqn_qr"))
    assert capsys.readouterr().out.count("Skipped: ") == 2


def test_unknown_games_and_protocols_are_errors(runs, capsys):
    cart_pole = seeds(runs / "logs", "dqn_dueling", env="CartPole-v1", config={"n_timesteps": 100})
    assert "CartPole has no published human score" in error_of(capsys, *cart_pole)
    (bare,) = seeds(runs / "more", "dqn_dueling", n=1, config={"env_wrapper": "my.Wrapper"})
    assert "does not say how many frames a step has" in error_of(capsys, bare)


def test_the_same_run_twice_is_an_error(runs, capsys):
    (first,) = seeds(runs / "a", "dqn_dueling", n=1)
    (again,) = seeds(runs / "b", "dqn_dueling", n=1)
    says = f"{first} and {again} are the same algorithm, setting, game and seed (dqn_dueling, Pong, seed 0)"
    assert says in error_of(capsys, first, again)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_csv_without_a_column_names_it(runs, capsys, name):
    lines = [{key: value for key, value in row.items() if key != name} for row in rows()]
    assert f"it has no column {name}" in error_of(capsys, study(runs / "s.csv", lines))


@pytest.mark.parametrize(
    ("name", "cell", "says"),
    [
        ("score", "nan", "line 3: score is 'nan', expected a finite number"),
        ("score", "inf", "line 3: score is 'inf'"),
        ("score", "", "line 3: score is ''"),
        ("frames", "-1", "line 3: frames is '-1', expected a finite number of at least 0"),
        ("step", "many", "line 3: step is 'many'"),
        ("seconds", "nan", "line 3: seconds is 'nan'"),
        ("sticky", "often", "line 3: sticky is 'often'"),
        ("sticky", "0.25", "rows of dqn_qr, Pong, seed 0 have different protocols (sticky actions 0.25 instead of 0)"),
    ],
)
def test_a_csv_with_a_bad_cell_names_it(runs, capsys, name, cell, says):
    lines = rows()
    lines[1] = {**lines[1], name: cell}
    assert says in error_of(capsys, study(runs / "s.csv", lines))


@pytest.mark.parametrize("text", ["", "\n", ",".join(REQUIRED) + "\n", ",".join(REQUIRED) + "\ndqn"])
def test_an_empty_csv_is_an_error(runs, capsys, text):
    Path("s.csv").write_text(text)
    assert "s.csv has no rows: run the study until its first episodes have ended" in error_of(capsys, "s.csv")


def test_a_csv_with_a_short_row_names_it(runs, capsys):
    study(runs / "s.csv", rows())
    with Path("s.csv").open("a") as file:
        file.write("dqn_qr,,Pong\n")
    assert "line 5 does not have as many cells as the header" in error_of(capsys, "s.csv")


@pytest.mark.parametrize("frames", ["0", "-1", "nan", "inf", "many"])
def test_frames_must_be_a_number(runs, capsys, frames):
    with pytest.raises(SystemExit):
        main(["s.csv", "--frames", frames])
    assert f"'{frames}' is not a number of frames above 0" in capsys.readouterr().err


def test_a_former_report_is_replaced_and_other_folders_are_not(runs, capsys):
    table = study(runs / "s.csv", rows())
    main([table, "-o", "new/out"])
    Path("new/out/improvement.png").write_text("of an older report")
    main([table, "-o", "new/out"])
    assert files(runs / "new") == ["out", *sorted(f"out/{name}" for name in (*FIGURES, "report.json", "report.md"))]
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    assert "mine holds other things than a report (thesis.tex): give" in error_of(capsys, table, "-o", "mine")
    Path("new/out/notes.txt").write_text("")  # beside a report, or beside another program's report.json
    assert "new/out holds other things than a report (notes.txt): give" in error_of(capsys, table, "-o", "new/out")
    assert Path("new/out/notes.txt").is_file()
    Path("empty").mkdir()
    with contextlib.chdir("empty"):
        assert ". is the working directory: give another folder with -o" in error_of(capsys, f"../{table}", "-o", ".")
    assert "s.csv is a file" in error_of(capsys, table, "-o", "s.csv")
    assert "s.csv/out cannot be written" in error_of(capsys, table, "-o", "s.csv/out")


def test_the_same_runs_give_the_same_report(runs):
    table = study(runs / "s.csv", [row for seed in range(3) for row in rows(seed=seed, scores=(1, 2, seed))])
    assert result_of(table) == result_of(table)


def test_published_scores_can_be_listed(runs, capsys):
    main(["--list-published"])
    out = capsys.readouterr().out
    assert out.startswith("dopamine:c51: Dopamine")
    assert "\nzoo:qrdqn: " in out


@pytest.mark.slow
def test_57_games_with_10_seeds_of_two_systems_take_less_than_10_seconds(runs):
    rng = np.random.default_rng(0)
    lines = []
    for game, (random, human) in human_scores().items():
        for system in ("A", "B"):
            for seed in range(10):
                scores = random + (human - random) * rng.uniform(0, 2, size=4).cumsum()
                lines += rows(system, game, seed, scores, DOPAMINE)
    table = study(runs / "s.csv", lines)
    began = time.process_time()  # the machine may be busy
    result = result_of(table, "--published", "dopamine:rainbow")
    assert time.process_time() - began < 10
    assert len(result["games"]) == 57
    assert result["games"] == sorted(human_scores())
    low, high = result["aggregates"]["A"]["IQM"]["interval"]
    assert low < result["aggregates"]["A"]["IQM"]["value"] < high
