"""The pages a stranger reads: every relative link leads somewhere, nothing is left to fill in."""

import re
from pathlib import Path

import pytest

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
