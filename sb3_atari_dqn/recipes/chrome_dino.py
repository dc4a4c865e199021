"""Chrome Dino at constant speed: "Build an AI to play Dino Run", 2018.

``docs/chrome_dino.md`` compares the author's settings with these and lists every deviation.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe

recipe = Recipe(
    name="chrome_dino",
    source='"Build an AI to play Dino Run" (tutorial and notebook, 2018)',
    env_id="ChromeDino-v0",
    algos=("dqn_classic",),
    budget="not stated (300,000 steps here); the tutorial ran at 6 to 7 steps per second, this at 62",
    summary="a browser game, max-pooling torso, no separate target network, epsilon from 0.1",
)

hyperparams: dict[str, dict[str, Any]] = {
    "ChromeDino-v0": {
        "env_kwargs": {
            "actions": 2,
            "press": "tap",  # Selenium's send_keys
            "acceleration": 0.0,
            "crop": [0, 300, 0, 500],
            "size": [80, 80],
            "stack": 1,  # VecRepeatFirstStack stacks instead, so that the replay buffer stores each frame once
            "reward": "alive",
            "alive_reward": 0.1,
            "crash_reward": -1.0,
        },
        "vec_env_wrapper": [{"sb3_atari_dqn.atari.VecRepeatFirstStack": {"n_stack": 4}}],
        "monitor_kwargs": {"info_keywords": ("score",)},
        "policy": "CnnPolicy",
        "policy_kwargs": {
            "features_extractor_class": "maxpool",
            "features_extractor_kwargs": {"initialization": "glorot_uniform"},  # Keras's
            "optimizer_kwargs": {"eps": 1e-7},  # Keras's
        },
        "n_timesteps": 300_000,
        "checkpoint_freq": 2_000,
        "buffer_size": 50_000,
        "learning_starts": 100,
        "batch_size": 32,
        "gamma": 0.99,
        "learning_rate": 1e-4,
        "loss": "mse",
        "max_grad_norm": float("inf"),
        # Updating it after every step makes the target network identical to the online network.
        "target_update_interval": 1,
        "exploration_initial_eps": 0.1,
        "exploration_final_eps": 0.0001,
        "exploration_steps": 100_000,
        "replay_ratio": 1,
        "learner": "fast",
    }
}
