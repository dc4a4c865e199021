"""Recipes reproduce published tutorials: one module each, with ``recipe`` (metadata) and ``hyperparams`` (RL Zoo).

``NAME_improved`` keeps what the agent of ``NAME`` sees and does, and changes how it learns.

``python -m rl_zoo3.train --algo ALGO --env ENV -conf sb3_atari_dqn.recipes.NAME`` trains one. Pure data, without heavy
imports.
"""

from dataclasses import dataclass
from importlib import import_module

from sb3_atari_dqn.validation import check_known

NAMES = (
    "pong_elu",
    "pong_elu_improved",
    "mspacman_skip16",
    "mspacman_skip16_improved",
    "mspacman_ram",
    "space_invaders_dueling",
    "space_invaders_dueling_improved",
    "chrome_dino",
)


@dataclass(frozen=True)
class Recipe:
    """
    Metadata of a recipe.

    :param name: of its module in this package
    :param source: the publication
    :param env_id: environment
    :param algos: zoo names of the supported algorithms, the author's first
    :param budget: the author's training budget, in words
    :param summary: its distinctive settings, one line
    :param tensorboard: whether the author logs to TensorBoard
    """

    name: str
    source: str
    env_id: str
    algos: tuple[str, ...]
    budget: str
    summary: str
    tensorboard: bool = False

    @property
    def module(self) -> str:
        """Value for ``-conf``"""
        return f"{__name__}.{self.name}"

    def check_env(self, env_id: str | None) -> None:
        """
        :param env_id: value of --env, None if not given
        :raises ValueError: if it is not the recipe's environment
        """
        if env_id not in (None, self.env_id):
            raise ValueError(f"--env {env_id} contradicts --recipe {self.name}, which uses {self.env_id}: omit --env.")


def find(name: str) -> Recipe:
    """
    :param name: of a recipe
    :raises ValueError: if it is unknown; the message lists the known names
    """
    check_known("recipe", name, NAMES)
    return import_module(f"{__name__}.{name}").recipe
