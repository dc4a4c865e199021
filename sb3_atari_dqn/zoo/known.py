"""What the zoo knows on this machine: checked for a list of trainings before the first one begins."""

import difflib
from collections.abc import Collection
from importlib.util import find_spec

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.validation import check_known
from sb3_atari_dqn.zoo.packaged_configs import profiles


def check_trainings(trainings: Collection[tuple[str, str | None, str]]) -> set[str]:
    """
    :param trainings: the zoo's --algo, -conf and --env of each; configuration files are not looked for
    :return: packages that define the environments
    :raises ValueError: if the zoo does not know one of them
    """
    import gymnasium as gym
    import rl_zoo3.import_envs  # noqa: F401  registers environments
    from rl_zoo3.utils import ALGOS

    env_ids = {env_id for _, _, env_id in trainings}
    for algorithm, conf, _ in trainings:
        check_known("algorithm", algorithm, ALGOS)
        if conf is not None and conf.isidentifier() and find_spec(conf) is None:  # it may be a module
            check_known("conf", conf, profiles())
            if algorithm not in ALGORITHMS:
                raise ValueError(f"conf {conf} is for the algorithms of this package, not {algorithm}: leave it out")
    for name in env_ids:
        if name not in gym.registry:
            close = difflib.get_close_matches(name, gym.registry, n=1)
            hint = f"did you mean {close[0]}?" if close else "is its package installed?"
            raise ValueError(f"Unknown environment {name!r}; {hint}")
    points = [gym.registry[name].entry_point for name in env_ids]
    return {str(point if isinstance(point, str) else point.__module__).partition(".")[0] for point in points if point}
