"""``python -m sb3_atari_dqn report RUNS...``: how well, how sure, and under which protocol."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from sb3_atari_dqn.commands.errors import check_matplotlib, report_user_errors
from sb3_atari_dqn.commands.errors import report as print_report
from sb3_atari_dqn.commands.options import int_at_least
from sb3_atari_dqn.reports.analysis import analyse
from sb3_atari_dqn.reports.curves import WINDOW, only, read_curves
from sb3_atari_dqn.reports.folder import NUMBERS, PAGE, check_folder, write_folder
from sb3_atari_dqn.reports.markdown import written
from sb3_atari_dqn.reports.protocol import EVALUATION, TRAINING
from sb3_atari_dqn.reports.published import find, published_systems

_EXPLANATION = """\
Report Atari runs of any number of games and seeds: a table per game; interquartile mean, median, mean and optimality
gap of human-normalised scores with 95 % stratified bootstrap intervals; performance profiles; probabilities of
improvement; curves over frames and over wall-clock time. The folder gets report.md, report.json and the figures.

RUNS are run folders of the zoo, of any algorithm, and CSV files of sweeps. Scores are compared at equal
frames. Scores of different protocols (sticky actions, life-loss termination, training returns or evaluations) are not
compared, unless --across-protocols marks them.
"""

_EXAMPLES = """\
examples:
  python -m sb3_atari_dqn report logs/dqn_qr/* logs/dqn_dueling/* -o report
  python -m sb3_atari_dqn report four_million_frames.csv --frames 4e6 --published dopamine:qr-dqn dopamine:rainbow
  python -m sb3_atari_dqn report --list-published
"""


def main(arguments: Sequence[str]) -> None:
    """:param arguments: as typed after ``report``; a user error is one line with exit status 2"""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.list_published:
        print_report("report", "\n".join(f"{label}: {each.source}" for label, each in published_systems().items()))
        return
    with report_user_errors("report"):
        if not args.runs:
            raise ValueError("no runs: name run folders, or CSV files of studies")
        check_matplotlib("reports")
        check_folder(args.out)
        published = [find(label) for label in dict.fromkeys(args.published)]
        curves, skipped = read_curves(args.runs, args.measure, args.window)
        curves = only(curves, args.games) if args.games else curves
        result = analyse(curves, published, args.frames, args.across_protocols)
    from sb3_atari_dqn.reports.figures import drawn

    pictures = drawn(result)
    page = written(result, list(pictures), args.title)
    numbers = json.dumps(result, indent=1, allow_nan=False)
    with report_user_errors("report"):
        write_folder(args.out, {**pictures, PAGE: page.encode(), NUMBERS: f"{numbers}\n".encode()})
    notes = [*skipped, *result["marks"]["decisive"].values(), *result["marks"]["minor"].values(), *result["remarks"]]
    print_report("report", "\n".join([*notes, f"Wrote {args.out}"]), written=str(args.out))


def _frames(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames above 0, such as 4e6")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn report",
        description=_EXPLANATION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="folder of a run, or CSV of a study")
    parser.add_argument(
        *("-o", "--out"), type=Path, default=Path("report"), metavar="FOLDER", help="to write (default: report)"
    )
    parser.add_argument(
        "--frames", type=_frames, metavar="N", help="compare scores after N frames (default: as many as every run has)"
    )
    parser.add_argument("--games", nargs="+", metavar="GAME", help="only these games; put the runs first")
    parser.add_argument(
        "--published",
        nargs="+",
        default=[],
        metavar="NAME",
        help="lay published scores over, such as dopamine:rainbow; --list-published shows all",
    )
    parser.add_argument("--list-published", action="store_true", help="list the published scores, and stop")
    parser.add_argument(
        "--measure",
        choices=(TRAINING, EVALUATION),
        default=TRAINING,
        help="what to read of run folders: returns of training episodes, or evaluations.npz and goal_evaluations.npz; "
        "and of CSV files that have both (default: training)",
    )
    parser.add_argument(
        "--window",
        type=int_at_least(1),
        default=WINDOW,
        metavar="N",
        help=f"training scores are means of the last N episodes (default: {WINDOW}); CSV files have their own",
    )
    parser.add_argument(
        "--across-protocols", action="store_true", help="compare scores of different protocols, and mark them"
    )
    parser.add_argument("--title", default="Report", help="of the page")
    return parser
