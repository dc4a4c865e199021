"""Draw learning curves of zoo runs: training episodes, their moving average, and evaluations.

    python benchmarks/learning_curve.py logs/dqn_dueling/PongNoFrameskip-v4_1 --out docs/images/pong_learning_curve.png
    python benchmarks/learning_curve.py RUN RUN --labels ours SB3 --over minutes --out docs/images/pong_wall_clock.png

Scores are the raw returns of full episodes in the zoo's monitor and evaluation files.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np


def training_games(run: Path, frames_per_step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    :return: for each episode of all environments, ordered by their end: total environment steps of the episodes so far,
        minutes since the start, and the score
    """
    games = []
    for path in run.glob("*.monitor.csv"):
        began = json.loads(path.read_text().splitlines()[0].lstrip("#"))["t_start"]
        rows = np.loadtxt(path, delimiter=",", skiprows=2, ndmin=2)  # score, frames, seconds
        games += [(began + seconds, frames, score) for score, frames, seconds in rows]
        games.append((began, 0, np.nan))
    ended, frames, scores = np.array(sorted(games)).T
    steps, minutes = frames.cumsum() / frames_per_step, (ended - ended[0]) / 60
    real = ~np.isnan(scores)
    return steps[real], minutes[real], scores[real]


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """:return: mean of the last ``window`` values, or of all values so far if there are fewer"""
    sums = np.concatenate([[0.0], values.cumsum()])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw_run(axes: plt.Axes, run: Path, label: str, colour: str, args: argparse.Namespace) -> None:
    steps, minutes, scores = training_games(run, args.frames_per_step)
    along = minutes if args.over == "minutes" else steps
    prefix = f"{label}: " if label else ""
    axes.plot(along, scores, ".", color=colour, alpha=0.25, markersize=4, label=f"{prefix}training games, exploring")
    axes.plot(along, moving_mean(scores, args.window), color=colour, label=f"{prefix}mean of the last {args.window}")
    evaluations = run / "evaluations.npz"
    if evaluations.is_file():
        data = np.load(evaluations)
        places = np.interp(data["timesteps"], steps, along) if args.over == "minutes" else data["timesteps"]
        means = data["results"].mean(axis=1)
        axes.plot(places, means, "o-", color=colour, ms=5, mfc="white", lw=1, label=f"{prefix}evaluation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs of the zoo")
    parser.add_argument("--labels", nargs="+", help="a name for each run")
    parser.add_argument("--over", choices=["steps", "minutes"], default="steps")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--title", default="")
    parser.add_argument("--until", type=float, help="where the axis ends; by default where the longest run does")
    parser.add_argument("--window", type=int, default=20, help="games in the moving mean")
    parser.add_argument("--frames-per-step", type=int, default=4, help="1 for environments without a frame skip")
    parser.add_argument("--reference", type=float, help="a published score, drawn as a line")
    parser.add_argument("--reference-label", default="published")
    args = parser.parse_args()
    labels = args.labels or [""] * len(args.runs)
    if len(labels) != len(args.runs):
        parser.error(f"{len(args.runs)} runs need as many --labels, got {len(labels)}")

    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for number, (run, label) in enumerate(zip(args.runs, labels, strict=True)):
        draw_run(axes, run, label, f"C{number}", args)
    if args.reference is not None:
        axes.axhline(args.reference, color="0.4", linestyle="--", linewidth=1, label=args.reference_label)
    frames = f" ({args.frames_per_step} frames each)" if args.frames_per_step > 1 else ""
    axes.set_xlabel("minutes" if args.over == "minutes" else f"environment steps{frames}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(right=args.until)
    axes.set_ylabel("raw score of a whole game")
    axes.set_title(args.title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False, fontsize=8)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)


if __name__ == "__main__":
    main()
