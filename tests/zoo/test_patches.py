"""Each repair beside the defect it repairs, shown on the unpatched zoo: a failing test here says which can go."""

import argparse
import base64
import hashlib
import importlib.metadata
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import optuna
import pytest
import rl_zoo3
import rl_zoo3.exp_manager
import rl_zoo3.utils
import yaml

from sb3_atari_dqn.zoo import patches, plugin
from tests.support.commands import files, run, zoo

UNPATCHED = {"SB3_ATARI_DQN_AUTOLOAD": "0", "PYTHONWARNINGS": "ignore"}
CARTPOLE = ("--env", "CartPole-v1", "--eval-freq", "-1", "-n", "200")


def unpatched(*args: str, **options):
    return zoo("train", "--algo", "dqn", *CARTPOLE, *args, env=UNPATCHED, **options)


@pytest.mark.slow
def test_upstream_still_makes_the_run_folder_before_it_knows_the_configuration(runs):
    result = unpatched("-params", "no_such_key:1", cwd=runs)
    assert result.returncode != 0
    assert "logs/dqn/CartPole-v1_1" in files(runs)


@pytest.mark.slow
def test_upstream_still_ignores_trial_0(runs):
    result = unpatched("--storage", "sqlite:///missing.db", "--study-name", "none", "--trial-id", "0", cwd=runs)
    assert result.returncode == 0
    assert "Loading from Optuna study" not in result.stdout


@pytest.mark.slow
def test_upstream_still_creates_a_mistyped_database(runs):
    result = unpatched("--storage", "sqlite:///missing.db", "--study-name", "none", "--trial-id", "1", cwd=runs)
    assert result.returncode != 0
    assert (runs / "missing.db").exists()


@pytest.mark.slow
def test_upstream_still_keeps_env_kwargs_of_the_configuration_from_evaluation_and_from_args_yml(runs):
    (runs / "conf.yml").write_text(
        "CartPole-v1: {policy: MlpPolicy, n_timesteps: 100, env_kwargs: {sutton_barto_reward: true}}\n"
    )
    result = zoo("train", "--algo", "dqn", *CARTPOLE, "-conf", "conf.yml", env=UNPATCHED, cwd=runs)
    assert result.returncode == 0, result.stdout
    assert "eval_env_kwargs=" not in result.stdout
    args = yaml.unsafe_load((runs / "logs/dqn/CartPole-v1_1/CartPole-v1/args.yml").read_text())
    assert args["env_kwargs"] is None


def test_upstream_still_takes_keys_out_of_a_python_module(monkeypatch):
    module: Any = ModuleType("some_settings")
    module.hyperparams = {"CartPole-v1": {"policy": "MlpPolicy", "n_timesteps": 100, "n_envs": 2}}
    monkeypatch.setitem(sys.modules, "some_settings", module)
    manager = rl_zoo3.exp_manager.ExperimentManager(
        argparse.Namespace(), "dqn", "CartPole-v1", "", config="some_settings", verbose=0
    )
    manager._preprocess_hyperparams(manager.read_hyperparameters()[0])
    assert "n_envs" not in module.hyperparams["CartPole-v1"]


@pytest.mark.slow
def test_upstream_still_leaves_an_empty_run_folder_after_tuning(runs):
    result = unpatched("-optimize", "--n-trials", "1", "--n-evaluations", "1", "--no-optim-plots", cwd=runs)
    assert result.returncode == 0, result.stdout
    assert "logs/dqn/CartPole-v1_1" in files(runs)


def test_upstream_still_proposes_the_same_trials_where_a_study_is_resumed_with_the_same_seed():
    manager: Any = SimpleNamespace(seed=3, n_startup_trials=10)

    def proposed(study: optuna.Study) -> float:
        study.sampler = rl_zoo3.exp_manager.ExperimentManager._create_sampler(manager, "tpe")
        trial = study.ask()
        gamma = trial.suggest_float("gamma", 0, 1)
        study.tell(trial, 1 - gamma)
        return gamma

    study = optuna.create_study()
    assert proposed(study) == proposed(study)


