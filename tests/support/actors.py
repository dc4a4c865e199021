"""Short trainings on actors, and what they have in common if they are the same."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from sb3_atari_dqn import ActorVecEnv, DoubleDQN

GAME = "BreakoutNoFrameskip-v4"  # its episodes are short: lives are lost every few steps

IN_PROCESS = {"address": "in-process"}


def needs_ray() -> None:
    """Skip the tests of a file without it; it is not imported, since it reads its settings then."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'sb3-atari-dqn[ray]'", allow_module_level=True)


def actor_env(n_envs: int = 4, seed: int = 5, **ray: Any) -> ActorVecEnv:
    return ActorVecEnv(GAME, n_envs, seed, ray={"block_steps": 8, **IN_PROCESS, **ray})


def learner(env: Any, algorithm: Any = DoubleDQN, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "buffer_size": 2000,
        "learning_starts": 64,
        "replay_ratio": 0.05,
        "n_steps": 3,
    }
    defaults |= {"replay": "prioritized", "learner": "fast", "precision": "fp32", "exploration_final_eps": 0.3}
    defaults |= {"seed": 5, "exploration_steps": 200, "batch_size": 8}
    return algorithm("CnnPolicy", env, **{**defaults, **options})


def results(model: Any) -> dict[str, np.ndarray]:
    """:return: networks, stored transitions and priorities, all that may be compared bit for bit"""
    found = {f"policy.{name}": value.numpy().copy() for name, value in model.policy.state_dict().items()}
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        size, (memory,) = buffer.size(), buffer.memory.parts.values()
        found |= {name: column[:size].copy() for name, column in buffer.columns().items()}
        frames = [memory.store.read(np.arange(1, size + 1), env) for env in range(buffer.n_envs)]
        found |= {"frames": np.array(frames), "priorities": np.asarray(buffer.priorities())[:size]}
    return found


def trained(n_steps: int = 240, n_envs: int = 4, algorithm: Any = DoubleDQN, options: Any = None, **ray: Any) -> Any:
    """:return: the results of a training"""
    env = actor_env(n_envs, **ray)
    try:
        return results(learner(env, algorithm, **(options or {})).learn(n_steps))
    finally:
        env.close()


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not np.array_equal(ours[name], theirs[name], equal_nan=True)]
    assert not different
