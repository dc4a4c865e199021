"""Creates the training environment of a recipe as the zoo's ``train`` does, including wrappers and frame stack."""

import argparse

from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.recipes import Recipe


def training_env(recipe: Recipe, seed: int, n_envs: int = 1) -> VecEnv:
    """
    :param recipe: its configuration determines the environment
    :param seed: of the first environment; environment i is seeded with ``seed + i``
    :param n_envs: N
    :return: vectorized environment before its first reset; does not write monitor files
    """
    from rl_zoo3.exp_manager import ExperimentManager

    manager = ExperimentManager(
        argparse.Namespace(),
        recipe.algos[0],
        recipe.env_id,
        log_folder="",
        config=recipe.module,
        seed=seed,
        verbose=0,
    )
    hyperparams, _ = manager.read_hyperparameters()
    _, manager.env_wrapper, _, manager.vec_env_wrapper = manager._preprocess_hyperparams(hyperparams)
    return manager.create_envs(n_envs, no_log=True)
