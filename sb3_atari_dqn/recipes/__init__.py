"""The source systems by name: one module each, with ``recipe`` (what it is) and ``hyperparams`` (for the RL Zoo).

``python -m rl_zoo3.train --algo ALGO --env ENV -conf sb3_atari_dqn.recipes.NAME`` trains one. Pure data: nothing
heavy is imported here.
"""

from dataclasses import dataclass
from importlib import import_module

from sb3_atari_dqn.validation import check_known

NAMES = ("pong_elu", "mspacman_skip16", "mspacman_ram", "space_invaders_dueling", "chrome_dino")


@dataclass(frozen=True)
class Recipe:
    """
    What a source system is.

    :param name: its module here
    :param source: the publication
    :param env_id: environment
    :param algos: zoo names of the algorithms it can be trained with, the author's first
    :param budget: how long the author trains, in words
    :param summary: what sets it apart, one line
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
        """What ``-conf`` takes"""
        return f"{__name__}.{self.name}"

    def check_env(self, env_id: str | None) -> None:
        """
        :param env_id: what the user gave as --env, None for nothing
        :raises ValueError: if it is another one
        """
        if env_id not in (None, self.env_id):
            raise ValueError(
                f"--env {env_id} contradicts --recipe {self.name}, which plays {self.env_id}: leave --env out."
            )


def find(name: str) -> Recipe:
    """
    :param name: of a recipe
    :raises ValueError: if there is none of this name; the message lists the known ones
    """
    check_known("recipe", name, NAMES)
    return import_module(f"{__name__}.{name}").recipe
