"""What a Python start sees of us: nothing, whatever state our install is in."""

import copy
import importlib.util
import pickle
import re
import shutil
import sys
from pathlib import Path

import pytest

import sb3_atari_dqn
import sb3_atari_dqn_autoload as autoload
from sb3_atari_dqn.zoo import plugin
from tests.support.commands import run

ROOT = Path(sb3_atari_dqn.__file__).resolve().parent.parent


@pytest.fixture
def site_directory(tmp_path):
    """A site directory with our two start-up files and nothing else of us."""
    for name in ("sb3_atari_dqn.pth", "sb3_atari_dqn_autoload.py"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def start(site_directory: Path, program: str = "pass"):
    """A fresh interpreter that processes ``site_directory`` as Python processes site-packages."""
    code = f"import site; site.addsitedir({str(site_directory)!r})\n{program}"
    return run([sys.executable, "-I", "-S", "-c", code])


def break_nothing(folder: Path) -> None:
    pass


def remove_the_module(folder: Path) -> None:
    (folder / "sb3_atari_dqn_autoload.py").unlink()


def garble_the_module(folder: Path) -> None:
    (folder / "sb3_atari_dqn_autoload.py").write_text("def broken(:\n")


def fill_the_module_with_nulls(folder: Path) -> None:
    (folder / "sb3_atari_dqn_autoload.py").write_bytes(b"\0" * 100)


def empty_the_module(folder: Path) -> None:
    (folder / "sb3_atari_dqn_autoload.py").write_text("")


def replace_the_module_by_a_folder(folder: Path) -> None:
    remove_the_module(folder)
    (folder / "sb3_atari_dqn_autoload.py").mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        break_nothing,
        remove_the_module,
        garble_the_module,
        fill_the_module_with_nulls,
        empty_the_module,
        replace_the_module_by_a_folder,
    ],
)
def test_a_python_start_neither_prints_nor_raises_however_damaged_the_install(site_directory, damage):
    damage(site_directory)
    result = start(site_directory, "print('alive')")
    assert result.stdout == "alive\n"
    assert result.returncode == 0


@pytest.mark.slow
def test_a_python_start_imports_nothing_heavier_than_the_start_up_module(site_directory):
    result = start(site_directory, "import sys; print(*sorted(sys.modules))")
    ours = result.stdout.split()
    without = run([sys.executable, "-I", "-S", "-c", "import site, sys; print(*sorted(sys.modules))"]).stdout.split()
    of_python = {"encodings.utf_8_sig"}  # Python 3.13's site reads any .pth file with it
    assert set(ours) - set(without) - of_python == {"sb3_atari_dqn_autoload"}


@pytest.mark.slow
def test_importing_the_package_imports_nothing_else():
    program = "import sys; before = set(sys.modules); import sb3_atari_dqn; print(*sorted(set(sys.modules) - before))"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"
    assert run([sys.executable, "-I", "-S", "-c", code]).stdout.split() == ["sb3_atari_dqn"]


def fake_zoo(folder: Path) -> None:
    """A package of the zoo's name, so that these cases cost no import of the real one."""
    (folder / "rl_zoo3").mkdir()
    (folder / "rl_zoo3" / "__init__.py").write_text("")
    (folder / "rl_zoo3" / "utils.py").write_text("ALGOS = {'dqn': object}")


@pytest.mark.slow
def test_a_leftover_start_up_file_of_a_removed_install_leaves_the_zoo_alone(site_directory):
    fake_zoo(site_directory)
    result = start(site_directory, "import rl_zoo3.utils; print(*rl_zoo3.utils.ALGOS)")
    assert result.stdout == "dqn\n"


@pytest.mark.slow
def test_a_damaged_package_leaves_the_zoo_working_and_says_so_once(site_directory):
    fake_zoo(site_directory)
    (site_directory / "sb3_atari_dqn").mkdir()
    (site_directory / "sb3_atari_dqn" / "__init__.py").write_text("import no_such_module\n")
    result = start(site_directory, "import rl_zoo3.utils; print(*rl_zoo3.utils.ALGOS)")
    assert result.returncode == 0
    assert "\ndqn\n" in "\n" + result.stdout
    assert len(re.findall("sb3_atari_dqn is installed", result.stdout)) == 1
    assert "pip install --force-reinstall" in result.stdout


@pytest.mark.slow
def test_the_switch_leaves_the_zoo_as_it_is():
    code = "import rl_zoo3.utils as utils; print(*utils.ALGOS)"
    names = run([sys.executable, "-W", "ignore", "-c", code], env={"SB3_ATARI_DQN_AUTOLOAD": "0"}).stdout.split()
    assert "dqn" in names
    assert "dqn_dueling" not in names


@pytest.mark.slow
def test_a_damaged_package_leaves_the_zoo_working_where_warnings_are_errors(site_directory):
    fake_zoo(site_directory)
    (site_directory / "sb3_atari_dqn").mkdir()
    (site_directory / "sb3_atari_dqn" / "__init__.py").write_text("raise RuntimeError('damaged')\n")
    program = "import warnings; warnings.simplefilter('error'); import rl_zoo3.utils; print(*rl_zoo3.utils.ALGOS)"
    assert start(site_directory, program).returncode == 0


@pytest.mark.slow
def test_registering_by_hand_wins_over_the_switch():
    code = "import sb3_atari_dqn; sb3_atari_dqn.register(); import rl_zoo3.utils as utils; print(*utils.ALGOS)"
    result = run([sys.executable, "-W", "ignore", "-c", code], env={"SB3_ATARI_DQN_AUTOLOAD": "0"})
    assert "dqn_dueling" in result.stdout.split()


def test_the_loader_of_a_watched_module_can_be_copied_and_pickled():
    spec = importlib.util.find_spec("rl_zoo3.plots")
    assert spec is not None
    assert isinstance(spec.loader, autoload.CompletingLoader)
    for copied in (copy.copy(spec.loader), copy.deepcopy(spec.loader), pickle.loads(pickle.dumps(spec.loader))):
        assert copied.path == spec.loader.path


def test_every_watched_module_has_its_completion():
    assert set(autoload.WATCHED) == set(plugin._COMPLETIONS)


def test_the_finder_is_installed_once():
    autoload.install()
    autoload.install()
    assert sum(isinstance(finder, autoload.ZooFinder) for finder in sys.meta_path) == 1


def test_the_finder_leaves_other_modules_to_other_finders():
    assert autoload.ZooFinder().find_spec("json") is None
