"""``python -m sb3_atari_dqn COMMAND ...``: the zoo's scripts with the same arguments and ``--recipe``, and our own."""

import argparse
import runpy
import sys
from importlib import import_module

import sb3_atari_dqn
from sb3_atari_dqn.recipes.expansion import expand

ZOO_COMMANDS = ("train", "enjoy", "record_video", "record_training", "push_to_hub", "load_from_hub")

#: Name and description; each is a module of :mod:`sb3_atari_dqn.commands` with a function ``main(arguments)``.
OWN_COMMANDS: dict[str, str] = {
    "recipes": "list the recipes (published tutorials) for --recipe",
    "look": "draw the preprocessing step by step: raw frame, intermediate images, frame stack",
    "plot": "plot learning curves of training runs, of any algorithm",
    "play": "record episodes of a trained model with its observations and action values",
}

_RECIPES = "--recipe NAME sets --algo, --env and -conf to those of a recipe"


def main() -> None:
    """
    :raises SystemExit: with status 130 and a one-line message on a Ctrl-C that the command does not handle itself, such
        as during imports
    """
    try:
        _dispatch()
    except KeyboardInterrupt:
        print("Interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _dispatch() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn",
        description="Run a script of the RL Zoo with the algorithms of sb3_atari_dqn, or a command of sb3_atari_dqn.",
        epilog="\n".join(_command_help()),
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
            arguments = expand(command, sys.argv[2:])
        except ValueError as error:
            parser.error(str(error))
        if {"-h", "--help"} & {*arguments}:
            print(f"{_RECIPES}\n\nAll other arguments are those of the RL Zoo:\n")
        run_script(command, arguments)


def run_script(command: str, arguments: list[str]) -> None:
    """
    :param command: of the zoo
    :param arguments: of the command
    """
    script = f"rl_zoo3.{command}"
    sys.argv = [f"python -m {script}", *arguments]
    runpy.run_module(script, run_name="__main__", alter_sys=True)


def _command_help() -> list[str]:
    """:return: help text for our own commands, by line"""
    lines = [f"  {name:<10} {purpose}" for name, purpose in OWN_COMMANDS.items()]
    lines += ["", f"{_RECIPES}: {' '.join(ZOO_COMMANDS)}"]
    return [*lines, "", "`python -m sb3_atari_dqn COMMAND --help` shows the arguments of a command."]


if __name__ == "__main__":
    main()
