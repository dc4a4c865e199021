"""Workflows, CONTRIBUTING and the installation page call make targets that exist, on the Pythons that are supported."""

import re
import subprocess
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [ROOT / name for name in ("docs/installation.md", "CONTRIBUTING.md")]


def jobs(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["jobs"]


def commands(job: dict[str, Any]) -> list[str]:
    """:return: what the steps of a job run, for every combination of its matrix"""
    matrix = job.get("strategy", {}).get("matrix", {})
    runs = [step["run"] for step in job["steps"] if "run" in step]
    filled = []
    for values in product(*matrix.values()):
        for text in runs:
            for name, value in zip(matrix, values, strict=True):
                text = text.replace(f"${{{{ matrix.{name} }}}}", value)
            filled.append(text)
    return filled


def targets() -> set[str]:
    """:return: names of the Makefile's targets; a folder of that name is none"""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def called_in(code: str) -> set[str]:
    """:return: what a command line of make asks for, without variables"""
    return {word for found in re.findall(r"^make((?: [a-z][a-z-]*)+)", code, re.MULTILINE) for word in found.split()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_of_a_workflow_is_an_existing_make_target(path):
    called = [text for job in jobs(path).values() for text in commands(job)]
    assert called
    assert all(called_in(text) and called_in(text) <= targets() for text in called), called


def test_the_workflows_test_every_python_lint_build_the_site_and_install_the_wheel():
    called = {text for path in WORKFLOWS for job in jobs(path).values() for text in commands(job)}
    assert called == {"make test", "make lint", "make docs", "make package"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    pythons = [text.removeprefix(prefix) for text in project["classifiers"] if text.startswith(prefix)]
    assert jobs(ROOT / ".github/workflows/ci.yml")["test"]["strategy"]["matrix"]["python"] == pythons


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_command_of_a_page_names_an_existing_target(page):
    code = re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.DOTALL)
    called = {name for text in code for name in called_in(text.strip("`"))}
    assert called >= {"test", "test-fast", "test-all"}
    assert called <= targets()


def test_make_takes_its_targets_for_commands_and_not_for_the_folders_of_that_name():
    assert targets() >= {"train", "test", "lint", "docs", "package"}
    printed = subprocess.run(["make", "-n", *targets()], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m sphinx -W" in printed
    assert ".ci/package" in printed


@pytest.mark.parametrize("path", [path for path in TEMPLATES if path.name != "config.yml"], ids=lambda path: path.stem)
def test_an_issue_template_has_what_a_forge_requires(path):
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids))
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_the_citation_has_the_version_of_the_package():
    from sb3_atari_dqn import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert f"## {__version__} (" in (ROOT / "CHANGELOG.md").read_text()
