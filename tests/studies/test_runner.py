"""Jobs on this machine and on a real Ray: order, failures, losses, signals."""

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import optuna
import psutil
import pytest
import yaml

from sb3_atari_dqn.commands import sweep, tune
from sb3_atari_dqn.distributed.cluster import Connection
from sb3_atari_dqn.plotting.runs import read_run
from sb3_atari_dqn.reports.curves import read_study
from sb3_atari_dqn.studies.ray_pool import RayPool, check_files, check_installed, check_shared
from sb3_atari_dqn.studies.runner import Local, Runner
from tests.support.jobs import DEAF, UNTIL_STOPPED, Events, Script
from tests.support.processes import wait_until

pytestmark = pytest.mark.slow
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'sb3-atari-dqn[ray]'")


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A private Ray; its start takes seconds."""
    started = Connection("local")
    yield started
    started.close()


@pytest.fixture(params=["local", pytest.param("ray", marks=needs_ray)])
def pool(request) -> Callable[[int], Any]:
    if request.param == "local":
        return Local
    connection = request.getfixturevalue("connection")
    return lambda parallel: RayPool(connection, threads=1, parallel=parallel)


def when(condition: Callable[[], bool], act: Callable[[], None], seconds: float = 60.0) -> threading.Thread:
    """Does something in another thread, as a user would, once a condition holds."""

    def watch() -> None:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def pid_of(job: Script) -> int | None:
    pids = [note.partition("=")[2] for note in job.notes if note.startswith("pid=")]
    return int(pids[-1]) if pids and pids[-1] else None


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_jobs_run_in_order_and_a_failure_is_told_with_the_last_line_of_its_log(pool, tmp_path):
    fail = "print('first'); print('ValueError: gamma is 2'); sys.exit(3)"
    jobs = [Script("a", "", tmp_path), Script("b", fail, tmp_path), Script("c", "", tmp_path)]
    events = Events()
    runner = Runner(pool(1), events)
    runner.run(jobs)
    assert [line for line in events.lines if "failed" not in line] == [
        *("a: begins", "a: done", "b: begins", "c: begins", "c: done"),
    ]
    assert events.lines[3] == f"b: failed with status 3: ValueError: gamma is 2 (log: {tmp_path}/b.log)"
    assert (runner.failed, runner.stopped) == (["b"], False)


def test_a_killed_job_is_tried_again_and_given_up_without_progress(pool, tmp_path):
    once = Script("once", "os.kill(os.getpid(), 9) if attempt == 1 else note('done')", tmp_path)
    slow = Script("slow", "note('progress'); os.kill(os.getpid(), 9) if attempt < 5 else note('done')", tmp_path)
    never = Script("never", "os.kill(os.getpid(), 9)", tmp_path)
    events = Events()
    runner = Runner(pool(2), events)
    runner.run([once, slow, never])
    assert once.notes == ["begun", "begun", "done"]
    assert slow.notes[-2:] == ["progress", "done"]  # it got on each time
    assert never.notes == ["begun"] * 3
    assert runner.failed == ["never"]
    assert "once: was killed by SIGKILL: is tried again" in events.lines
    assert "never: was killed by SIGKILL 3 times without progress: failed, often for lack of memory" in events.lines


@pytest.fixture
def closed_terminals_are_heard() -> Iterator[None]:
    """Also where the tests run under nohup, which makes a program ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("closed_terminals_are_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_what_runs_once_and_begins_nothing_more(pool, tmp_path, number):
    jobs = [Script(name, UNTIL_STOPPED, tmp_path) for name in "ab"]
    events = Events()
    runner, before = Runner(pool(1), events), signal.getsignal(number)
    user = when(lambda: pid_of(jobs[0]) is not None, lambda: interrupt(number))
    runner.run(jobs)
    user.join()
    assert jobs[0].notes[-1] == "stopped"
    assert jobs[1].notes == []
    assert events.lines == ["a: begins", "Stopping; once more kills.", "a: stopped"]
    assert (runner.failed, runner.stopped) == ([], True)
    assert signal.getsignal(number) is before


def test_a_second_signal_kills(pool, tmp_path):
    job = Script("deaf", DEAF, tmp_path)
    runner = Runner(pool(1), Events())
    users = [
        when(lambda: pid_of(job) is not None, interrupt),
        when(lambda: "stopped" in job.notes, interrupt),
    ]
    start = time.monotonic()
    runner.run([job])
    for user in users:
        user.join()
    assert time.monotonic() - start < 60
    pid = pid_of(job)
    assert pid is not None
    wait_until(lambda: not is_alive(pid), 30)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two jobs at a time take two CPUs of Ray")
def test_several_jobs_run_at_a_time(pool, tmp_path):
    meet = "while not os.path.exists({!r}): time.sleep(0.05)\nnote('met')"
    jobs = [Script(one, meet.format(str(tmp_path / f"{two}.notes")), tmp_path) for one, two in ("ab", "ba")]
    Runner(pool(2), Events()).run(jobs)
    assert all(job.notes == ["begun", "met"] for job in jobs)


# --- what only Ray has


@needs_ray
def test_a_lost_process_of_ray_takes_its_job_with_it_and_the_job_begins_again(connection, tmp_path):
    job = Script("lost", "note(f'pid={os.getpid()}'); time.sleep(120) if attempt == 1 else note('done')", tmp_path)
    first: list[int] = []

    def kill_parent() -> None:
        first.append(pid_of(job) or 0)
        psutil.Process(first[0]).parent().kill()

    user = when(lambda: pid_of(job) is not None, kill_parent)
    events = Events()
    Runner(RayPool(connection, 1), events).run([job])
    user.join()
    assert job.notes[-1] == "done"
    assert "lost: was lost (its process of Ray ended): is tried again" in events.lines
    assert not is_alive(first[0])


@needs_ray
def test_an_error_before_the_process_starts_is_told(connection, tmp_path):
    (tmp_path / "file").write_text("")
    events = Events()
    Runner(RayPool(connection, 1), events).run([Script("a", "", tmp_path / "file")])
    assert events.lines[-1].startswith("a: failed: ")
    assert "Error" in events.lines[-1]


@needs_ray
@pytest.mark.parametrize(("threads", "gpus", "says"), [(512, 0.0, "512 CPU"), (1, 512.0, "1 CPU and 512 GPU")])
def test_what_no_node_has_is_said_before_anything_begins(connection, threads, gpus, says):
    with pytest.raises(ValueError, match=f"takes {says}, and no node of the cluster has that"):
        RayPool(connection, threads, gpus)


@needs_ray
def test_nodes_are_checked_for_packages_and_files(connection, tmp_path):
    check_installed(connection, {"gymnasium"})
    check_files(connection, {__file__})
    check_shared(connection, tmp_path, "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"node \S+ lacks the package no_such_games of the environments"):
        check_installed(connection, {"gymnasium", "no_such_games"})
    with pytest.raises(ValueError, match=r"node \S+ does not see .*none\.yml"):
        check_files(connection, {str(tmp_path / "none.yml")})


@needs_ray
def test_two_machines_of_which_one_lacks_the_folder_and_one_is_lost(tmp_path):
    """See `tests.support.sweep_nodes`."""
    from tests.support.sweep_nodes import start

    refused, *lines = start(tmp_path)
    assert re.fullmatch(rf"ray: node \S+ does not see {tmp_path}: share it\.", refused)
    assert lines[:2] == ["a: begins", "b: begins"]
    (lost,) = [line for line in lines if "lost" in line]
    name = lost[0]
    assert re.fullmatch(rf"{name}: was lost \((its node was lost|its process of Ray ended)\): is tried again", lost)
    assert lines[lines.index(lost) + 1 :].count(f"{name}: begins") == 1
    assert {"a: done", "b: done"} <= {*lines}
    assert Script(name, "", tmp_path).notes == ["begun", "begun", "done"]


@needs_ray
def test_a_study_trains_on_ray_and_is_read_by_report_and_plot(connection, tmp_path, capsys):
    settings = [{"algorithm": "dqn_dueling", "params": {"learning_starts": 100}}]
    study = {"protocol": "small", "games": ["CartPole"], "seeds": [0], "steps": 300, "settings": settings}
    file = tmp_path / "study.yml"
    file.write_text(yaml.safe_dump({"protocols": {"small": {"env": "{game}-v1"}}, "studies": {"tiny": study}}))
    with pytest.raises(SystemExit) as ended:
        sweep.main([str(file), "--runs", str(tmp_path), "--ray", "local"])
    output = capsys.readouterr().out
    assert ended.value.code == 0, output
    assert "dqn_dueling, CartPole, seed 0: done (steps)" in output
    assert "1 of 1 done" in output
    (curve,), _ = read_study(tmp_path / "tiny/tiny.csv")
    assert (curve.system, curve.game, curve.seed) == ("dqn_dueling", "CartPole", "0")
    assert read_run(next(tmp_path.glob("tiny/*/seed0/*/CartPole-v1_1"))).settings.args["seed"] == 0
    assert connection.ray.is_initialized()  # who connected before also ends it


@needs_ray
def test_two_workers_on_ray_share_a_tuning_study(connection, runs, capsys):
    zoo = ["--algo", "dqn_dueling", "--env", "CartPole-v1", "-n", "100", "--n-evaluations", "1", "--no-optim-plots"]
    zoo += ["--eval-episodes", "1", "-params", "learning_starts:50", "--n-trials", "2", "--seed", "3"]
    with pytest.raises(SystemExit) as ended:
        tune.main([*zoo, "--storage", "study.log", "--study-name", "s", "--workers", "2", "--ray", "local"])
    output = capsys.readouterr().out
    assert ended.value.code == 0, output
    assert output.count("done, 1 trial\n") == 2
    assert "Study s: 2 complete\nBest: trial " in output
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("study.log"))
    first, second = optuna.load_study(study_name="s", storage=storage).trials
    assert first.params != second.params  # each worker has a seed of its own
