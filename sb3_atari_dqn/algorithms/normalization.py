"""The running statistics of VecNormalize, kept from before a step that turned out to be bad."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from stable_baselines3.common.vec_env import VecNormalize

_STATISTICS = ("obs_rms", "ret_rms", "returns")


class NormalizationSnapshot:
    """
    VecNormalize takes every number into its statistics before anybody can look at it, and one that is not finite
    stays in them for ever.

    :param env: None: there is nothing to keep
    """

    def __init__(self, env: VecNormalize | None) -> None:
        self._env = env
        self.take()

    def take(self) -> None:
        """Keep the statistics as they are now."""
        self._kept: dict[str, Any] = {}
        if self._env is not None and self._env.training:
            self._kept = {name: deepcopy(getattr(self._env, name)) for name in _STATISTICS if hasattr(self._env, name)}

    def restore(self) -> None:
        """Put back what was kept last."""
        for name, value in self._kept.items():
            setattr(self._env, name, deepcopy(value))


@contextmanager
def starting_anew(model: Any) -> Iterator[None]:
    """
    Context for steps: after an error the environments are ahead of what is known of them, and the next learn() resets
    them, with the statistics from before the step.

    :param model: keeps these in `_normalization`
    """
    try:
        yield
    except BaseException:
        model._last_obs = None
        model._normalization.restore()
        raise
