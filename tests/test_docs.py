"""The pages a stranger reads: every relative link leads somewhere, nothing is left to fill in."""

import inspect
import re
from pathlib import Path

import pytest

from sb3_atari_dqn.catalogue import ALGORITHMS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]


@pytest.mark.parametrize("glob", ["README.md", "CHANGELOG.md", "docs/*.md", "docs/recipes/*.md", "benchmarks/*.md"])
def test_there_are_pages_to_look_at(glob):
    assert set(ROOT.glob(glob)) <= set(PAGES)
    assert list(ROOT.glob(glob))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_of_a_page_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_place_left_to_fill_in(page):
    assert not re.findall(r"@[A-Z]+@|TODO|FIXME|XXX", page.read_text())


def test_no_command_replaces_all_of_policy_kwargs():
    """They hold the configuration's optimizer and torso: `policy_kwargs.NAME:VALUE` keeps the others."""
    assert not [page for page in PAGES if re.search(r"""["' ]policy_kwargs:(dict\(|\{\S)""", page.read_text())]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_page_of_an_algorithm_has_command_deviations_scores_and_cost(name):
    text = (ROOT / ALGORITHMS[name].page).read_text()
    assert f"python -m rl_zoo3.train --algo {name} --env PongNoFrameskip-v4" in text
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [each for each in headings if each in ("Deviations from the paper", "Scores", "Cost")] == [
        "Deviations from the paper",
        "Scores",
        "Cost",
    ]


@pytest.mark.parametrize("name", [name for name, each in ALGORITHMS.items() if each.module.endswith("variants")])
def test_the_declaration_on_a_page_is_that_of_the_class(name):
    source = inspect.getsource(ALGORITHMS[name].import_class())
    declaration = re.sub(r'\n    """.*?"""\n\n?', "\n", source, count=1, flags=re.DOTALL)
    assert f"## Declaration\n\n```\n{declaration.strip()}\n```\n" in (ROOT / ALGORITHMS[name].page).read_text()
