"""The environment of a recipe without a training: as the zoo's ``train`` builds it, wrappers and stack included."""

import argparse

from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.recipes import Recipe


def training_env(recipe: Recipe, seed: int, n_envs: int = 1) -> VecEnv:
    """
    :param recipe: whose environment
    :param seed: of the first environment, the next ones count on
    :param n_envs: N
    :return: not yet reset; writes no monitor files
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
