"""The public names of the package: `__all__`, what is loaded on first use, what a type checker sees, and the pages."""

import ast
import re
from pathlib import Path

import pytest

import sb3_atari_dqn

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]


def star() -> dict[str, object]:
    """:return: what ``from sb3_atari_dqn import *`` gives"""
    names: dict[str, object] = {}
    exec("from sb3_atari_dqn import *", names)
    del names["__builtins__"]
    return names


def seen_by_type_checkers() -> dict[str, str]:
    """:return: names exported in the block ``if TYPE_CHECKING`` (``import X as X``), with the module of each"""
    tree = ast.parse(Path(sb3_atari_dqn.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname == alias.name}


def test_every_public_name_can_be_imported_and_is_listed():
    assert set(star()) == set(dir(sb3_atari_dqn))
    assert all(value is getattr(sb3_atari_dqn, name) for name, value in star().items())


def test_type_checkers_see_the_public_names_in_the_modules_they_are_loaded_from():
    assert seen_by_type_checkers() == sb3_atari_dqn._homes()
    assert set(seen_by_type_checkers()) | {"__version__"} == set(star())


def test_the_package_says_that_it_is_typed():
    assert (Path(sb3_atari_dqn.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", sorted(set(dir(sb3_atari_dqn)) - {"__version__"}))
def test_every_public_name_is_in_the_documentation(name):
    assert any(re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", page.read_text()) for page in PAGES), "in code, `as here`"


@pytest.mark.parametrize("name", ["DulingDQN", "_HOMES", "__path_of_nothing__"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'sb3_atari_dqn' has no attribute '{name}'"):
        getattr(sb3_atari_dqn, name)
