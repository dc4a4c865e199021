"""Ms. Pac-Man from the console's 128 bytes of RAM: the RAM variant of the tutorial behind `mspacman_skip16`.

``docs/recipes/mspacman_ram.md`` lists the settings and every deviation.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe, mspacman_skip16

recipe = Recipe(
    name="mspacman_ram",
    source=mspacman_skip16.recipe.source,
    env_id="MsPacman-v0",
    algos=mspacman_skip16.recipe.algos,
    budget=mspacman_skip16.recipe.budget,
    summary="as mspacman_skip16, from the console's 128 bytes of RAM",
)

_OF_PICTURES = {"env_wrapper", "frame_stack", "policy", "policy_kwargs"}

hyperparams: dict[str, dict[str, Any]] = {
    "MsPacman-v0": {
        **{key: value for key, value in mspacman_skip16.hyperparams["MsPacman-v0"].items() if key not in _OF_PICTURES},
        # No max-pooling: an element-wise maximum of RAM states is meaningless.
        "env_kwargs": {"obs_type": "ram", "frameskip": 16},
        "env_wrapper": ["sb3_atari_dqn.atari.GameSpeed"],  # frame rate of videos
        "policy": "MlpPolicy",
        "policy_kwargs": {"features_extractor_class": "bytes", "net_arch": [256, 256]},
    }
}
