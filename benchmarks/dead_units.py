"""Count the dead hidden units of a trained network: those that output 0 in all sampled states of a random policy.

    python benchmarks/dead_units.py logs/space_invaders_dueling/dqn_dueling/SpaceInvaders-v0_1 --load-checkpoint 75000

A convolution filter counts as one unit. Dead ReLU units receive no gradient in these states.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from games import random_actions
from report import circumstances, write
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

import sb3_atari_dqn
from sb3_atari_dqn.zoo.saved_run import find_run

APART = 4  # random steps between sampled states


def random_states(env: VecEnv, n: int, seed: int) -> np.ndarray:
    """:return: n frame stacks"""
    rng = random_actions(seed)
    observations: Any = env.reset()
    states = []
    for step in range(n * APART):
        observations, *_ = env.step(rng.integers(env.action_space.n, size=1))  # type: ignore[attr-defined]
        if step % APART == 0:
            states.append(np.array(observations[0]))
    return np.stack(states)


@torch.no_grad()
def dead_units(network: nn.Module, states: Tensor) -> dict[str, dict[str, int]]:
    """
    :param network: its ReLUs are modules
    :param states: [n, C, H, W]
    :return: number of dead units and of all units, by layer name
    """
    found: dict[str, dict[str, int]] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU):
            layer.register_forward_hook(lambda _, inputs, output, name=name: found.update({name: _count(output)}))
    network(states)
    return found


def _count(output: Tensor) -> dict[str, int]:
    highest = output.transpose(0, 1).flatten(1).amax(dim=1)
    return {"dead": int((highest <= 0).sum()), "of": len(highest)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or a model inside one")
    parser.add_argument("--states", type=int, default=50, help="of random play (default: 50)")
    parser.add_argument("--load-checkpoint", type=int, help="the checkpoint after so many steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    sb3_atari_dqn.register()
    run = find_run(args.run, checkpoint=args.load_checkpoint)
    env = run.create_env(args.seed)
    model: Any = run.load_model(env, args.seed, "cpu")
    states, _ = model.policy.obs_to_tensor(random_states(env, args.states, args.seed))
    env.close()
    result = {"model": run.model_name, "states": args.states, "layers": dead_units(model.q_net, states)}
    write({**circumstances("torch"), **result}, args.out)


if __name__ == "__main__":
    main()
