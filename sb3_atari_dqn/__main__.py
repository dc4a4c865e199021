"""``python -m sb3_atari_dqn COMMAND ...``: the zoo's scripts, which also accept ``--recipe``, and our own."""

import argparse
import runpy
import sys
from importlib import import_module

import sb3_atari_dqn
from sb3_atari_dqn.distributed.command_line import with_actors
from sb3_atari_dqn.recipes.expansion import expand

ZOO_COMMANDS = ("train", "enjoy", "record_video", "record_training", "push_to_hub", "load_from_hub")

#: Name and what it does; each is a module of :mod:`sb3_atari_dqn.commands` with a function ``main(arguments)``.
OWN_COMMANDS: dict[str, str] = {
    "sweep": "train algorithms x games x seeds, on this machine or on a Ray cluster",
    "tune": "tune hyperparameters with several workers, on this machine or on a Ray cluster",
    "resume": "continue a run that was stopped or killed, exactly where it was",
    "recipes": "list the recipes, reproductions of published tutorials",
    "look": "draw the observations: raw frame, each stage of preprocessing, frame stack",
    "plot": "plot learning curves of training runs, of any algorithm",
    "report": "tables and figures of many runs, with intervals and protocols",
    "play": "record videos of a trained model with observations, action values and saliency",
    "export": "write a model as safetensors, JSON and ONNX, and read it again",
}

_RAY = "--ray ADDRESS (train): actors play the games, on this machine (local), or on a cluster (HOST:PORT)"
_RECIPES = "--recipe NAME replaces --algo, --env and -conf"


def main() -> None:
    """
    :raises SystemExit: with status 130 and one line on a Ctrl-C that the command does not handle itself, for instance
        while its libraries load
    """
    try:
        _dispatch()
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _dispatch() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn",
        description="Run a script of the RL Zoo with the algorithms of sb3_atari_dqn, or one of our own commands.",
        epilog="\n".join(_explained()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("command", choices=(*ZOO_COMMANDS, *OWN_COMMANDS))
    parser.add_argument("-h", "--help", action="help", help="show this message")
    parser.add_argument("--version", action="version", version=sb3_atari_dqn.__version__)
    command = parser.parse_args(sys.argv[1:2] or ["--help"]).command

    sb3_atari_dqn.register()
    if command in OWN_COMMANDS:
        import_module(f"sb3_atari_dqn.commands.{command}").main(sys.argv[2:])
    else:
        try:
            arguments = expand(command, with_actors(command, sys.argv[2:]))
        except ValueError as error:
            parser.error(str(error))
        if {"-h", "--help"} & {*arguments}:
            print(f"{_RECIPES}\n{_RAY}\n\nThe other arguments are those of the zoo:\n")
        run_script(command, arguments)


def run_script(command: str, arguments: list[str]) -> None:
    """
    :param command: one of the zoo's
    :param arguments: as typed after it
    """
    script = f"rl_zoo3.{command}"
    sys.argv = [f"python -m {script}", *arguments]
    runpy.run_module(script, run_name="__main__", alter_sys=True)


def _explained() -> list[str]:
    """:return: lines that describe our own commands"""
    lines = [f"  {name:<10} {purpose}" for name, purpose in OWN_COMMANDS.items()]
    lines += ["", f"{_RECIPES}: {' '.join(ZOO_COMMANDS)}"]
    lines += [_RAY]
    return [*lines, "", "`python -m sb3_atari_dqn COMMAND --help` shows the arguments of a command."]


if __name__ == "__main__":
    main()
