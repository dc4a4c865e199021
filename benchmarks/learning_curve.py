"""Draw the learning curve of a zoo run: every training game, their moving mean, and the evaluations.

    python benchmarks/learning_curve.py logs/dqn_dueling/PongNoFrameskip-v4_1 --out docs/images/pong_learning_curve.png

Scores are raw scores of whole games, as the zoo's monitor and evaluation files hold them.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np


def training_games(run: Path, frames_per_step: int) -> tuple[np.ndarray, np.ndarray]:
    """:return: environment steps at the end of each game, and its score"""
    games = np.loadtxt(run / "0.monitor.csv", delimiter=",", skiprows=2, ndmin=2)  # score, frames, seconds
    return games[:, 1].cumsum() / frames_per_step, games[:, 0]


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """:return: mean over the last ``window`` values, over fewer at the beginning"""
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of one run of the zoo")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--title", default="")
    parser.add_argument("--window", type=int, default=20, help="games in the moving mean")
    parser.add_argument("--frames-per-step", type=int, default=4, help="1 for environments without a frame skip")
    parser.add_argument("--reference", type=float, help="a published score, drawn as a line")
    parser.add_argument("--reference-label", default="published")
    args = parser.parse_args()

    steps, scores = training_games(args.run, args.frames_per_step)
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(steps, scores, ".", color="0.75", markersize=4, label="training games, exploring")
    axes.plot(steps, moving_mean(scores, args.window), color="C0", label=f"mean of the last {args.window}")
    evaluations = args.run / "evaluations.npz"
    if evaluations.is_file():
        data = np.load(evaluations)
        axes.plot(data["timesteps"], data["results"].mean(axis=1), "o-", color="C3", markersize=4, label="evaluation")
    if args.reference is not None:
        axes.axhline(args.reference, color="0.4", linestyle="--", linewidth=1, label=args.reference_label)
    axes.set_xlabel(
        f"environment steps ({args.frames_per_step} frames each)" if args.frames_per_step > 1 else "environment steps"
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylabel("raw score of a whole game")
    axes.set_title(args.title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)


if __name__ == "__main__":
    main()
