"""The browser's own runner game as a gymnasium environment, ``ChromeDino-v0``.

Importing this package costs nothing: a browser, and what drives it, is first looked at when an environment is made.
"""

ENV_ID = "ChromeDino-v0"

#: An agent that plays well would never end: 10,000 steps of 4 frames are 11 minutes of the game, 6,000 points at its
#: first speed.
MAX_EPISODE_STEPS = 10_000


def register() -> None:
    """Make gymnasium know the environment. Done for every program that imports gymnasium, where we are installed."""
    from gymnasium.envs.registration import register as gymnasium_register
    from gymnasium.envs.registration import registry

    if ENV_ID not in registry:
        gymnasium_register(
            ENV_ID, entry_point="sb3_atari_dqn.dino.env:ChromeDinoEnv", max_episode_steps=MAX_EPISODE_STEPS
        )
