"""Pong as in ``pong_elu``, with what it needs to win: the same observations and torso, another way of learning.

``docs/recipes/pong_elu.md`` gives the reason for each change.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe, pong_elu
from sb3_atari_dqn.recipes.improved import improved

recipe = Recipe(
    name="pong_elu_improved",
    source="observations and ELU torso of pong_elu",
    env_id=pong_elu.recipe.env_id,
    algos=("dqn_double",),
    budget="300,000 steps",
    summary="layer norm, target network, gamma 0.99, 3 steps, 8 environments",
)

hyperparams: dict[str, dict[str, Any]] = {
    recipe.env_id: improved(
        pong_elu.hyperparams[recipe.env_id],
        n_timesteps=300_000,
        policy_kwargs={
            "features_extractor_class": "elu",
            "features_extractor_kwargs": {
                "strides": [4, 2, 2],
                "initialization": "glorot_uniform",
                "normalization": "layer",
                "center_images": True,
            },
            "optimizer_kwargs": {"eps": 1.5e-4},
        },
    )
}
