"""The floor plan: a module knows only what stands below it. Every rule must name something, and can be seen to fail."""

import ast
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sb3_atari_dqn

PACKAGE = Path(sb3_atari_dqn.__file__).parent
NAME = "sb3_atari_dqn"

# Who may import a package: files, or folders with all that is in them, relative to ours.
KNOWN_TO: dict[str, tuple[str, ...]] = {
    "rl_zoo3": ("zoo/",),
    "optuna": ("zoo/tuning.py",),
    "huggingface_hub": ("zoo/hub.py",),
    "huggingface_sb3": ("zoo/",),
    "ale_py": ("atari/",),
    "benchmarks": (),
    f"{NAME}.zoo": ("zoo/", "commands/", "__init__.py"),
    f"{NAME}.algorithms": ("algorithms/", "zoo/", "__init__.py"),
    "ray": ("distributed/cluster.py",),
    f"{NAME}.distributed": (
        *("distributed/", "zoo/", "__init__.py", "__main__.py", "commands/sweep.py", "commands/tune.py"),
        "studies/ray_pool.py",
    ),
    f"{NAME}.studies": ("studies/", "commands/sweep.py", "commands/tune.py"),
    f"{NAME}.policies": ("learners/", "algorithms/", "policies_0_1_0.py", "zoo/", "distributed/"),
    f"{NAME}.learners": ("learners/", "algorithms/", "distributed/"),
    f"{NAME}.objectives": (
        *("objectives/", "learners/", "networks/q_network.py", "networks/fractions.py", "policies.py", "algorithms/"),
    ),
    f"{NAME}.networks": (
        *("networks/", "policies.py", "learners/", "zoo/", "commands/", "distributed/"),
        *("algorithms/saved_models.py", "algorithms/vocabulary.py", "algorithms/training_state.py"),
        "callbacks/log_dead_units.py",
    ),
    f"{NAME}.exploration": ("algorithms/", "distributed/"),
    f"{NAME}.policies_0_1_0": ("policies.py", "algorithms/saved_models.py"),
    f"{NAME}.checkpoints": (
        *("checkpoints/", "algorithms/", "callbacks/", "exploration.py", "replay/", "zoo/", "__init__.py"),
        *("distributed/", "studies/training.py"),
    ),
    f"{NAME}.callbacks": ("callbacks/", "zoo/", "commands/"),
    f"{NAME}.dino": ("dino/", "zoo/"),
    f"{NAME}.commands": ("commands/",),
    f"{NAME}.catalogue": ("__init__.py", "zoo/", "commands/", "plotting/settings.py", "studies/plan.py"),
    f"{NAME}.episodes": ("commands/",),
    f"{NAME}.recipes": ("recipes/", "zoo/", "commands/", "__main__.py"),
    f"{NAME}.pictures": ("pictures/", "commands/"),
    f"{NAME}.atari": (
        *("atari/", "callbacks/", "distributed/", "zoo/", "commands/", "plotting/"),
        *("reports/protocol.py", "__init__.py"),
    ),
    f"{NAME}.plotting": ("plotting/", "reports/", "commands/plot.py", "studies/"),
    f"{NAME}.reports": ("reports/", "commands/report.py", "studies/table.py"),
    # Actors compute TD errors of the n-step returns that the replay memory gives.
    f"{NAME}.replay": (
        *("replay/", "algorithms/", "learners/cuda_graph.py", "distributed/td_errors.py", "__init__.py"),
    ),
}

# What files must not import, whatever it is used for.
HOST = ("stable_baselines3", "gymnasium", "rl_zoo3", "sb3_contrib")
STRANGERS_TO: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("objectives/*.py", "schedules.py", "validation.py", "finite.py", "files.py", "transfers.py"), HOST
    ),
    **dict.fromkeys(
        [
            f"replay/{name}.py"
            for name in (
                *("n_step", "sum_tree", "samplers", "sparse_rows", "stacks", "stack_memory", "observation_memory"),
                *("frame_store", "compressed_store", "device_store", "stores"),
            )
        ],
        HOST,
    ),
    "pictures/*.py": (*HOST, "torch", "ale_py"),
    "recipes/*.py": (*HOST, "torch", "numpy", "ale_py"),
    "catalogue.py": (*HOST, "torch", "numpy", "ale_py", "optuna"),
    "studies/*.py": (*HOST, "torch", "ale_py", "optuna"),
}

# What files may import of ours.
OURS_FOR: dict[str, tuple[str, ...]] = {
    "pictures/*.py": ("pictures", "files"),
    "recipes/*.py": ("recipes", "validation"),
    "objectives/*.py": ("objectives", "validation"),
    "catalogue.py": (),
    "studies/*.py": (
        *("studies", "catalogue", "checkpoints.lock", "distributed.cluster", "files", "plotting", "reports.protocol"),
        "validation",
    ),
    "checkpoints/*.py": ("checkpoints", "files"),
    "replay/*.py": ("replay", "checkpoints.state", "schedules", "validation", "transfers"),
}


