"""Run folders of strangers through every command: nothing in them runs, and the refusal names it."""

import contextlib
import hashlib
import io
import os
import pickle
import runpy
import shutil
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import rl_zoo3.utils
import yaml
from torch import nn

from sb3_atari_dqn import UnsafeFile
from sb3_atari_dqn.checkpoints import safe_objects
from sb3_atari_dqn.checkpoints.model_files import read_attributes
from sb3_atari_dqn.checkpoints.statistics_files import read_statistics
from sb3_atari_dqn.commands import play
from sb3_atari_dqn.zoo import hub
from sb3_atari_dqn.zoo.plain_yaml import evaluated, read_yaml
from sb3_atari_dqn.zoo.run_files import IMPORTED_TO_TRAIN, check_run, read_args, read_config
from sb3_atari_dqn.zoo.saved_run import find_run
from tests.support.commands import run, train, zoo
from tests.support.exploits import YAML_LINES, Touches, by_name, rewritten, with_attribute

ENV = "CartPole-v1"
OURS = ("--algo", "dqn_classic", "--env", ENV)

# --- config.yml and args.yml


def edited(path: Path, line: str, marker: Path) -> int:
    """Put a line into a file of the zoo.

    :return: its number
    """
    line = line.format(marker=marker)
    key = line.partition(":")[0]
    found = dict(yaml.unsafe_load(path.read_text())) if path.is_file() else {"n_timesteps": 1}
    path.parent.mkdir(exist_ok=True, parents=True)
    text = yaml.safe_dump({name: value for name, value in found.items() if name != key})
    path.write_text(f"{text}{line}\n")
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("line", YAML_LINES)
def test_a_line_that_would_run_something_is_refused_with_its_number(line, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "config.yml"
    number = edited(path, line, marker)
    with pytest.raises(UnsafeFile, match=rf"config\.yml, line {number}, is refused: it would run .*{YAML_LINES[line]}"):
        read_config(path)
    assert not marker.exists()


@pytest.mark.parametrize("line", [line for line in YAML_LINES if "!!" in line or "browser" in line])
def test_the_same_in_the_command_line_of_a_run(line, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "args.yml"
    number = edited(path, line, marker)
    with pytest.raises(UnsafeFile, match=rf"args\.yml, line {number}, is refused: .*{YAML_LINES[line]}"):
        read_args(path)
    assert not marker.exists()


def test_an_environment_that_names_a_module_is_refused(tmp_path):
    number = edited(tmp_path / "args.yml", "env: os:CartPole-v1", tmp_path)
    with pytest.raises(UnsafeFile, match=rf"args\.yml, line {number}, is refused: it would run os \("):
        read_args(tmp_path / "args.yml")


def test_what_the_zoo_writes_is_read_as_plain_values(tmp_path):
    values = {
        "policy": "MlpPolicy",
        "train_freq": (1, "step"),
        "learning_rate": 1e-4,
        "normalize": "dict(norm_obs=True, norm_reward=False, clip_obs=10.)",
        "policy_kwargs": {"activation_fn": nn.ReLU, "net_arch": [64, 64]},
        "env_wrapper": [{"stable_baselines3.common.atari_wrappers.WarpFrame": {"width": 36}}],
    }
    (tmp_path / "config.yml").write_text(yaml.dump(OrderedDict(values)))
    assert read_config(tmp_path / "config.yml") == values
    text = (tmp_path / "config.yml").read_text().splitlines()
    assert "normalize" in text[read_yaml(tmp_path / "config.yml")[1]["normalize"] - 1]


@pytest.mark.parametrize("key", ["callback", "policy"])
def test_names_that_only_training_imports_are_refused_to_those_who_train(key, tmp_path):
    path = tmp_path / "config.yml"
    number = edited(path, f"{key}: my_module.Mine", tmp_path)
    assert read_config(path)[key] == "my_module.Mine"
    with pytest.raises(UnsafeFile, match=rf"config\.yml, line {number}, .*my_module\.Mine"):
        read_config(path, imported=IMPORTED_TO_TRAIN)
    assert read_config(path, trust=True, imported=IMPORTED_TO_TRAIN)
    edited(path, f"{key}: sb3_atari_dqn.callbacks.SaveProgress" if key == "callback" else "policy: CnnPolicy", tmp_path)
    assert read_config(path, imported=IMPORTED_TO_TRAIN)


CHECKPOINTS = "stable_baselines3.common.callbacks.CheckpointCallback"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callback", [{CHECKPOINTS: {"save_freq": 1, "save_path": "/elsewhere"}}]),
        ("callback", {CHECKPOINTS: {"save_freq": 1, "save_path": "elsewhere"}}),
        ("callback", [{CHECKPOINTS: {"save_freq": 1, "save_path": "{run}/in", "name_prefix": "../../out"}}]),
        ("callback", [{"sb3_atari_dqn.callbacks.LogEpisodes": {"folder": "{run}/../out"}}]),
        ("callback", [{"sb3_atari_dqn.callbacks.SaveProgress": {"folder": "~"}}]),
        ("env_wrapper", [{"gymnasium.wrappers.TimeLimit": {"more": [{"path": "out"}]}}]),
        ("monitor_kwargs", "dict(filename='out')"),
    ],
)
def test_what_a_training_would_write_outside_of_its_run_is_refused(key, value, tmp_path):
    path = tmp_path / "run" / ENV / "config.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({key: value}).replace("{run}", str(tmp_path / "run")))
    with pytest.raises(UnsafeFile, match=r"it would write to .*, outside of the run's folder"):
        read_config(path, imported=IMPORTED_TO_TRAIN)
    assert read_config(path, imported=IMPORTED_TO_TRAIN, trust=True)


