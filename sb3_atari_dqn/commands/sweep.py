"""``python -m sb3_atari_dqn sweep STUDY.yml``: algorithms x games x seeds, on this machine or on a Ray cluster."""

import argparse
import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sb3_atari_dqn.commands.errors import report, report_user_errors
from sb3_atari_dqn.commands.options import add_pool_options, int_at_least, seed
from sb3_atari_dqn.studies.job import Job
from sb3_atari_dqn.studies.plan import Run, name_of, runs_of, studies
from sb3_atari_dqn.studies.progress import Display, status
from sb3_atari_dqn.studies.ray_pool import RayPool, check_files, check_installed, check_options, check_shared
from sb3_atari_dqn.studies.record import Place
from sb3_atari_dqn.studies.runner import Local, Pool, Runner
from sb3_atari_dqn.studies.table import write_table
from sb3_atari_dqn.studies.training import Training

_EXPLANATION = """\
Train every setting of a study on every game with every seed. Each run is a training of the zoo in a process of its own.
Ctrl-C or SIGTERM stops all of them with a checkpoint each, and the same command continues them, exactly; what failed or
was lost is run again. Run folders go to RUNS/NAME, and NAME.csv there has a row per run and point of its curve.

With --ray, runs share the CPUs of a cluster. The folder of the runs must then be on a file system that every node has
under the same path.
"""

_EXAMPLES = """\
examples:
  python -m sb3_atari_dqn sweep study.yml --parallel 2
  python -m sb3_atari_dqn sweep study.yml --ray HEAD:6379 --runs /shared/sweeps
  python -m sb3_atari_dqn sweep study.yml --status
  python -m sb3_atari_dqn report sweeps/NAME/NAME.csv

docs/sweeps.md describes the file of studies.
"""

RUNS = Path("sweeps")
_LOCK = ".lock"


