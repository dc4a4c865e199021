"""Push a model to a Hub, load it again: the zoo's scripts and the real client against a loopback server."""

import argparse
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.repocard import metadata_save
from requests.exceptions import HTTPError
from rl_zoo3.utils import StoreDict

from sb3_atari_dqn import RainbowDQN
from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo import hub
from tests.support import warm
from tests.support.commands import TINY_ATARI, run, zoo
from tests.support.hub_server import TOKEN, File, HubServer, Repo

ALGO, ENV = "dqn_dueling", "PongNoFrameskip-v4"
PONG = ("--algo", ALGO, "--env", ENV, "-f", "logs")
NAME = f"{ALGO}-{ENV}"
REPO = f"tester/{NAME}"
VIDEO_STEPS = 60
UNPATCHED = {"SB3_ATARI_DQN_AUTOLOAD": "0", "PYTHONWARNINGS": "ignore"}


def client(server: HubServer, home: Path, **more: str) -> dict[str, str]:
    """Environment of a user of this Hub who has logged in and has not said that remote code is trusted."""
    return {
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "TRUST_REMOTE_CODE": "False",
        **more,
    }


@dataclass
class Pushed:
    """What one push left behind.

    :param folder: the working directory, with logs/ and hub/
    :param files: the files of the repository on the server
    :param printed: what push_to_hub printed
    """

    server: HubServer
    folder: Path
    files: dict[str, File]
    printed: str

    @property
    def card(self) -> str:
        return self.files["README.md"].content.decode()

    @property
    def commands(self) -> list[str]:
        """All shell commands of the card, in the order in which they are printed."""
        return [line for block in re.findall(r"```bash\n(.*?)```", self.card, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def pushed(server, tmp_path_factory):
    """A short run on Pong, pushed from a machine that has no programs on its PATH, so no ffmpeg."""
    folder = tmp_path_factory.mktemp("pushed")
    tiny = ("-n", "400", "--seed", "4", "--eval-freq", "-1", "-params", *TINY_ATARI, "precision:'fp32'")
    trained = zoo("train", *PONG, *tiny, cwd=folder)
    assert trained.returncode == 0, trained.stdout
    env = client(server, folder / "home", PATH=str(folder))
    result = zoo("push_to_hub", *PONG, "-orga", "tester", "-n", str(VIDEO_STEPS), cwd=folder, env=env)
    assert result.returncode == 0, result.stdout
    return Pushed(server, folder, server.repos[REPO].files, result.stdout)


def frames_of(video: Path) -> list:
    capture, frames = cv2.VideoCapture(str(video)), []
    while (frame := capture.read())[0]:
        frames.append(frame[1])
    return frames


@pytest.mark.slow
def test_pushing_uploads_model_and_video_through_the_large_file_path(pushed):
    for name in (f"{NAME}.zip", "replay.mp4"):
        local = (pushed.folder / "hub" / NAME / name).read_bytes()
        oid = hashlib.sha256(local).hexdigest()
        assert pushed.files[name] == File(local, oid)
        assert f"PUT /lfs/{oid}" in pushed.server.requests
    assert {"README.md", "args.yml", "config.yml", "env_kwargs.yml", "results.json"} <= set(pushed.files)
    assert pushed.server.repos[REPO].commits == ["initial commit", "Initial commit"]
    assert "No replay video" not in pushed.printed


@pytest.mark.slow
def test_the_replay_is_an_h264_video_that_shows_the_game(pushed, tmp_path):
    replay = tmp_path / "replay.mp4"
    replay.write_bytes(pushed.files["replay.mp4"].content)
    codec = int(cv2.VideoCapture(str(replay)).get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    frames = frames_of(replay)
    assert codec in (b"avc1", b"h264")
    assert len(frames) in (VIDEO_STEPS, VIDEO_STEPS + 1)
    assert frames[0].shape == (210, 160, 3)
    assert abs(frames[-1].astype(int) - frames[0].astype(int)).max() > 50, "nothing moves"


@pytest.mark.slow
def test_the_card_shows_the_score_with_its_protocol(pushed):
    results = json.loads(pushed.files["results.json"].content)
    score = f"{results['mean_reward']:.2f} +/- {results['std_reward']:.2f}"
    assert -21 <= results["mean_reward"] <= -17, "after 400 steps it plays no better than a random policy"
    for row in (
        f"| Mean and standard deviation | **{score}** (raw game score, full episodes over all lives) |",
        "| Episodes | 10 |",
        "| Actions | stochastic (epsilon-greedy, epsilon = 0.01) |",
        f"| Environment | `{ENV}`, 4 frames per step |",
        "| Evaluation seed | 0 |",
        "| Training | 400 environment steps (1,600 frames), seed 4 |",
    ):
        assert row in pushed.card.splitlines()
    (model,) = ModelCard(pushed.card).data.to_dict()["model-index"]
    assert model["name"] == "DuelingDQN"
    assert model["results"][0]["metrics"][0]["value"] == score


@pytest.mark.slow
def test_the_metadata_of_the_card_are_what_the_hub_searches_for(pushed):
    data = ModelCard(pushed.card).data.to_dict()
    assert (data["library_name"], data["license"]) == ("stable-baselines3", "mit")
    assert data["pipeline_tag"] == "reinforcement-learning"
    assert {ENV, "deep-reinforcement-learning", "atari", "sb3-atari-dqn", ALGO} <= set(data["tags"])


@pytest.mark.slow
def test_the_card_shows_the_video_that_was_pushed(pushed):
    (url,) = re.findall(r'<video src="(.*?)"', pushed.card)
    without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with without_proxy.open(url) as answer:
        assert answer.read() == pushed.files["replay.mp4"].content


@pytest.mark.slow
def test_the_hyperparameters_on_the_card_are_a_configuration_that_the_zoo_reads(pushed):
    (block,) = re.findall(r"```yaml\n(.*?)```", pushed.card, re.DOTALL)
    config = yaml.safe_load(block)[ENV]
    assert config["n_timesteps"] == 400
    assert config["learning_starts"] == 150
    assert config["env_wrapper"] == ["sb3_atari_dqn.atari.NatureAtari"]


@pytest.mark.slow
def test_nothing_is_downloaded_until_the_user_trusts_the_repository(pushed, tmp_path):
    env = client(pushed.server, tmp_path / "home")
    result = zoo("load_from_hub", *PONG, "-orga", "tester", cwd=tmp_path, env=env)
    assert result.returncode != 0
    assert "you can set the environment variable `TRUST_REMOTE_CODE` to `True`" in result.stdout
    assert not (tmp_path / "logs").exists()


@pytest.mark.slow
def test_a_repository_of_a_stranger_is_downloaded_and_refused(pushed, tmp_path):
    """Its configuration looks harmless: the archive of the metrics, unpacked last, replaces it."""
    marker, metrics = tmp_path / "marker", io.BytesIO()
    with zipfile.ZipFile(metrics, "w") as archive:
        archive.writestr(f"{ENV}/config.yml", f"x: !!python/object/apply:os.system ['touch {marker}']")
    files = {**pushed.files, "train_eval_metrics.zip": File(metrics.getvalue())}
    pushed.server.repos[f"stranger/{NAME}"] = Repo(files)
    env = client(pushed.server, tmp_path / "home", TRUST_REMOTE_CODE="True")
    downloaded = zoo("load_from_hub", *PONG, "-orga", "stranger", cwd=tmp_path, env=env)
    assert "Saving to logs" in downloaded.stdout, downloaded.stdout
    played = zoo("enjoy", *PONG, "-n", "5", "--no-render", cwd=tmp_path, env=env)
    assert "config.yml, line 1, is refused: it would run os.system" in played.stdout
    assert "Traceback" not in played.stdout
    assert not marker.exists()


def warm_python(folder: Path) -> Path:
    """:return: the folder, where ``python -m MODULE`` is found that needs no start of Python"""
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.join(warm.command())} "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.mark.slow
def test_every_command_on_the_card_runs_as_printed(pushed, tmp_path):
    """One user, top to bottom; the window, on a screen that is not there, plays in real time beside the rest."""
    path = os.pathsep.join([str(warm_python(tmp_path / "bin")), str(Path(sys.executable).parent), os.environ["PATH"]])
    no_screen = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    env = {**os.environ, **client(pushed.server, tmp_path / "home", PATH=path, PIP_NO_INDEX="1", **no_screen)}
    said_before: list[str] = []
    processes: dict[str, subprocess.Popen] = {}
    for command in pushed.commands:
        if command.startswith("export "):
            said_before.append(command)
            continue
        script = "\n".join([*said_before, command])
        processes[command] = subprocess.Popen(
            script, shell=True, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if not command.endswith("rl_zoo3.enjoy --algo dqn_dueling --env PongNoFrameskip-v4 -f logs/"):
            processes[command].wait(timeout=120)
    printed = {command: process.communicate(timeout=120)[0] for command, process in processes.items()}
    assert said_before == ["export TRUST_REMOTE_CODE=True"]
    assert [process.returncode for process in processes.values()] == [0] * 6, printed
    check_what_the_commands_left(pushed, tmp_path / "logs" / ALGO, "\n".join(printed.values()))


def check_what_the_commands_left(pushed: Pushed, runs: Path, printed: str) -> None:
    downloaded, trained_again = runs / f"{ENV}_1", runs / f"{ENV}_2"
    assert (downloaded / f"{ENV}.zip").read_bytes() == pushed.files[f"{NAME}.zip"].content
    assert len(re.findall(r"Atari Episode Score: -?\d+\.\d\d", printed)) >= 2
    (video,) = (downloaded / "videos").glob("*.mp4")
    assert len(frames_of(video)) >= 1000
    trained_before = pushed.folder / "logs" / ALGO / f"{ENV}_1"
    assert weights(trained_again / f"{ENV}.zip") == weights(trained_before / f"{ENV}.zip")


def weights(model: Path) -> list[float]:
    from sb3_atari_dqn import DuelingDQN

    state = DuelingDQN.load(model, device="cpu").policy.state_dict()
    return [value for tensor in state.values() for value in tensor.double().flatten()[:100].tolist()]


@pytest.mark.slow
def test_record_training_works_without_ffmpeg_without_fonts_and_without_python_on_the_path(pushed, tmp_path):
    no_fonts = tmp_path / "fonts.conf"
    no_fonts.write_text('<?xml version="1.0"?><fontconfig></fontconfig>')
    env = {"PATH": str(tmp_path), "FONTCONFIG_FILE": str(no_fonts), "TMPDIR": str(tmp_path)}
    result = zoo("record_training", *PONG, "-n", "20", "-g", cwd=pushed.folder, env=env)
    videos = pushed.folder / "logs" / ALGO / f"{ENV}_1" / "videos"
    assert result.returncode == 0, result.stdout
    plain, captioned = (frames_of(next(videos.glob(name)))[10] for name in ("final-model*.mp4", "training.mp4"))
    changed = abs(captioned.astype(int) - plain.astype(int)).max(axis=(1, 2)) > 100  # [H]
    assert changed[12:36].any(), "no text was drawn"
    assert not changed[60:].any()
    assert (videos / "training.gif").stat().st_size > 1000
    assert list(tmp_path.glob("sb3_atari_dqn_video_*")) == []


def ffmpeg_taken(own: Path, script: str) -> subprocess.CompletedProcess:
    """:return: prints which ffmpeg the zoo finds, and its answer, where the path leads to the program ``own`` alone"""
    own.write_text(f"#!/bin/sh\n{script}\n")
    own.chmod(0o755)
    code = (
        "import shutil, subprocess; from sb3_atari_dqn.zoo.video_tools import put_video_tools_on_path;"
        "put_video_tools_on_path(); print(shutil.which('ffmpeg'), flush=True); subprocess.run(['ffmpeg', '-version'])"
    )
    env = {"PATH": str(own.parent)}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["echo own", 'echo " T. drawtext  V->V  Draw text"; [ "$1" = -version ]'])
def test_a_system_ffmpeg_that_knows_drawtext_stays_in_place_with_or_without_fonts(script, tmp_path):
    own = tmp_path / "ffmpeg"
    result = ffmpeg_taken(own, script)
    assert result.stdout.splitlines()[0] == str(own)
    assert result.stderr == ""


@pytest.mark.slow
def test_a_system_ffmpeg_without_drawtext_gives_way_and_the_user_is_told(tmp_path):
    own = tmp_path / "ffmpeg"
    result = ffmpeg_taken(own, "exit 1")
    taken, version = result.stdout.splitlines()[:2]
    assert taken != str(own)
    assert version.startswith("ffmpeg version")
    assert f"{own} was built without the filter drawtext: imageio-ffmpeg's is used." in result.stderr


@pytest.mark.parametrize("left_by_ffmpeg", [None, b"half a video"])
def test_a_replay_that_cannot_be_made_is_said_and_an_older_one_is_not_shown(
    left_by_ffmpeg, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(hub, "put_video_tools_on_path", lambda: None)
    replay = tmp_path / "replay.mp4"
    replay.write_bytes(b"video of an earlier push")

    def upstream(*args):
        if left_by_ffmpeg is not None:
            replay.write_bytes(left_by_ffmpeg)

    hub.generate_replay(upstream, None, None, 10, True, tmp_path)
    assert not replay.exists()
    assert f"No replay video: ffmpeg did not write a playable {replay}" in capsys.readouterr().err


def missing_file_error() -> Exception:
    error = hub.RemoteEntryNotFoundError.__new__(hub.RemoteEntryNotFoundError)
    error.args = ("404 Client Error",)
    return error


def test_a_file_that_the_repository_lacks_is_the_error_that_the_zoo_expects():
    def upstream(repo_id, filename):
        raise missing_file_error()

    with pytest.raises(HTTPError, match=r"vec_normalize\.pkl is not in .*/tester/model"):
        hub.load_from_hub(upstream, "tester/model", "vec_normalize.pkl")


def test_a_lost_connection_is_not_taken_for_a_missing_file():
    def upstream(repo_id, filename):
        raise LocalEntryNotFoundError("no connection")

    with pytest.raises(LocalEntryNotFoundError):
        hub.load_from_hub(upstream, "tester/model", "vec_normalize.pkl")


def write_card(
    folder: Path,
    *,
    video: bool = False,
    args: dict | None = None,
    env_kwargs: dict | None = None,
    results: dict | None = None,
    config: dict | None = None,
) -> str:
    """Let the zoo's last step write the card of a repository in ``folder``, with no more than upstream's results.

    :param video: whether the replay in the folder is of this push
    :param args: beyond a plain training of dqn_dueling on Pong with seed 1
    :param results: beyond those of upstream
    """
    args = {"algo": ALGO, "env": ENV, "seed": 1, "n_timesteps": -1, "env_kwargs": None, **(args or {})}
    scores = {
        "mean_reward": 20.5,
        "std_reward": 0.25,
        "n_eval_episodes": 10,
        "is_deterministic": True,
        **(results or {}),
    }
    folder.mkdir()
    (folder / "replay.mp4").write_bytes(b"")
    (folder / "results.json").write_text(json.dumps(scores))
    os.utime(folder / "results.json", (1e9, 1e9 if video else 2e9))
    os.utime(folder / "replay.mp4", (1e9 + 1, 1e9 + 1))
    config = config or {"policy": "CnnPolicy"}
    for name, content in (("args", args), ("config", config), ("env_kwargs", env_kwargs or {})):
        (folder / f"{name}.yml").write_text(yaml.dump(content))
    card = folder / "README.md"
    card.write_text(f"# upstream's card\npush_to_hub --algo {args['algo']} -orga tester\n")
    metadata = ModelCardData(tags=["reinforcement-learning"]).to_dict()
    hub.save_metadata(metadata_save, card, metadata)
    return card.read_text()


@pytest.mark.parametrize(
    ("exploration", "actions"),
    [("none", "deterministic (greedy)"), ("linear", "stochastic (epsilon-greedy, epsilon = 0.05)")],
)
def test_a_policy_without_epsilon_is_called_greedy(tmp_path, exploration, actions):
    model = RainbowDQN("MlpPolicy", "CartPole-v1", exploration=exploration, buffer_size=100).learn(20)
    results = {"is_deterministic": False, "epsilon": model.exploration_rate}
    card = write_card(tmp_path / "repo", args={"algo": "dqn_rainbow"}, results=results)
    assert f"| Actions | {actions} |" in card.splitlines()


def test_other_algorithms_keep_the_card_of_upstream(tmp_path):
    card = write_card(tmp_path / "repo", args={"algo": "ppo"})
    assert card == "---\ntags:\n- reinforcement-learning\n---\n# upstream's card\npush_to_hub --algo ppo -orga tester\n"


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_each_of_our_algorithms_has_a_card_of_its_own(algo, tmp_path):
    card = write_card(tmp_path / f"{algo}-{ENV}", args={"algo": algo})
    assert f"# **{ALGORITHMS[algo].class_name}** agent playing **{ENV}**" in card
    assert f"The algorithm `{algo}` is {ALGORITHMS[algo].summary} (" in card
    assert all(f"[{each.authors} {each.year}]({each.url})" in card for each in ALGORITHMS[algo].papers)
    assert f"rl_zoo3.load_from_hub --algo {algo} --env {ENV} -f logs/ -orga tester\n" in card
    assert "upstream" not in card
    assert re.findall(r"`docs/(\w+\.md)`", card) == [f"{algo}.md"]
    assert (Path(__file__).parents[2] / "docs" / f"{algo}.md").is_file()


def test_what_is_not_known_is_left_out_of_the_card(tmp_path):
    card = write_card(tmp_path / "repo")
    assert "| Actions | deterministic (greedy) |" in card
    assert "(undiscounted return)" in card
    for unknown in ("<video", "Evaluation seed", "| Training |", "frames per step", "None"):
        assert unknown not in card


def test_a_video_of_an_earlier_push_is_not_shown_as_this_model(tmp_path):
    assert "<video" in write_card(tmp_path / "new", video=True)
    assert "<video" not in write_card(tmp_path / "old", video=False)


def test_the_arguments_of_the_environment_are_part_of_the_protocol(tmp_path):
    card = write_card(tmp_path / "repo", env_kwargs={"render_mode": "rgb_array", "frameskip": 1})
    assert f"| Environment | `{ENV}`, arguments `{{'frameskip': 1}}` |" in card


def test_a_repository_under_another_name_is_named_in_the_command(tmp_path):
    card = write_card(tmp_path / "pong-3", args={"env": "ALE/Pong-v5"})
    assert "--env ALE/Pong-v5 -f logs/ -orga tester -name pong-3\n" in card
    assert "-name" not in write_card(tmp_path / f"{ALGO}-ALE-Pong-v5", args={"env": "ALE/Pong-v5"})


def test_the_training_command_repeats_every_choice_of_the_user(tmp_path):
    chosen = {"env_kwargs": {"frameskip": 1}, "hyperparams": {"policy_kwargs": {"torso": "a b"}, "gamma": 0.5}}
    card = write_card(tmp_path / "repo", args={"n_timesteps": 500, "eval_freq": -1, **chosen})
    (command,) = re.findall(r"^python -m rl_zoo3.train (.*)$", card, re.MULTILINE)
    assert "-params gamma:0.5 \"policy_kwargs:{'torso': 'a b'}\"" in command
    parser = argparse.ArgumentParser()
    for flag in ("--algo", "--env", "-f", "-n", "--eval-freq", "--seed"):
        parser.add_argument(flag)
    parser.add_argument("--env-kwargs", nargs="+", action=StoreDict)
    parser.add_argument("-params", "--hyperparams", nargs="+", action=StoreDict)
    words = vars(parser.parse_args(shlex.split(command)))
    assert words == {"algo": ALGO, "env": ENV, "f": "logs/", "n": "500", "eval_freq": "-1", "seed": "1", **chosen}


def test_numbers_without_a_literal_can_be_evaluated_in_the_training_command(tmp_path):
    chosen = {"max_grad_norm": float("inf"), "policy_kwargs": {"bounds": [-float("inf"), 1.0]}}
    card = write_card(tmp_path / "repo", args={"hyperparams": chosen})
    (command,) = re.findall(r"^python -m rl_zoo3.train (.*)$", card, re.MULTILINE)
    parser = argparse.ArgumentParser()
    parser.add_argument("-params", nargs="+", action=StoreDict)
    assert parser.parse_known_args(shlex.split(command))[0].params == chosen


@pytest.mark.parametrize("given", [{"ray.address": "10.1.2.3:6379"}, {"ray": {"address": "10.1.2.3:6379"}}])
def test_the_cluster_of_the_author_is_not_published(tmp_path, given):
    config = {"policy": "CnnPolicy", "ray": {"address": "10.1.2.3:6379", "actors": 2}}
    card = write_card(tmp_path / "alone", args={"hyperparams": given}, config=config)
    assert "10.1.2.3" not in card
    assert "-params" not in card
    assert "played by actors" in card
    assert "-params gamma:0.5\n" in write_card(tmp_path / "with", args={"hyperparams": {**given, "gamma": 0.5}})


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"conf_file": "mine.yml"}, "add `-conf hyperparameters.yml`"),
        ({"trial_id": 0}, "add `-conf hyperparameters.yml`"),
        ({"trained_agent": "old.zip"}, "continued the training of an earlier model"),
    ],
)
def test_the_card_says_what_its_training_command_does_not_repeat(args, sentence, tmp_path):
    assert sentence in write_card(tmp_path / "with", args=args)
    assert sentence not in write_card(tmp_path / "without")