def test_a_training_may_write_into_its_run(tmp_path):
    path = tmp_path / "run" / ENV / "config.yml"
    path.parent.mkdir(parents=True)
    inside = {"save_freq": 1, "save_path": str(tmp_path / "run" / "models"), "name_prefix": "model"}
    config = {"callback": [{CHECKPOINTS: inside}, "sb3_atari_dqn.callbacks.LogEpisodes"]}
    path.write_text(yaml.safe_dump(config))
    assert read_config(path, imported=IMPORTED_TO_TRAIN) == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dict(net_arch=[64, 64], activation_fn=nn.ReLU)", {"net_arch": [64, 64], "activation_fn": nn.ReLU}),
        ("dict(log_std_init=-2, ortho_init=False)", {"log_std_init": -2, "ortho_init": False}),
        ("{'a': (1, 2.5e3), 'b': {3}}", {"a": (1, 2500.0), "b": {3}}),
        ("dict(net_arch=[64] * 2, betas=(0.5,) * 2)", {"net_arch": [64, 64], "betas": (0.5, 0.5)}),
        ("th.nn.Tanh", nn.Tanh),
        (
            "dict(optimizer_kwargs=dict(eps=1e-3 / 32, weight=2 ** 3))",
            {"optimizer_kwargs": {"eps": 3.125e-05, "weight": 8}},
        ),
        ("float('inf')", float("inf")),
    ],
)
def test_expressions_of_values_and_listed_names_are_evaluated(text, value):
    assert evaluated(text, "here") == value


@pytest.mark.parametrize(
    "text",
    [
        *("open('x')", "nn.Module.__subclasses__", "nn.init", "os.system('x')", "(lambda: 1)()", "f'{open}'"),
        *("dict(**{})", "[x for x in 'ab']", "dict(a=print)", "'a'.join(['b'])", "1 if open else 2", "x := 1"),
        *("torch.load", "dict.fromkeys('ab')", "nn.Sequential", "nn.ReLU()", "[1][0]", "()" * 4000),
    ],
)
def test_other_expressions_are_refused(text):
    with pytest.raises(ValueError, match=r"here (is refused: it would run|holds no value)"):
        evaluated(text, "here")


