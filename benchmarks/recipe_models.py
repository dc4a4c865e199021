"""Models of the recipes outside of the zoo's command line."""

from importlib import import_module
from typing import Any

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.recipes import Recipe
from sb3_atari_dqn.zoo.training_env import training_env

_OF_THE_ZOO = {
    *("callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "n_timesteps"),
    *("native_envs", "vec_env_wrapper"),
}


def recipe_model(recipe: Recipe, **changes: Any) -> Any:
    """
    :param recipe: whose settings and environment
    :param changes: arguments of the algorithm that replace the recipe's
    :return: not yet trained, seed 0
    """
    settings = import_module(recipe.module).hyperparams[recipe.env_id]
    own = {key: value for key, value in settings.items() if key not in _OF_THE_ZOO}
    algorithm = ALGORITHMS[recipe.algos[0]].import_class()
    return algorithm(env=training_env(recipe, seed=0), seed=0, **{**own, **changes})