class _Screen(Display):
    """
    The table in the terminal, and the one in the file.

    :param chosen: the runs of a study that are shown
    :param runs: all of the study, for the file
    :param folder: of the study
    :param out: CSV, written anew whenever a run ends
    """

    def __init__(self, chosen: Sequence[Run], runs: Sequence[Run], folder: Path, out: Path) -> None:
        super().__init__(chosen, folder)
        self._runs, self._folder, self._out = runs, folder, out

    def ended(self, job: Job, text: str) -> None:
        """An error here must not stop the other runs; at the end it is raised."""
        super().ended(job, text)
        try:
            _write_table(self._runs, self._folder, self._out)
        except ValueError as error:
            self.note(str(error))


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: as typed after ``sweep``
    :raises SystemExit: with status 2 and one line on a user error, 1 if a run failed, 130 if it was stopped
    """
    args = _parser().parse_args(arguments)
    with report_user_errors("sweep"):
        if args.list:
            found = studies(args.study).items()
            report("sweep", "\n".join(f"{name}: {about}" if about else name for name, about in found))
            return
        check_options(args.ray, args.gpus)
        name = name_of(args.name, args.study)
        runs = runs_of(name, args.study)
        chosen = _chosen(name, runs, args.seeds, args.games)
        folder = (args.runs / name).absolute()
        out = args.out or folder / f"{name}.csv"
        if args.out:
            _check_out(args.out)
    if args.commands:
        report("sweep", "\n".join(shlex.join(run.begin(folder)) for run in chosen))
    elif args.status:
        _print_status(chosen, runs, folder, out)
    else:
        _run(args, chosen, runs, folder, out)


def _chosen(name: str, runs: Sequence[Run], seeds: Sequence[int], games: Sequence[str]) -> Sequence[Run]:
    """
    :return: the runs of these seeds and games; of all, where none are given
    :raises ValueError: if the study lacks one of them
    """
    _check_chosen(name, "seed", seeds, [run.seed for run in runs])
    _check_chosen(name, "game", games, [run.game for run in runs])
    return [run for run in runs if (not seeds or run.seed in seeds) and (not games or run.game in games)]


def _check_chosen(name: str, what: str, chosen: Sequence[object], known: Sequence[object]) -> None:
    """
    :param what: is chosen
    :param known: those of all runs
    :raises ValueError: if the study lacks one
    """
    if missing := [str(each) for each in chosen if each not in known]:
        names = ", ".join(str(each) for each in dict.fromkeys(known))
        raise ValueError(f"{name} has no {what} {', '.join(missing)}; it has {names}")


def _check_out(out: Path) -> None:
    """:raises ValueError: if the table could not be written in the end"""
    above = next(path for path in out.absolute().parents if path.exists())  # the others are made when it is written
    if out.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
        raise ValueError(f"{out} cannot be written: give another file with --out")


def _print_status(chosen: Sequence[Run], runs: Sequence[Run], folder: Path, out: Path) -> None:
    problems = []
    with report_user_errors("sweep"):
        lines = [status(chosen, folder, time.time(), shutil.get_terminal_size().columns, _running(chosen, folder))]
        if folder.is_dir():
            try:
                written, left_out = _write_table(runs, folder, out)
                lines += [f"{written} of {len(runs)} runs, those with a finished episode, are in {out}", *left_out]
            except ValueError as error:
                problems = [str(error)]
        lines += [each for run in chosen if (each := _change_of(Place(run, folder)))][:1]
    report("sweep", "\n".join([*lines, *problems]))
    if problems:
        sys.exit(2)


def _write_table(runs: Sequence[Run], folder: Path, out: Path) -> tuple[int, list[str]]:
    """:raises ValueError: if the table cannot be written"""
    try:
        return write_table(runs, folder, out)
    except OSError as error:
        raise ValueError(
            f"{out} cannot be written ({error.strerror or error}): make room, or write it elsewhere with --status --out"
        ) from error


def _running(runs: Sequence[Run], folder: Path) -> set[str]:
    """:return: names of the runs that another process of ours trains at this moment"""
    if not _is_locked(folder / _LOCK):
        return set()
    since = (folder / _LOCK).stat().st_mtime  # when that process began
    periods = {run.name: Place(run, folder).record().periods for run in runs}
    return {name for name, found in periods.items() if found and found[-1][1] is None and (found[-1][0] or 0) >= since}


def _is_locked(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _change_of(place: Place) -> str:
    """:return: what keeps a run from going on, empty if nothing does"""
    try:
        place.check_settings()
    except ValueError as error:
        return str(error)
    return ""


def _run(args: argparse.Namespace, chosen: Sequence[Run], runs: Sequence[Run], folder: Path, out: Path) -> None:
    """
    :param chosen: those of the study to train
    :param runs: all of it, for its table
    """
    trainings = [Training(run, folder, args.threads) for run in chosen]
    with ExitStack() as stack:
        with report_user_errors("sweep"):
            stack.enter_context(_only_one(folder))
            for training in trainings:
                training.place.check_settings()
            waiting = [training for training in trainings if not training.is_done()]
            pool = _pool(args, [training.run for training in waiting], folder, stack)
        screen = _Screen(chosen, runs, folder, out)
        runner = Runner(pool, screen)
        runner.run(waiting)
    with report_user_errors("sweep"):
        screen.finish()
        _, left_out = _write_table(runs, folder, out)
    report("sweep", "\n".join([*left_out, f"Wrote {out}"]))
    sys.exit(130 if runner.stopped else 1 if runner.failed else 0)


def _pool(args: argparse.Namespace, runs: Sequence[Run], folder: Path, stack: ExitStack) -> Pool:
    """
    :param stack: ends what the pool needs
    :raises ValueError: if the runs cannot train here, or on a node
    """
    if not runs:
        return Local(1)
    from sb3_atari_dqn.zoo.configuration import check_names
    from sb3_atari_dqn.zoo.known import check_trainings

    packages = check_trainings([(run.algorithm, run.conf, run.env) for run in runs])
    for run in runs:
        check_names(run.algorithm, run.params)
    if args.ray is None:
        return Local(args.parallel or 1)
    from sb3_atari_dqn.distributed.cluster import Connection

    connection = Connection(args.ray)
    stack.callback(connection.close)
    check_shared(connection, folder, "give a folder with --runs that every node has under this path, such as on NFS")
    check_installed(connection, packages)
    check_files(connection, {run.conf for run in runs if run.conf and Path(run.conf).is_file()})
    return RayPool(connection, args.threads, args.gpus, args.parallel)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """:raises ValueError: if another process runs this study in this folder, or it cannot be written"""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}): give another folder with --runs") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another process runs this study in {folder}: wait for it, or stop it") from None
        os.utime(lock.fileno())  # for --status
        try:
            yield
        finally:
            if [path.name for path in folder.iterdir()] == [_LOCK]:  # nothing has begun
                shutil.rmtree(folder)
                _remove_empty(made[1:])


def _remove_empty(folders: Sequence[Path]) -> None:
    """:param folders: the innermost first"""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn sweep",
        description=_EXPLANATION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, metavar="STUDY.yml", help="file of studies")
    parser.add_argument("--name", help="of the study, if the file has several")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER", help=f"for run folders (default: {RUNS})")
    add_pool_options(parser, "run")
    parser.add_argument(
        "--parallel", type=int_at_least(1), metavar="N", help="runs at a time (default: 1; with --ray: as many as fit)"
    )
    parser.add_argument("--seeds", type=seed, nargs="+", default=[], metavar="SEED", help="only these")
    parser.add_argument("--games", nargs="+", default=[], metavar="GAME", help="only these")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--status", action="store_true", help="show what is done and what is left; write the CSV")
    instead.add_argument("--commands", action="store_true", help="print the zoo's commands instead of running them")
    instead.add_argument("--list", action="store_true", help="list the studies of the file")
    parser.add_argument("--out", type=Path, metavar="CSV", help="(default: RUNS/NAME/NAME.csv)")
    return parser
