"""Run a named list of trainings, which can be stopped at any moment and continued on another day.

    python benchmarks/study.py                                       # lists the studies
    python benchmarks/study.py pong_short --runs ~/studies --parallel 2
    python benchmarks/study.py pong_short --runs ~/studies --status

Ctrl-C or SIGTERM stops the runs with a checkpoint each; the same command continues them, exactly. Studies are declared
in studies.yml. The table NAME.csv in the folder of the study has a row per run and point of its curve, and is written
anew whenever a run ends or stops; `python -m sb3_atari_dqn report NAME.csv` makes tables and figures of it.
"""

import argparse
import fcntl
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from report import circumstances
from studies.plan import DECLARATIONS, Run, runs_of, studies
from studies.process import Runner
from studies.table import status, write_table

from sb3_atari_dqn.commands.errors import report_user_errors
from sb3_atari_dqn.commands.options import int_at_least, seed

RUNS = Path.home() / "sb3_atari_dqn_studies"


def main() -> None:
    args = _parser().parse_args()
    with report_user_errors("study"):
        if not args.study:
            print("\n".join(f"{name}: {about}" for name, about in studies(args.studies).items()))
            return
        runs = runs_of(args.study, args.studies)
        runs = [run for run in runs if not args.seeds or run.seed in args.seeds]
        if not runs:
            raise ValueError(f"{args.study} has none of the seeds {', '.join(map(str, args.seeds))}")
    folder = (args.runs / args.study).absolute()
    out = args.out or folder / f"{args.study}.csv"
    if args.commands:
        print("\n".join(shlex.join(run.begin(folder)) for run in runs))
        return
    if args.status:
        with report_user_errors("study"):
            print(status(runs, folder, time.time()))
            if folder.is_dir():
                print(f"{write_table(runs, folder, out)} of {len(runs)} runs are in {out}")
        return
    with report_user_errors("study"), _only_one(folder):
        runner = Runner(folder, circumstances(), args.threads, lambda: _keep_table(runs, folder, out))
        runner.run(runs, args.parallel)
        write_table(runs, folder, out)
    print(status(runs, folder, time.time()))
    print(f"Wrote {out}")
    sys.exit(130 if runner.stopping else 1 if runner.failed else 0)


def _keep_table(runs: Sequence[Run], folder: Path, out: Path) -> None:
    """An error here must not stop the other runs; at the end it is raised."""
    try:
        write_table(runs, folder, out)
    except (ValueError, OSError) as error:
        print(f"study: {out} was not written: {error}", file=sys.stderr, flush=True)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """:raises ValueError: if another process runs this study in this folder, or it cannot be written"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}): give another folder with --runs") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process runs this study in {folder}: wait for it, or stop it") from None
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", help="its name; without one, the studies are listed")
    parser.add_argument("--runs", type=Path, default=RUNS, help=f"where run folders go (default: {RUNS})")
    parser.add_argument("--parallel", type=int_at_least(1), default=1, help="runs at a time (default: 1)")
    parser.add_argument("--threads", type=int_at_least(1), default=1, help="of each run (default: 1)")
    parser.add_argument("--seeds", type=seed, nargs="+", default=[], help="only these")
    parser.add_argument("--status", action="store_true", help="say what is done and what is left, and write the table")
    parser.add_argument("--commands", action="store_true", help="print the zoo's commands instead of running them")
    parser.add_argument("--out", type=Path, help="the table (default: NAME.csv in the folder of the study)")
    parser.add_argument("--studies", type=Path, default=DECLARATIONS, help="another file of declarations")
    return parser


if __name__ == "__main__":
    main()
