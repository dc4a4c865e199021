"""``python -m sb3_atari_dqn play MODEL``: a video of episodes with observations, action values and saliency maps."""

import argparse
import json
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from sb3_atari_dqn.atari.skipping import actions_per_second
from sb3_atari_dqn.callbacks.video import Video, check_encoder
from sb3_atari_dqn.commands.errors import report, report_user_errors, written_to
from sb3_atari_dqn.commands.options import Renamed, int_at_least, seed
from sb3_atari_dqn.commands.rendering import FrameRenderer
from sb3_atari_dqn.episodes import EpisodePlayer, EpisodeStats, Step
from sb3_atari_dqn.finite import NonFiniteValues
from sb3_atari_dqn.networks.saliency import METHODS, PERTURBATION
from sb3_atari_dqn.pictures.drawing import check_writable, complete_or_absent, end_of_links
from sb3_atari_dqn.zoo import exports
from sb3_atari_dqn.zoo.exported_run import find_exported
from sb3_atari_dqn.zoo.saved_run import SavedRun, find_run

DESCRIPTION = """\
Play full episodes (over all lives) with a trained model and record a video: the game beside the observed frames, the
action values and saliency maps. Score, length and actions are printed, and saved as JSON beside the video.
"""

EXAMPLES = """\
MODEL is a run folder of the zoo's train, of any algorithm, a .zip inside one, or a folder that `export` wrote.

examples:
  python -m sb3_atari_dqn play logs/dqn_dueling/PongNoFrameskip-v4_1
  python -m sb3_atari_dqn play logs/dqn_dueling/PongNoFrameskip-v4_1 --load-best --episodes 3 -o pong.mp4
  python -m sb3_atari_dqn play logs/dqn_dueling/PongNoFrameskip-v4_1/rl_model_50000_steps.zip --deterministic
"""

LEAST_FPS, MOST_FPS = 0.1, 1000


def main(arguments: list[str]) -> None:
    """
    :param arguments: as typed after ``play``
    :raises SystemExit: on a user error, with one line that names the way out
    """
    args = _parser().parse_args(arguments)
    with report_user_errors("play"):
        run = _find(args)
        output = args.output or run.folder / "videos" / f"play-{run.model_path.stem}.mp4"
        check_writable(output, ".mp4")
        check_writable(output.with_suffix(".json"), ".json")
        check_encoder()
        set_random_seed(args.seed)
        env = run.create_env(args.seed)
        model = run.load_model(env, args.seed, args.device)
        _check_parameters(run, model)
        deterministic = args.deterministic or not (args.stochastic or run.plays_stochastically)
        player = EpisodePlayer(model, env, deterministic, run.score_key)
        renderer = FrameRenderer(
            run.env_id, run.algo, run.model_name, model, env, None if args.no_saliency else args.saliency
        )
    with _damage_reported(run):
        _record(player, renderer, args, output)
    env.close()
    found = _report(run, player.episodes, args.seed, deterministic, output)
    scores = output.with_suffix(".json")
    with report_user_errors("play"), written_to(scores), complete_or_absent(scores) as unfinished:
        unfinished.write_text(json.dumps(found, indent=2) + "\n")
    written = f"{output} and {scores.name}"
    lines = [
        _policy_line(deterministic, model),
        *(_line(number, episode) for number, episode in enumerate(player.episodes, 1)),
    ]
    report("play", "\n".join([*lines, f"Wrote {written}"]), written=written)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn play",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="run folder, a model in one, or an exported folder")
    add("--episodes", type=int_at_least(1), default=1, metavar="N", help="number of episodes (default: 1)")
    add("--games", action=Renamed, dest="episodes", type=int_at_least(1))
    add(
        "--max-steps",
        type=int_at_least(1),
        metavar="N",
        help="stop after this many steps in total, even within an episode",
    )
    add("--seed", type=seed, default=0, metavar="N", help="of environment and model (default: 0)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--load-best", action="store_true", help="the best model instead of the last")
    which.add_argument(
        "--load-checkpoint", type=int_at_least(0), metavar="STEPS", help="the checkpoint after this many steps"
    )
    which.add_argument("--load-last-checkpoint", action="store_true", help="the latest checkpoint")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--deterministic", action="store_true", help="deterministic policy, without exploration")
    how.add_argument(
        "--stochastic",
        action="store_true",
        help="with exploration (default for Atari games, as in enjoy)",
    )
    add(
        "--trust",
        action="store_true",
        default=None,
        help="let the files of the run execute code: only if you trust its author",
    )
    maps = parser.add_mutually_exclusive_group()
    maps.add_argument(
        "--saliency",
        choices=METHODS,
        default=PERTURBATION,
        help="maps of where blurring the image changes the values, or of gradients, raw or smoothed, which are several "
        f"times as fast (default: {PERTURBATION})",
    )
    maps.add_argument("--no-saliency", action="store_true", help="no saliency maps")
    add("--fps", type=_frame_rate, metavar="N", help="frames per second of the video (default: the game's own speed)")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="of the network (default: auto)")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.mp4",
        help="output file (default: in videos/ of the run folder)",
    )
    return parser