WITHOUT_PLOTS = "import sys; sys.modules['seaborn'] = None; sys.argv = ['rl_zoo3', {script!r}, '--help']; {call}"


@pytest.mark.slow
def test_upstream_still_needs_the_plotting_libraries_for_its_command():
    call = "import rl_zoo3.cli"
    result = run([sys.executable, "-c", WITHOUT_PLOTS.format(script="train", call=call)], env=UNPATCHED)
    assert "seaborn" in result.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_command_starts_without_the_plotting_libraries():
    call = "from rl_zoo3.cli import main; main()"
    result = run([sys.executable, "-c", WITHOUT_PLOTS.format(script="train", call=call)])
    assert result.returncode == 0, result.stdout
    assert "dqn_dueling" in result.stdout


@pytest.mark.slow
def test_a_plot_without_the_plotting_libraries_says_what_to_install():
    call = "from rl_zoo3.cli import main; main()"
    result = run([sys.executable, "-c", WITHOUT_PLOTS.format(script="all_plots", call=call)])
    assert "pip install 'rl_zoo3[plots]'" in result.stdout.splitlines()[-1]


def test_other_algorithms_run_the_methods_of_upstream(runs):
    seen = []

    class Manager:
        algo = "ppo"

        def read_hyperparameters(self):
            seen.append("upstream")

    patches._replace(Manager, "read_hyperparameters", lambda upstream, manager: seen.append("ours"))
    Manager().read_hyperparameters()
    assert seen == ["upstream"]
    Manager.algo = "dqn_dueling"
    Manager().read_hyperparameters()
    assert seen == ["upstream", "ours"]


@pytest.mark.slow
def test_another_algorithm_gives_the_same_results_with_and_without_us(runs):
    outputs = []
    for folder, env in (("with", {"PYTHONWARNINGS": "ignore"}), ("without", UNPATCHED)):
        arguments = ("--algo", "dqn", *CARTPOLE, "--seed", "3", "-f", folder, "-params", "learning_starts:50")
        result = zoo("train", *arguments, env=env, cwd=runs)
        assert result.returncode == 0, result.stdout
        monitor = next((runs / folder).rglob("*.monitor.csv")).read_text().splitlines()[2:]
        outputs.append([line.split(",")[:2] for line in monitor])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 3


def test_registering_twice_changes_nothing():
    methods = dict(vars(rl_zoo3.exp_manager.ExperimentManager))
    algorithms = list(rl_zoo3.utils.ALGOS)
    plugin.register()
    plugin.register()
    assert dict(vars(rl_zoo3.exp_manager.ExperimentManager)) == methods
    assert list(rl_zoo3.utils.ALGOS) == algorithms


@pytest.fixture
def newer_zoo(monkeypatch):
    monkeypatch.setattr(patches, "version", lambda name: "3.0.1")
    patches._supported.cache_clear()
    yield
    patches._supported.cache_clear()


def test_a_zoo_of_another_version_is_left_unpatched_with_one_warning(newer_zoo):

    class Manager:
        def learn(self):
            pass

    learn = Manager.learn
    with pytest.warns(UserWarning, match=r"rl_zoo3 2\.9\.x, found 3\.0\.1"):
        patches.extend_experiment_manager(Manager)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        patches.repair_upload()
        patches.repair_download(None)
    assert Manager.learn is learn


def test_the_supported_zoo_is_the_one_that_pyproject_allows():
    requirement = next(
        text for text in importlib.metadata.requires("sb3-atari-dqn") or [] if text.startswith("rl-zoo3")
    )
    assert patches.SUPPORTED.rstrip(".") in requirement


def test_no_file_of_upstream_was_edited():
    record = importlib.metadata.distribution("rl_zoo3")
    for file in record.files or []:
        if file.hash and str(file).startswith("rl_zoo3/"):
            digest = hashlib.new(file.hash.mode, Path(str(record.locate_file(file))).read_bytes()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value, file
