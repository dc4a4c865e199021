"""Overestimation of a trained model: its Q-values compared with the observed returns, and its action gaps.

    python benchmarks/value_bias.py logs/pong_elu/dqn_classic/Pong-v4_1 --steps 5000

The model acts epsilon-greedily; returns are discounted with its own gamma. Also reports the same for the states a given
number of steps before a lost point (a negative reward).
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from report import circumstances, write
from stable_baselines3.common.vec_env import VecEnv
from tqdm import trange

import sb3_atari_dqn
from sb3_atari_dqn.zoo.saved_run import find_run

BEFORE_A_LOSS = (1, 2, 4, 8, 16, 24)


class Played(NamedTuple):
    """:param values: action values before each step [n, A]; ``rewards`` [n]; ``ends`` of episodes, bool [n]"""

    values: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray


@torch.no_grad()
def play(model: Any, env: VecEnv, steps: int, epsilon: float, rng: np.random.Generator) -> Played:
    """:param epsilon: probability of a random action"""
    observations: Any = env.reset()
    values, rewards, ends = [], [], []
    for _ in trange(steps, unit="step"):
        q = model.q_net(model.policy.obs_to_tensor(observations)[0]).numpy()[0]
        action = rng.integers(len(q)) if rng.random() < epsilon else q.argmax()
        observations, reward, done, _ = env.step(np.array([action]))
        values.append(q)
        rewards.append(float(reward[0]))
        ends.append(bool(done[0]))
    return Played(np.array(values), np.array(rewards), np.array(ends))


def returns(rewards: np.ndarray, ends: np.ndarray, gamma: float) -> np.ndarray:
    """:return: discounted returns to the end of the episode, or to the last recorded step [n]"""
    found, later = np.zeros(len(rewards)), 0.0
    for step in reversed(range(len(rewards))):
        later = rewards[step] + gamma * (0.0 if ends[step] else later)
        found[step] = later
    return found


def summary(values: np.ndarray, worth: np.ndarray) -> dict[str, float]:
    """:return: mean of max Q, mean return, and mean gap between the best and the worst action"""
    best = values.max(axis=1)
    gap = best - values.min(axis=1)
    means = {"value": best.mean(), "return": worth.mean(), "action_gap": gap.mean()}
    return {name: round(float(mean), 3) for name, mean in means.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or a model inside one")
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--epsilon", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    sb3_atari_dqn.register()
    run = find_run(args.run)
    env = run.create_env(args.seed)
    model: Any = run.load_model(env, args.seed, "cpu")
    played = play(model, env, args.steps, args.epsilon, np.random.default_rng([args.seed, 1]))
    env.close()
    worth = returns(played.rewards, played.ends, model.gamma)
    result: dict[str, Any] = {
        "model": run.model_name,
        "gamma": model.gamma,
        "steps": args.steps,
        "points": {"won": int((played.rewards > 0).sum()), "lost": int((played.rewards < 0).sum())},
        "correlation": round(float(np.corrcoef(played.values.max(axis=1), worth)[0, 1]), 3),
        "all": summary(played.values, worth),
    }
    lost = np.nonzero(played.rewards < 0)[0]
    for before in BEFORE_A_LOSS:
        at = lost[lost >= before - 1] - (before - 1)
        if len(at):
            result[f"{before} before a loss"] = summary(played.values[at], worth[at])
    write({**circumstances("torch", "ale-py"), **result}, args.out)


if __name__ == "__main__":
    main()
