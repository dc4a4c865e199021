"""``python -m sb3_atari_dqn train ...``: the zoo's scripts, same arguments, where start-up files are disabled."""

import argparse
import runpy
import sys

import sb3_atari_dqn

COMMANDS = ("train", "enjoy", "record_video", "record_training", "push_to_hub", "load_from_hub")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn",
        description="Run a script of the RL Zoo with the algorithms of sb3_atari_dqn registered.",
        epilog="`python -m sb3_atari_dqn COMMAND --help` shows the zoo's arguments.",
        add_help=False,
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("-h", "--help", action="help", help="show this message")
    parser.add_argument("--version", action="version", version=sb3_atari_dqn.__version__)
    command = parser.parse_args(sys.argv[1:2]).command

    sb3_atari_dqn.register()
    script = f"rl_zoo3.{command}"
    sys.argv = [f"python -m {script}", *sys.argv[2:]]
    runpy.run_module(script, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
