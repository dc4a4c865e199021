"""Count the dead hidden units of a trained network, in sampled states of a random policy.

    python benchmarks/dead_units.py logs/space_invaders_dueling/dqn_dueling/SpaceInvaders-v0_1 --load-checkpoint 75000

A convolution filter counts as one unit. What counts as dead: see `sb3_atari_dqn.networks.dead_units`. During training,
the callback `LogDeadUnits` counts them in states of the replay memory.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from games import random_actions
from report import circumstances, write
from stable_baselines3.common.vec_env import VecEnv

import sb3_atari_dqn
from sb3_atari_dqn.networks.dead_units import dead_units
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or a model inside one")
    parser.add_argument("--states", type=int, default=50, help="of random play (default: 50)")
    parser.add_argument("--load-checkpoint", type=int, help="the checkpoint after so many steps")
    parser.add_argument("--tau", type=float, default=0.0, help="count units with at most this score (default: 0, dead)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    sb3_atari_dqn.register()
    run = find_run(args.run, checkpoint=args.load_checkpoint)
    env = run.create_env(args.seed)
    model: Any = run.load_model(env, args.seed, "cpu")
    states, _ = model.policy.obs_to_tensor(random_states(env, args.states, args.seed))
    env.close()
    layers = {name: units._asdict() for name, units in dead_units(model.q_net, states, args.tau).items()}
    result = {"model": run.model_name, "states": args.states, "tau": args.tau, "layers": layers}
    write({**circumstances("torch"), **result}, args.out)


if __name__ == "__main__":
    main()
