"""Ms. Pac-Man as in ``mspacman_skip16``, learning sooner: the same observations and torso.

``docs/recipes/mspacman_skip16.md`` gives the reason for each change.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe, mspacman_skip16
from sb3_atari_dqn.recipes.improved import improved

recipe = Recipe(
    name="mspacman_skip16_improved",
    source="observations and torso of mspacman_skip16",
    env_id=mspacman_skip16.recipe.env_id,
    algos=("dqn_double",),
    budget="500,000 steps",
    summary="rewards in hundreds, Huber loss, layer norm, 3 steps, 300,000 transitions, 8 environments",
)

hyperparams: dict[str, dict[str, Any]] = {
    recipe.env_id: improved(
        mspacman_skip16.hyperparams[recipe.env_id],
        # A dot is worth 10, the fourth ghost 1,600. Unscaled, values are thousands, and the Huber loss is hardly ever
        # square.
        env_wrapper=[{"sb3_atari_dqn.atari.MsPacmanSkip16Atari": {"reward_scale": 0.01}}],
        n_timesteps=500_000,
    )
}
