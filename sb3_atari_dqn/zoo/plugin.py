"""Extends the zoo's modules after their import: registers algorithms, environments and search spaces.

Uses public extension points (the ``ALGOS`` and tuning dictionaries) where possible;
:mod:`sb3_atari_dqn.zoo.patches` contains the rest.
"""

import sys
from collections.abc import Callable
from types import ModuleType

from sb3_atari_dqn.catalogue import ALGORITHMS


def register() -> None:
    """Register our algorithms with the RL Zoo, in this process.

    Only needed if Python's start-up files are disabled; an installed package registers itself. Can be called before or
    after importing the zoo, and more than once.
    """
    import sb3_atari_dqn_autoload

    sb3_atari_dqn_autoload.install()
    for name in _COMPLETIONS:
        if name in sys.modules:
            complete(name, sys.modules[name], None)


def complete(name: str, module: ModuleType | None, error: ImportError | None) -> bool:
    """Extend one of the zoo's modules after its import.

    :param name: the module's name
    :param module: the module, or None for a script that is about to run as ``__main__``
    :param error: the ImportError raised by its import, or None
    :return: whether a failed import was repaired
    """
    return _COMPLETIONS[name](module, error)


def _environments(envs: ModuleType | None, error: ImportError | None) -> bool:
    if envs is not None and error is None:
        from sb3_atari_dqn import dino

        dino.register()
    return False


def _algorithms(utils: ModuleType | None, error: ImportError | None) -> bool:
    if utils is None or error is not None:
        return False
    utils.ALGOS.update({name: algorithm.import_class() for name, algorithm in ALGORITHMS.items()})
    from sb3_atari_dqn.zoo import patches

    patches.check_runs(utils)
    return False


def _experiments(exp_manager: ModuleType | None, error: ImportError | None) -> bool:
    if exp_manager is None or error is not None:
        return False
    from sb3_atari_dqn.zoo import patches

    patches.extend_experiment_manager(exp_manager.ExperimentManager)
    return False


def _search_spaces(hyperparams_opt: ModuleType | None, error: ImportError | None) -> bool:
    if hyperparams_opt is None or error is not None:
        return False
    from sb3_atari_dqn.zoo import tuning

    samplers = {name: tuning.sampler(algorithm) for name, algorithm in ALGORITHMS.items()}
    hyperparams_opt.HYPERPARAMS_SAMPLER.update(samplers)
    hyperparams_opt.HYPERPARAMS_CONVERTER.update(dict.fromkeys(ALGORITHMS, tuning.convert))
    return False


def _plots(plots: ModuleType | None, error: ImportError | None) -> bool:
    if plots is None or error is None:
        return False
    from sb3_atari_dqn.zoo import patches

    patches.postpone_missing_plots(plots, error)
    return True


def _hub_upload(script: ModuleType | None, error: ImportError | None) -> bool:
    if script is None:
        from sb3_atari_dqn.zoo import patches

        patches.repair_upload()
    return False


def _hub_download(script: ModuleType | None, error: ImportError | None) -> bool:
    if error is None:
        from sb3_atari_dqn.zoo import patches

        patches.repair_download(script)
    return False


def _video_tools(module: ModuleType | None, error: ImportError | None) -> bool:
    from sb3_atari_dqn.zoo.video_tools import put_video_tools_on_path

    put_video_tools_on_path()
    return False


_COMPLETIONS: dict[str, Callable[[ModuleType | None, ImportError | None], bool]] = {
    "gymnasium.envs": _environments,
    "rl_zoo3.utils": _algorithms,
    "rl_zoo3.exp_manager": _experiments,
    "rl_zoo3.hyperparams_opt": _search_spaces,
    "rl_zoo3.plots": _plots,
    "rl_zoo3.push_to_hub": _hub_upload,
    "rl_zoo3.load_from_hub": _hub_download,
    "rl_zoo3.record_training": _video_tools,
}
