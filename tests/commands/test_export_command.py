"""`python -m sb3_atari_dqn export`: a run becomes a folder that other programs read, and a zip again."""

import json
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_dqn import PQN, ClassicDQN, DuelingDQN
from sb3_atari_dqn.commands import export, play
from tests.support.fake_runs import write_run

RUN = "CartPole-v1_1"
CLASSES: dict[type, str] = {DuelingDQN: "dqn_dueling", PQN: "dqn_pqn"}


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder of the zoo with an untrained model."""
    config = {"env_wrapper": ["sb3_atari_dqn.atari.NatureAtari"], "frame_stack": 4, "policy": "MlpPolicy"}
    folder = write_run(tmp_path / "logs" / RUN, env="CartPole-v1", config=config, seed=0)
    DuelingDQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu").save(folder / "CartPole-v1.zip")
    ClassicDQN("MlpPolicy", "CartPole-v1", seed=1, device="cpu").save(folder / "best_model.zip")
    return folder


def test_a_run_becomes_a_folder_and_a_zip_again(run, tmp_path, capsys):
    export.main([str(run), str(tmp_path / "out"), "--no-onnx", "--training-state"])
    printed = capsys.readouterr().out
    assert f"Wrote {tmp_path / 'out'}: config.json, model.safetensors, training.safetensors\n" in printed
    assert "No model.onnx: not wanted" in printed
    about = json.loads((tmp_path / "out" / "config.json").read_text())["about"]
    assert about["env"] == "CartPole-v1"
    assert (about["env_wrapper"], about["frame_stack"]) == (["sb3_atari_dqn.atari.NatureAtari"], 4)
    export.main([str(tmp_path / "out"), str(tmp_path / "again.zip")])
    assert "again.zip: a DuelingDQN" in capsys.readouterr().out
    model, again = (DuelingDQN.load(each, device="cpu") for each in (run / "CartPole-v1.zip", tmp_path / "again.zip"))
    observations = torch.randn(9, 4)
    assert torch.equal(model.q_net(observations), again.q_net(observations))


def test_the_best_model_of_a_run_and_a_zip_elsewhere_are_exported(run, tmp_path):
    export.main([str(run), str(tmp_path / "best"), "--no-onnx", "--load-best"])
    alone = (run / "best_model.zip").rename(tmp_path / "alone.zip")
    export.main([str(alone), str(tmp_path / "alone"), "--no-onnx"])
    best, other = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("best", "alone"))
    assert best["algorithm"] == other["algorithm"] == "ClassicDQN"
    assert best["files"] == other["files"]
    assert other["about"] == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing", "out"], "nothing does not exist"),
        (["text.zip", "out"], "text.zip is not a model that Stable-Baselines3 saved"),
        (["run", "out.zip"], "out.zip ends in .zip, but an export is a folder"),
        (["run", "taken"], "taken exists: remove it"),
        (["exported", "folder"], "end folder in .zip"),
        (["exported", "text.zip"], "text.zip exists"),
        (["exported", "/proc/new.zip"], "/proc/new.zip cannot be written ("),
        (["damaged", "new.zip"], "it is not JSON"),
        (["foreign", "out"], "foreign is not a model of this package; it exports ClassicDQN"),
    ],
)
def test_a_user_error_is_one_line(words, told, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run.rename("run")
    Path("text.zip").write_text("no zip")
    Path("taken").mkdir()
    Path("taken", "file").write_text("")
    Path("damaged").mkdir()
    Path("damaged", "config.json").write_text("{")
    if words[0] == "exported":
        DuelingDQN("MlpPolicy", "CartPole-v1", device="cpu").export("exported", onnx=False)
    if words[0] == "foreign":
        from stable_baselines3 import PPO

        PPO("MlpPolicy", "CartPole-v1", device="cpu").save("foreign.zip")
        Path("foreign.zip").rename("foreign")
    with pytest.raises(SystemExit) as caught:
        export.main(words)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: error: ")
    assert told in line
    assert " -o" not in line  # which the command does not have
    assert not Path("out").exists()


def test_the_export_of_a_normalized_run_says_how_to_play_it(tmp_path, capsys):
    config = {"policy": "MlpPolicy", "normalize": True}
    folder = write_run(tmp_path / RUN, env="CartPole-v1", config=config, seed=0)
    DuelingDQN("MlpPolicy", "CartPole-v1", device="cpu").save(folder / "CartPole-v1.zip")
    export.main([str(folder), str(tmp_path / "out"), "--no-onnx"])
    assert "so that play refuses it: play the run folder" in capsys.readouterr().out


# --- an exported folder is played


def exported(folder: Path, tmp_path: Path, **about) -> Path:
    """:return: an export of the model of this run, with changes to what it says about its environment"""
    out = tmp_path / "exported"
    if not out.exists():
        export.main([str(folder), str(out), "--no-onnx"])
    config = json.loads((out / "config.json").read_text())
    config["about"] = {"env": "CartPole-v1", **about}
    (out / "config.json").write_text(json.dumps(config))
    return out


def played(place: Path, video: Path) -> dict:
    play.main([str(place), "--max-steps", "12", "-o", str(video), "--deterministic"])
    return json.loads(video.with_suffix(".json").read_text())


@pytest.mark.parametrize("algorithm", [DuelingDQN, PQN])
def test_an_exported_model_plays_as_the_run_does(algorithm, tmp_path):
    run = write_run(tmp_path / "logs" / RUN, env="CartPole-v1", algo=CLASSES[algorithm], config={"policy": "MlpPolicy"})
    env = make_vec_env("CartPole-v1", 8)
    algorithm("MlpPolicy", env, seed=0, device="cpu").save(run / "CartPole-v1.zip")
    ours, theirs = (played(place, tmp_path / "v.mp4") for place in (exported(run, tmp_path), run))
    assert ours["algo"] == theirs["algo"] == CLASSES[algorithm]
    assert ours["episodes"] == theirs["episodes"]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (dict(env=None), "does not say which environment the model is for"),
        (dict(env="os:CartPole-v1"), "os (env: os:CartPole-v1)"),
        (dict(env="Nowhere-v0"), "Unknown environment Nowhere-v0"),
        (dict(env="Acrobot-v1"), "describes another environment than the model's"),
        (dict(env_wrapper="os.system"), "os.system"),
        (dict(vec_env_wrapper=[{"subprocess.Popen": {"args": "x"}}]), "subprocess.Popen"),
        (dict(env="ChromeDino-v0", env_kwargs={"browser": "/bin/sh"}), "/bin/sh (env_kwargs: browser)"),
        (dict(env_kwargs=[1]), "env_kwargs is a list"),
        (dict(frame_stack="x"), "frame_stack"),
        (dict(normalize=True), "whose statistics an export does not have"),
    ],
)
def test_what_an_export_says_of_its_environment_is_checked_before_it_is_built(about, told, run, tmp_path, capsys):
    place = exported(run, tmp_path, **about)
    with pytest.raises(SystemExit) as raised:
        play.main([str(place), "--max-steps", "1", "-o", str(tmp_path / "v.mp4")])
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("play: error: ")
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "v.mp4").exists()


def test_options_that_choose_a_model_need_a_run(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        play.main([str(exported(run, tmp_path)), "--load-best"])
    assert "is an exported model: omit --load-best" in capsys.readouterr().err
