"""The catalogue of algorithms, and that nothing else has to be edited for a new one but its class, YAML and page."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from inspect import signature
from pathlib import Path

import pytest

import sb3_atari_dqn
from sb3_atari_dqn.catalogue import ALGORITHMS, Algorithm, Paper
from tests.support.commands import run

ROOT = Path(__file__).resolve().parent.parent


def row(algorithm: Algorithm) -> str:
    """:return: line of the README's table"""
    papers = ", ".join(paper.link for paper in algorithm.papers)
    name = f"[`{algorithm.name}`]({algorithm.page})"
    return f"| {name} | `{algorithm.class_name}` | {algorithm.summary} | {papers} |"


def undocumented(algorithms: Iterable[Algorithm]) -> Iterator[str]:
    """:return: what the pages lack, a line each"""
    readme, changelog = (ROOT / name for name in ("README.md", "CHANGELOG.md"))
    for algorithm in algorithms:
        page = ROOT / algorithm.page
        wanted = {
            readme: [row(algorithm)],
            changelog: [f"`{algorithm.name}`", f"`{algorithm.class_name}`"],
            page: [f"# `{algorithm.name}`", f"`{algorithm.class_name}`", f"--algo {algorithm.name} "],
        }
        wanted[page] += [paper.link for paper in algorithm.papers]
        wanted[page] += [f'"{paper.title}"' for paper in algorithm.papers[:1]]
        for path, texts in wanted.items():
            written = " ".join(path.read_text().split()) if path.is_file() else ""
            yield from (f"{path.name} lacks: {text}" for text in texts if text not in written)


def test_every_algorithm_has_its_row_its_page_and_its_line_in_the_changelog():
    assert list(undocumented(ALGORITHMS.values())) == []


def test_what_the_pages_lack_is_found():
    paper = Paper("Nobody et al.", 2026, "A title", "https://example.org")
    fourth = Algorithm("dqn_fourth", "FourthDQN", "an example", (paper,))
    lines = list(undocumented([fourth]))
    assert f"README.md lacks: {row(fourth)}" in lines
    assert "CHANGELOG.md lacks: `dqn_fourth`" in lines
    assert "dqn_fourth.md lacks: [Nobody et al. 2026](https://example.org)" in lines


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_every_entry_names_its_class(algorithm):
    assert algorithm.import_class() is getattr(sb3_atari_dqn, algorithm.class_name)
    assert algorithm.import_class().__name__ == algorithm.class_name
    assert algorithm.import_class().__module__ == algorithm.module
    assert ALGORITHMS[algorithm.name] is algorithm
    assert signature(algorithm.import_class()).parameters["exploration"].default == algorithm.exploration


@pytest.mark.slow
def test_the_catalogue_imports_no_heavy_package():
    code = "import sys; import sb3_atari_dqn.catalogue; print(*sys.modules)"
    loaded = run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]).stdout
    assert {name for name in loaded.split() if name.startswith("sb3")} == {"sb3_atari_dqn", "sb3_atari_dqn.catalogue"}


ENTRY = """
ALGORITHMS["dqn_fourth"] = Algorithm(
    name="dqn_fourth",
    class_name="FourthDQN",
    summary="an example",
    papers=(Paper("Nobody et al.", 2026, "A title", "https://example.org"),),
    module="sb3_atari_dqn.algorithms.fourth",
    also_tuned=(Choice("patience", (2, 3)),),
    not_tuned=("n_steps",),
)
"""
CLASS = """
from sb3_atari_dqn.algorithms.dqn import ClassicDQN

class FourthDQN(ClassicDQN):
    def __init__(self, *args, patience=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.patience = patience
"""
YAML = """
CartPole-v1: {policy: MlpPolicy, n_timesteps: 100, learning_starts: 20, patience: 5, buffer_size: 500}
"""
USE = """
import contextlib, json, sys
import sb3_atari_dqn
from rl_zoo3.train import train
from sb3_atari_dqn.zoo import model_card

def zoo(*words):
    sys.argv = ["train", "--algo", "dqn_fourth", "--env", "CartPole-v1", "--eval-freq", "-1", *words]
    with contextlib.redirect_stdout(sys.stderr):
        train()

zoo("-f", "logs")
zoo("-optimize", "-n", "40", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots",
    "--storage", "sqlite:///study.db", "--study-name", "s")
try:
    zoo("-params", "patiance:3")
except ValueError as error:
    misspelled = str(error)
import optuna
args = {"algo": "dqn_fourth", "env": "CartPole-v1", "seed": 0}
results = {"mean_reward": 1.0, "std_reward": 0.0, "n_eval_episodes": 1, "is_deterministic": True}
facts = model_card.Facts("tester/dqn_fourth-CartPole-v1", args, {}, {}, results, None)
report = {
    "package": sb3_atari_dqn.__file__,
    "patience": sb3_atari_dqn.FourthDQN.load("logs/dqn_fourth/CartPole-v1_1/CartPole-v1.zip").patience,
    "public": dir(sb3_atari_dqn),
    "searched": list(optuna.load_study(study_name="s", storage="sqlite:///study.db").best_trial.params),
    "card": model_card.render(facts),
    "misspelled": misspelled,
}
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def fourth(tmp_path_factory) -> dict:
    """What a copy of the package does that got an entry, a class and a configuration, and nothing else."""
    folder = tmp_path_factory.mktemp("fourth")
    for name in ("sb3_atari_dqn", "hyperparams"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "sb3_atari_dqn_autoload.py", folder)
    with (folder / "sb3_atari_dqn/catalogue.py").open("a") as catalogue:
        catalogue.write(ENTRY)
    (folder / "sb3_atari_dqn/algorithms/fourth.py").write_text(CLASS)
    (folder / "hyperparams/dqn_fourth.yml").write_text(YAML)
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n" + textwrap.dedent(USE)
    env = {
        "SB3_ATARI_DQN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    result = run([sys.executable, "-W", "ignore", "-c", program], env=env, cwd=folder)
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["package"] == str(folder / "sb3_atari_dqn" / "__init__.py")
    return report


@pytest.mark.slow
def test_a_fourth_algorithm_trains_with_its_own_configuration(fourth):
    assert fourth["patience"] == 5


@pytest.mark.slow
def test_a_fourth_algorithm_is_a_public_name(fourth):
    assert "FourthDQN" in fourth["public"]


@pytest.mark.slow
def test_a_fourth_algorithm_is_tuned_in_its_own_search_space(fourth):
    assert "patience" in fourth["searched"]
    assert "net_arch" in fourth["searched"]
    assert "n_steps" not in fourth["searched"]


@pytest.mark.slow
def test_a_fourth_algorithm_has_a_model_card(fourth):
    assert "# **FourthDQN** agent playing **CartPole-v1**" in fourth["card"]
    assert "The algorithm `dqn_fourth` is an example ([Nobody et al. 2026](https://example.org))." in fourth["card"]
    assert "`docs/dqn_fourth.md`" in fourth["card"]


@pytest.mark.slow
def test_a_misspelled_argument_of_a_fourth_algorithm_is_named_with_the_near_one(fourth):
    assert "Unknown key 'patiance' in the hyperparameters of dqn_fourth" in fourth["misspelled"]
    assert "did you mean 'patience'?" in fourth["misspelled"]