def test_a_recipe_is_named_in_the_training_command(tmp_path):
    card = write_card(tmp_path / "repo", args={"conf_file": "sb3_atari_dqn.recipes.pong_elu"})
    (command,) = re.findall(r"^python -m rl_zoo3.train (.*)$", card, re.MULTILINE)
    assert "-conf sb3_atari_dqn.recipes.pong_elu" in command
    assert "hyperparameters.yml" not in card


UPSTREAM_DEFECTS = """
import importlib, json, inspect, huggingface_hub.errors as errors, requests
push = importlib.import_module("huggingface_sb3.push_to_hub")
print(json.dumps({
    "generate_metadata": hasattr(push, "generate_metadata"),
    "returns_a_mapping": isinstance(push._generate_metadata("DQN", "Pong", 1.0, 0.0), dict),
    "missing_file_is_http_error": issubclass(errors.RemoteEntryNotFoundError, requests.exceptions.HTTPError),
    "looks_at_ffmpeg": "os.system(" not in inspect.getsource(push._generate_replay),
}))
"""


@pytest.mark.slow
def test_upstream_still_has_the_defects_that_are_repaired():
    result = run([sys.executable, "-c", UPSTREAM_DEFECTS], env=UNPATCHED)
    defects = ("generate_metadata", "returns_a_mapping", "missing_file_is_http_error", "looks_at_ffmpeg")
    assert json.loads(result.stdout.splitlines()[-1]) == dict.fromkeys(defects, False)


