"""What kills hidden units: train dqn_dueling as shipped, change one thing at a time, and count dead units on the way.

    OMP_NUM_THREADS=1 python benchmarks/dead_units_study.py --settings plain centered --seeds 0 1 2 --out results.json
    OMP_NUM_THREADS=1 python benchmarks/dead_units_study.py --settings plain centered --updates 3000 --out offline.json

A run of 50,000 environment steps takes about 8 minutes on one idle core with bfloat16 units. With `--updates`, the
network learns from a fixed replay memory of random play instead: 20,000 transitions, for a seed the same ones whatever
the setting. Runs that the file of `--out` already holds are not repeated. `--table` prints the file of a training as a
table: medians over the seeds, with minimum and maximum.

Settings differ from hyperparams/dqn_dueling.yml (entry `atari`) by what SETTINGS says and by a smaller replay memory.
Counts are those of the callback LogDeadUnits: of each layer, the units that are off in 256 states of the replay memory.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from report import circumstances
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_dqn import DuelingDQN, NativeAtariVecEnv
from sb3_atari_dqn.callbacks import LogDeadUnits
from sb3_atari_dqn.networks.dead_units import dead_units

CONFIGURATION = Path(__file__).parent.parent / "hyperparams" / "dqn_dueling.yml"
RANDOM_STEPS = 20_000
_OF_THE_ZOO = ("env_wrapper", "frame_stack", "n_envs", "n_timesteps")


def torso(**arguments: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"features_extractor_kwargs": arguments}}


def adam(**arguments: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"optimizer_kwargs": arguments}}


#: Name -> what differs from the shipped configuration without any of the remedies ("plain").
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "centered": torso(center_images=True),
    "layer": torso(normalization="layer"),
    "centered_layer": torso(center_images=True, normalization="layer"),
    "rate_6e-5": {"learning_rate": 6.25e-5},
    "rate_1e-4": {"learning_rate": 1e-4},
    "eps_1e-8": adam(eps=1e-8),
    "beta2_0.99": adam(eps=1.5e-4, betas=(0.9, 0.99)),
    "clip_1": {"max_grad_norm": 1.0},
    "orthogonal": torso(initialization="orthogonal"),
    "he_normal": torso(initialization="he_normal"),
}
PLAIN = torso(center_images=False, normalization="none", initialization=None)


class Watch(BaseCallback):
    """
    Collects a row per measurement and ends the training.

    :param counts: measures before this callback is called
    :param steps: environment steps of the training
    """

    def __init__(self, counts: LogDeadUnits, steps: int) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self._counts, self._steps = counts, steps
        self._common: list[float] = []
        self._largest_norm = 0.0

    def _on_step(self) -> bool:
        network: Any = self.model.policy.q_net
        gradient = network.features_extractor.cnn[0].weight.grad
        if gradient is not None:
            self._common.append(common_share(gradient))
            norms = torch._foreach_norm([parameter.grad for parameter in network.parameters()])
            self._largest_norm = max(self._largest_norm, torch.stack(norms).norm().item())
        if self.num_timesteps % self._counts.every == 0:
            self._add_row()
        return self.num_timesteps < self._steps

    def _add_row(self) -> None:
        scores = [info["r"] for info in self.model.ep_info_buffer or ()][-10:]
        row = {
            "steps": self.num_timesteps,
            "dead": {name: list(units) for name, units in self._counts.layers.items()},
            "score_of_last_10": round(float(np.mean(scores)), 2) if scores else None,
            "common_share": round(float(np.mean(self._common)), 3) if self._common else None,
            "largest_grad_norm": round(self._largest_norm, 3),
        }
        self.rows.append(row)
        self._common = []
        print(json.dumps(row), flush=True)


def common_share(gradient: torch.Tensor) -> float:
    """
    :param gradient: of the first convolution, [filters, C, H, W]; clipping does not matter
    :return: share (0 to 1) of its squared length that changes all weights of a filter alike, and so moves the filter's
        output wherever the image is one grey, in the same direction
    """
    per_filter = gradient.flatten(1)
    common = (per_filter.sum(dim=1) ** 2).sum() / per_filter.shape[1]
    return (common / (per_filter**2).sum().clamp_min(1e-30)).item()


def settings_of(name: str) -> tuple[dict[str, Any], int, int]:
    """:return: arguments of the algorithm, number of environments, and length of the training that schedules see"""
    shipped = yaml.safe_load(CONFIGURATION.read_text().replace("!!float ", ""))["atari"]
    own = {key: value for key, value in shipped.items() if key not in _OF_THE_ZOO}
    rate = float(own["learning_rate"].removeprefix("lin_"))
    own["learning_rate"] = lambda remaining: remaining * rate
    policy_kwargs = {"optimizer_kwargs": {"eps": 1.5e-4}, **PLAIN["policy_kwargs"]}
    changes = dict(SETTINGS[name])
    for key, value in changes.pop("policy_kwargs", {}).items():
        policy_kwargs[key] = {**(policy_kwargs[key] if key == "features_extractor_kwargs" else {}), **value}
    return {**own, "policy_kwargs": policy_kwargs, **changes}, shipped["n_envs"], int(float(shipped["n_timesteps"]))


def train(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    own, n_envs, schedule_steps = settings_of(name)
    own |= {"buffer_size": args.buffer_size, "device": "cpu", "seed": seed}
    model = DuelingDQN(env=NativeAtariVecEnv(args.env, n_envs, seed=seed), **own)
    counts = LogDeadUnits(every=args.every)
    watch = Watch(counts, args.steps)
    began = time.perf_counter()
    model.learn(schedule_steps, callback=[counts, watch])
    seconds = round(time.perf_counter() - began)
    return {"setting": name, "seed": seed, "env": args.env, "seconds": seconds, "rows": watch.rows}


def learn_offline(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    own, n_envs, schedule_steps = settings_of(name)
    own |= {"buffer_size": args.buffer_size, "device": "cpu", "seed": seed}
    model: Any = DuelingDQN(env=NativeAtariVecEnv(args.env, n_envs, seed=seed), **{**own, "learning_starts": 10**9})
    model.learn(schedule_steps, callback=Until(RANDOM_STEPS))
    rng, buffer = np.random.default_rng([seed, 1]), model.replay_buffer
    states = buffer.samples_at(rng.integers(buffer.size(), size=256), rng.integers(n_envs, size=256)).observations
    torso: Any = model.q_net.features_extractor
    updates_per_target = own["target_update_interval"] * own["replay_ratio"]
    rows: list[dict[str, Any]] = []
    common: list[float] = []
    largest = 0.0
    for updates in range(args.updates + 1):
        if updates % args.every_updates == 0:
            rows.append({"updates": updates, **described(model.q_net, states), "largest_grad_norm": round(largest, 3)})
            rows[-1]["common_share"] = round(float(np.mean(common)), 3) if common else None
            common = []
            print(json.dumps(rows[-1]), flush=True)
        model.train(gradient_steps=1, batch_size=own["batch_size"])
        common.append(common_share(torso.cnn[0].weight.grad))
        largest = max(largest, model.logger.name_to_value["train/grad_norm"])  # before clipping
        if (updates + 1) % updates_per_target == 0:
            model._update_target_network()
    return {"setting": name, "seed": seed, "env": args.env, "rows": rows}


@torch.no_grad()
def described(network: Any, states: torch.Tensor) -> dict[str, Any]:
    """:return: dead units, how far the values of the states lie apart, and the mean output of the first convolution"""
    images = states.float() / 255
    torso = network.features_extractor
    seen = images - images.mean(dim=(1, 2, 3), keepdim=True) if torso.center_images else images
    return {
        "dead": {layer: list(units) for layer, units in dead_units(network, states).items()},
        "spread_of_values": round(network(states).mean(dim=1).std().item(), 4),
        "mean_of_conv1": round(torso.cnn[0](seen).mean().item(), 4),
    }


class Until(BaseCallback):
    """:param steps: environment steps of the training, whatever its schedules are made for"""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def _on_step(self) -> bool:
        return self.num_timesteps < self._steps


def table(runs: list[dict[str, Any]], at: list[int]) -> str:
    """:return: a line for each setting and number of steps, in Markdown"""
    layers = list(runs[0]["rows"][0]["dead"])
    lines = [" | ".join(["", "setting", "steps", "seeds", *layers, "score of the last 10 games", ""]).strip()]
    lines.append("| --- " * (4 + len(layers)) + "|")
    for setting in dict.fromkeys(run["setting"] for run in runs):
        for steps in at:
            rows = [row for run in runs if run["setting"] == setting for row in run["rows"] if row["steps"] == steps]
            if rows:
                cells = [_spread([row["dead"][layer][0] for row in rows]) for layer in layers]
                score = _spread([row["score_of_last_10"] for row in rows if row["score_of_last_10"] is not None])
                lines.append(" | ".join(["", setting, f"{steps:,}", str(len(rows)), *cells, score, ""]).strip())
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):g} ({min(values):g} to {max(values):g})" if values else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["plain", "centered"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--env", default="PongNoFrameskip-v4")
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps of each run (default: 50,000)")
    parser.add_argument("--updates", type=int, help="learn from a fixed replay memory of random play, so many updates")
    parser.add_argument("--every-updates", type=int, default=250, help="updates between two of these (default: 250)")
    parser.add_argument("--every", type=int, default=10_000, help="steps between two measurements (default: 10,000)")
    parser.add_argument("--buffer-size", type=int, default=50_000, help="transitions (default: 50,000)")
    parser.add_argument("--out", type=Path, required=True, help="file for the results, as JSON; is added to")
    parser.add_argument("--table", action="store_true", help="train nothing, print the file as a table")
    args = parser.parse_args()
    found = json.loads(args.out.read_text()) if args.out.exists() else {**circumstances("torch", "ale-py"), "runs": []}
    if args.table:
        print(table(found["runs"], [20_000, 50_000]))
        return
    for seed in args.seeds:
        for name in args.settings:
            if not any((run["setting"], run["seed"], run["env"]) == (name, seed, args.env) for run in found["runs"]):
                print(f"{name}, seed {seed}", flush=True)
                run = learn_offline if args.updates else train
                found["runs"].append(run(name, seed, args))
                args.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
