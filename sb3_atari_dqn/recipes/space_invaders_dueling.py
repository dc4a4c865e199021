"""Space Invaders with dueling double Q-learning: "Atari Space Invaders and Dueling Q RL in TensorFlow 2".

``docs/recipes/space_invaders_dueling.md`` compares the author's settings with these and lists every deviation.
"""

from typing import Any

from sb3_atari_dqn.recipes import Recipe

recipe = Recipe(
    name="space_invaders_dueling",
    source='"Atari Space Invaders and Dueling Q RL in TensorFlow 2" (tutorial)',
    env_id="SpaceInvaders-v0",
    algos=("dqn_dueling", "dqn_double", "dqn_classic"),
    budget="about 1,500 episodes",
    summary="frame stack of 3, dueling double DQN, soft target update at every step; --algo selects double or vanilla",
    tensorboard=True,
)

hyperparams: dict[str, dict[str, Any]] = {
    "SpaceInvaders-v0": {
        # Keeps the environment's own random frame skip of 2 to 4 and its sticky actions.
        "env_wrapper": ["sb3_atari_dqn.atari.SpaceInvadersDuelingAtari"],
        "vec_env_wrapper": [{"sb3_atari_dqn.atari.VecRepeatFirstStack": {"n_stack": 3}}],
        "native_envs": False,
        "policy": "CnnPolicy",
        "policy_kwargs": {
            "features_extractor_class": "dqn2013",  # 16 8x8/4, 32 4x4/2, and 256 in each stream
            "features_extractor_kwargs": {"initialization": "he_normal"},
            # With Keras's 1e-7 all units of the advantage stream die. 0.1 bounds the step size as in Nature's RMSProp.
            "optimizer_kwargs": {"eps": 0.1},
        },
        "n_timesteps": 2_000_000,
        "callback": [
            {"stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes": {"max_episodes": 1_500}},
            {"sb3_atari_dqn.callbacks.RecordEpisodes": {"every_n_episodes": 100, "format": "gif"}},
            "sb3_atari_dqn.callbacks.LogEpisodes",
        ],
        "buffer_size": 200_000,
        "learning_starts": 50_000,
        "batch_size": 32,
        "gamma": 0.99,
        "learning_rate": 0.001,
        "loss": "huber",
        "max_grad_norm": float("inf"),
        "tau": 0.08,
        "target_update_interval": 1,
        # From 1 to 0.1 over 500,000 steps, after the random steps of learning_starts.
        "exploration_delay": 50_000,
        "exploration_steps": 500_000,
        "exploration_initial_eps": 1.0,
        "exploration_final_eps": 0.1,
        "replay_ratio": 1,
        "learner": "fast",
    }
}
