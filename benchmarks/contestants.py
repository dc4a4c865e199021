"""The contestants of the throughput benchmark, and how each is built and measured in its own process."""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import ale_py
import gymnasium as gym
import torch
from sb3_contrib import QRDQN as ContribQRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from sb3_atari_dqn import (
    BTR,
    C51,
    IQN,
    QRDQN,
    ClassicDQN,
    DataEfficientRainbow,
    DuelingDQN,
    MunchausenDQN,
    NatureAtari,
    RainbowDQN,
)
from sb3_atari_dqn.atari import NativeAtariVecEnv
from sb3_atari_dqn.objectives.objective import Objective

SETTINGS: dict[str, Any] = {
    "buffer_size": 100_000,
    "learning_rate": 1e-4,
    "batch_size": 32,
    "learning_starts": 1_000,
    "target_update_interval": 1_000,
    # constant, so that the share of greedy actions is the same in every window
    "exploration_initial_eps": 0.05,
    "exploration_final_eps": 0.05,
}
UPDATES_PER_TRANSITION = 0.25


@dataclass(frozen=True)
class Contestant:
    """
    :param algorithm: class
    :param n_envs: number of environments
    :param native: use NativeAtariVecEnv, else SB3's make_vec_env
    :param learner: "reference" or "fast"; None for SB3's algorithms
    :param precision: of the fast learner
    :param threads: of torch; None: torch's default
    :param batch_size: transitions per update
    :param samples_per_step: transitions sampled per transition stored
    :param replay: kind of replay; None: the algorithm's default
    :param frame_storage: where the replay buffer stores frames; None: the default
    :param learning_starts: environment steps before the first update
    :param options: further arguments of the constructor
    """

    algorithm: type[Any]
    n_envs: int = 1
    native: bool = False
    learner: str | None = None
    precision: str = "fp32"
    threads: int | None = None
    batch_size: int = SETTINGS["batch_size"]
    samples_per_step: float = SETTINGS["batch_size"] * UPDATES_PER_TRANSITION
    replay: str | None = None
    frame_storage: str | None = None
    learning_starts: int = SETTINGS["learning_starts"]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def replay_ratio(self) -> float:
        return self.samples_per_step / self.batch_size

    @property
    def warm_up_steps(self) -> int:
        """Environment steps until updates are made as often as in the long run"""
        return self.learning_starts + max(self.learning_starts, round(10 / self.replay_ratio))

    def build(self, game: str, device: str, env: VecEnv | None = None) -> DQN:
        """:param env: environment to use; None: build one"""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        gym.register_envs(ale_py)
        own = {"batch_size": self.batch_size, "learning_starts": self.learning_starts}
        arguments = {**SETTINGS, **own, **self._pace(), **self._replay(), **self.options}
        return self.algorithm("CnnPolicy", env or self.environment(game), seed=0, device=device, **arguments)

    def environment(self, game: str) -> VecEnv:
        if self.native:
            return NativeAtariVecEnv(game, self.n_envs, seed=0)
        wrapper = AtariWrapper if self.learner is None else NatureAtari
        return VecFrameStack(make_vec_env(game, self.n_envs, seed=0, wrapper_class=wrapper), n_stack=4)

    def _pace(self) -> dict[str, Any]:
        """The same replay ratio for all contestants, as arguments of each."""
        if self.learner == "fast":
            pace = {"replay_ratio": self.replay_ratio, "overlap": True}
            return {"learner": "fast", "precision": self.precision, **pace}
        vector_steps = max(round(1 / self.replay_ratio / self.n_envs), 1)
        updates = round(self.replay_ratio * self.n_envs * vector_steps)
        return {"train_freq": vector_steps, "gradient_steps": updates}

    def _replay(self) -> dict[str, Any]:
        kind = {} if self.replay is None else {"replay": self.replay}
        return (
            kind
            if self.frame_storage is None
            else {**kind, "replay_buffer_kwargs": {"frame_storage": self.frame_storage}}
        )


CONTESTANTS = {
    "SB3 dqn": Contestant(DQN),
    "SB3 dqn, 1 thread": Contestant(DQN, threads=1),
    "SB3 dqn, 8 envs": Contestant(DQN, n_envs=8),
    "dqn_classic, reference": Contestant(ClassicDQN, learner="reference"),
    "dqn_classic, fast fp32, 1 env": Contestant(ClassicDQN, 1, True, "fast"),
    "dqn_classic, fast fp32, 4 envs": Contestant(ClassicDQN, 4, True, "fast"),
    "dqn_classic, fast fp32, 8 envs": Contestant(ClassicDQN, 8, True, "fast"),
    "dqn_classic, fast bf16, 1 env": Contestant(ClassicDQN, 1, True, "fast", "bf16"),
    "dqn_classic, fast bf16, 4 envs": Contestant(ClassicDQN, 4, True, "fast", "bf16"),
    "dqn_classic, fast bf16, 8 envs": Contestant(ClassicDQN, 8, True, "fast", "bf16"),
    "dqn_dueling, reference": Contestant(DuelingDQN, learner="reference"),
    "dqn_dueling, fast bf16, 8 envs": Contestant(DuelingDQN, 8, True, "fast", "bf16"),
}


