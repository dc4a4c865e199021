"""The fast part of the suite stays fast: what starts something says so with a marker."""

import subprocess
from pathlib import Path

import pytest

from tests.support import commands, dino, markers, postgres

TESTS = Path(__file__).parent


def registered() -> set[str]:
    """:return: the markers of pyproject.toml; pytest's own and its plugins' are not among them"""
    text = (TESTS.parent / "pyproject.toml").read_text()
    return set(markers.NOT_FAST) & {line.strip().strip('"').split(":")[0] for line in text.splitlines()}


@pytest.mark.parametrize("marker", markers.NOT_FAST)
def test_every_marker_is_registered_used_and_left_out_by_make_test_fast(marker):
    assert marker in registered()
    assert any(f"pytest.mark.{marker}\n" in path.read_text() for path in TESTS.rglob("test_*.py"))
    command = subprocess.run(["make", "-n", "test-fast"], cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert f"not {marker}" in command.stdout


def start_postgres() -> None:
    with postgres.server():
        pass


def start_browser() -> None:
    with dino.dino():
        pass


@pytest.mark.parametrize(
    ("start", "marker"),
    [(lambda: commands.run(["true"]), "slow"), (start_postgres, "postgres"), (start_browser, "browser")],
)
def test_a_test_that_starts_something_and_has_no_marker_fails(start, marker):
    with pytest.raises(pytest.fail.Exception, match=f"mark the test .*{marker}"):
        start()
