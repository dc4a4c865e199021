"""Pushes models to the Hugging Face Hub and loads them, with the zoo's own scripts.

Each function replaces one of upstream's and is called as ``ours(upstream, ...)``; :mod:`sb3_atari_dqn.zoo.patches`
installs them. The fixes apply to all algorithms, because the unpatched scripts crash; evaluation protocol and model
card are written for our algorithms only.
"""

import itertools
import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import yaml
from huggingface_hub import constants
from huggingface_hub import repocard as repocard
from huggingface_hub.errors import RemoteEntryNotFoundError
from requests.exceptions import HTTPError

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.export_files import FILES
from sb3_atari_dqn.checkpoints.file_limits import check_archive
from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.zoo import model_card
from sb3_atari_dqn.zoo.exports import export_beside, is_export
from sb3_atari_dqn.zoo.plain_yaml import read_yaml
from sb3_atari_dqn.zoo.video_tools import put_video_tools_on_path

Upstream = Callable[..., Any]

#: Number of steps in which :func:`_frames_per_step` counts frames.
_COUNTED_STEPS = 8


def load_from_hub(upstream: Upstream, repo_id: str, filename: str) -> str:
    """Download one file; raise the error that the zoo expects for a missing file.

    The zoo catches requests' HTTPError for models without vec_normalize.pkl; the client no longer raises it.

    :raises HTTPError: if the repository does not have the file
    :raises UnsafeFile: if it is a zip, which the zoo would unpack, of too much or to somewhere else
    """
    try:
        path = upstream(repo_id, filename)
    except RemoteEntryNotFoundError as error:
        raise HTTPError(f"{filename} is not in {constants.ENDPOINT}/{repo_id}: {error}") from error
    if zipfile.is_zipfile(path) and not trusts(None):
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, f"{filename} of {repo_id}")
    return path


def generate_metadata(
    upstream: Upstream, model_name: str, env_id: str, mean_reward: float, std_reward: float
) -> dict[str, Any]:
    """Return the card's metadata as the dictionary that ``metadata_save`` expects.

    :param upstream: ``huggingface_sb3.push_to_hub._generate_metadata``, which returns a ModelCardData
    """
    return upstream(model_name, env_id, mean_reward, std_reward).to_dict()


def evaluate_agent(
    upstream: Upstream, model: Any, eval_env: Any, n_eval_episodes: int, is_deterministic: bool, local_path: Path
) -> tuple[float, float]:
    """Evaluate the agent; for our algorithms also export it, and write the evaluation protocol to ``results.json``."""
    scores = upstream(model, eval_env, n_eval_episodes, is_deterministic, local_path)
    if type(model) in {algorithm.import_class() for algorithm in ALGORITHMS.values()}:
        results_path = Path(local_path) / "results.json"
        results = json.loads(results_path.read_text())
        with replacing(results_path) as file:
            file.write(json.dumps(results | _protocol(model, eval_env, is_deterministic), indent=2).encode())
        if left_out := export_beside(model, Path(local_path)):
            print(f"Export without pickle: {left_out}", file=sys.stderr)
    return scores


def generate_replay(
    upstream: Upstream, model: Any, eval_env: Any, video_length: int, is_deterministic: bool, local_path: Path
) -> None:
    """Record ``replay.mp4``; upstream ignores ffmpeg's exit status and keeps the video of an earlier push."""
    put_video_tools_on_path()
    replay = Path(local_path) / "replay.mp4"
    replay.unlink(missing_ok=True)
    upstream(model, eval_env, video_length, is_deterministic, local_path)
    if not _is_video(replay):
        replay.unlink(missing_ok=True)
        print(
            f"No replay video: ffmpeg did not write a playable {replay} (see its output above); uploading without it. "
            "Install ffmpeg and push again to add it.",
            file=sys.stderr,
        )


def save_metadata(upstream: Upstream, local_path: Path, data: dict[str, Any]) -> None:
    """Write the metadata of a model card; for our algorithms rewrite the card itself.

    Upstream's card only installs the RL Zoo, which does not include our algorithms.

    :param local_path: README.md in the folder of the repository, which already contains all other files
    :param data: metadata from :func:`generate_metadata`
    """
    card = Path(local_path)
    facts = _facts(card)
    if facts is not None:
        with replacing(card) as file:
            file.write(model_card.render(facts).encode())
        data = model_card.extend_metadata(facts, data)
    upstream(local_path, data)


def _protocol(model: Any, eval_env: Any, is_deterministic: bool) -> dict[str, Any]:
    """Return the evaluation protocol, without unknown values."""
    protocol = {
        "seed": model.seed,
        "epsilon": None if is_deterministic else model.exploration_rate,
        "frames_per_step": _frames_per_step(eval_env),
        "training_steps": model.num_timesteps,
    }
    return {name: value for name, value in protocol.items() if value is not None}


def _frames_per_step(eval_env: Any) -> int | None:
    """Count the game's frames per step, including all frame skips.

    :return: frames per step, None if it varies or the environment is not an Atari game in this process
    """
    games = getattr(eval_env.unwrapped, "envs", [])
    emulator = getattr(games[0].unwrapped, "ale", None) if games else None
    if emulator is None:
        return None
    eval_env.reset()
    counts = [emulator.getEpisodeFrameNumber()]
    for _ in range(_COUNTED_STEPS):
        eval_env.step([0] * eval_env.num_envs)
        counts.append(emulator.getEpisodeFrameNumber())
    frames = {after - before for before, after in itertools.pairwise(counts)}
    return frames.pop() if len(frames) == 1 else None


def _is_video(path: Path) -> bool:
    return path.is_file() and cv2.VideoCapture(str(path)).read()[0]


def _facts(card: Path) -> model_card.Facts | None:
    """Read the facts about a model from the folder of its repository.

    :return: None unless this is the card of one of our models that the zoo is about to push
    """
    folder = card.parent
    organization = re.search(r"-orga (\S+)", card.read_text(encoding="utf-8")) if card.is_file() else None
    if organization is None or not (folder / "args.yml").is_file():
        return None
    args = _read_yaml(folder / "args.yml")
    if args.get("algo") not in ALGORITHMS:
        return None
    return model_card.Facts(
        repo_id=f"{organization.group(1)}/{folder.name}",
        args=args,
        config=_read_yaml(folder / "config.yml"),
        env_kwargs=_read_yaml(folder / "env_kwargs.yml"),
        results=json.loads((folder / "results.json").read_text()),
        endpoint=constants.ENDPOINT if _is_new_video(folder) else None,
        exported=tuple(name for name in FILES if (folder / name).is_file()) if is_export(folder) else (),
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """:return: content of a file that the zoo wrote, {} of an empty one"""
    if trusts(None):
        return dict(yaml.load(path.read_text(), Loader=yaml.UnsafeLoader) or {})
    return dict(read_yaml(path)[0] or {})


def _is_new_video(folder: Path) -> bool:
    """Whether the replay shows this model: without rendering, the folder may contain that of an earlier push."""
    replay = folder / "replay.mp4"
    return replay.is_file() and replay.stat().st_mtime >= (folder / "results.json").stat().st_mtime
