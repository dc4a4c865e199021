"""``python -m sb3_atari_dqn look``: a contact sheet of what the network sees."""

import argparse
import contextlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from stable_baselines3.common.vec_env import VecEnv

import sb3_atari_dqn.atari
from sb3_atari_dqn.atari import AtariPresetWrapper
from sb3_atari_dqn.atari.observation_recorder import ObservationRecorder
from sb3_atari_dqn.atari.summary import settings_of
from sb3_atari_dqn.commands.errors import report, report_user_errors, written_to
from sb3_atari_dqn.commands.options import int_at_least, seed
from sb3_atari_dqn.pictures.arrays import describe, single_frame_shape, split_stack
from sb3_atari_dqn.pictures.contact_sheet import Panel, Section, contact_sheet
from sb3_atari_dqn.pictures.drawing import check_writable, complete_or_absent
from sb3_atari_dqn.recipes import find
from sb3_atari_dqn.validation import check_known
from sb3_atari_dqn.zoo import played_envs

DESCRIPTION = """\
Draw what the network sees of a game: the raw frame, each stage of preprocessing and the stack of frames, with
shapes, types and ranges of values. The pictures come out of the same environment that training plays in.
"""

EXAMPLES = """\
examples:
  python -m sb3_atari_dqn look --env PongNoFrameskip-v4
  python -m sb3_atari_dqn look --env BreakoutNoFrameskip-v4 --preset NatureAtari \\
      --preset 'NatureAtari: {size: [105, 80], resize: bilinear}' -o breakout.png
  python -m sb3_atari_dqn look --recipe pong_elu --steps 0      # the stack right after a reset
"""


@dataclass(frozen=True)
class Way:
    """
    One way from the game to the network.

    :param title: its name
    :param env_id: environment
    :param hyperparams: what the zoo's configuration says of the environment
    """

    title: str
    env_id: str
    hyperparams: dict[str, Any]


def main(arguments: list[str]) -> None:
    """
    :param arguments: as typed after ``look``
    :raises SystemExit: on a mistake of the user, with one line that names the way out
    """
    args = _parser().parse_args(arguments)
    with report_user_errors("look"):
        ways = _ways(args)
        output = args.output or Path(f"look-{'-'.join(args.recipe or [ways[0].env_id]).replace('/', '-')}.png")
        check_writable(output, ".png")
        envs = [played_envs.create_untrained(way.env_id, way.hyperparams, args.seed) for way in ways]
        sections = [_section(way, env, args) for way, env in zip(ways, envs, strict=True)]
    title = f"{', '.join(dict.fromkeys(way.env_id for way in ways))} after {args.steps} random steps, seed {args.seed}"
    sheet = Image.fromarray(contact_sheet(title, sections))
    with report_user_errors("look"), written_to(output), complete_or_absent(output) as unfinished:
        sheet.save(unfinished, optimize=True)
    lines = [f"{section.title}: {describe(section.observation)}" for section in sections]
    report("look", "\n".join([*lines, f"Wrote {output}"]), written=str(output))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sb3_atari_dqn look",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env", metavar="ID", help="the game, for instance PongNoFrameskip-v4; a recipe brings its own"
    )
    parser.add_argument(
        "--preset",
        action="append",
        default=[],
        metavar="NAME[: {OPTION: VALUE}]",
        help=f"a preset ({', '.join(_presets())}) or any wrapper by its dotted name, with options of its own; give "
        "it several times to compare (default: NatureAtari in Atari games, nothing elsewhere)",
    )
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="NAME",
        help="preprocessing and stack of a recipe (`python -m sb3_atari_dqn recipes` lists them); can be repeated",
    )
    parser.add_argument(
        "--frame-stack", type=int_at_least(1), default=4, metavar="K", help="frames in a preset's stack (default: 4)"
    )
    parser.add_argument(
        "--steps",
        type=int_at_least(0),
        default=60,
        metavar="N",
        help="random steps before the picture is taken; 0: after the reset (default: 60)",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the game and of the random steps (default: 0)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.png", help="where to (default: look-ENV.png, or look-RECIPE.png)"
    )
    return parser


def _presets() -> dict[str, type[AtariPresetWrapper]]:
    """:return: the presets that have a name of their own"""
    named = {name: getattr(sb3_atari_dqn.atari, name) for name in sb3_atari_dqn.atari.__all__}
    return {
        name: thing
        for name, thing in named.items()
        if isinstance(thing, type) and issubclass(thing, AtariPresetWrapper)
    }


