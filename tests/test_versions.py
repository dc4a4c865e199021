"""The versions that pyproject.toml allows, those tested, and those that docs/installation.md names: the same."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALLED = [
    Requirement(text)
    for group in (
        PROJECT["dependencies"],
        PROJECT["optional-dependencies"]["dev"],
        PROJECT["optional-dependencies"]["docs"],
        PROJECT["optional-dependencies"]["postgres"],
        PROJECT["optional-dependencies"]["ray"],
    )
    for text in group
]
PYTHONS = [f"3.{minor}" for minor in range(9, 20) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]


def pins(name: str) -> dict[str, Version]:
    """:return: the version of each package that a constraints file pins"""
    found: dict[str, Version] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line and not line.startswith("#"):
            package, version = line.split("==")
            found[canonicalize_name(package)] = Version(version)
    return found


def lower_bounds(requirements: list[Requirement]) -> dict[str, Version]:
    return {
        canonicalize_name(requirement.name): Version(bound.version)
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator == ">="
    }


def supported() -> str:
    """:return: the section "Supported versions" of the page on installation"""
    return (ROOT / "docs/installation.md").read_text().split("## Supported versions\n")[1].split("\n## ")[0]


def rows_of_the_table() -> list[dict[str, str]]:
    """:return: the rows of the table of tested sets, by the names of its columns"""
    lines = [line for line in supported().splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_oldest_set_is_that_of_the_lower_bounds():
    assert pins("constraints-oldest.txt") == lower_bounds(INSTALLED)


@pytest.mark.parametrize("requirement", INSTALLED, ids=lambda requirement: requirement.name)
def test_every_requirement_has_a_lower_bound_and_a_tested_version_in_its_range(requirement):
    assert canonicalize_name(requirement.name) in lower_bounds([requirement])
    assert pins("constraints.txt")[canonicalize_name(requirement.name)] in requirement.specifier


def test_one_package_has_one_range_wherever_it_is_required():
    ranges: dict[str, set[str]] = {}
    extras = [text for group in PROJECT["optional-dependencies"].values() for text in group]
    for requirement in map(Requirement, PROJECT["dependencies"] + extras):
        ranges.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert not {name: found for name, found in ranges.items() if len(found) > 1}


def test_the_pythons_are_the_same_everywhere():
    prefix = "Programming Language :: Python :: "
    assert [text.removeprefix(prefix) for text in PROJECT["classifiers"] if text.startswith(prefix)] == PYTHONS
    assert f'MINORS="{" ".join(PYTHONS)}"' in (ROOT / ".ci/test-all").read_text()
    lowest, highest = PYTHONS[0].replace(".", ", "), PYTHONS[-1].replace(".", ", ")
    assert f"({lowest}) <= sys.version_info[:2] <= ({highest})" in (ROOT / "Makefile").read_text()
    assert {".".join(row["Python"].split(".")[:2]) for row in rows_of_the_table()} == set(PYTHONS)


def test_the_page_names_the_ranges_of_pyproject():
    allowed: dict[str, SpecifierSet] = {
        canonicalize_name(requirement.name): requirement.specifier for requirement in INSTALLED
    }
    allowed["python"] = SpecifierSet(PROJECT["requires-python"])
    named = re.findall(r"([\w-]+) `([<>=.,\d]+)`", supported())
    assert {"python", "stable-baselines3", "rl-zoo3", "torch", "gymnasium", "ale-py", "numpy"} <= {
        canonicalize_name(name) for name, _ in named
    }
    assert {name: SpecifierSet(range_) for name, range_ in named} == {
        name: allowed[canonicalize_name(name)] for name, _ in named
    }


@pytest.mark.parametrize("row", rows_of_the_table(), ids=lambda row: f"{row['Python']}-{row['versions']}")
def test_the_readme_names_the_versions_of_each_tested_set(row):
    allowed = {requirement.name: requirement.specifier for requirement in INSTALLED}
    versions = {name: Version(row[name]) for name in row if name in allowed}
    assert len(versions) >= 4
    assert all(version in allowed[name] for name, version in versions.items())
    file = re.search(r"constraints[\w-]*\.txt", row["versions"])
    if file:
        pinned = pins(file[0])
        assert versions == {name: pinned[name] for name in versions}


@pytest.mark.parametrize("constraints", ["constraints.txt", "constraints-oldest.txt", ""])
def test_make_installs_the_set_that_is_asked_for(constraints, tmp_path):
    """What make would run: with constraints, or without any for the newest versions."""
    command = ["make", "-n", "test", f"VENV={tmp_path}/venv", f"CONSTRAINTS={constraints}"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    install = next(line for line in printed.splitlines() if "pip install" in line)
    assert re.findall(r"-c (\S+)", install) == [constraints] * bool(constraints)


def test_make_test_all_names_an_interpreter_that_does_not_run():
    command = ["make", "test-all", "PYTHONS=no-such-python"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    assert "make: 'no-such-python' does not run; PYTHONS names interpreters" in result.stderr
    assert "==" not in result.stdout
