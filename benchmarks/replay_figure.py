"""Draw the results of `benchmarks/replay.py`: bytes per transition and time per batch.

python benchmarks/replay_figure.py benchmarks/results/replay.json --out docs/images/replay.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

COLOURS = {"ours": "#1f77b4", "SB3": "#8c8c8c", "sb3-extra-buffers": "#e0a13c"}


def _colour(name: str) -> str:
    return next(colour for begin, colour in COLOURS.items() if name.startswith(begin))


def _bars(axes: Any, names: list[str], values: list[float], errors: list[list[float]] | None = None) -> None:
    axes.barh(names, values, color=[_colour(name) for name in names], xerr=errors, ecolor="0.25", height=0.7)
    ends = [value + (errors[1][place] if errors else 0) for place, value in enumerate(values)]
    for place, (value, end) in enumerate(zip(values, ends, strict=True)):
        axes.annotate(f"{value:,.0f}", (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def draw(result: dict[str, Any], out: Path) -> None:
    """
    :param result: output of `benchmarks/replay.py`; buffers that failed are omitted
    :param out: image file
    """
    figures = {name: one for name, one in result["figures"].items() if "failed" not in one}
    names = list(figures)
    figure, (memory, speed) = plt.subplots(
        1, 2, figsize=(11, 1.6 + 0.36 * len(names)), sharey=True, layout="constrained"
    )
    sizes = [one["bytes_per_transition"] for one in figures.values()]
    _bars(memory, names, sizes)
    memory.set_xscale("log")
    memory.set_xlim(min(sizes) / 3, max(sizes) * 4)
    memory.set_xlabel("resident bytes per transition (logarithmic axis)")
    medians = [one["sample_us"]["median"] for one in figures.values()]
    quartiles = [one["sample_us"]["quartiles"] for one in figures.values()]
    below = [max(median - low, 0) for median, (low, _) in zip(medians, quartiles, strict=True)]
    above = [max(high - median, 0) for median, (_, high) in zip(medians, quartiles, strict=True)]
    _bars(speed, names, medians, [below, above])
    speed.set_xlim(0, max(medians) * 1.2)
    speed.set_xlabel("microseconds per batch of 32 (quartiles)")
    for axes in (memory, speed):
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    memory.invert_yaxis()
    memory.set_title(f"{result['env']}, 84x84, stacks of 4; slots behind the names", loc="left", fontsize=10)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="JSON of benchmarks/replay.py --out")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    args = parser.parse_args()
    draw(json.loads(args.result.read_text()), args.out)


if __name__ == "__main__":
    main()
