"""The README as the package index shows it, where a relative link or picture would be broken."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ABSOLUTE = r"(?!\w+:|#)"  # not of another site, nor within the page
PICTURE = re.compile(rf"!\[([^\]]*)\]\({ABSOLUTE}([^)\s]+)\)")
HTML_PICTURE = re.compile(rf"""<img\b(?=[^>]*\bsrc="{ABSOLUTE}([^"]+)")(?=[^>]*\balt="([^"]*)")?[^>]*>""")
LINK = re.compile(rf"(?<!!)\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\({ABSOLUTE}([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def for_package_index(text: str, pages: str = "", pictures: str = "") -> str:
    """
    :param text: Markdown with links relative to the repository
    :param pages: where its files can be read, such as "https://forge.example/us/project/blob/v0.1.0/"; empty: nowhere
        yet, and of a link only its text is left
    :param pictures: where they can be loaded from; empty: nowhere yet, and their descriptions take their place
    :return: the same without relative links; code blocks stay as they are
    """
    parts = FENCED.split(text)
    parts[::2] = [_without_relative_links(part, pages, pictures) for part in parts[::2]]
    return "".join(parts)


def _without_relative_links(text: str, pages: str, pictures: str) -> str:
    def picture(alt: str, path: str) -> str:
        return f"![{alt}]({pictures}{path})" if pictures else f"*{alt}*" if alt else ""

    text = HTML_PICTURE.sub(lambda found: picture(found[2] or "", found[1]), text)
    text = PICTURE.sub(lambda found: picture(found[1], found[2]), text)
    return LINK.sub(lambda found: f"[{found[1]}]({pages}{found[2]})" if pages else found[1], text)


class Readme(MetadataHookInterface):
    """Hatchling calls it where `readme` is dynamic; `pages` and `pictures` are set in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """:param metadata: of the project, changed in place"""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        places = {name: self.config.get(name, "") for name in ("pages", "pictures")}
        metadata["readme"] = {"content-type": "text/markdown", "text": for_package_index(text, **places)}
