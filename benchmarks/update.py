"""Milliseconds per update of the Nature network, one optimization at a time: batch 32, bytes to new parameters.

    GOMP_SPINCOUNT=10000 python benchmarks/update.py

The models alternate, one update at a time. Plain PyTorch code adds the optimizations between SB3's update and our fast
learner one by one. The first convolution comes last, as it is and after space-to-depth, as in the fast learner; and
`torch.compile`, which we did not adopt.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from report import circumstances, write
from stable_baselines3 import DQN
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn
from torch.nn import functional as F

from sb3_atari_dqn import ClassicDQN, DuelingDQN

BATCH, ACTIONS = 32, 6
IMAGES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
LAST = torch.channels_last
Update = Callable[[], Any]


class Still(gym.Env):
    """An environment for its spaces only."""

    observation_space, action_space = IMAGES, spaces.Discrete(ACTIONS)


class OneBatch:
    """A replay buffer that always returns the same batch, so that only the update is timed."""

    def __init__(self, samples: ReplayBufferSamples) -> None:
        self.samples = samples

    def sample(self, *args: Any, **kwargs: Any) -> ReplayBufferSamples:
        return self.samples


def random_batch() -> ReplayBufferSamples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, BATCH, *IMAGES.shape), dtype=torch.uint8, generator=generator)
    actions = torch.randint(0, ACTIONS, (BATCH, 1), generator=generator)
    rewards = torch.randn(BATCH, 1, generator=generator)
    return ReplayBufferSamples(images[0], actions, images[1], torch.zeros(BATCH, 1), rewards, None)


def of_model(algorithm: type[DQN], batch: ReplayBufferSamples, **kwargs: Any) -> Update:
    model = algorithm("CnnPolicy", Still(), buffer_size=1, device="cpu", **kwargs)
    model.replay_buffer = OneBatch(batch)  # type: ignore[assignment]
    model.set_logger(Logger(None, []))
    return lambda: model.train(1, BATCH)


def network() -> nn.Sequential:
    convolutions = [nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3, 1)]
    layers = [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, ACTIONS))


def with_levers(
    batch: ReplayBufferSamples, fused: bool = True, last: bool = True, autocast: bool = False, compiled: bool = False
) -> Update:
    """Deep Q-learning in plain PyTorch, with some optimizations on."""
    online, target = network(), network()
    optimizer = torch.optim.Adam(online.parameters(), fused=fused)
    actions, rewards = batch.actions, batch.rewards.squeeze(1)

    def prepared(images: Tensor) -> Tensor:
        images = images.float().div_(255)
        return images.contiguous(memory_format=LAST) if last else images

    def loss(observations: Tensor, next_observations: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            with torch.no_grad():
                reached = rewards + 0.99 * target(prepared(next_observations)).max(1).values.float()
            return F.smooth_l1_loss(online(prepared(observations)).float().gather(1, actions).squeeze(1), reached)

    compute = torch.compile(loss) if compiled else loss

    def update() -> None:
        optimizer.zero_grad()
        compute(batch.observations, batch.next_observations).backward()
        nn.utils.clip_grad_norm_(online.parameters(), 10)
        optimizer.step()

    return update


def first_convolution(space_to_depth: bool, dtype: torch.dtype) -> Update:
    """Forward pass and weight gradient of the first convolution, as 8x8/4 or as 2x2/1 over 64 channels."""
    images = torch.rand(BATCH, 4, 84, 84)
    convolution = nn.Conv2d(64, 32, 2, 1) if space_to_depth else nn.Conv2d(4, 32, 8, 4)
    if space_to_depth:
        images = F.pixel_unshuffle(images, 4)
    images, convolution = images.to(dtype).contiguous(memory_format=LAST), copy.deepcopy(convolution).to(dtype)

    def update() -> None:
        output = convolution(images)
        torch.autograd.grad(output, list(convolution.parameters()), torch.ones_like(output))

    return update


def candidates(with_compiler: bool) -> dict[str, Update]:
    batch = random_batch()
    updates = {
        "SB3 dqn": of_model(DQN, batch),
        "dqn_classic, reference": of_model(ClassicDQN, batch),
        "lever: none (PyTorch as SB3 uses it)": with_levers(batch, fused=False, last=False),
        "lever: + fused Adam": with_levers(batch, last=False),
        "lever: + channels last": with_levers(batch),
        "lever: + bf16 by autocast": with_levers(batch, autocast=True),
        "dqn_classic, fast fp32": of_model(ClassicDQN, batch, learner="fast", precision="fp32"),
        "dqn_classic, fast bf16": of_model(ClassicDQN, batch, learner="fast", precision="bf16"),
        "dqn_dueling, reference": of_model(DuelingDQN, batch),
        "dqn_dueling, fast fp32": of_model(DuelingDQN, batch, learner="fast", precision="fp32"),
        "dqn_dueling, fast bf16": of_model(DuelingDQN, batch, learner="fast", precision="bf16"),
    }
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        updates[f"part: first convolution, 8x8/4, {name}"] = first_convolution(False, dtype)
        updates[f"part: the same after space-to-depth, {name}"] = first_convolution(True, dtype)
    if with_compiler:
        updates["left out: torch.compile of the line with autocast"] = with_levers(batch, autocast=True, compiled=True)
    return updates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--compile", action="store_true", help="torch.compile too; needs a C++ compiler")
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    updates = candidates(args.compile)
    times: dict[str, list[float]] = {name: [] for name in updates}
    for turn in range(args.rounds + 3):
        for name, update in updates.items():
            update()  # warm the caches, which hold the data of the others
            begin = time.perf_counter()
            update()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - begin))
    quartiles = {name: statistics.quantiles(each, n=4) for name, each in times.items()}
    figures = {
        name: {"median_ms": median, "quartiles_ms": [low, high]} for name, (low, median, high) in quartiles.items()
    }
    facts = circumstances("stable-baselines3", "torch")
    write({**facts, "torch_threads": torch.get_num_threads(), "updates": figures}, args.out)


if __name__ == "__main__":
    main()