def _fast(algorithm: type[Any], **options: Any) -> Contestant:
    return Contestant(algorithm, 8, True, "fast", "bf16", options=options)


def _family() -> dict[str, Contestant]:
    """:return: the algorithms with a replay memory, with their networks and objectives, at one pace; and their parts"""
    plain: dict[str, Any] = {"replay": "uniform", "n_steps": 1}  # SB3's, for all
    of_rainbow = {**plain, "exploration": "linear"}  # noise costs the same with it
    dueling: dict[str, Any] = {"head": "dueling"}
    normed = {**dueling, "features_extractor_kwargs": {"normalization": "layer", "center_images": True}}
    return {
        "SB3 dqn": CONTESTANTS["SB3 dqn"],
        "sb3-contrib qrdqn": Contestant(ContribQRDQN),
        "dqn_classic": _fast(ClassicDQN),
        "dqn_dueling": _fast(DuelingDQN),
        "dqn_c51": _fast(C51),
        "dqn_qr": _fast(QRDQN),
        "dqn_iqn": _fast(IQN),
        "dqn_iqn, 8 fractions": _fast(IQN, values_kwargs={"predicted": 8, "targets": 8, "acting": 8}),
        "dqn_munchausen": _fast(MunchausenDQN),
        "dqn_rainbow": _fast(RainbowDQN, **of_rainbow),
        "dqn_rainbow without noise": _fast(RainbowDQN, **of_rainbow, policy_kwargs={"noisy": False}),
        "dqn_der": _fast(
            DataEfficientRainbow, **of_rainbow, policy_kwargs={"features_extractor_class": "data_efficient"}
        ),
        "dqn_btr": _fast(BTR, **plain),
        "dqn_dueling, as in profile short": _fast(DuelingDQN, policy_kwargs=normed),
        "dqn_qr, as in profile short": _fast(QRDQN, bootstrap="double", policy_kwargs=normed),
    }


FAMILY = _family()


def serve(pipe: Connection, contestant: Contestant, game: str, device: str) -> None:
    """
    Build a contestant and run measurements on request, until None arrives.

    :param pipe: receives pairs of a measurement, which is called with model and steps, and the steps; sends its result
    """
    model = contestant.build(game, device)
    warm_up(model, contestant)
    pipe.send("ready")
    while (order := pipe.recv()) is not None:
        measurement, steps = order
        pipe.send(measurement(model, steps))


def warm_up(model: DQN, contestant: Contestant) -> None:
    """Fill the replay buffer and make the first updates; on a GPU, these capture the CUDA graph."""
    window(model, contestant.warm_up_steps)


def window(model: DQN, steps: int) -> dict[str, float]:
    """:return: environment steps and updates per second, and the peak memory of the process"""
    env_steps, updates, begin = model.num_timesteps, model._n_updates, time.perf_counter()
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    elapsed = time.perf_counter() - begin
    return {
        "env_steps_per_second": (model.num_timesteps - env_steps) / elapsed,
        "updates_per_second": (model._n_updates - updates) / elapsed,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class Stopwatch:
    """Exclusive time per part: nested parts count for the innermost one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._switch()
        self._running.append(name)
        yield
        self._switch()
        self._running.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        self.seconds[self._running[-1] if self._running else "rest"] += now - self._since
        self._since = now

    def time(self, owner: Any, method: str, name: str) -> None:
        """Attribute the time inside a method to a part."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return inner(*args, **kwargs)

        setattr(owner, method, timed)


def broken_down(model: DQN, steps: int) -> dict[str, float]:
    """:return: milliseconds per update in each part; do not measure the instrumented model again"""
    watch, updates = Stopwatch(), model._n_updates
    env: Any = model.env
    if isinstance(model, ClassicDQN) and model.learner == "fast":
        learner: Any = model._get_learner()
        watch.time(env, "step_async", "emulation (waited for)")
        watch.time(env, "step_wait", "emulation (waited for)")
        watch.time(learner, "greedy_actions", "acting")
        watch.time(Objective, "targets", "target")
        watch.time(learner, "update", "forward and rest of the update")
        watch.time(learner.online, "write_gradients", "gradients to float32")
        watch.time(learner.online, "refresh", "parameters to the working copy")
    else:
        watch.time(env, "step", "emulation (waited for)")
        watch.time(model, "predict", "acting")
        watch.time(model, "train", "forward and rest of the update")
    watch.time(torch.Tensor, "backward", "backward")
    watch.time(torch.autograd, "grad", "backward")
    watch.time(torch.nn.utils, "clip_grad_norm_", "gradient norm")
    watch.time(model.replay_buffer, "add", "add")
    watch.time(model.replay_buffer, "sample", "sample")
    watch.time(model.policy.optimizer, "step", "optimizer")
    model.learn(steps, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    watch._switch()
    return {name: 1000 * seconds / (model._n_updates - updates) for name, seconds in watch.seconds.items()}
