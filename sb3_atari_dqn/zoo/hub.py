"""Pushing a model to the Hugging Face Hub and loading it again, with the zoo's own scripts.

Each function stands in for one of upstream's and is called as ``ours(upstream, ...)``;
:mod:`sb3_atari_dqn.zoo.patches` puts them there. The repairs serve every algorithm, since those scripts only crashed;
the score's protocol and the model card are written for ours alone.
"""

import itertools
import json
import re
import sys
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
from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.zoo import model_card
from sb3_atari_dqn.zoo.video_tools import put_video_tools_on_path

Upstream = Callable[..., Any]

#: Steps over which the frames of one step are counted, see :func:`_frames_per_step`.
_COUNTED_STEPS = 8


def load_from_hub(upstream: Upstream, repo_id: str, filename: str) -> str:
    """Download one file; a file that the repository lacks is an error the zoo expects.

    The zoo takes requests' HTTPError for "this model has no vec_normalize.pkl"; the client no longer raises it.

    :raises HTTPError: if the repository has no such file
    """
    try:
        return upstream(repo_id, filename)
    except RemoteEntryNotFoundError as error:
        raise HTTPError(f"{filename} is not in {constants.ENDPOINT}/{repo_id}: {error}") from error


def generate_metadata(
    upstream: Upstream, model_name: str, env_id: str, mean_reward: float, std_reward: float
) -> dict[str, Any]:
    """The card's metadata as the mapping that ``metadata_save`` writes.

    :param upstream: ``huggingface_sb3.push_to_hub._generate_metadata``, which returns a ModelCardData
    """
    return upstream(model_name, env_id, mean_reward, std_reward).to_dict()


def evaluate_agent(
    upstream: Upstream, model: Any, eval_env: Any, n_eval_episodes: int, is_deterministic: bool, local_path: Path
) -> tuple[float, float]:
    """Evaluate, and for our algorithms write the protocol of the score beside it into ``results.json``."""
    scores = upstream(model, eval_env, n_eval_episodes, is_deterministic, local_path)
    if type(model) in {algorithm.import_class() for algorithm in ALGORITHMS.values()}:
        results_path = Path(local_path) / "results.json"
        results = json.loads(results_path.read_text())
        with replacing(results_path) as file:
            file.write(json.dumps(results | _protocol(model, eval_env, is_deterministic), indent=2).encode())
    return scores


def generate_replay(
    upstream: Upstream, model: Any, eval_env: Any, video_length: int, is_deterministic: bool, local_path: Path
) -> None:
    """Record ``replay.mp4``; upstream ignores how ffmpeg ended and keeps the video of an earlier push."""
    put_video_tools_on_path()
    replay = Path(local_path) / "replay.mp4"
    replay.unlink(missing_ok=True)
    upstream(model, eval_env, video_length, is_deterministic, local_path)
    if not _is_video(replay):
        replay.unlink(missing_ok=True)
        print(
            f"No replay video: ffmpeg made no playable {replay} (its messages are above); the upload goes on without. "
            "Install ffmpeg and push again to add it.",
            file=sys.stderr,
        )


def save_metadata(upstream: Upstream, local_path: Path, data: dict[str, Any]) -> None:
    """Write the metadata of a model card, and for our algorithms the card itself anew.

    Upstream's card tells the reader to install the RL Zoo alone, which knows none of our algorithms.

    :param local_path: README.md in the folder of the repository, which holds everything else by now
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
    """How the score came about; what is unknown is left out."""
    protocol = {
        "seed": model.seed,
        "epsilon": None if is_deterministic else model.exploration_rate,
        "frames_per_step": _frames_per_step(eval_env),
        "training_steps": model.num_timesteps,
    }
    return {name: value for name, value in protocol.items() if value is not None}


def _frames_per_step(eval_env: Any) -> int | None:
    """Count the game's frames from step to step, whichever wrapper or environment skips them.

    :return: frames, None where the environment is not an Atari game in this process or the number varies
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
    """What the folder of a repository says about its model.

    :return: None if this is not the card of a model of ours that the zoo is about to push
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
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    """The zoo writes Python objects (an OrderedDict) and has just read the same files this way itself."""
    return dict(yaml.load(path.read_text(), Loader=yaml.UnsafeLoader) or {})


def _is_new_video(folder: Path) -> bool:
    """Whether the replay shows this model: without rendering, that of an earlier push still lies in the folder."""
    replay = folder / "replay.mp4"
    return replay.is_file() and replay.stat().st_mtime >= (folder / "results.json").stat().st_mtime
