"""Sphinx: `make docs` builds this folder into docs/_build/html, and a warning fails the build.

The pages are Markdown that a code forge shows as well, the API is made from the package's docstrings.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import sb3_atari_dqn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = PROJECT["name"]
version = release = sb3_atari_dqn.__version__
author = "The sb3_atari_dqn authors"
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]
default_role = "literal"  # docstrings write `names` as Markdown does
needs_sphinx = "8.2"

myst_heading_anchors = 4  # as a forge gives them: [text](page.md#a-heading)

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature would be longer than the text; :param: says what a thing is
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"sb3_atari_dqn {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
copybutton_exclude = ".linenos, .gp, .go"

# Pages outside this folder, and the page of the site that shows each.
SHOWN_AS = {
    "benchmarks/README.md": "project/benchmarks",
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
}
RELATIVE_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def show_pages_of_the_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """
    Replace the text of a page that shows another one, and lead links to those to where the site shows them.

    :param page: name, relative to this folder, without suffix
    :param source: its text, in a list that the event lets one change
    """
    origin = next((ROOT / path for path, name in SHOWN_AS.items() if name == page), Path(app.srcdir) / f"{page}.md")
    if page in SHOWN_AS.values():
        app.env.note_dependency(str(origin))
        source[0] = origin.read_text(encoding="utf-8")
    folder = (Path(app.srcdir) / page).parent

    def from_here(link: re.Match[str]) -> str:
        target = os.path.normpath(origin.parent / link[1])
        shown = SHOWN_AS.get(os.path.relpath(target, ROOT))
        return "](" + os.path.relpath(Path(app.srcdir) / f"{shown}.md" if shown else target, folder)

    source[0] = RELATIVE_LINK.sub(from_here, source[0])


def begin_paragraphs(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """
    Our docstrings go on with "Source: ..." right after a text or the fields; reStructuredText wants a blank line there.

    :param lines: of a docstring, changed in place
    """
    text: list[str] = []
    in_fields = False
    for line in lines:
        is_field = re.match(r":\w[^:]*:", line) is not None
        ends_fields = in_fields and not is_field and line[:1].strip() != ""
        if ends_fields or line.startswith("Source: "):
            text.append("")
        in_fields = is_field or (in_fields and not ends_fields)
        text.append(line)
    lines[:] = text


def skip_tuple_fields(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """:return: True for fields of named tuples, which their :param: lines describe; None leaves others to autodoc"""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    app.connect("source-read", show_pages_of_the_repository)
    app.connect("autodoc-process-docstring", begin_paragraphs)
    app.connect("autodoc-skip-member", skip_tuple_fields)
