"""``python -m sb3_atari_dqn resume``: continue a run that was stopped or killed, in the same folder."""

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_atari_dqn.commands.errors import report_user_errors
from sb3_atari_dqn.commands.options import int_at_least


def main(arguments: Sequence[str]) -> None:
    """
    :param arguments: as typed after ``resume``
    :raises SystemExit: with status 2 and one line on standard error, if there is nothing to continue
    """
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn resume",
        description="Continue a run of the zoo with one of our algorithms from its newest checkpoint, exactly: the "
        "same parameters, replay memory, games and log files as if it had not been stopped.",
        epilog="All settings are those of the run. docs/checkpoints.md says what is saved, and when.",
    )
    parser.add_argument("run", type=Path, metavar="RUN_FOLDER", help="of the run, or one of its checkpoints")
    parser.add_argument(
        "-n", "--n-timesteps", type=int_at_least(1), help="environment steps in all, default: as many as planned"
    )
    parser.add_argument("-P", "--progress", action="store_true", help="show a progress bar")
    parser.add_argument("--trust", action="store_true", help="let the run import modules of its own (callbacks, ...)")
    options = parser.parse_args(arguments)

    from sb3_atari_dqn.zoo import continued_run
    from sb3_atari_dqn.zoo.resumable_run import open_run

    with report_user_errors("resume"):
        if not options.run.exists():
            raise ValueError(f"{options.run} does not exist: pass a run folder such as logs/dqn_dueling/Pong..._1")
        run = open_run(options.run, options.n_timesteps, options.trust or None)
    continued_run.requested = run
    sys.argv = ["python -m rl_zoo3.train", *_typed(run.arguments, options)]
    runpy.run_module("rl_zoo3.train", run_name="__main__", alter_sys=True)


def _typed(arguments: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """:return: what the zoo's script must know before it asks for the settings of the run"""
    line = ["--algo", arguments["algo"], "--env", arguments["env"]]
    line += ["--seed", str(arguments["seed"])] if type(arguments.get("seed")) is int else []  # the zoo prints it
    line += ["--num-threads", str(arguments.get("num_threads", -1))]
    line += ["-n", str(options.n_timesteps)] if options.n_timesteps else []
    line += ["-P"] if options.progress else []
    return line + (["--gym-packages", *arguments["gym_packages"]] if arguments.get("gym_packages") else [])
