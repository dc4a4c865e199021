"""``python -m sb3_atari_dqn tune``: several workers share a tuning study, on this machine or on a Ray cluster."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sb3_atari_dqn.commands.errors import report, report_user_errors
from sb3_atari_dqn.commands.options import add_pool_options, int_at_least, seed
from sb3_atari_dqn.studies.progress import EventLog
from sb3_atari_dqn.studies.ray_pool import RayPool, check_installed, check_options, check_shared
from sb3_atari_dqn.studies.runner import Local, Pool, Runner
from sb3_atari_dqn.studies.trials import Worker, shares
from sb3_atari_dqn.validation import counted

_EXPLANATION = """\
Tune hyperparameters with several workers, which share the trials of one Optuna study. A worker is the zoo's
`train -optimize`, in a process of its own. All arguments of train work; what is not listed here goes to it unchanged.

With --ray, workers share the CPUs of a cluster. Every node must reach the storage: PostgreSQL by its address; a journal
(NAME.log) or an SQLite file on a file system that every node has under the same path.
"""

_EXAMPLES = """\
examples:
  python -m sb3_atari_dqn tune --workers 2 --algo dqn_dueling --env PongNoFrameskip-v4 -n 1000000 --n-trials 50 \\
    --storage pong.log --study-name pong
  python -m sb3_atari_dqn tune --ray HEAD:6379 --workers 16 --algo dqn_dueling --env PongNoFrameskip-v4 -n 1000000 \\
    --max-total-trials 200 --storage postgresql://user@host/database --study-name pong

docs/tuning.md describes the search.
"""

_RECOUNT_S = 5.0


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: as typed after ``tune``
    :raises SystemExit: with status 2 and one line on a user error, 1 if a worker failed, 130 if it was stopped
    """
    args, rest = _parser().parse_known_args(arguments)
    with ExitStack() as stack:
        with report_user_errors("tune"):
            workers = _workers(args, rest)
            pool = _pool(args, stack)
            _make(workers[0].log.parent)
        runner = Runner(pool, _Screen(workers))
        runner.run(workers)
    from sb3_atari_dqn.zoo.tuning import summary

    with report_user_errors("tune"):
        report("tune", summary(args.storage, args.study_name))
    sys.exit(130 if runner.stopped else 1 if runner.failed else 0)


class _Screen(EventLog):
    """
    Says what happens, and how many trials have ended.

    :param workers: whose logs are read
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        super().__init__()
        self._workers, self._ended, self._next = workers, 0, 0.0

    def refresh(self) -> None:
        """A line when there are more."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _RECOUNT_S
        ended = sum(worker.progress for worker in self._workers)
        if ended > self._ended:
            self._ended = ended
            self.note(f"{counted(ended, 'trial')} ended so far")


def _make(folder: Path) -> None:
    """:raises ValueError: if it cannot be made"""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be written ({error.strerror}): give another folder with -f") from error


def _workers(args: argparse.Namespace, rest: Sequence[str]) -> list[Worker]:
    """
    :return: at most as many as there are trials
    :raises ValueError: if they cannot begin, or could not share a study
    """
    from sb3_atari_dqn.zoo.configuration import check_names
    from sb3_atari_dqn.zoo.known import check_trainings
    from sb3_atari_dqn.zoo.tuning import file_of, prepare_storage, with_file, without_password

    check_options(args.ray, args.gpus)
    if not (args.storage and args.study_name):
        raise ValueError("workers share a study through its storage: give --storage and --study-name")
    if (file := file_of(args.storage)) is not None:
        args.storage = with_file(args.storage, file.absolute())  # a worker may have another working directory
    storage, password = without_password(args.storage)
    if args.conf and args.conf.endswith((".yml", ".yaml", ".py")):
        if not Path(args.conf).is_file():
            raise ValueError(f"-conf {args.conf}: this file does not exist, pass another file")
        args.conf = str(Path(args.conf).absolute())
    args.packages = check_trainings([(args.algo, args.conf, args.env)])
    check_names(args.algo, (text.partition(":")[0] for text in args.params))
    prepare_storage(args.storage)
    common = ["--algo", args.algo, "--env", args.env, *(["-conf", args.conf] if args.conf else []), *rest]
    common += ["-n", str(args.n_timesteps)] if args.n_timesteps else []
    common += ["-params", *args.params] if args.params else []
    common += ["--storage", storage, "--study-name", args.study_name]
    parts: Sequence[int | None] = shares(args.n_trials, args.workers)
    if args.max_total_trials is not None:
        common += ["--max-total-trials", str(args.max_total_trials)]
        parts = [None] * args.workers
    folder = args.log_folder.absolute() / f"tune_{time.strftime('%Y%m%d-%H%M%S')}"
    return [
        Worker(
            number,
            (*common, *([] if args.seed is None else ["--seed", str(args.seed + number)])),
            part, folder / f"worker{number}.log", args.threads, password,
        )
        for number, part in enumerate(parts)
    ]  # fmt: skip


def _pool(args: argparse.Namespace, stack: ExitStack) -> Pool:
    """:raises ValueError: if a node cannot run workers"""
    if args.ray is None:
        return Local(args.workers)
    from sb3_atari_dqn.distributed.cluster import Connection
    from sb3_atari_dqn.zoo.tuning import file_of, problem_with

    connection = Connection(args.ray)
    stack.callback(connection.close)
    check_shared(connection, args.log_folder.absolute(), "give a folder with -f that every node has under this path")
    check_installed(connection, args.packages)
    if (file := file_of(args.storage)) is not None:
        check_shared(connection, file.parent, "move the --storage there, or use PostgreSQL")
    for node, problem in connection.on_each_node(problem_with, args.storage):
        if problem:
            raise ValueError(f"ray: node {node}: {problem}")
    return RayPool(connection, args.threads, args.gpus, args.workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn tune",
        description=_EXPLANATION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # train's options must not be taken for ours
    )
    parser.add_argument("--workers", type=int_at_least(1), default=1, metavar="N", help="at a time (default: 1)")
    add_pool_options(parser, "worker")
    parser.add_argument("--algo", required=True, help="as of train, like all below")
    parser.add_argument("--env", required=True)
    parser.add_argument("-conf", "--conf-file", dest="conf")
    parser.add_argument("-n", "--n-timesteps", type=int_at_least(1), metavar="N", help="environment steps of a trial")
    parser.add_argument("-params", "--hyperparams", dest="params", nargs="+", default=[], metavar="KEY:VALUE")
    parser.add_argument("--storage", help="of the study; of a password in it, nothing is printed")
    parser.add_argument("--study-name")
    parser.add_argument("--n-trials", type=int_at_least(1), default=500, help="of all workers together (default: 500)")
    parser.add_argument(
        "--max-total-trials", type=int_at_least(1), help="that the study is to have, replaces --n-trials"
    )
    parser.add_argument("--seed", type=seed, help="of the first worker; the next has one more, and so on")
    parser.add_argument(
        "-f", "--log-folder", type=Path, default=Path("logs"), help="of reports and logs (default: logs)"
    )
    parser.add_argument("-optimize", "--optimize-hyperparameters", action="store_true", help=argparse.SUPPRESS)
    return parser
