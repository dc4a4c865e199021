"""Kills actors and a node of a cluster again and again while a model learns, and checks what was stored.

    unshare --net sh -c 'ip link set lo up && python benchmarks/ray_soak.py --kills 20 --mode free-running'

Two nodes of one CPU each, in a private network (Ray listens on every interface). Every `--every` environment steps an
actor is killed (SIGKILL); every fourth time the second node, which another one replaces. At the end every game is
played alone with the actions that were stored for it: it must do the same, step for step, and the replay memory must
hold what it did. In lock-step the whole run, networks included, must also equal the run without Ray and without kills.
"""

import argparse
import os
import random
import signal
import time
from typing import Any, cast
from zlib import crc32

os.environ.update({"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"})
os.environ.update({"RAY_worker_niceness": "0"})  # on busy machines actors would starve beside the learner

import numpy as np
from ray.cluster_utils import Cluster
from report import circumstances, write
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import ActorVecEnv, DoubleDQN, NativeAtariVecEnv
from sb3_atari_dqn.distributed.settings import ActorSettings

GAME, SEED = "BreakoutNoFrameskip-v4", 5
_NODE: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}


class Record(BaseCallback):
    """What was stored of each game: action, reward, whether it ended, and a checksum of the observation reached."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[tuple[int, int], list[tuple[int, float, bool, int]]] = {}  # by game and number of the block
        self.reached: list[list[int]] = []  # checksums, of each step and place

    def _on_step(self) -> bool:
        seen, env = self.locals, cast(Any, self.training_env)
        numbers = np.repeat([number for _, number in env._rounds._lanes], env.num_envs // env.settings.groups)
        self.reached.append([])
        for place, which in enumerate(zip(env.playing.tolist(), numbers.tolist(), strict=True)):
            done = bool(seen["dones"][place])
            last = seen["infos"][place]["terminal_observation"] if done else seen["new_obs"][place]
            step = int(seen["actions"][place]), float(seen["rewards"][place]), done, crc32(last.tobytes())
            self.blocks.setdefault(which, []).append(step)
            self.reached[-1].append(step[3])
        return True

    def check_games(self, settings: ActorSettings) -> int:
        """
        :param settings: with which they were played
        :return: steps that were compared
        """
        compared = 0
        for game in sorted({game for game, _ in self.blocks}):
            env = NativeAtariVecEnv(GAME, 1, seed=SEED + game)
            env.reload_after = settings.reload_after
            env.reset()
            for which in sorted(each for each in self.blocks if each[0] == game):
                for action, *expected in self.blocks[which]:
                    observations, rewards, dones, infos = env.step(np.array([action]))
                    last = infos[0]["terminal_observation"] if dones[0] else np.asarray(observations)[0]
                    found = [float(rewards[0]), bool(dones[0]), crc32(last.tobytes())]
                    assert found == expected, f"game {game}, block {which[1]}: {found}, stored {expected}"
                    compared += 1
                if len(self.blocks[which]) < settings.block_steps:
                    break  # the training ended within it, and perhaps within the one that stood beside it
            env.close()
        return compared

    def check_memory(self, buffer: Any) -> None:
        """What transitions lead to is what the games showed; not looked at after a life was lost."""
        buffer.n_steps = 1  # the observation that follows at once
        for step, expected in enumerate(self.reached):
            places = np.arange(len(expected))
            steps = np.full(len(expected), step)
            found = buffer.samples_at(steps, places).next_observations.numpy()
            for place in places[~buffer.memory.terminated(steps, places)]:
                assert crc32(found[place].tobytes()) == expected[place], f"step {step}, place {place}"


class Killer(BaseCallback):
    """
    :param every: environment steps
    :param kills: how many
    """

    def __init__(self, cluster: Cluster, second: Any, every: int, kills: int) -> None:
        super().__init__()
        self._cluster, self._second, self._every = cluster, second, every
        self._left, self._next, self._rng = kills, every, random.Random(0)
        self.killed = {"actors": 0, "nodes": 0}

    def _on_step(self) -> bool:
        if self._left and self.num_timesteps >= self._next:
            self._left, self._next = self._left - 1, self._next + self._every
            self._kill_node() if self._left % 4 == 0 else self._kill_actor()
        return True

    def _kill_actor(self) -> None:
        actors = cast(Any, self.training_env)._rounds.actors
        processes = list(actors._processes)
        try:
            pid = actors._ray.get(self._rng.choice(processes).handle.where.remote(), timeout=20)["pid"]
            os.kill(pid, signal.SIGKILL)
        except (actors._ray.exceptions.RayError, ProcessLookupError):
            return  # it is dead already
        self.killed["actors"] += 1

    def _kill_node(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(**_NODE)
        self.killed["nodes"] += 1


def model_in(env: Any, steps: int) -> DoubleDQN:
    pace = dict(learning_starts=64, replay_ratio=0.02, exploration_steps=200, exploration_final_eps=0.3, batch_size=8)
    replay = dict(buffer_size=2 * steps, n_steps=3, replay="prioritized")
    learner = dict(learner="fast", precision="fp32", seed=SEED)
    return DoubleDQN("CnnPolicy", env, **pace, **replay, **learner)  # type: ignore[arg-type]


def games(**ray: Any) -> ActorVecEnv:
    return ActorVecEnv(GAME, 4, SEED, ray={"block_steps": 16, **ray})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=int, default=1000, help="environment steps between two kills")
    parser.add_argument("--mode", choices=["lock-step", "free-running"], default="lock-step")
    parser.add_argument("--out", help="JSON file")
    arguments = parser.parse_args()
    steps = (arguments.kills + 2) * arguments.every
    cluster = Cluster(initialize_head=True, head_node_args=_NODE)
    killer = Killer(cluster, cluster.add_node(**_NODE), arguments.every, arguments.kills)
    env, record, start = games(address=cluster.address, actors=2, mode=arguments.mode), Record(), time.perf_counter()
    try:
        model = model_in(env, steps)
        model.learn(steps, callback=[record, killer])
        replaced = cast(Any, env._rounds).actors.replaced_in_s
    finally:
        env.close()
        cluster.shutdown()
    result: dict[str, Any] = circumstances("ray", "torch", "numpy", "ale-py")
    result |= {"load": os.getloadavg()[0], "mode": arguments.mode, "killed": killer.killed, "steps": steps}
    result |= {"seconds": time.perf_counter() - start, "replaced_in_s": [round(each, 2) for each in replaced]}
    result["steps_checked"] = record.check_games(env.settings)
    memory: Any = model.replay_buffer
    record.check_memory(memory)
    if arguments.mode == "lock-step":
        twin: Any = model_in(games(address="in-process"), steps).learn(steps)
        for name, value in twin.policy.state_dict().items():
            assert value.equal(model.policy.state_dict()[name]), name
        for name, column in twin.replay_buffer.columns().items():
            np.testing.assert_array_equal(column, memory.columns()[name])
        result["equals_the_run_without_kills"] = True
    write(result, arguments.out)


if __name__ == "__main__":
    main()
