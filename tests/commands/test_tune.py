"""`python -m sb3_atari_dqn tune`: workers that share a study, what they are told, and bad input."""

from pathlib import Path

import optuna
import pytest

from sb3_atari_dqn.commands import tune
from sb3_atari_dqn.studies.trials import Worker, shares
from sb3_atari_dqn.zoo import tuning
from tests.support import postgres

CARTPOLE = ["--algo", "dqn_dueling", "--env", "CartPole-v1"]


def told(capsys, *arguments: object) -> tuple[int, str]:
    """:return: status and output of the command, in this process"""
    with pytest.raises(SystemExit) as ended:
        tune.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


@pytest.mark.parametrize(("trials", "workers", "parts"), [(7, 3, [3, 2, 2]), (4, 2, [2, 2]), (2, 5, [1, 1])])
def test_trials_are_shared(trials, workers, parts):
    assert shares(trials, workers) == parts


def worker(folder: Path, share: int | None = 4) -> Worker:
    return Worker(1, ("--algo", "dqn"), share, folder / "worker1.log", 1, None)


def test_a_worker_that_was_lost_runs_the_trials_that_are_left(tmp_path):
    job = worker(tmp_path)
    assert job.command()[-5:] == ["-optimize", "--n-trials", "4", "-f", str(tmp_path / "worker1")]
    job.log.write_text(
        "[I 2026] Trial 3 finished with value: 9.0 and parameters: {}. Best is trial 3 with value: 9.0.\n"
        "[I 2026] Trial 5 pruned. \n[W 2026] Trial 6 failed with parameters: {} because of ...\nTrial 7 begins\n"
    )
    assert job.progress == 3
    assert "1" in job.command()[-3]
    assert job.announcement() == f"begins, 1 trial (log: {job.log})"
    assert "--n-trials" not in worker(tmp_path, None).command()


def test_a_password_is_no_part_of_the_command():
    url, password = tuning.without_password("postgresql://zoo:se%2Fcret@host:5432/database")
    assert (url, password) == ("postgresql://zoo@host:5432/database", "se/cret")
    for storage in ("study.log", "sqlite:///study.db", "postgresql://zoo@host/database"):
        assert tuning.without_password(storage) == (storage, None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "workers share a study through its storage: give --storage and --study-name"),
        (["--storage", "a.log"], "workers share a study through its storage"),
        (["--storage", "sqlite://", "--study-name", "s"], "--storage sqlite:// is in the memory of one process"),
        (
            ["--storage", "postgres:/me:secret@host", "--study-name", "s"],
            "--storage 'postgres:/me:***@host' is",
        ),
        (
            ["--storage", "postgresql://me:secret@host:port/d", "--study-name", "s"],
            "--storage 'postgresql://me:***@host",
        ),
        (
            ["--storage", "postgresql://me@h/d?password=secret", "--study-name", "s"],
            "--storage has its password",
        ),
        (
            ["--storage", "postgresql://me:secret@127.0.0.1:1/d", "--study-name", "s"],
            "--storage postgresql://me:***@127",
        ),
        (["--storage", "a.log", "--study-name", "s", "--algo", "dqn_quer"], "Unknown algorithm 'dqn_quer'; known: "),
        (["--storage", "a.log", "--study-name", "s", "--env", "CartPol-v1"], "Unknown environment 'CartPol-v1'; did"),
        (["--storage", "a.log", "--study-name", "s", "--ray", "127.0.0.1:1"], "ray: no cluster at 127.0.0.1:1"),
        (["--storage", "a.log", "--study-name", "s", "--ray", "in-process"], "--ray in-process is for the actors"),
        (["--storage", "a.log", "--study-name", "s", "--gpus", "0.5"], "--gpus 0.5 divides the GPUs of a cluster"),
        (["--storage", "a.log", "--study-name", "s", "-conf", "no.yml"], "-conf no.yml: this file does not exist"),
        (["--storage", "/proc/none/a.log", "--study-name", "s"], "--storage /proc/none/a.log cannot be written"),
        (["--storage", "a.log", "--study-name", "s", "-params", "gama:0.9"], "Unknown key 'gama' in the hyperparam"),
    ],
)
def test_what_cannot_be_tuned_is_said_before_anything_begins(runs, capsys, options, says):
    status, output = told(capsys, *CARTPOLE, *options)
    assert status == 2
    assert output.startswith(f"tune: error: {says}")
    assert output.count("\n") == 1
    assert "secret" not in output
    assert list(runs.iterdir()) == []


def test_workers_find_the_configuration_from_any_folder(runs):
    (runs / "mine.yml").write_text("default: {}\n")
    args, rest = tune._parser().parse_known_args(
        [*CARTPOLE, "--storage", "a.log", "--study-name", "s", "-conf", "mine.yml"]
    )
    (job,) = tune._workers(args, rest)
    assert job.arguments[job.arguments.index("-conf") + 1] == str(runs / "mine.yml")


@pytest.mark.parametrize("storage", ["study.log", "sqlite:///study.db"])
def test_workers_that_all_failed_leave_no_study(runs, storage):
    tuning.prepare_storage(storage)
    assert tuning.summary(storage, "s") == "Study s: not there yet, since no worker came as far as its first trial"


@pytest.mark.slow
@pytest.mark.postgres
def test_a_password_is_written_nowhere(runs, capsys):
    with postgres.server() as url:
        with_password = url.replace("zoo@", "zoo:secret@")
        zoo = ["-n", "100", "--n-evaluations", "1", "--eval-episodes", "1", "-params", "learning_starts:50"]
        study = ["--storage", with_password, "--study-name", "s", "--n-trials", "1", "--no-optim-plots"]
        status, output = told(capsys, *CARTPOLE, *zoo, *study)
        assert status == 0, output
        assert "Study s: 1 complete" in output
        command = optuna.load_study(study_name="s", storage=url).user_attrs["command"]
    assert url in command
    written = [path for path in runs.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".log", ".csv", ".pkl"}
    assert not [path for path in written if b"secret" in path.read_bytes()]
    assert "secret" not in output + command
