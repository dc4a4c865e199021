"""`bash benchmarks/gpu.sh` without a GPU: its dry run, and how its runner takes failures, hangs and cuts."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPT = ["bash", str(BENCHMARKS / "gpu.sh")]
sys.path.append(str(BENCHMARKS))  # as the script does

from gpu import runner, table  # noqa: E402
from gpu.machine import Facts, trouble  # noqa: E402
from gpu.parts import PARTS, Part  # noqa: E402
from gpu.pong import quickest  # noqa: E402
from gpu.sweep import GRID  # noqa: E402
from gpu.trace import union  # noqa: E402

H100 = Facts(("NVIDIA H100",), "580.1", "2.11.0+cu130", "13.0", True, 80 * 10**9, 16)
NO_GPU = trouble(Facts((), None, "2.13.0+cpu", None, False, 0, 2))


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([*SCRIPT, *arguments], env={"PYTHON": sys.executable, "PYTHONPATH": ""}, cwd="/", timeout=900)


# --- the dry run


@pytest.mark.slow
def test_the_dry_run_tries_every_part_and_says_what_was_not_run_on_a_gpu(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = script("--dry-run", "--out", str(tmp_path))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout
    # Less than three minutes also on one core; of the clock, other processes would take a part.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 150
    about = json.loads((tmp_path / "gpu_run.json").read_text())
    assert [part["status"] for part in about["parts"]] == ["done"] * len(PARTS)
    for part in PARTS:
        result = json.loads((tmp_path / f"gpu_{part.name}.json").read_text())
        assert result["complete"]
        assert result["dry_run"]
        assert all(result[fact] for fact in ("commit", "machine", "command", "versions", "cores"))
        assert str(tmp_path) not in json.dumps(result)
        assert str(ROOT) not in json.dumps(result)
        if about["on_gpu"]:
            continue
        assert result["not_run"] == "not run on a GPU"
        assert f"{part.name}: done" in done.stdout
        assert f"s; not run on a GPU - {part.what}" in done.stdout
    assert table.results(tmp_path) == {}, "a dry run is no result"
    assert len(list(tmp_path.iterdir())) == len(PARTS) + 1, "no log and no unfinished file stays"


# --- what is in the way


@pytest.mark.parametrize(
    ("facts", "code", "says"),
    [
        (replace(H100, cards=(), driver=None, usable=False), 10, "no NVIDIA GPU"),
        (replace(H100, torch=None, cuda=None, usable=False), 11, "no torch in this Python"),
        (replace(H100, torch="2.13.0+cpu", cuda=None, usable=False), 11, "torch 2.13.0+cpu was built without CUDA"),
        (replace(H100, driver="470.1", usable=False), 12, "The driver 470.1 does not run torch 2.11.0+cu130"),
        (replace(H100, free_bytes=2 * 10**9), 13, "NVIDIA H100 has 2.0 GB free"),
    ],
)
def test_each_kind_of_trouble_has_a_sentence_and_an_exit_code(facts, code, says):
    found = trouble(facts)
    assert found is not None
    assert found.code == code
    assert says in found.sentence
    assert "\n" not in found.sentence
    assert found.sentence.count(". ") == 0, "one sentence"


def test_a_machine_that_can_be_measured_has_no_trouble():
    assert trouble(H100) is None


@pytest.mark.slow
@pytest.mark.skipif(NO_GPU is None or Path("/dev/nvidia0").exists(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_run(tmp_path):
    done = script("--out", str(tmp_path / "results"))
    assert done.returncode == 10
    assert NO_GPU is not None
    assert done.stdout.splitlines()[-1] == NO_GPU.sentence
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--minutes", "0"], ["--minutes", "many"], ["--parts", "everything"]])
def test_a_bad_argument_is_refused_by_name(arguments):
    done = script(*arguments)
    assert done.returncode == 2
    assert repr(arguments[1]) in done.stdout


def test_packages_that_cannot_be_installed_are_named_with_the_way_out(tmp_path, monkeypatch):
    from gpu import setup

    (tmp_path / "wheels").mkdir()
    monkeypatch.setattr(setup, "WHEELS", tmp_path / "wheels")  # holds nothing
    monkeypatch.setattr(setup, "SITE", tmp_path / "site")
    sentence = setup.install(["gymnasium"])
    assert sentence is not None
    assert sentence.startswith("gymnasium could not be installed")
    assert "--wheels" in sentence
    assert "\n" not in sentence


# --- the runner

GOOD = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for name in ("--out", "--seconds", "--device"):
    parser.add_argument(name)
args = parser.parse_args()
pathlib.Path(args.out).write_text(json.dumps({"seconds": args.seconds}))
"""
MODULES = {
    "part_good": GOOD,
    "part_fails": "raise SystemExit('the part is broken')",
    "part_hangs": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    paths = [str(tmp_path), str(BENCHMARKS), str(ROOT)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return {name: Part(name, name, limit_s=20, least_s=0, what="a test") for name in MODULES}


def order(folder: Path, seconds: float) -> runner.Order:
    return runner.Order(folder, time.monotonic() + seconds, "cuda", False, H100, "bash benchmarks/gpu.sh")


@pytest.mark.slow
def test_a_part_that_fails_or_hangs_does_not_stop_the_next(tmp_path, parts, capsys):
    hanging = replace(parts["part_hangs"], limit_s=1)
    three = [parts["part_fails"], hanging, replace(parts["part_good"], limit_s=60)]
    outcomes = runner.run_all(three, order(tmp_path, 60), {"commit": "abc"})
    assert [each.status for each in outcomes] == ["failed", "cut off", "done"]
    assert outcomes[0].reason == "the part is broken"
    assert (tmp_path / "gpu_part_good.json").exists()
    about = json.loads((tmp_path / "gpu_run.json").read_text())
    assert about["commit"] == "abc"
    assert [part["status"] for part in about["parts"]] == ["failed", "cut off", "done"]
    assert "part_fails: failed (the part is broken)" in capsys.readouterr().out


def test_a_part_for_which_no_time_is_left_is_not_begun(tmp_path, parts):
    outcome = runner.run(replace(parts["part_good"], least_s=30), order(tmp_path, 10))
    assert outcome.status == "not run"
    assert "needs 30" in (outcome.reason or "")
    assert not (tmp_path / "gpu_part_good.json").exists()


@pytest.mark.parametrize(("left_s", "later_s", "gets_s"), [(12, 0, 7), (100, 300, 15), (100, 0, 95), (100, 60, 35)])
def test_a_part_gets_its_time_and_what_the_later_ones_do_not_want_but_no_more_than_is_left(
    tmp_path, parts, left_s, later_s, gets_s
):
    runner.run(parts["part_good"], order(tmp_path, left_s), later_s)
    assert float(json.loads((tmp_path / "gpu_part_good.json").read_text())["seconds"]) == pytest.approx(gets_s, abs=2)


@pytest.mark.slow
def test_a_run_that_is_cut_off_leaves_what_was_finished_and_no_process(tmp_path, parts):
    code = f"""
import signal, sys, time
from pathlib import Path
from gpu.machine import Facts
from gpu.parts import Part
from gpu.runner import Order, run_all
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
facts = Facts((), None, None, None, False, 0, 1)
parts = [Part(name, name, 100, 0, "a test") for name in ("part_good", "part_waits")]
run_all(parts, Order(Path({str(tmp_path)!r}), time.monotonic() + 100, "cuda", False, facts, ""), {{}})
"""
    pid = f"pathlib.Path({str(tmp_path / 'pid')!r})"
    (tmp_path / "part_waits.py").write_text(
        f"import os, pathlib, time\n{pid}.write_text(str(os.getpid()))\ntime.sleep(600)"
    )
    running = subprocess.Popen([sys.executable, "-c", code])
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 143
    about = json.loads((tmp_path / "gpu_run.json").read_text())
    assert [(part["part"], part["status"]) for part in about["parts"]] == [("part_good", "done")]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_parts_of_worth_fit_into_the_eight_minutes_together():
    first = [part.limit_s for part in PARTS[:4]]
    assert sum(first) + 30 + 180 <= 8 * 60, "three minutes are left for Pong"


def test_the_sweep_holds_what_peers_were_measured_with():
    assert {(256, 1024, 8), (256, 512, 1)} <= set(GRID)


def test_moments_in_which_several_kernels_run_count_once():
    assert union([(5, 7), (0, 2), (1, 3), (6, 6.5)]) == 5
    assert union([]) == 0


# --- the configuration of Pong


def test_pong_is_played_at_the_quickest_size_of_the_sweep_that_learns_as_the_profile_does(measured):
    sizes = quickest(measured / "gpu_sweep.json")
    assert (sizes["n_envs"], sizes["batch_size"]) == (128, 512)
    assert sizes["batch_size"] * sizes["replay_ratio"] == 8
    assert quickest(measured / "no_sweep.json") == {}
    dry = json.loads((measured / "gpu_sweep.json").read_text()) | {"dry_run": True}
    (measured / "gpu_sweep.json").write_text(json.dumps(dry))
    assert quickest(measured / "gpu_sweep.json") == {}


# --- the table


def figures(value: float) -> dict[str, float]:
    return {"median": value, "min": value - 1, "max": value + 1, "n": 3}


@pytest.fixture
def measured(tmp_path):
    about = {
        **{"on_gpu": True, "dry_run": False, "complete": True, "card": "NVIDIA H100", "cores": 16},
        **{"versions": {"torch": "2.11.0"}, "commit": "abc1234"},
    }
    shares = {"main_thread": {"environment": 0.5, "update": 0.25}, "gpu": {"idle": 0.4}}

    def row(n_envs: int, samples: float, speed: float) -> dict[str, Any]:
        sizes = {"n_envs": n_envs, "batch_size": 512, "samples_per_step": samples}
        return {**sizes, "env_steps_per_second": speed, "shares": shares}

    reached = {"last_10": None, "last_100": {"seconds": 150.0, "env_steps": 900_000}}
    found: dict[str, dict[str, Any]] = {
        "correctness": {"passed": 20, "failed": 1, "skipped": 2},
        "throughput": {
            "contestants": {
                "SB3 dqn": {"env_steps_per_second": figures(400), "ratio_to_sb3": figures(1)},
                "ours": {"env_steps_per_second": figures(6_400), "ratio_to_sb3": figures(16)},
            },
            "shares": {"ours": shares},
        },
        "sweep": {"rows": [row(64, 8, 5_000), row(128, 8, 6_543), row(256, 1, 12_345)]},
        "pong18": {"reached_18": reached, "trained_seconds": 160, "best_mean_of_last_100": 18.1},
    }
    for name, result in found.items():
        (tmp_path / f"gpu_{name}.json").write_text(json.dumps({**about, **result}))
    return tmp_path


def test_the_table_says_what_was_measured_and_what_was_not(measured):
    written = table.tables(table.results(measured))
    for words in (
        "| tests marked `gpu` | all pass | 20 passed, 1 failed, 2 skipped |",
        "| NVIDIA H100, 16 cores, torch 2.11.0, commit abc1234 |",
        "| times SB3's `dqn`, 8 samples per step | 15 | 16.0 |",
        "| environment steps/s at 8 samples per step | 6,000 | 6,543 (128 environments, batch 512) |",
        "| environment steps/s at 1 sample per step | 12,000 | 12,345 (256 environments, batch 512) |",
        "| Pong to 18, `dqn_dueling` | 3 minutes | 2.5 minutes, 900,000 steps (mean of 100 games) |",
        "| Pong to 18, `dqn_pqn` |  | not measured |",
        "| ours | 6,400 (6,399 to 6,401) | 16.0 | 40% |",
        "| 128 | 512 | 8 | 6,543 | 50% | 0% | 0% | 25% | 40% |",
    ):
        assert words in written


def test_a_part_that_was_cut_off_before_its_first_figure_is_not_measured(measured):
    for path in measured.glob("gpu_*.json"):
        about = {
            name: each for name, each in json.loads(path.read_text()).items() if name in ("on_gpu", "card", "cores")
        }
        path.write_text(json.dumps({**about, "complete": False, "versions": {"torch": "2"}, "commit": "abc"}))
    written = table.tables(table.results(measured))
    assert written.count("| not measured |") == 8
    assert written.count("| --- |") == 1


def test_the_tables_go_between_their_marks_by_one_command(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    arguments = ["--results", str(measured), "--page", str(page)]
    assert table.main([*arguments, "--check"]) == 1
    assert table.main(arguments) == 0
    assert table.main([*arguments, "--check"]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\n\n| ")
    assert text.endswith(f"|\n\n{table.END}\nafter\n")
    assert "old" not in text
    page.write_text("a page without marks")
    with pytest.raises(ValueError, match="lacks the marks"):
        table.main(arguments)


def test_the_tables_of_the_documentation_are_those_of_the_results():
    assert table.main(["--check"]) == 0
