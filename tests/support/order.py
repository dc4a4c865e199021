"""Files that take long come first, so that no process of the suite works on one while the others have nothing left."""

from pathlib import Path

TESTS = Path(__file__).parents[1]

#: Those of half a minute or more, the longest first, relative to ``tests``. The others follow as they are collected.
LONG = (
    "distributed/test_ray_actors.py",
    "algorithms/test_family_learning.py",
    "zoo/test_hub.py",
    "distributed/test_actor_vec_env.py",
    "learners/test_gpu_script.py",
    "algorithms/test_training_state.py",
    "zoo/test_zoo_pong.py",
    "distributed/test_two_hosts.py",
    "algorithms/test_pqn.py",
    "algorithms/test_learning.py",
    "commands/test_resume.py",
    "zoo/test_zoo_dino.py",
    "zoo/test_configs.py",
    "distributed/test_free_running.py",
    "zoo/test_registration.py",
    "studies/test_runner.py",
    "zoo/test_patches.py",
    "zoo/test_zoo_native.py",
    "zoo/test_tuning.py",
    "studies/test_studies.py",
)


def rank(path: Path) -> int:
    """:return: sort key of a test file"""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return LONG.index(name) if name in LONG else len(LONG)
