"""Pong as in ``pong_elu``, learning sooner: the same observations and torso.

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
    recipe.env_id: improved(pong_elu.hyperparams[recipe.env_id], n_timesteps=300_000)
}
