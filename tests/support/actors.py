"""Short trainings on actors, and what they have in common if they are the same."""

from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import ActorVecEnv, DoubleDQN, NativeAtariVecEnv

GAME = "BreakoutNoFrameskip-v4"  # its episodes are short: lives are lost every few steps

IN_PROCESS = {"address": "in-process"}
SEED, BLOCK_STEPS = 5, 8


def needs_ray() -> None:
    """Skip the tests of a file without it; it is not imported, since it reads its settings then."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'sb3-atari-dqn[ray]'", allow_module_level=True)


def actor_env(n_envs: int = 4, seed: int = SEED, **ray: Any) -> ActorVecEnv:
    return ActorVecEnv(GAME, n_envs, seed, ray={"block_steps": BLOCK_STEPS, **IN_PROCESS, **ray})


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


class GameStreams(BaseCallback):
    """What was seen of each game, block by block: two blocks of one may stand side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[tuple[int, int], list[tuple]] = {}
        self.places: list[list[tuple[int, int]]] = []  # game and number of the block, of each step and place

    def _on_step(self) -> bool:
        seen, env = self.locals, cast(Any, self.training_env)
        self.places.append([(game, number) for game, (_, number) in zip(env.playing, env._rounds._lanes, strict=True)])
        for place, which in enumerate(self.places[-1]):
            done = seen["dones"][place]
            last = seen["infos"][place].get("terminal_observation") if done else None
            numbers = seen["actions"][place], seen["rewards"][place], done
            self.blocks.setdefault(which, []).append((*numbers, seen["new_obs"][place].copy(), last))
        return True

    @property
    def streams(self) -> list[list[tuple]]:
        """Of each game, in the order of its steps, up to the first block that was not taken to its end"""
        streams: list[list[tuple]] = []
        for game in sorted({game for game, _ in self.blocks}):
            streams.append([])
            for block in (self.blocks[which] for which in sorted(self.blocks) if which[0] == game):
                streams[-1] += block
                if len(block) < BLOCK_STEPS:
                    break
        return streams

    @property
    def goes_on(self) -> np.ndarray:
        """Whether the next step at a place is the next one of the same game, bool [steps - 1, N]"""
        pairs = zip(self.places[:-1], self.places[1:], strict=True)
        return np.array(
            [[new[0] == old[0] and new[1] - old[1] in (0, 1) for old, new in zip(*each, strict=True)] for each in pairs]
        )

    def at(self, step: int, place: int) -> tuple:
        """What was seen there"""
        return self.blocks[self.places[step][place]][step % BLOCK_STEPS]

    def before(self, step: int, place: int) -> np.ndarray:
        """The observation that its action answered; of a block that is not a game's first"""
        game, number = self.places[step][place]
        return (
            self.blocks[game, number][step % BLOCK_STEPS - 1][3]
            if step % BLOCK_STEPS
            else self.blocks[game, number - 1][-1][3]
        )


def assert_games_were_played(streams: list[list[tuple]]) -> None:
    """Each game alone, with the actions of its stream, does the same."""
    for game, stream in enumerate(streams):
        env = NativeAtariVecEnv(GAME, 1, seed=SEED + game)
        env.reset()
        for action, reward, done, new_obs, last in stream:
            observations, rewards, dones, infos = env.step(np.array([action]))
            np.testing.assert_array_equal(np.asarray(observations)[0], new_obs)
            assert (rewards[0], dones[0]) == (reward, done)
            if done:
                np.testing.assert_array_equal(infos[0]["terminal_observation"], last)
        env.close()