def _ways(args: argparse.Namespace) -> list[Way]:
    """:raises ValueError: if there is nothing to look at, or no such preset or recipe"""
    recipes = [_recipe(name, args.env) for name in args.recipe]
    if not args.env and not recipes:
        raise ValueError("there is no game to look at: give --env PongNoFrameskip-v4, for instance, or --recipe NAME")
    env_id = args.env or recipes[0].env_id
    if not (args.preset or recipes) and not played_envs.is_atari(env_id):
        return [Way("as it is", env_id, {})]
    specifications = args.preset or ([] if recipes else ["NatureAtari"])
    return [*recipes, *(_preset(text, env_id, args.frame_stack) for text in specifications)]


def _preset(text: str, env_id: str, frame_stack: int) -> Way:
    """:raises ValueError: if there is no such preset, or it has no such option"""
    name, _, written = text.partition(":")
    name = name.strip()
    options = _options(name, written)
    if "." not in name:
        check_known("preset", name, _presets())
        _presets()[name].preset.with_overrides(options)
        wrapper: Any = {f"sb3_atari_dqn.atari.{name}": options}
    else:
        wrapper = {name: options}
    title = f"{name} {written.strip()}".strip()
    return Way(title, env_id, {"env_wrapper": [wrapper], "frame_stack": frame_stack})


def _options(name: str, written: str) -> dict[str, Any]:
    """:raises ValueError: if this is no mapping"""
    with contextlib.suppress(yaml.YAMLError):
        options = yaml.safe_load(written) or {}
        if isinstance(options, dict):
            return options
    raise ValueError(f"the options of a preset are a mapping, such as '{name}: {{size: [105, 80]}}', not {written!r}")


def _recipe(name: str, env_id: str | None) -> Way:
    """:raises ValueError: if there is no such recipe, or it plays another game"""
    recipe = find(name)
    recipe.check_env(env_id)
    hyperparams = import_module(recipe.module).hyperparams[recipe.env_id]
    return Way(f"recipe {name}", recipe.env_id, hyperparams)


def _section(way: Way, env: VecEnv, args: argparse.Namespace) -> Section:
    """Play one environment and close it.

    :raises ValueError: if the observation is no stack that can be taken apart
    :raises RuntimeError: if the stages do not lead to the observation, which would be our mistake
    """
    game = env.unwrapped.envs[0]  # type: ignore[attr-defined]
    settings = settings_of(game)
    recorder = ObservationRecorder(game)
    _check_picture(way.env_id, recorder.layers[0].observation_space.shape or ())
    observation = _play(env, recorder, args.steps, args.seed)
    shapes = [layer.observation_space.shape or () for layer in recorder.layers]
    frame_shape = single_frame_shape([*shapes, observation.shape])
    stages = [Panel(stage.name, stage.picture, stage.derived) for stage in recorder.stages()]
    while stages and stages[-1].array.shape != frame_shape:  # wrappers that stack
        stages.pop()
    if not stages:
        made = recorder.stages()[-1].picture.shape
        raise ValueError(
            f"{way.title}: the network gets an array of shape {observation.shape}, which is no stack of frames "
            f"of shape {made} along their last axis (SB3 takes the shortest side for the channels): choose a larger one"
        )
    frames = split_stack(observation, frame_shape)
    if not np.array_equal(frames[-1], stages[-1].array):
        raise RuntimeError(f"{way.title}: the newest frame of the stack is not what preprocessing handed on")
    env.close()
    return Section(way.title, settings, stages, _named(frames), observation)


def _check_picture(env_id: str, shape: tuple[int, ...]) -> None:
    """:raises ValueError: if the game itself shows neither a picture nor a vector"""
    if len(shape) > 3 or (len(shape) == 3 and shape[-1] not in (1, 3)):
        raise ValueError(
            f"{env_id} itself shows arrays of shape {shape}, which are no pictures (does it stack frames?): look at a "
            "recipe that plays it (`python -m sb3_atari_dqn recipes`), or choose another environment"
        )


def _play(env: VecEnv, recorder: ObservationRecorder, steps: int, seed: int) -> np.ndarray:
    """:return: observation of the network after so many random steps"""
    env.action_space.seed(seed)
    observations: Any = env.reset()
    for _ in range(steps):
        recorder.clear()
        observations, *_ = env.step(np.array([env.action_space.sample()]))
    return np.array(observations[0])


def _named(frames: list[np.ndarray]) -> list[Panel]:
    ages = reversed(range(len(frames)))
    return [Panel(f"t - {age}" if age else "t, the newest", frame) for age, frame in zip(ages, frames, strict=True)]
