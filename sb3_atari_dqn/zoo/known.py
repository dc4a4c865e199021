"""What the zoo knows on this machine: checked for a list of trainings before the first one begins."""

import difflib
from collections.abc import Collection
from importlib.util import find_spec

from sb3_atari_dqn.validation import check_known
from sb3_atari_dqn.zoo.packaged_configs import profiles


def check_trainings(algorithms: Collection[str], confs: Collection[str], env_ids: Collection[str]) -> set[str]:
    """
    :param algorithms: of the zoo's --algo
    :param confs: of the zoo's -conf; files are not looked for
    :param env_ids: of the zoo's --env
    :return: packages that define the environments
    :raises ValueError: if the zoo does not know one of them
    """
    import gymnasium as gym
    import rl_zoo3.import_envs  # noqa: F401  registers environments
    from rl_zoo3.utils import ALGOS

    for name in algorithms:
        check_known("algorithm", name, ALGOS)
    for name in confs:
        if name.isidentifier() and find_spec(name) is None:  # it may be a module
            check_known("conf", name, profiles())
    for name in env_ids:
        if name not in gym.registry:
            close = difflib.get_close_matches(name, gym.registry, n=1)
            hint = f"did you mean {close[0]}?" if close else "is its package installed?"
            raise ValueError(f"Unknown environment {name!r}; {hint}")
    points = [gym.registry[name].entry_point for name in env_ids]
    return {str(point if isinstance(point, str) else point.__module__).partition(".")[0] for point in points if point}
