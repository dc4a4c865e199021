"""Chrome's built-in runner game as a gymnasium environment, ``ChromeDino-v0``.

Importing this package is cheap: an environment looks for a browser only on its first reset.
"""

ENV_ID = "ChromeDino-v0"

#: A good agent could play forever. 10,000 steps of 4 frames are 11 minutes of game time, or 6,000 points at the initial
#: speed.
MAX_EPISODE_STEPS = 10_000


def register() -> None:
    """Register the environment with gymnasium. An installed package does this whenever gymnasium is imported."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    if ENV_ID not in registry:
        gymnasium_register(
            ENV_ID, entry_point="sb3_atari_dqn.dino.env:ChromeDinoEnv", max_episode_steps=MAX_EPISODE_STEPS
        )