def _find(args: argparse.Namespace) -> SavedRun:
    if not exports.is_export(args.model):
        return find_run(args.model, args.load_best, args.load_checkpoint, args.load_last_checkpoint, args.trust)
    if args.load_best or args.load_last_checkpoint or args.load_checkpoint is not None:
        raise ValueError(f"{args.model} is an exported model: omit --load-best and --load-checkpoint")
    return find_exported(args.model, args.trust)


def _frame_rate(text: str) -> float:
    with suppress(ValueError):
        if LEAST_FPS <= float(text) <= MOST_FPS:
            return float(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a number of frames per second from {LEAST_FPS} to {MOST_FPS}, such as 15"
    )


def _record(player: EpisodePlayer, renderer: FrameRenderer, args: argparse.Namespace, output: Path) -> None:
    """Play and write the video; Ctrl-C stops playing, and the video is kept.

    :raises SystemExit: if the video cannot be written, with ffmpeg's message; the partial file is removed
    """
    output = end_of_links(output)
    video = Video(output.parent, "mp4", 1, args.fps or actions_per_second(renderer.env))
    try:
        with closing(_with_progress(player, args.episodes, args.max_steps)) as steps:
            _add(video, renderer.draw(next(steps)), output)
            with suppress(KeyboardInterrupt):
                for step in steps:
                    _add(video, renderer.draw(step), output)
        with report_user_errors("play"), written_to(output):
            video.keep(output)
    finally:
        video.discard()


def _check_parameters(run: SavedRun, model: Any) -> None:
    """:raises ValueError: if one is NaN or infinite, as after a diverged training, from which other algorithms crash"""
    for name, parameter in model.policy.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(f"{run.model_path}: its parameter {name} holds NaN or infinity. Load another model.")


@contextmanager
def _damage_reported(run: SavedRun) -> Iterator[None]:
    """:raises SystemExit: with one line, if action values overflow, as in a diverging training"""
    try:
        yield
    except NonFiniteValues as error:
        with report_user_errors("play"):
            raise ValueError(f"{run.model_path}: {error}") from error


def _add(video: Video, frame: np.ndarray, output: Path) -> None:
    with report_user_errors("play"), written_to(output):
        video.add(frame)


def _with_progress(player: EpisodePlayer, n_episodes: int, max_steps: int | None) -> Generator[Step]:
    with tqdm(player.steps(n_episodes, max_steps), total=max_steps, unit="step", mininterval=0.5) as progress:
        for step in progress:
            progress.set_description(
                f"episode {step.number} of {n_episodes}, score {step.episode.score:g}", refresh=False
            )
            yield step


def _report(run: SavedRun, episodes: list[EpisodeStats], seed: int, deterministic: bool, video: Path) -> dict[str, Any]:
    finished = [episode.score for episode in episodes if episode.finished]
    return {
        "model": str(run.model_path),
        "algo": run.algo,
        "env": run.env_id,
        "seed": seed,
        "deterministic": deterministic,
        "video": video.name,
        "mean_score": float(np.mean(finished)) if finished else None,
        "episodes": [
            {
                "score": episode.score,
                "finished": episode.finished,
                "env_steps": episode.env_steps,
                "raw_frames": episode.raw_frames,
                "actions": dict(episode.actions.most_common()),
            }
            for episode in episodes
        ],
    }


def _policy_line(deterministic: bool, model: Any) -> str:
    """:return: how actions were selected"""
    if deterministic:
        return "Deterministic policy"
    epsilon = getattr(model, "exploration_rate", None)
    if epsilon == 0:
        return "Greedy policy (epsilon 0)"
    policy = "Stochastic policy" if epsilon is None else f"Stochastic policy with epsilon {epsilon:.3g}"
    return f"{policy}, as in enjoy (--deterministic: without exploration)"


def _line(number: int, episode: EpisodeStats) -> str:
    parts = [f"episode {number}{'' if episode.finished else ' (unfinished)'}: score {episode.score:g}"]
    parts.append(f"{episode.env_steps:,} steps")
    if episode.raw_frames is not None:
        parts.append(f"{episode.raw_frames:,} frames")
    taken = [f"{name} {count} ({count / episode.env_steps:.0%})" for name, count in episode.actions.most_common()]
    return ", ".join(parts) + (f"; {', '.join(taken)}" if taken else "")
