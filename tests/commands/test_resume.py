"""A run that was killed goes on in its folder: ``python -m sb3_atari_dqn resume``, and the zoo's ``-i``."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sb3_atari_dqn.checkpoints.checkpoint import newest
from sb3_atari_dqn.zoo.resumable_run import open_run
from tests.support import markers
from tests.support.commands import files, run, train
from tests.support.interrupted import assert_same, rows
from tests.support.processes import wait_until

ARGUMENTS = [
    "--algo",
    "dqn_double",
    "--env",
    "CartPole-v1",
    "-n",
    "3000",
    "--seed",
    "3",
    "--eval-freq",
    "400",
    "--eval-episodes",
    "1",
]
PARAMS = ["-params", "learning_starts:100", "checkpoint_freq:200", "train_freq:4", "gradient_steps:1", "batch_size:8"]
CALLBACK = "callback:['sb3_atari_dqn.callbacks.LogEpisodes']"


def run_in(folder: Path) -> Path:
    return folder / "dqn_double" / "CartPole-v1_1"


def started(*command: str, log: Path) -> subprocess.Popen[bytes]:
    markers.require(f"{command[1]} is started", *markers.NOT_FAST)
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", *command], stdout=file, stderr=subprocess.STDOUT)


def has_checkpoint(folder: Path, least: int = 0) -> bool:
    steps = [int(path.name.split("step")[1]) for path in (run_in(folder) / "checkpoints").glob("*-step*[0-9]")]
    return max(steps, default=-1) >= least


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(*ARGUMENTS, "-f", str(folder), *PARAMS, CALLBACK)
    return run_in(folder)


def assert_complete(run_folder: Path, undisturbed: Path) -> None:
    assert_same(rows(undisturbed), rows(run_folder))
    for part in ("policy", "optimizer", "replay", "exploration", "generators"):
        names = [newest(each / "checkpoints").manifest.parts[part] for each in (run_folder, undisturbed)]
        assert names[0] == names[1], part  # sizes and checksums of the files


@pytest.mark.slow
def test_a_killed_run_goes_on_in_its_folder_and_a_second_process_is_refused(tmp_path, undisturbed):
    train_log, resume_log = tmp_path / "train.log", tmp_path / "resume.log"
    process = started("rl_zoo3.train", *ARGUMENTS, "-f", str(tmp_path), *PARAMS, CALLBACK, log=train_log)
    wait_until(lambda: has_checkpoint(tmp_path, 400) or process.poll() is not None, 120)
    process.kill()
    process.wait()
    folder = run_in(tmp_path)
    assert has_checkpoint(tmp_path), train_log.read_text()
    assert not (folder / "CartPole-v1.zip").exists()

    first = started("sb3_atari_dqn", "resume", str(folder), log=resume_log)
    wait_until(lambda: (folder / "checkpoints" / ".lock").read_text().startswith(f"process {first.pid} "), 120)
    second = run([sys.executable, "-m", "sb3_atari_dqn", "resume", str(folder)])
    assert first.wait() == 0, resume_log.read_text()
    assert "Continuing" in resume_log.read_text()
    assert "of 3,000" in resume_log.read_text()
    assert second.returncode == 2
    assert second.stdout.startswith("resume: error: "), second.stdout
    assert len(second.stdout.splitlines()) == 1
    assert_complete(folder, undisturbed)
    assert (folder / "CartPole-v1.zip").is_file()
    assert not [name for name in files(folder) if name.endswith((".tmp", ".unfinished"))]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_writes_a_checkpoint_first(tmp_path, undisturbed, number):
    log = tmp_path / "train.log"
    params = [each if "checkpoint_freq" not in each else "checkpoint_freq:'1h'" for each in PARAMS]
    process = started("rl_zoo3.train", *ARGUMENTS, "-f", str(tmp_path), *params, CALLBACK, log=log)
    wait_until(lambda: len(rows(run_in(tmp_path)).get("episodes.csv", [])) > 5 or process.poll() is not None, 120)
    process.send_signal(number)
    status = process.wait(60)
    assert status == (143 if number == signal.SIGTERM else 0), log.read_text()
    folder = run_in(tmp_path)
    assert f"To continue: python -m sb3_atari_dqn resume {os.path.relpath(folder)}" in log.read_text()
    stopped_at = newest(folder / "checkpoints").step
    assert 0 < stopped_at < 3000
    # the zoo's own way: any model in the folder; a SIGTERM leaves no model, as the zoo does not save one then
    model = folder / "CartPole-v1.zip"
    if number == signal.SIGTERM:
        assert not model.exists()
        shutil.copy(undisturbed / "CartPole-v1.zip", model)
    said = train("--algo", "dqn_double", "--env", "CartPole-v1", "-i", str(model))
    assert f"from step {stopped_at:,} of 3,000" in said
    assert_complete(folder, undisturbed)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, undisturbed):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    before = {name: (folder / name).read_bytes() for name in files(folder) if (folder / name).is_file()}
    model = str(folder / "CartPole-v1.zip")
    refused = [
        (
            ["--algo", "dqn_double", "--env", "CartPole-v1", "-i", model],
            "at step 3,000 already, and 3,000 are not",
        ),
        (
            ["--algo", "dqn_double", "--env", "CartPole-v1", "-i", model, "-n", "700"],
            "at step 3,000 already, and 700 are not",
        ),
        (["--algo", "dqn_classic", "--env", "CartPole-v1", "-i", model, "-n", "3100"], "--algo dqn_double, not dqn_cl"),
        (["--algo", "dqn_double", "--env", "Acrobot-v1", "-i", model, "-n", "3100"], "--env CartPole-v1, not Acrobot"),
        (
            ["--algo", "dqn_double", "--env", "CartPole-v1", "-i", model, "-n", "3100", "-params", "gamma:0.9"],
            r"-params gamma: .* is continued as it was",
        ),
    ]
    for arguments, message in refused:
        with pytest.raises(ValueError, match=message):
            train(*arguments, "-f", str(tmp_path / "other"))
    damaged = newest(folder / "checkpoints").path / "policy.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"checksum does not match\. The last intact checkpoint before it is that of"):
        train("--algo", "dqn_double", "--env", "CartPole-v1", "-i", model, "-n", "3100")
    content[-100] ^= 1
    damaged.write_bytes(content)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert not (tmp_path / "other").exists()


def test_a_complete_run_accepts_a_higher_number_of_steps(tmp_path, undisturbed):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    model = str(folder / "CartPole-v1.zip")
    said = train("--algo", "dqn_double", "--env", "CartPole-v1", "-i", model, "-n", "3200", *PARAMS)  # as it was
    assert "from step 3,000 of 3,200" in said
    assert newest(folder / "checkpoints").step == 3200
    longer, shorter = rows(folder)["episodes.csv"], rows(undisturbed)["episodes.csv"]
    assert longer[: len(shorter)] == shorter
    assert len(longer) > len(shorter)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # no new folder


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gym_packages: [payload]", "it would run payload"),
        ("gym_packages: [json, --env-kwargs, \"a:__import__('os').abort()\"]", "it would run json, --env-kwargs"),
        ("num_threads: --help", "num_threads '--help', not a whole number"),
        ("algo: --track", "algo '--track', which is not a name"),
    ],
)
def test_the_command_line_of_a_stranger_is_not_typed_again(tmp_path, undisturbed, monkeypatch, line, message):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (tmp_path / "payload.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    args = folder / "CartPole-v1" / "args.yml"
    values = {**yaml.unsafe_load(args.read_text()), **yaml.safe_load(line)}
    args.write_text(yaml.dump(dict(values)))
    with pytest.raises(ValueError, match=re.escape(message)):
        open_run(folder, 4000)
    if "gym_packages" in line and "--" in line:
        with pytest.raises(ValueError, match="gym_packages 1 '--env-kwargs', which is not a name"):
            open_run(folder, 4000, trust=True)


def test_a_run_that_cannot_be_written_is_refused(tmp_path, undisturbed):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (folder / "checkpoints" / ".lock").unlink()
    (folder / "checkpoints" / ".lock").mkdir()  # no file can be written there, not even by root
    with pytest.raises(ValueError, match=r"run cannot be continued, .*\.lock'\): copy the run to a folder"):
        open_run(folder, 4000)


@pytest.mark.slow
def test_resume_says_in_one_line_what_is_wrong(tmp_path, undisturbed):
    (tmp_path / "empty").mkdir()
    for place, message in (
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "empty", "holds no checkpoints of a run"),
        (undisturbed, "at step 3,000 already, and 3,000 are not"),
    ):
        done = run([sys.executable, "-m", "sb3_atari_dqn", "resume", str(place)])
        assert done.returncode == 2
        assert len(done.stdout.splitlines()) == 1, done.stdout
        assert message in done.stdout
