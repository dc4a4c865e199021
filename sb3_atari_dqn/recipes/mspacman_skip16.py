"""Ms. Pac-Man from pixels with a frame skip of 16: a tutorial with classical deep Q-learning in PyTorch.

``docs/recipes/mspacman_skip16.md`` compares the author's settings with these and lists every deviation.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe

recipe = Recipe(
    name="mspacman_skip16",
    source="Ms. Pac-Man with the classical deep Q-learning algorithm (tutorial, PyTorch)",
    env_id="MsPacman-v0",
    algos=("dqn_classic",),
    budget="2,000,000 steps",
    summary="frame skip 16, maximum over all 16 frames; no life-loss termination, unclipped rewards, squared error",
)

hyperparams: dict[str, dict[str, Any]] = {
    "MsPacman-v0": {
        # The preset creates the environment with frameskip=1 and keeps its sticky actions.
        "env_wrapper": ["sb3_atari_dqn.atari.MsPacmanSkip16Atari"],
        "frame_stack": 4,
        "native_envs": False,
        "policy": "CnnPolicy",
        "policy_kwargs": {"features_extractor_class": "nature_stride2"},
        "n_timesteps": 2_000_000,
        "callback": [
            {"sb3_atari_dqn.callbacks.SaveOnBestTrainingMean": {"window": 100}},
            "sb3_atari_dqn.callbacks.LogEpisodes",
        ],
        "buffer_size": 10_000,
        "learning_starts": 10_000,
        "batch_size": 128,
        "gamma": 0.99,
        "learning_rate": 0.0001,
        "loss": "mse",
        "max_grad_norm": float("inf"),
        "target_update_interval": 1_000,
        # epsilon = 1 - t / 250,000 reaches 0.01 after 247,500 steps
        "exploration_steps": 247_500,
        "exploration_initial_eps": 1.0,
        "exploration_final_eps": 0.01,
        "replay_ratio": 1,
        "learner": "fast",
    }
}
