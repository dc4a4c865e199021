"""Every repair of upstream, in one place. Each says what upstream does and why there is no other way in.

Checked against rl_zoo3 2.9 and sb3-team-hf-integration 3.2 (:data:`SUPPORTED`); with another zoo nothing is patched
and one warning says so. ``tests/zoo/test_patches.py`` shows each defect on the unpatched zoo, so that it fails on the
day a repair can go.

Methods of ``ExperimentManager`` are replaced for our algorithms only: every other algorithm runs upstream's code. Our
callbacks are the exception: in runs of any algorithm that name them they learn the folder, and find environments that
render where they film.
"""

import functools
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.zoo import experiment, recorders, run_folder

#: The zoo whose seams were read, as the beginning of its version.
SUPPORTED = "2.9."


@functools.cache  # asked for each room of the zoo, said once
def _supported() -> bool:
    found = version("rl_zoo3")
    if found.startswith(SUPPORTED):
        return True
    warnings.warn(
        f"sb3_atari_dqn knows rl_zoo3 {SUPPORTED}x, found {found}: its algorithms are registered, its repairs of the "
        "zoo are left out. Install a matching pair with `pip install -U sb3-atari-dqn`.",
        stacklevel=2,
    )
    return False


def _replace(cls: type, name: str, ours: Callable[..., Any], everywhere: bool = False) -> None:
    """Let ``ours(upstream, manager, ...)`` stand in for a method, for our algorithms only or everywhere."""
    upstream = getattr(cls, name)
    if getattr(upstream, "replaced_by_sb3_atari_dqn", False):
        return

    @functools.wraps(upstream)
    def method(manager: Any, *args: Any, **kwargs: Any) -> Any:
        if not everywhere and manager.algo not in ALGORITHMS:
            return upstream(manager, *args, **kwargs)
        return ours(upstream, manager, *args, **kwargs)

    method.replaced_by_sb3_atari_dqn = True  # type: ignore[attr-defined]
    setattr(cls, name, method)


def extend_experiment_manager(manager_class: type) -> None:
    """What the zoo's ``ExperimentManager`` lacks for our algorithms (upstream: rl_zoo3/exp_manager.py).

    - ``read_hyperparameters``: the default configuration is looked up inside upstream's own package only, and
      ``if ... and self.trial_id`` ignores trial 0; ``--env-kwargs`` drops all ``env_kwargs`` of the configuration,
      where ``-params`` change single values; of a Python module, ``-params`` are written into its ``hyperparams``
      and keys are taken out of them.
    - ``load_trial``: an unknown study is a bare KeyError, an unknown trial an IndexError, a negative number another
      trial; a mistyped SQLite file is created.
    - ``_preprocess_hyperparams``: unknown keys reach the constructor after the run folder was made; ``env_kwargs`` of
      the YAML never reach the evaluation environment; nothing can adapt ``env_kwargs`` to the preset.
    - ``create_log_folder``, ``setup_experiment``: the run folder is made before the configuration is known to be good,
      an empty one is then the latest run of ``enjoy``; tuning leaves an empty one, too; two runs that start together
      share one.
    - ``create_envs``: there is no key for a VecEnv class, and the manager's class attribute serves all algorithms; a
      ``render_mode`` for the training alone would be written down, and ``enjoy`` would then open no window.
    - ``create_callbacks``: a callback of the configuration is told neither the run folder nor the environment.
    - ``_save_config``: ``env_kwargs`` of the YAML are not written to ``args.yml``, all that ``record_video`` and
      ``push_to_hub`` read.
    - ``learn``: a run that dies before its first step leaves such a folder as well.
    - ``hyperparameters_optimization``: two processes that create Optuna's tables at the same moment, one dies.
    """
    if not _supported():
        return
    _replace(manager_class, "read_hyperparameters", experiment.read_hyperparameters)
    _replace(manager_class, "load_trial", experiment.load_trial)
    _replace(manager_class, "_preprocess_hyperparams", experiment.preprocess_hyperparams)
    _replace(manager_class, "setup_experiment", experiment.setup_experiment)
    _replace(manager_class, "create_log_folder", run_folder.create)
    _replace(manager_class, "create_callbacks", recorders.create_callbacks, everywhere=True)
    _replace(manager_class, "create_envs", experiment.create_envs, everywhere=True)
    _replace(manager_class, "_save_config", experiment.save_config)
    _replace(manager_class, "learn", experiment.learn)
    _replace(manager_class, "hyperparameters_optimization", experiment.hyperparameters_optimization)


def postpone_missing_plots(plots: ModuleType, error: ImportError) -> None:
    """Let the ``rl_zoo3`` command start without the plotting libraries.

    Upstream: rl_zoo3/cli.py imports the plots before it looks at its arguments, and they need the ``plots`` extra.
    The plot scripts say what is missing when they are called.
    """

    def missing() -> None:
        raise ImportError(
            f"The zoo's plots need libraries that are not installed ({error.name}): pip install 'rl_zoo3[plots]'"
        ) from error

    for script in ("all_plots", "plot_from_file", "plot_train"):
        setattr(plots, script, missing)


def repair_upload() -> None:
    """Let ``push_to_hub`` run with the installed client, and write our card for our models.

    Its functions live in ``__main__`` when it runs, so only what it imports can be replaced, just before it does.
    Upstream (rl_zoo3 2.9, sb3-team-hf-integration 3.2):

    - ``huggingface_sb3.push_to_hub.generate_metadata`` was renamed, and returns no mapping any more.
    - ``_generate_replay`` calls a system ffmpeg and ignores how it ended.
    - ``_evaluate_agent`` keeps no protocol of the score, and the card that ``metadata_save`` completes installs the
      zoo alone. Both are extended for our algorithms; the others keep upstream's.
    """
    if not _supported():
        return
    from sb3_atari_dqn.zoo import hub

    push = sys.modules["huggingface_sb3.push_to_hub"]  # the package has a function of the same name
    if not hasattr(push, "generate_metadata"):
        push.generate_metadata = push._generate_metadata  # type: ignore[attr-defined]
        _replace_function(push, "generate_metadata", hub.generate_metadata)
    _replace_function(push, "_evaluate_agent", hub.evaluate_agent)
    _replace_function(push, "_generate_replay", hub.generate_replay)
    _replace_function(hub.repocard, "metadata_save", hub.save_metadata)


def repair_download(script: ModuleType | None) -> None:
    """Let ``load_from_hub`` find that a model has no ``vec_normalize.pkl``.

    Upstream: ``huggingface_sb3.load_from_hub`` raises an error for a missing file that the zoo no longer catches.

    :param script: the zoo's module, as ``enjoy`` imports it, or None when it is about to run as ``__main__``
    """
    if not _supported():
        return
    import huggingface_sb3

    from sb3_atari_dqn.zoo import hub

    _replace_function(script or huggingface_sb3, "load_from_hub", hub.load_from_hub)


def _replace_function(module: ModuleType, name: str, ours: Callable[..., Any]) -> None:
    """Let ``ours(upstream, ...)`` stand in for a function, once."""
    upstream = getattr(module, name)
    if getattr(upstream, "replaced_by_sb3_atari_dqn", False):
        return

    @functools.wraps(upstream)
    def function(*args: Any, **kwargs: Any) -> Any:
        return ours(upstream, *args, **kwargs)

    function.replaced_by_sb3_atari_dqn = True  # type: ignore[attr-defined]
    setattr(module, name, function)