@pytest.mark.slow
def test_upstream_still_cannot_push():
    result = zoo("push_to_hub", "--help", env=UNPATCHED)
    assert "cannot import name 'generate_metadata'" in result.stdout


@pytest.mark.slow
def test_the_model_is_pushed_without_pickle_beside_the_zip(pushed, tmp_path):
    from sb3_atari_dqn import DuelingDQN

    names = ("config.json", "model.safetensors", "model.onnx")
    for name in names:
        (tmp_path / name).write_bytes(pushed.files[name].content)
    (tmp_path / "model.zip").write_bytes(pushed.files[f"{NAME}.zip"].content)
    imported, loaded = DuelingDQN.import_(tmp_path), DuelingDQN.load(tmp_path / "model.zip")
    for name, tensor in loaded.q_net.state_dict().items():
        assert tensor.equal(imported.q_net.state_dict()[name])
    assert "`config.json`, `model.safetensors`, `model.onnx`. Nothing in these files is executed" in pushed.card
    (block,) = re.findall(r"```python\n(.*?)```", pushed.card, re.DOTALL)
    env = client(pushed.server, tmp_path / "home")
    result = run([sys.executable, "-c", f"{block}\nprint(model.num_timesteps)"], env=env)
    assert result.stdout.splitlines()[-1] == "400", result.stdout


def test_what_cannot_be_exported_is_told_and_an_earlier_export_is_removed(tmp_path):
    from sb3_atari_dqn import ClassicDQN
    from sb3_atari_dqn.zoo.exports import export_beside

    model = ClassicDQN("MlpPolicy", "CartPole-v1", device="cpu")
    (tmp_path / "training.safetensors").write_bytes(b"of an earlier push")
    (tmp_path / "results.json").write_text("{}")
    export_beside(model, tmp_path)
    assert {"config.json", "model.safetensors", "results.json"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "training.safetensors").exists()
    model.learning_rate = lambda _: 1e-3
    assert "learning_rate=<function" in export_beside(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_repository_without_an_export_does_not_speak_of_one(tmp_path):
    assert "without pickle" not in write_card(tmp_path / "repo")
