"""Installed = registered: a wheel and an editable install, each in a virtual environment of its own, and by hand."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import sb3_atari_dqn
from sb3_atari_dqn.__main__ import ZOO_COMMANDS
from sb3_atari_dqn.catalogue import ALGORITHMS
from tests.support.commands import run, zoo

ROOT = Path(sb3_atari_dqn.__file__).resolve().parent.parent
SOURCES = (
    *("sb3_atari_dqn", "hyperparams", "sb3_atari_dqn_autoload.py", "sb3_atari_dqn.pth"),
    *("pyproject.toml", "hatch_build.py"),
)
DOCUMENTS = ("README.md", "LICENSE")


def make_venv(folder: Path) -> Path:
    """A virtual environment that sees this one's packages but processes none of its start-up lines, so not ours.

    :return: its interpreter
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip()
    (Path(site) / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def pip(python: Path, *args: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", *args]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def copy_sources(folder: Path) -> Path:
    folder.mkdir()
    for name in (*SOURCES, *DOCUMENTS):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    return folder


def install(kind: str, folder: Path) -> Path:
    """:return: the interpreter of an environment with our package and nothing of this checkout on its path"""
    python, sources = make_venv(folder / "venv"), copy_sources(folder / "sources")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed")
    if kind == "wheel":
        pip(python, "install", *options, str(sources))
        shutil.rmtree(sources)
    else:
        pip(python, "install", *options, "-e", str(sources))
    return python


@pytest.fixture(scope="module")
def environments(tmp_path_factory) -> Callable[[str], Path]:
    """Installs each kind once."""
    return cache(lambda kind: install(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture(params=["wheel", "editable"])
def installed(request, environments) -> Path:
    return environments(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "command"),
    [*(("wheel", command) for command in (*ZOO_COMMANDS, "cli")), ("editable", "train"), ("editable", "cli")],
)
def test_every_command_of_the_zoo_knows_our_algorithms(environments, runs, kind, command):
    """An editable install differs in where the files lie, which the commands do not know."""
    arguments = ("train", "--help") if command == "cli" else ("--help",)
    result = zoo(command, *arguments, python=str(environments(kind)))
    assert result.returncode == 0, result.stdout
    assert set(ALGORITHMS) <= set(result.stdout.replace(",", " ").replace("}", " ").replace("{", " ").split())


@pytest.mark.slow
def test_training_finds_the_configuration_of_the_installed_package(installed, runs):
    arguments = ("--env", "CartPole-v1", "-n", "200", "--eval-freq", "-1", "--seed", "1")
    result = zoo("train", "--algo", "dqn_dueling", *arguments, python=str(installed), cwd=runs)
    assert result.returncode == 0, result.stdout
    home = run([str(installed), "-c", "import sb3_atari_dqn; print(sb3_atari_dqn.__file__)"]).stdout.strip()
    assert str(ROOT) not in home
    assert f"Loading hyperparameters from: {Path(home).parent.parent}" in result.stdout
    assert (runs / "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip").is_file()


@pytest.mark.slow
def test_gymnasium_knows_our_environment_and_its_scripts_are_there(installed):
    code = (
        "import gymnasium; print(gymnasium.make('ChromeDino-v0').observation_space.shape);"
        "from sb3_atari_dqn.dino import game; print(len([*map(game.text_of, (*game.SCRIPTS, 'runner.html'))]))"
    )
    result = run([str(installed), "-W", "ignore", "-c", code])
    assert result.stdout.split() == ["(80,", "80,", "4)", "5"], result.stdout


@pytest.mark.slow
def test_type_checkers_find_the_mark_of_a_typed_package(installed):
    code = "from importlib.resources import files; print((files('sb3_atari_dqn') / 'py.typed').is_file())"
    assert run([str(installed), "-c", code]).stdout == "True\n"


@pytest.mark.slow
def test_removing_the_package_removes_every_trace(tmp_path):
    python = make_venv(tmp_path / "venv")
    site = Path(run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip())
    before = sorted(path.name for path in site.iterdir())
    sources = copy_sources(tmp_path / "sources")
    pip(python, "install", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed", str(sources))
    assert (site / "sb3_atari_dqn.pth").is_file()
    pip(python, "uninstall", "-y", "sb3-atari-dqn")
    left = sorted(path.name for path in site.iterdir() if path.name != "__pycache__")
    assert left == before


WITHOUT_START_UP = {"SB3_ATARI_DQN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """An interpreter that finds our package through PYTHONPATH, where no start-up line is processed."""
    return make_venv(tmp_path_factory.mktemp("bare") / "venv")


@pytest.mark.slow
def test_without_start_up_files_the_zoo_does_not_know_us(bare):
    result = zoo("train", "--help", python=str(bare), env=WITHOUT_START_UP)
    assert "dqn_dueling" not in result.stdout


@pytest.mark.slow
def test_our_own_command_takes_the_arguments_of_the_zoo(bare, runs):
    arguments = ("train", "--algo", "dqn_dueling", "--env", "CartPole-v1", "-n", "200", "--eval-freq", "-1")
    result = run([str(bare), "-m", "sb3_atari_dqn", *arguments], env=WITHOUT_START_UP, cwd=runs)
    assert result.returncode == 0, result.stdout
    assert (runs / "logs/dqn_dueling/CartPole-v1_1/CartPole-v1.zip").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
def test_register_works_before_and_after_the_zoo_is_imported(bare, order):
    lines = ["import rl_zoo3.exp_manager", "import sb3_atari_dqn; sb3_atari_dqn.register()"]
    ordered = lines if order == "after" else lines[::-1]
    check = "from rl_zoo3.exp_manager import ALGOS, ExperimentManager as M, HYPERPARAMS_SAMPLER as S"
    show = "print('dqn_dueling' in ALGOS, 'dqn_dueling' in S, hasattr(M.learn, 'replaced_by_sb3_atari_dqn'))"
    code = "; ".join([*ordered, check, show])
    result = run([str(bare), "-W", "ignore", "-c", code], env=WITHOUT_START_UP)
    assert result.stdout.split()[-3:] == ["True", "True", "True"], result.stdout


@pytest.mark.slow
def test_an_unknown_command_of_ours_names_the_known_ones():
    result = run([sys.executable, "-m", "sb3_atari_dqn", "trian"])
    assert result.returncode == 2
    assert "train" in result.stdout
    assert "Traceback" not in result.stdout
