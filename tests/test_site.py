"""The documentation site: every page is reachable from its navigation, and a strict build succeeds."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from sb3_atari_dqn.catalogue import ALGORITHMS

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Lists of pages, in Markdown and in reStructuredText
TOCTREES = (r"```\{toctree\}\n(.*?)```", r"\.\. toctree::\n(.*?)(?=\n\S|\Z)")


def navigation(page: Path) -> Iterator[str]:
    """:return: names of the pages that the lists on a page name, relative to the folder of the site"""
    text = page.read_text()
    blocks = [block for toctree in TOCTREES for block in re.findall(toctree, text, re.DOTALL)]
    for entry in "\n".join(blocks).split("\n"):
        name = re.sub(r".*<(.*)>", r"\1", entry.strip())
        if name and not name.startswith(":"):
            yield str((page.parent / name).relative_to(DOCS))


def pages(docs: Path) -> set[str]:
    """:return: names of all pages, without suffix"""
    return {
        str(path.relative_to(docs).with_suffix(""))
        for suffix in ("md", "rst")
        for path in docs.rglob(f"*.{suffix}")
        if "_build" not in path.parts
    }


def test_the_navigation_lists_every_page_once():
    listed = Counter(name for page in (DOCS / "index.md", DOCS / "api/index.rst") for name in navigation(page))
    assert set(listed) | {"index"} == pages(DOCS)
    assert set(listed.values()) == {1}
    assert len(listed) > 40


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_start_page_and_the_api_have_every_algorithm(name):
    assert f"| [`{name}`]({name}.md) |" in (DOCS / "index.md").read_text()
    assert f".. autoclass:: {ALGORITHMS[name].class_name}\n" in (DOCS / "api/algorithms.rst").read_text()


def test_the_gallery_shows_every_picture():
    shown = set(re.findall(r"\[!\[[^\]]+\]\((images/[^)]+)\)\]\(\1\)", (DOCS / "gallery.md").read_text()))
    assert shown == {f"images/{path.name}" for path in (DOCS / "images").iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("sphinx"), reason="Sphinx is not installed: pip install -e '.[docs]' (make does)")
def test_the_strict_build_succeeds_and_has_the_api(tmp_path):
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "cache")]
    result = subprocess.run([*build, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    api = (tmp_path / "html/api/algorithms.html").read_text()
    assert all(f'id="sb3_atari_dqn.{algorithm.class_name}"' in api for algorithm in ALGORITHMS.values())
    assert "Traceback" not in api
    benchmarks = (tmp_path / "html/project/benchmarks.html").read_text()
    assert 'href="../performance.html#results"' in benchmarks