@pytest.mark.parametrize(
    "text",
    ["9 ** 9 ** 9", "'a' * 10 ** 9", "[0] * 10 ** 9", "[0] * 101", "[0] * [1]", "-" * 4000 + "1", "(" * 4000, "1 / 0"],
)
def test_an_expression_cannot_take_time_or_memory(text):
    with pytest.raises(ValueError, match="here holds no value"):
        evaluated(text, "here")


LAUGHS = "".join(f"c{i}: &c{i} [*c{i - 1}, *c{i - 1}]\n" for i in range(1, 40))
ENDLESS = {
    "billion laughs": f"c0: &c0 [ha, ha]\n{LAUGHS}",
    "nested": "a: " + "[" * 3000 + "]" * 3000,
    "contains itself": "a: &a\n  - *a\n",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_yaml_file_cannot_stand_for_endless_values(text, tmp_path):
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(UnsafeFile, match="is refused: it"):
        read_config(tmp_path / "config.yml")


SHARED = "a: &a0 !!python/tuple [1, 1]\n" + "".join(
    f"a{i}: &a{i} !!python/tuple [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)
REPEATED = f"{'(' * 60}1,{') * 2,' * 60}"
DAMAGED = (
    f"{SHARED}? *a59\n: 1\n",
    f"{SHARED}b: !!set {{? *a59}}\n",
    f"{SHARED}b: !!python/object/apply:collections.OrderedDict [[[*a59, 1]]]\n",
    f"policy_kwargs: '{{({REPEATED}): 1}}'",
    f"policy_kwargs: '{{({REPEATED})}}'",
    f"policy_kwargs: 'dict([(({REPEATED}), 1)])'",
    "a: 1:30",
    "a: " + "1:" * 30_000 + "1",
    "a: " + "1:" * 30_000 + "1.5",
    "a: '" + "x" * (64 << 10) + "'",
    "a: [1,",
    "3",
    "",
    "a: !!python/tuple 3",
    "<<: {a: 1}",
    "!!python/object/apply:collections.OrderedDict [[1]]",
)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yml"):
        read_config(tmp_path / "config.yml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
@pytest.mark.parametrize("name", ["args.yml", "config.yml", "vecnormalize.pkl", "model.zip"])
def test_a_pipe_is_no_file_of_a_run(name, tmp_path):
    """It would keep whoever opens it waiting for ever."""
    os.mkfifo(tmp_path / name)
    read: dict[str, Any] = {"args.yml": read_args, "config.yml": read_config}
    read |= {"vecnormalize.pkl": read_statistics, "model.zip": read_attributes}
    with pytest.raises(ValueError, match=r"it is not a file|is a pipe"):
        read[name](tmp_path / name)


# --- commands


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    brief = ("-n", "60", "--eval-freq", "-1", "--seed", "1", "-f", str(folder))
    ours = ("learning_starts:10", "buffer_size:100", "normalize:True", "n_envs:1", "replay:'sb3'")
    train(*OURS, *brief, "--save-replay-buffer", "-params", *ours)
    train("--algo", "ppo", "--env", ENV, *brief, "-params", "n_steps:4", "batch_size:8", "n_epochs:1", "n_envs:2")
    return folder


def config_tag(folder: Path, marker: Path) -> str:
    edited(folder / ENV / "config.yml", "x: !!python/object/apply:os.system ['touch {marker}']", marker)
    return "os.system"


def config_expression(folder: Path, marker: Path) -> str:
    edited(folder / ENV / "config.yml", "normalize: \"__import__('os').system('touch {marker}') or {{}}\"", marker)
    return "__import__"


def args_tag(folder: Path, marker: Path) -> str:
    edited(folder / ENV / "args.yml", "env_kwargs: !!python/object/apply:os.system ['touch {marker}']", marker)
    return "os.system"


def statistics(folder: Path, marker: Path) -> str:
    (folder / ENV / "vecnormalize.pkl").write_bytes(by_name(marker))
    return "posix.system"


def model(folder: Path, marker: Path) -> str:
    whole = folder / f"{ENV}.zip"
    rewritten(whole, folder / "bad.zip", data=with_attribute("ep_info_buffer", by_name(marker))).replace(whole)
    return "posix.system"


EXPLOITS = [config_tag, config_expression, args_tag, statistics, model]


def script(name: str, *args: str) -> str:
    """``python -m rl_zoo3.NAME ARGS`` in this process.

    :return: what it printed, and the error that it ended with
    """
    printed = io.StringIO()
    with mock.patch.object(sys, "argv", [name, *args]), contextlib.redirect_stdout(printed):
        try:
            runpy.run_module(f"rl_zoo3.{name}", run_name="__main__")
        except (SystemExit, Exception) as error:
            return f"{printed.getvalue()}{error}"
    return printed.getvalue()


def enjoy(folder: Path) -> str:
    return script("enjoy", *OURS, "-f", str(folder.parent.parent), "-n", "5", "--no-render")


def record_video(folder: Path) -> str:
    return script("record_video", *OURS, "-f", str(folder.parent.parent), "-n", "5")


def push_to_hub(folder: Path) -> str:
    return script("push_to_hub", *OURS, "-f", str(folder.parent.parent), "-orga", "nobody", "--no-render")


def played(folder: Path) -> str:
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.suppress(SystemExit):
        play.main([str(folder), "--max-steps", "2", "-o", str(folder / "video.mp4")])
    return error.getvalue()


@pytest.fixture
def bad(logs, tmp_path) -> Path:
    folder = tmp_path / "logs" / "dqn_classic" / f"{ENV}_1"
    shutil.copytree(logs / "dqn_classic" / f"{ENV}_1", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("exploit", EXPLOITS)
@pytest.mark.parametrize("command", [enjoy, record_video, push_to_hub, played])
def test_no_command_runs_what_is_in_a_run_folder(command, exploit, bad, tmp_path):
    marker = tmp_path / "marker"
    names = exploit(bad, marker)
    printed = command(bad)
    assert not marker.exists()
    assert "is refused: it would run" in printed
    assert names in printed
    assert len(printed.splitlines()) == 1 or command is not played


@pytest.mark.slow
@pytest.mark.parametrize("command", [enjoy, played])
def test_the_same_run_folder_without_an_exploit_is_played(command, bad):
    assert "refused" not in command(bad)


@pytest.mark.slow
def test_the_commands_as_typed_refuse_in_one_sentence(bad, tmp_path):
    marker = tmp_path / "marker"
    config_expression(bad, marker)
    printed = zoo("enjoy", *OURS, "-f", str(bad.parent.parent), "-n", "5", "--no-render").stdout
    assert "Traceback" not in printed
    assert "config.yml, line" in printed
    refused = run([sys.executable, "-m", "sb3_atari_dqn", "play", str(bad), "-o", str(bad / "video.mp4")])
    assert (refused.returncode, len(refused.stdout.splitlines())) == (2, 1)
    assert "config.yml, line" in refused.stdout
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("exploit", [config_expression, model, statistics])
def test_whoever_trusts_a_run_runs_what_is_in_it(exploit, bad, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    exploit(bad, marker)
    with contextlib.suppress(SystemExit, Exception):  # what comes out of an exploit need not fit
        play.main([str(bad), "--trust", "--max-steps", "1", "-o", str(tmp_path / "video.mp4")])
    assert marker.exists()
    marker.unlink()
    monkeypatch.setenv("SB3_ATARI_DQN_TRUST", "1")
    assert "refused" not in enjoy(bad)
    assert marker.exists()


@pytest.mark.slow
def test_statistics_beside_an_exploit_do_not_hide_it_from_the_zoo(bad, tmp_path):
    """Our file says to which pickle it belongs; that pickle is what the zoo reads."""
    marker, path = tmp_path / "marker", bad / ENV / "vecnormalize.pkl"
    whole = read_statistics(path)
    content = by_name(marker)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    path.with_suffix(".safetensors").write_bytes(safe_objects.dumps({"statistics": whole, "of pickle": digest}))
    with pytest.raises(UnsafeFile, match=r"posix\.system"):
        check_run(bad / ENV)
    assert "posix.system" in enjoy(bad)
    assert "refused" not in played(bad)  # which reads ours
    assert not marker.exists()


def replay(folder: Path, marker: Path) -> str:
    (folder / "replay_buffer.pkl").write_bytes(by_name(marker))
    return "posix.system"


@pytest.mark.slow
@pytest.mark.parametrize("exploit", [model, replay, statistics])
def test_training_goes_on_from_a_model_without_running_what_is_beside_it(exploit, bad, tmp_path):
    marker = tmp_path / "marker"
    shutil.rmtree(bad / "checkpoints")  # with them, the run itself would be continued
    brief = ("-n", "20", "--eval-freq", "-1", "-f", str(tmp_path / "new"), "-i", str(bad / f"{ENV}.zip"))
    params = ("-params", "learning_starts:10", "buffer_size:100", "n_envs:1", "replay:'sb3'", "normalize:True")
    train(*OURS, *brief, *params)
    names = exploit(bad, marker)
    with pytest.raises(UnsafeFile, match=names):
        train(*OURS, *brief, *params)
    assert not marker.exists()


@pytest.mark.slow
def test_models_of_other_algorithms_are_played_by_the_same_rule(logs, tmp_path):
    folder, marker = tmp_path / f"{ENV}_1", tmp_path / "marker"
    shutil.copytree(logs / "ppo" / f"{ENV}_1", folder)
    assert "refused" not in played(folder)
    model(folder, marker)
    assert "posix.system" in played(folder)
    assert not marker.exists()
    run_ = find_run(folder, trust=True)
    run_.load_model(run_.create_env(0), 0, "cpu")
    assert marker.exists()


def test_upstream_still_runs_what_a_run_folder_says(tmp_path):
    """If this fails, `check_runs` may no longer be needed."""
    for number, line in enumerate(line for line in YAML_LINES if "marker" in line and "Popen" not in line):
        settings, marker = tmp_path / str(number), tmp_path / f"marker{number}"
        edited(settings / "config.yml", line, marker)
        with contextlib.suppress(Exception):
            rl_zoo3.utils.get_saved_hyperparams(str(settings))
        assert marker.exists(), line


def test_only_runs_of_our_algorithms_are_checked(tmp_path, monkeypatch):
    for algo in ("ppo", "dqn_dueling"):
        folder = tmp_path / algo / f"{ENV}_1"
        edited(
            folder / ENV / "config.yml", "x: !!python/object/apply:os.system ['touch {marker}']", tmp_path / "marker"
        )
        (folder / f"{ENV}.zip").touch()
    rl_zoo3.utils.get_model_path(1, str(tmp_path), "ppo", ENV)
    with pytest.raises(SystemExit, match=r"os\.system"):
        rl_zoo3.utils.get_model_path(1, str(tmp_path), "dqn_dueling", ENV)
    monkeypatch.setenv("SB3_ATARI_DQN_TRUST", "1")
    rl_zoo3.utils.get_model_path(1, str(tmp_path), "dqn_dueling", ENV)
    assert not (tmp_path / "marker").exists()


def test_a_download_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "train_eval_metrics.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("evaluations.npz", bytes(100 << 20))
    with pytest.raises(UnsafeFile, match=r"train_eval_metrics\.zip of a/b is refused: .* would unpack to 104,857,600"):
        hub.load_from_hub(lambda *_: str(path), "a/b", path.name)


def test_a_marker_is_a_proof(tmp_path):
    pickle.loads(pickle.dumps(Touches(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()
    values: dict[str, Any] = yaml.unsafe_load(f"x: !!python/object/apply:os.system ['touch {tmp_path / 'other'}']")
    assert values == {"x": 0}
    assert (tmp_path / "other").exists()
