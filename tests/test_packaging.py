"""What is uploaded: a README without broken links, a source distribution with everything, a wheel with the package."""

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

from hatch_build import for_package_index

ROOT = Path(__file__).resolve().parent.parent
PAGES, PICTURES = "https://example.org/blob/", "https://example.org/raw/"

CASES = {
    "[a page](docs/a.md#part)": ("a page", f"[a page]({PAGES}docs/a.md#part)"),
    "![a *picture*](docs/a.png)": ("*a *picture**", f"![a *picture*]({PICTURES}docs/a.png)"),
    "[![a picture](docs/a.png)](docs/a.md)": (
        "*a picture*",
        f"[![a picture]({PICTURES}docs/a.png)]({PAGES}docs/a.md)",
    ),
    "![](a.png)": ("", f"![]({PICTURES}a.png)"),
    '<img alt="a game" width="400" src="docs/a.gif">': ("*a game*", f"![a game]({PICTURES}docs/a.gif)"),
    '<img src="docs/a.gif"/>': ("", f"![]({PICTURES}docs/a.gif)"),
    "[`code`](LICENSE), [b](B.md)": ("`code`, b", f"[`code`]({PAGES}LICENSE), [b]({PAGES}B.md)"),
}
UNCHANGED = (
    "[a site](https://example.org/a.md)",
    "[a part](#part)",
    "![a picture](https://example.org/a.png)",
    '<img src="https://example.org/a.png">',
    "```python\nx[0](y)\n[a](b)\n```",
    "values[B, A] (as here)",
)


@pytest.mark.parametrize("text", CASES)
def test_a_relative_link_becomes_text_or_absolute(text):
    assert for_package_index(text) == CASES[text][0]
    assert for_package_index(text, PAGES, PICTURES) == CASES[text][1]


@pytest.mark.parametrize("text", UNCHANGED)
def test_other_links_and_code_stay_as_they_are(text):
    assert for_package_index(text) == for_package_index(text, PAGES, PICTURES) == text


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """:return: folder with both distributions"""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=ROOT, check=True, capture_output=True
    )
    return out


@pytest.fixture(scope="module")
def wheel(built) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


@pytest.mark.slow
def test_the_readme_on_the_package_index_has_no_relative_link_or_picture(metadata):
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "](https://" in text
    assert not re.findall(r"""\]\((?!https://|#)[^)]*\)|(?:src|href)="(?!https://|#)[^"]*\"""", text)


@pytest.mark.slow
def test_the_source_distribution_is_the_repository(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout, so that it cannot be compared with one")
    missing = {name for name in tracked.stdout.split("\n") if name and (ROOT / name).exists()} - names
    assert missing == set()


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_configurations_and_the_start_up_files_only(wheel):
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in names} == {
        *("sb3_atari_dqn", "sb3_atari_dqn.pth", "sb3_atari_dqn_autoload.py")
    }
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "sb3_atari_dqn").rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    configurations = {f"sb3_atari_dqn/{path.relative_to(ROOT)}" for path in (ROOT / "hyperparams").rglob("*.yml")}
    assert len(configurations) > 10
    assert {name for name in names if name.startswith("sb3_atari_dqn/")} == files | configurations
