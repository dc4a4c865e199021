"""``python -m sb3_atari_dqn plot RUN...``: learning curves of the zoo's runs in one picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sb3_atari_dqn.model_files import replacing
from sb3_atari_dqn.plotting.groups import group
from sb3_atari_dqn.plotting.runs import RETURN, RunLog, read_run

_EXPLANATION = """\
Draws learning curves of one or several training runs into one PNG: the return of each game and the mean of the last
100, mean and maximum per 10 games, epsilon (where the run logged it) and environment steps per second, each against
environment steps and against wall-clock time.

A run is the folder that the zoo's train printed as its log path. Runs of any algorithm are taken, finished or not; they
must be of one environment. Runs with the same algorithm and the same configuration are taken for seeds of one thing:
one line for their mean, and a band from the lowest to the highest of them.
"""

_EXAMPLES = """\
examples:
  python -m sb3_atari_dqn plot logs/dqn_dueling/PongNoFrameskip-v4_1
  python -m sb3_atari_dqn plot logs/dqn_dueling/Pong* logs/dqn/Pong* --labels ours SB3 --out pong.png

Epsilon is drawn for runs that logged it: with the callback sb3_atari_dqn.callbacks.LogEpisodes, or --tensorboard-log.
"""


def main(arguments: Sequence[str]) -> None:
    """:param arguments: as typed after ``plot``; an error is one line, and exit code 1"""
    args = _parser().parse_args(arguments)
    try:
        print(plot(args.runs, args.out, args.labels, args.value))
    except (OSError, ValueError) as error:
        print(f"plot: {error}", file=sys.stderr)
        sys.exit(1)


def plot(paths: Sequence[Path], out: Path, labels: Sequence[str] | None = None, value: str = RETURN) -> str:
    """
    :param paths: folders of runs
    :param out: PNG to write
    :param labels: a name for each group of runs
    :param value: what a game is judged by, a column of the monitor files
    :return: what to tell the user
    :raises ValueError: on bad input; the message names the way out
    """
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out {out}: the picture is a PNG, give a name that ends in .png")
    try:
        from sb3_atari_dqn.plotting.figure import draw
    except ImportError as error:
        raise ValueError(f"Plots need matplotlib ({error}): pip install 'sb3-atari-dqn[plots]'") from error
    runs = [read_run(path, value) for path in dict.fromkeys(paths)]
    groups = group(runs, labels)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            draw(groups, file)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror or error}") from error
    return "\n".join([*_missing_epsilon(runs), f"Wrote {out}"])


def _missing_epsilon(runs: Sequence[RunLog]) -> list[str]:
    missing = [str(run.path) for run in runs if run.epsilon is None]
    if not missing:
        return []
    if len(missing) == len(runs):
        return ["No panel of epsilon: no run logged it (see --help)"]
    return [f"No epsilon of {', '.join(missing)}: not logged (see --help)"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn plot",
        description=_EXPLANATION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run")
    parser.add_argument("--out", type=Path, default=Path("plot.png"), help="picture to write (default: plot.png)")
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="a name for each line, in the order of the runs (default: algorithm)",
    )
    parser.add_argument(
        "--value",
        default=RETURN,
        metavar="COLUMN",
        help="draw this column of the monitor files instead of the return: score, for ChromeDino-v0",
    )
    return parser
