"""Space Invaders as in ``space_invaders_dueling``, learning sooner: the same observations, torso and streams.

``docs/recipes/space_invaders_dueling.md`` gives the reason for each change.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe, space_invaders_dueling
from sb3_atari_dqn.recipes.improved import improved

recipe = Recipe(
    name="space_invaders_dueling_improved",
    source="observations, torso and streams of space_invaders_dueling",
    env_id=space_invaders_dueling.recipe.env_id,
    algos=("dqn_dueling",),
    budget="500,000 steps",
    summary="layer norm, a rarely copied target network, 3 steps, prioritized, epsilon to 0.01 in 20,000 steps",
)

hyperparams: dict[str, dict[str, Any]] = {
    recipe.env_id: improved(
        space_invaders_dueling.hyperparams[recipe.env_id],
        # An invader is worth 5 to 30 and the saucer 200.
        env_wrapper=[{"sb3_atari_dqn.atari.SpaceInvadersDuelingAtari": {"reward_scale": 0.05}}],
        n_timesteps=500_000,
    )
}
