"""``python -m sb3_atari_dqn look``: a contact sheet of the network's observations."""

import argparse
import contextlib
from collections.abc import Iterator
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
Draw the preprocessing of an environment: the raw frame, each stage and the frame stack that the network gets, with
shapes, dtypes and value ranges. The images are recorded in the same environment that training builds.
"""

EXAMPLES = """\
examples:
  python -m sb3_atari_dqn look --env PongNoFrameskip-v4
  python -m sb3_atari_dqn look --env BreakoutNoFrameskip-v4 --preset NatureAtari \\
      --preset 'NatureAtari: {size: [105, 80], resize: bilinear}' -o breakout.png
  python -m sb3_atari_dqn look --recipe pong_elu --steps 0      # the frame stack right after a reset
"""

_FRAME_STACK = 4


@dataclass(frozen=True)
class Pipeline:
    """
    One preprocessing pipeline from the game to the network.

    :param title: shown above its images
    :param env_id: environment
    :param hyperparams: the zoo's configuration of the environment
    """

    title: str
    env_id: str
    hyperparams: dict[str, Any]


def main(arguments: list[str]) -> None:
    """
    :param arguments: as typed after ``look``
    :raises SystemExit: on a user error, with one line that names the way out
    """
    args = _parser().parse_args(arguments)
    with report_user_errors("look"):
        pipelines = _pipelines(args)
        output = args.output or Path(f"look-{'-'.join(args.recipe or [pipelines[0].env_id]).replace('/', '-')}.png")
        check_writable(output, ".png")
        envs = [_create(each, args.seed) for each in pipelines]
        sections = [_section(each, env, args) for each, env in zip(pipelines, envs, strict=True)]
    names = ", ".join(dict.fromkeys(each.env_id for each in pipelines))
    title = f"{names} after {args.steps} random steps, seed {args.seed}"
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
        "--env", metavar="ID", help="environment, for instance PongNoFrameskip-v4; a recipe has its own"
    )
    parser.add_argument(
        "--preset",
        action="append",
        default=[],
        metavar="NAME[: {OPTION: VALUE}]",
        help=f"a preset ({', '.join(_presets())}) or any wrapper by its dotted name, optionally with arguments; repeat "
        "it to compare (default: NatureAtari for Atari games, none otherwise)",
    )
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="NAME",
        help="preprocessing and frame stack of a recipe (listed by `python -m sb3_atari_dqn recipes`); can be repeated",
    )
    parser.add_argument(
        "--frame-stack",
        type=int_at_least(1),
        metavar="K",
        help=f"frames to stack for a preset (default: {_FRAME_STACK})",
    )
    parser.add_argument(
        "--steps",
        type=int_at_least(0),
        default=60,
        metavar="N",
        help="random steps before the images are taken; 0: right after the reset (default: 60)",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of the environment and the random actions (default: 0)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.png", help="output file (default: look-ENV.png or look-RECIPE.png)"
    )
    return parser


def _presets() -> dict[str, type[AtariPresetWrapper]]:
    """:return: the presets by name"""
    named = {name: getattr(sb3_atari_dqn.atari, name) for name in sb3_atari_dqn.atari.__all__}
    return {
        name: thing
        for name, thing in named.items()
        if isinstance(thing, type) and issubclass(thing, AtariPresetWrapper) and thing is not AtariPresetWrapper
    }


def _pipelines(args: argparse.Namespace) -> list[Pipeline]:
    """:raises ValueError: without an environment, on an unknown preset or recipe, or a frame stack without a preset"""
    recipes = [_recipe(name, args.env) for name in args.recipe]
    if not args.env and not recipes:
        raise ValueError("no environment given: add --env PongNoFrameskip-v4, for instance, or --recipe NAME")
    env_id = args.env or recipes[0].env_id
    is_bare = not (args.preset or recipes) and not played_envs.is_atari(env_id)
    specifications = args.preset or ([] if recipes or is_bare else ["NatureAtari"])
    if args.frame_stack and not specifications:
        raise ValueError(
            f"--frame-stack {args.frame_stack} is for presets: add --preset, or omit it (a recipe has a stack of its "
            "own, and environments other than Atari games none)"
        )
    if is_bare:
        return [Pipeline("no preprocessing", env_id, {})]
    return [*recipes, *(_preset(text, env_id, args.frame_stack or _FRAME_STACK) for text in specifications)]


def _preset(text: str, env_id: str, frame_stack: int) -> Pipeline:
    """:raises ValueError: on an unknown preset or option"""
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
    return Pipeline(title, env_id, {"env_wrapper": [wrapper], "frame_stack": frame_stack})


def _options(name: str, written: str) -> dict[str, Any]:
    """:raises ValueError: if the options are not a mapping"""
    with contextlib.suppress(yaml.YAMLError):
        options = yaml.safe_load(written) or {}
        if isinstance(options, dict):
            return options
    raise ValueError(
        f"the options of a preset must be a mapping, such as '{name}: {{size: [105, 80]}}', got {written!r}"
    )


def _recipe(name: str, env_id: str | None) -> Pipeline:
    """:raises ValueError: on an unknown recipe, or one of another environment"""
    recipe = find(name)
    recipe.check_env(env_id)
    hyperparams = import_module(recipe.module).hyperparams[recipe.env_id]
    return Pipeline(f"recipe {name}", recipe.env_id, hyperparams)


@contextlib.contextmanager
def _wrappers_fit(pipeline: Pipeline) -> Iterator[None]:
    """:raises ValueError: in place of how wrappers fail that do not check their environment and options"""
    try:
        yield
    except MemoryError as error:
        raise ValueError(f"{pipeline.title}: {error}: choose a smaller --frame-stack or size") from error
    except (AssertionError, UnboundLocalError) as error:
        raise ValueError(
            f"{pipeline.title} does not fit {pipeline.env_id}, or has wrong options ({type(error).__name__}: "
            f"{error or 'no message'}): correct its options, or choose another wrapper"
        ) from error


def _create(pipeline: Pipeline, seed: int) -> VecEnv:
    with _wrappers_fit(pipeline):
        return played_envs.create_untrained(pipeline.env_id, pipeline.hyperparams, seed)


def _section(pipeline: Pipeline, env: VecEnv, args: argparse.Namespace) -> Section:
    """Step one environment and close it.

    :raises ValueError: if the observation cannot be split into frames
    :raises RuntimeError: if the last stage is not the newest frame of the observation, which would be a bug
    """
    single = env.unwrapped.envs[0]  # type: ignore[attr-defined]
    settings = settings_of(single)
    recorder = ObservationRecorder(single)
    _check_observation(pipeline.env_id, recorder.layers[0].observation_space.shape or ())
    with _wrappers_fit(pipeline):
        observation = _play(env, recorder, args.steps, args.seed)
    shapes = [layer.observation_space.shape or () for layer in recorder.layers]
    frame_shape = single_frame_shape([*shapes, observation.shape])
    stages = [Panel(stage.name, stage.picture, stage.derived) for stage in recorder.stages()]
    while stages and stages[-1].array.shape != frame_shape:  # wrappers that stack
        stages.pop()
    if not stages:
        made = recorder.stages()[-1].picture.shape
        raise ValueError(
            f"{pipeline.title}: the observation of shape {observation.shape} is not a stack of frames of shape "
            f"{made} along the last axis (SB3 takes the shortest axis for the channels): choose a larger size"
        )
    frames = split_stack(observation, frame_shape)
    if not np.array_equal(frames[-1], stages[-1].array):
        raise RuntimeError(f"{pipeline.title}: the newest frame of the stack differs from the output of the last stage")
    env.close()
    return Section(pipeline.title, settings, stages, _named(frames), observation)


def _check_observation(env_id: str, shape: tuple[int, ...]) -> None:
    """:raises ValueError: if the observations of the bare environment are neither images nor vectors"""
    if len(shape) > 3 or (len(shape) == 3 and shape[-1] not in (1, 3)):
        raise ValueError(
            f"{env_id} has observations of shape {shape}, which are not images (does it stack frames itself?): use a "
            "recipe for it (`python -m sb3_atari_dqn recipes`), or choose another environment"
        )


def _play(env: VecEnv, recorder: ObservationRecorder, steps: int, seed: int) -> np.ndarray:
    """:return: observation after this number of random steps"""
    env.action_space.seed(seed)
    observations: Any = env.reset()
    for _ in range(steps):
        recorder.clear()
        observations, *_ = env.step(np.array([env.action_space.sample()]))
    return np.array(observations[0])


def _named(frames: list[np.ndarray]) -> list[Panel]:
    ages = reversed(range(len(frames)))
    return [Panel(f"t - {age}" if age else "t (newest)", frame) for age, frame in zip(ages, frames, strict=True)]
