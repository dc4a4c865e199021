"""``python -m sb3_atari_dqn plot RUN...``: learning curves of the zoo's runs in one figure."""

import argparse
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from sb3_atari_dqn.commands.errors import check_matplotlib, report, report_user_errors, written_to
from sb3_atari_dqn.pictures.drawing import check_writable, complete_or_absent
from sb3_atari_dqn.plotting.groups import group
from sb3_atari_dqn.plotting.runs import RETURN, NothingToDraw, RunLog, read_run

_EXPLANATION = """\
Plot learning curves of one or several training runs into one PNG: the return of each episode and the mean of the last
100, mean and maximum per 10 episodes, epsilon (if the run logged it) and environment steps per second, each against
environment steps and against wall-clock time.

A run is the folder that the zoo's train printed as its log path. Runs of any algorithm are accepted, finished or not;
all of them must use the same environment. Runs with the same algorithm, configuration and budget are treated as seeds:
a line for their mean, with a band from their minimum to their maximum. A run that continues another one is not grouped
with it.
"""

_EXAMPLES = """\
examples:
  python -m sb3_atari_dqn plot logs/dqn_dueling/PongNoFrameskip-v4_1
  python -m sb3_atari_dqn plot logs/dqn_dueling/Pong* logs/dqn/Pong* --labels ours SB3 -o pong.png

Epsilon is plotted for runs that logged it, with the callback sb3_atari_dqn.callbacks.LogEpisodes or --tensorboard-log.
"""


_LOGGERS = "to log it, train with the callback sb3_atari_dqn.callbacks.LogEpisodes or with --tensorboard-log"


def main(arguments: Sequence[str]) -> None:
    """:param arguments: as typed after ``plot``; a user error is one line with exit status 2"""
    args = _parser().parse_args(arguments)
    with report_user_errors("plot"):
        check_matplotlib("plots")
        runs, skipped = _read(_once(args.runs), args.value)
        groups = group(runs, args.labels)
        check_writable(args.out, ".png")
    from sb3_atari_dqn.plotting.figure import draw

    png = BytesIO()
    draw(groups, png)
    with report_user_errors("plot"), written_to(args.out), complete_or_absent(args.out) as unfinished:
        unfinished.write_bytes(png.getvalue())
    remarks = [run.remark for run in runs if run.remark]
    lines = [*skipped, *remarks, *_missing_epsilon(runs), f"Wrote {args.out}"]
    report("plot", "\n".join(lines), written=str(args.out))


def _read(paths: Sequence[Path], value: str) -> tuple[list[RunLog], list[str]]:
    """
    :return: the runs, and a line for each folder without one, because a pattern like logs/*/Pong* may match some
    :raises ValueError: if no folder holds a run, or one of them is damaged
    """
    runs, nothing = [], []
    for path in paths:
        try:
            runs.append(read_run(path, value))
        except NothingToDraw as reason:
            nothing.append(reason)
    if not runs:
        raise nothing[0]
    return runs, [f"Skipped: {reason}" for reason in nothing]


def _once(runs: Sequence[Path]) -> list[Path]:
    """:return: each folder once, under its first name"""
    named: dict[str, Path] = {}
    for run in runs:
        named.setdefault(os.path.realpath(run), run)
    return list(named.values())


def _missing_epsilon(runs: Sequence[RunLog]) -> list[str]:
    silent = [run for run in runs if run.epsilon is None and run.settings.exploration != "none"]
    missing = [str(run.path) for run in silent if run.settings.exploration is not None]
    if silent and all(run.epsilon is None for run in runs):
        return [f"No epsilon panel: no run logged epsilon{f'; {_LOGGERS}' if missing else ''}"]
    return [f"No epsilon for {', '.join(missing)}: not logged; {_LOGGERS}"] if missing else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn plot",
        usage="%(prog)s RUN [RUN ...] [-o FILE.png] [--value COLUMN] [--labels NAME [NAME ...]]",
        description=_EXPLANATION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run")
    parser.add_argument(
        *("-o", "--out"),
        type=Path,
        default=Path("plot.png"),
        metavar="FILE.png",
        help="output file (default: plot.png)",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="NAME",
        help="a label for each group, in the order of the runs (default: algorithm); put the runs first: all "
        "arguments after --labels are labels",
    )
    parser.add_argument(
        "--value",
        default=RETURN,
        metavar="COLUMN",
        help="plot this column of the monitor files instead of the return, for instance score for ChromeDino-v0",
    )
    return parser
