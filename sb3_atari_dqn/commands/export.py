"""``python -m sb3_atari_dqn export MODEL OUT``: a model as safetensors, JSON and ONNX, and back."""

import argparse
from pathlib import Path

from sb3_atari_dqn.commands.errors import report, report_user_errors, written_to
from sb3_atari_dqn.commands.options import int_at_least
from sb3_atari_dqn.zoo import exports

DESCRIPTION = """\
Write a model as a folder of files that other programs can read: config.json, model.safetensors and model.onnx. Nothing
in them is executed when they are read. An exported folder becomes a model zip again.
"""

EXAMPLES = """\
MODEL is a run folder of the zoo's train, a model .zip, or a folder that this command wrote.

examples:
  python -m sb3_atari_dqn export logs/dqn_dueling/PongNoFrameskip-v4_1 pong
  python -m sb3_atari_dqn export logs/dqn_dueling/PongNoFrameskip-v4_1 pong --load-best --no-onnx
  python -m sb3_atari_dqn export pong pong.zip
"""


def main(arguments: list[str]) -> None:
    """
    :param arguments: as typed after ``export``
    :raises SystemExit: on a user error, with one line that names the way out
    """
    args = _parser().parse_args(arguments)
    with report_user_errors("export"):
        lines = _to_zip(args) if exports.is_export(args.model) else _to_folder(args)
    report("export", "\n".join(lines), written=str(args.output))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn export",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="run folder, model .zip, or exported folder")
    add("output", type=Path, metavar="OUT", help="new folder; for an exported folder, a new .zip")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--load-best", action="store_true", help="the best model instead of the last")
    which.add_argument(
        "--load-checkpoint", type=int_at_least(0), metavar="STEPS", help="the checkpoint after this many steps"
    )
    which.add_argument("--load-last-checkpoint", action="store_true", help="the latest checkpoint")
    add(
        "--onnx",
        action=argparse.BooleanOptionalAction,
        help="write model.onnx (default: if onnx and onnxscript are installed)",
    )
    add("--training-state", action="store_true", help="also write the target network and the optimizer's state")
    return parser


def _to_folder(args: argparse.Namespace) -> list[str]:
    if args.output.suffix == ".zip":
        raise ValueError(f"{args.output} ends in .zip, but an export is a folder: give another name")
    chosen = args.load_best, args.load_checkpoint, args.load_last_checkpoint
    try:
        model, about = exports.load(args.model, *chosen)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    with written_to(args.output, "give another path"):
        written = model.export(args.output, args.onnx, args.training_state, about)
    lines = [f"Wrote {args.output}: {', '.join(written.files)}"]
    if written.left_out:
        lines.append(f"No model.onnx: {written.left_out}")
    if about.get("normalize"):
        lines.append("The statistics of VecNormalize are not part of it, so that play refuses it: play the run folder")
    return lines


def _to_zip(args: argparse.Namespace) -> list[str]:
    if args.output.suffix != ".zip":
        raise ValueError(f"{args.model} is an exported model, which becomes a .zip: end {args.output} in .zip")
    if args.output.exists():
        raise ValueError(f"{args.output} exists: remove it, or give another name")
    model = exports.import_folder(args.model)
    with written_to(args.output, "give another path"):
        model.save(args.output)
    return [f"Wrote {args.output}: a {model.algorithm}"]
