"""Pong, first frame repeated in the stack, ELU, no target network: "Deep Q-Learning for Atari Games", 2019.

``docs/recipes/pong_elu.md`` compares the author's settings with these and lists every deviation.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe

recipe = Recipe(
    name="pong_elu",
    source='"Deep Q-Learning for Atari Games" (tutorial, 2019)',
    env_id="Pong-v4",
    algos=("dqn_classic",),
    budget="50 episodes of at most 50,000 steps",
    summary="ELU torso, replay buffer of a million transitions, no separate target network, gamma 0.9",
)

hyperparams: dict[str, dict[str, Any]] = {
    "Pong-v4": {
        # Keeps the environment's own random frame skip of 2 to 4.
        "env_kwargs": {"max_episode_steps": 50_000},
        "env_wrapper": ["sb3_atari_dqn.atari.PongEluAtari"],
        "vec_env_wrapper": [{"sb3_atari_dqn.atari.VecRepeatFirstStack": {"n_stack": 4}}],
        "native_envs": False,
        "policy": "CnnPolicy",
        # `features_extractor_class: elu_printed` is the torso exactly as printed in the tutorial.
        "policy_kwargs": {
            "features_extractor_class": "elu",
            "features_extractor_kwargs": {"strides": [4, 2, 2], "initialization": "glorot_uniform"},  # Keras's
            "optimizer_kwargs": {"eps": 1e-7},  # Keras's too
        },
        "n_timesteps": 2_500_000,
        "callback": [
            {"stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes": {"max_episodes": 50}},
            {"sb3_atari_dqn.callbacks.RecordEpisodes": {"every_n_episodes": 1, "source": "training"}},
            "sb3_atari_dqn.callbacks.SaveEveryEpisode",
            "sb3_atari_dqn.callbacks.LogEpisodes",
        ],
        "buffer_size": 1_000_000,
        "replay_buffer_kwargs": {"frame_storage": "compressed"},
        "learning_starts": 64,
        "batch_size": 64,
        "gamma": 0.9,
        "learning_rate": 0.00025,
        "loss": "mse",
        "max_grad_norm": float("inf"),
        # Updating it after every step makes the target network identical to the online network.
        "target_update_interval": 1,
        "exploration": "exponential",
        "exploration_initial_eps": 1.0,
        "exploration_final_eps": 0.01,
        "exploration_decay_rate": 0.00003,
        "replay_ratio": 1,
        "learner": "fast",
    }
}
