"""The only module of sb3_atari_dqn that runs at every start of Python.

The RL Zoo fixes the choices of ``--algo`` before it reads any plug-in flag, and it has no entry-point group. Therefore
a ``.pth`` line imports this module at every interpreter start. It adds one finder to ``sys.meta_path``, which waits for
the zoo's modules and calls :mod:`sb3_atari_dqn.zoo.plugin` after their import. Gymnasium (since 1.0) has no entry-point
group either, so our environment is registered in the same way.

This module also runs in unrelated programs: it must not import anything heavy, print, or raise.
Set ``SB3_ATARI_DQN_AUTOLOAD=0`` to disable it.
"""

import os
import sys

#: Modules that sb3_atari_dqn extends after their import (or, for scripts, before they run).
WATCHED = frozenset(
    {
        "gymnasium.envs",
        "rl_zoo3.utils",
        "rl_zoo3.exp_manager",
        "rl_zoo3.hyperparams_opt",
        "rl_zoo3.plots",
        "rl_zoo3.push_to_hub",
        "rl_zoo3.load_from_hub",
        "rl_zoo3.record_training",
    }
)


class CompletingLoader:
    """Wraps the loader of a watched module and extends the module after its import."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == "_loader":  # not set yet during copying and unpickling
            raise AttributeError(name)
        return getattr(self._loader, name)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        try:
            self._loader.exec_module(module)
        except ImportError as error:
            if not _complete(module.__name__, module, error):
                raise
        else:
            _complete(module.__name__, module, None)

    def get_code(self, name):
        """Called by ``python -m``, which runs the module as ``__main__`` instead of importing it."""
        _complete(name, None, None)
        return self._loader.get_code(name)


class ZooFinder:
    """Finds no modules itself; wraps the loader that other finders return for a watched module."""

    def find_spec(self, name, path=None, target=None):
        if name not in WATCHED:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = CompletingLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


def _complete(name, module, error):
    """Let the plug-in extend a module. A broken install of ours must not break the zoo.

    :param name: name of the watched module
    :param module: the module, or None if it is about to run as ``__main__``
    :param error: the ImportError raised by its import, or None
    :return: whether a failed import was repaired
    """
    try:
        from sb3_atari_dqn.zoo import plugin

        return plugin.complete(name, module, error)
    except Exception as problem:
        if getattr(problem, "name", None) != "sb3_atari_dqn":  # leftovers of an uninstalled package stay silent
            _print_once(
                f"sb3_atari_dqn is installed but cannot be loaded ({problem!r}); the RL Zoo runs without it. "
                "Repair it with `pip install --force-reinstall --no-deps sb3-atari-dqn`."
            )
        return False


def _print_once(message, printed=[]):  # noqa: B006
    """Print a message. Not a warning, because some programs turn warnings into errors, which would stop the zoo."""
    if not printed:
        printed.append(message)
        print(message, file=sys.stderr)


def install():
    """Insert the finder at the front of ``sys.meta_path``, once."""
    if not any(isinstance(finder, ZooFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ZooFinder())


if os.environ.get("SB3_ATARI_DQN_AUTOLOAD") != "0":
    install()
