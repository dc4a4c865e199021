"""Files that take long come first, so that no process of the suite works on one while the others have nothing left."""

from pathlib import Path

TESTS = Path(__file__).parents[1]

#: Those of half a minute or more, the longest first, relative to ``tests``. The others follow as they are collected.
LONG = (
    "algorithms/test_family_learning.py",
    "zoo/test_zoo_pong.py",
    "zoo/test_hub.py",
    "learners/test_gpu_script.py",
    "algorithms/test_learning.py",
    "zoo/test_configs.py",
    "zoo/test_registration.py",
    "commands/test_play.py",
    "zoo/test_tuning.py",
    "commands/test_resume.py",
)


def rank(path: Path) -> int:
    """:return: sort key of a test file"""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return LONG.index(name) if name in LONG else len(LONG)