@cache
def imported(text: str) -> frozenset[str]:
    """:return: dotted names of all modules a file with this text imports, inside functions too"""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def violations(package: Path) -> Iterator[str]:
    """
    :param package: our package, or a copy of it
    :return: one line for each import that breaks a rule, and for each rule that names nothing
    """
    files = {path: imported(path.read_text()) for path in sorted(package.rglob("*.py"))}
    for known, rooms in KNOWN_TO.items():
        yield from _empty_rooms(package, known, rooms)
        for path, names in files.items():
            place = str(path.relative_to(package))
            if any(is_within(name, (known,)) for name in names) and not place.startswith(rooms or ("-",)):
                yield f"{place} imports {known}"
    for rules in (STRANGERS_TO, OURS_FOR):
        yield from (f"no file is named {glob}" for glob in rules if not list(package.glob(glob)))
    for glob, strangers in STRANGERS_TO.items():
        for path in package.glob(glob):
            found = sorted(name for name in files[path] if is_within(name, strangers))
            yield from (f"{path.relative_to(package)} imports {name}" for name in found)
    for glob, ours in OURS_FOR.items():
        below = tuple(f"{NAME}.{name}" for name in ours)
        for path in package.glob(glob):
            found = sorted(name for name in files[path] if is_within(name, (NAME,)) and not is_within(name, below))
            yield from (f"{path.relative_to(package)} imports {name}" for name in found if name != NAME)


def _empty_rooms(package: Path, known: str, rooms: tuple[str, ...]) -> Iterator[str]:
    """A rule about something that has been moved, or a permission for it, holds nothing any more."""
    if known.startswith(f"{NAME}."):
        place = package / known.removeprefix(f"{NAME}.")
        if not (place.is_dir() or place.with_suffix(".py").is_file()):
            yield f"there is no {known}"
    yield from (f"there is no {room}, which may import {known}" for room in rooms if not (package / room).exists())


def test_every_module_knows_only_what_stands_below_it():
    assert list(violations(PACKAGE)) == []


@pytest.fixture
def copy_of_package(tmp_path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / NAME, ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.html"))
    return tmp_path / NAME


def _first_file(package: Path, glob: str) -> Path:
    return sorted(package.glob(glob))[0]


@pytest.mark.slow
@pytest.mark.parametrize("known", KNOWN_TO)
def test_an_import_by_a_stranger_is_found(known, copy_of_package):
    (copy_of_package / "stranger.py").write_text(f"def f():\n    import {known}\n")
    assert f"stranger.py imports {known}" in list(violations(copy_of_package))


@pytest.mark.slow
@pytest.mark.parametrize("known", [name for name in KNOWN_TO if name.startswith(NAME)])
def test_a_rule_about_a_room_that_has_been_moved_is_found(known, copy_of_package):
    place = copy_of_package / known.removeprefix(f"{NAME}.")
    place = place if place.is_dir() else place.with_suffix(".py")
    place.rename(copy_of_package / f"elsewhere{place.suffix}")
    assert f"there is no {known}" in list(violations(copy_of_package))


@pytest.mark.slow
@pytest.mark.parametrize("glob", STRANGERS_TO)
def test_a_stranger_in_a_pure_part_is_found(glob, copy_of_package):
    path = _first_file(copy_of_package, glob)
    path.write_text(f"{path.read_text()}\nimport gymnasium.spaces\n")
    assert f"{path.relative_to(copy_of_package)} imports gymnasium.spaces" in list(violations(copy_of_package))


@pytest.mark.parametrize("glob", OURS_FOR)
def test_a_look_upwards_is_found(glob, copy_of_package):
    path = _first_file(copy_of_package, glob)
    path.write_text(f"{path.read_text()}\nfrom {NAME}.commands import play\n")
    assert f"{path.relative_to(copy_of_package)} imports {NAME}.commands.play" in list(violations(copy_of_package))


@pytest.mark.slow
@pytest.mark.parametrize("glob", [*STRANGERS_TO, *OURS_FOR])
def test_a_rule_about_files_that_are_gone_is_found(glob, copy_of_package):
    for path in copy_of_package.glob(glob):
        path.unlink()
    assert f"no file is named {glob}" in list(violations(copy_of_package))


@pytest.mark.slow
@pytest.mark.parametrize("known", [name for name, rooms in KNOWN_TO.items() if rooms])
def test_a_permission_for_a_room_that_is_gone_is_found(known, copy_of_package):
    room = copy_of_package / KNOWN_TO[known][-1]
    shutil.rmtree(room) if room.is_dir() else room.unlink()
    assert f"there is no {KNOWN_TO[known][-1]}, which may import {known}" in list(violations(copy_of_package))
