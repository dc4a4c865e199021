"""The only thing a Python start ever sees of sb3_atari_dqn.

The RL Zoo fixes the choices of ``--algo`` before any plug-in flag is read, and it has no entry-point group. So a
``.pth`` line imports this module at every interpreter start; it puts one finder on ``sys.meta_path`` that waits for
the zoo's modules and, when one of them has been imported, lets :mod:`sb3_atari_dqn.zoo.plugin` complete it. Gymnasium
has no such group either (since 1.0), so our environment is entered into its registry in the same way.

It runs in programs that have nothing to do with us: nothing heavy is imported, nothing is printed, nothing is raised.
Set ``SB3_ATARI_DQN_AUTOLOAD=0`` to leave the zoo as it is.
"""

import os
import sys

#: Modules that sb3_atari_dqn completes once they have been imported (or, for scripts, are about to be run).
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
    """The real loader of a watched module, with our completion after it."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == "_loader":  # while being copied or unpickled there is none yet
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
        """Called by ``python -m``, which runs the code as ``__main__`` instead of importing the module."""
        _complete(name, None, None)
        return self._loader.get_code(name)


class ZooFinder:
    """Finds nothing itself; wraps the loader that the other finders give for a watched module."""

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
    """Let the plug-in complete a module; whatever is wrong with our install must not break the zoo.

    :param name: name of the watched module
    :param module: the module, or None when it is about to be run as ``__main__``
    :param error: the ImportError its import ended with, or None
    :return: whether a failed import was repaired
    """
    try:
        from sb3_atari_dqn.zoo import plugin

        return plugin.complete(name, module, error)
    except Exception as problem:
        if getattr(problem, "name", None) != "sb3_atari_dqn":  # a leftover of a removed install stays silent
            _say_once(
                f"sb3_atari_dqn is installed but does not load ({problem!r}), so the RL Zoo runs without it. "
                "Repair it with `pip install --force-reinstall --no-deps sb3-atari-dqn`."
            )
        return False


def _say_once(message, said=[]):  # noqa: B006
    """Not a warning: those are errors to some, and the zoo must go on."""
    if not said:
        said.append(message)
        print(message, file=sys.stderr)


def install():
    """Put the finder first on ``sys.meta_path``, once."""
    if not any(isinstance(finder, ZooFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, ZooFinder())


if os.environ.get("SB3_ATARI_DQN_AUTOLOAD") != "0":
    install()
