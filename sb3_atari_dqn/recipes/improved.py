"""What the improved recipes share: their author's observations and torso, and settings of the profile ``short``."""

from collections.abc import Mapping
from typing import Any

#: Hyperparameters that say what the agent sees and does, not how it learns.
_PREPROCESSING = ("env_kwargs", "env_wrapper", "vec_env_wrapper", "frame_stack", "native_envs")

#: As in hyperparams/profiles/short.yml, see docs/short_budget.md. The budget is the recipe's own.
_LEARNING: dict[str, Any] = {
    "policy": "CnnPolicy",
    "callback": [
        {"sb3_atari_dqn.callbacks.SaveOnBestTrainingMean": {"window": 100}},
        "sb3_atari_dqn.callbacks.LogEpisodes",
    ],
    "n_envs": 8,
    "buffer_size": 300_000,
    "replay": "prioritized",
    "n_steps": 3,
    "batch_size": 32,
    "learning_starts": 4_000,
    "learning_rate": 5e-4,
    "learning_rate_steps": 200_000,
    "learning_rate_final": 1e-4,
    "target_update_interval": 2_000,
    "exploration_steps": 20_000,
    "exploration_final_eps": 0.01,
    "replay_ratio": 0.25,
    "overlap": True,
    "learner": "fast",
}


#: Without both, many units die at this learning rate: docs/networks.md, "Dead units".
_AGAINST_DEAD_UNITS: dict[str, Any] = {"normalization": "layer", "center_images": True}


def improved(author: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """
    :param author: hyperparameters of a recipe
    :param changes: hyperparameters besides, or in place of, the shared ones
    :return: hyperparameters with the author's preprocessing and torso that learn within a short budget
    """
    return {
        **{key: author[key] for key in _PREPROCESSING if key in author},
        **_LEARNING,
        "policy_kwargs": _policy_kwargs(author["policy_kwargs"]),
        **changes,
    }


def _policy_kwargs(author: Mapping[str, Any]) -> dict[str, Any]:
    torso = {**author.get("features_extractor_kwargs", {}), **_AGAINST_DEAD_UNITS}
    return {**author, "features_extractor_kwargs": torso, "optimizer_kwargs": {"eps": 1.5e-4}}
