"""The floor plan: a module knows only what stands below it."""

import ast
from pathlib import Path

import pytest

import sb3_atari_dqn

PACKAGE = Path(sb3_atari_dqn.__file__).parent
PURE_REPLAY = [
    f"replay/{name}.py"
    for name in (
        *("n_step", "sum_tree", "samplers", "ledger", "stacks", "stack_memory"),
        *("frame_store", "compressed_store", "device_store", "stores", "sending"),
    )
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """:return: dotted names of all modules a file imports, inside functions too"""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def users(package: str) -> set[str]:
    """:return: our files that import ``package`` or something inside it, relative to our package"""
    return {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(name == package or name.startswith(f"{package}.") for name in imported(path))
    }


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("rl_zoo3", ("zoo/",)),
        ("optuna", ("zoo/tuning.py",)),
        ("huggingface_hub", ("zoo/hub.py",)),
        ("huggingface_sb3", ("zoo/",)),
        ("benchmarks", ()),
        ("sb3_atari_dqn.zoo", ("zoo/", "commands/", "__init__.py")),
        ("sb3_atari_dqn.dqn", ("zoo/", "__init__.py")),
        ("sb3_atari_dqn.policies", ("learners/", "dqn.py", "zoo/")),
        ("sb3_atari_dqn.learners", ("learners/", "dqn.py")),
        ("sb3_atari_dqn.remembering", ("dqn.py",)),
        ("sb3_atari_dqn.interleaved", ("remembering.py",)),
        ("sb3_atari_dqn.networks", ("policies.py", "networks/", "zoo/", "commands/")),
        ("sb3_atari_dqn.callbacks", ("callbacks/", "zoo/", "commands/")),
        ("sb3_atari_dqn.dino", ("dino/", "zoo/")),
        ("sb3_atari_dqn.commands", ("commands/",)),
        ("sb3_atari_dqn.recipes", ("recipes/", "zoo/", "commands/", "__main__.py")),
        ("sb3_atari_dqn.pictures", ("pictures/", "commands/")),
        ("sb3_atari_dqn.atari", ("atari/", "callbacks/", "zoo/", "commands/", "plotting/", "__init__.py")),
        ("sb3_atari_dqn.plotting", ("plotting/", "commands/plot.py")),
        ("ale_py", ("atari/",)),
        (
            "sb3_atari_dqn.replay",
            ("replay/", "replay_kinds.py", "remembering.py", "learners/graphed.py", "dqn.py", "__init__.py"),
        ),
    ],
)
def test_only_the_rooms_above_know_a_package(package, rooms):
    strangers = {user for user in users(package) if not user.startswith(rooms or ("-",))}
    assert not strangers


@pytest.mark.parametrize("pure", ["losses.py", "schedules.py", "arguments.py", *PURE_REPLAY])
def test_pure_parts_know_neither_the_host_nor_the_environments(pure):
    strangers = {"stable_baselines3", "gymnasium", "rl_zoo3", "sb3_contrib"}
    assert not {name for name in imported(PACKAGE / pure) if name.split(".")[0] in strangers}


def test_pictures_know_numbers_and_pixels_only():
    strangers = {"stable_baselines3", "gymnasium", "rl_zoo3", "torch", "ale_py"}
    for path in (PACKAGE / "pictures").glob("*.py"):
        names = imported(path)
        assert not {name for name in names if name.split(".")[0] in strangers}, path
        assert all(name.startswith("sb3_atari_dqn.pictures") for name in names if name.startswith("sb3_atari_dqn"))


def test_recipes_are_data():
    for path in (PACKAGE / "recipes").glob("*.py"):
        ours = {name for name in imported(path) if name.startswith("sb3_atari_dqn")}
        assert all(name.startswith(("sb3_atari_dqn.recipes", "sb3_atari_dqn.arguments")) for name in ours), path
        strangers = {"stable_baselines3", "gymnasium", "rl_zoo3", "torch", "numpy", "ale_py"}
        assert not {name for name in imported(path) if name.split(".")[0] in strangers}, path


def test_the_replay_package_knows_nothing_of_ours_but_itself_and_what_is_pure():
    for path in (PACKAGE / "replay").glob("*.py"):
        ours = {name for name in imported(path) if name.startswith("sb3_atari_dqn")}
        below = ("sb3_atari_dqn.replay", "sb3_atari_dqn.schedules", "sb3_atari_dqn.arguments")
        assert all(name.startswith(below) for name in ours), path
