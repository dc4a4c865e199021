"""Normalization statistics (`VecNormalize`): SB3's pickle, and beside it what is read without unpickling anything."""

import hashlib
import pickle
from pathlib import Path

from stable_baselines3.common.vec_env import VecNormalize

from sb3_atari_dqn.checkpoints import safe_objects, safe_pickle
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.file_limits import check_unpacked_size
from sb3_atari_dqn.checkpoints.storage import read_bounded
from sb3_atari_dqn.files import replacing


def write_statistics(normalize: VecNormalize, path: Path) -> None:
    """
    :param normalize: statistics of an environment
    :param path: of the pickle, for SB3 and the zoo; the other file has the same name with .safetensors
    """
    content = pickle.dumps(normalize)  # as VecNormalize.save does
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)
    try:
        safe = safe_objects.dumps({"statistics": normalize, "of pickle": _digest(content)})
    except TypeError:  # a space of the user's own
        path.with_suffix(".safetensors").unlink(missing_ok=True)
        return
    with replacing(path.with_suffix(".safetensors")) as file:
        file.write(safe)


def read_statistics(path: Path, trust: bool | None = None) -> VecNormalize:
    """
    :param path: of the pickle; our file beside it is read instead, unless the pickle was replaced since
    :param trust: let a pickle run code; None: as the environment variable says
    :return: the statistics, still without an environment
    :raises UnsafeFile: if it is not trusted and needs something that is not on our lists
    :raises ValueError: if it is damaged, or holds something else
    """
    content = _content(path)
    normalize = _beside(path, _digest(content))
    if normalize is None:
        normalize = pickle.loads(content) if trusts(trust) else safe_pickle.loads(content, str(path))
    if not isinstance(normalize, VecNormalize):
        raise ValueError(f"{path} holds a {type(normalize).__name__}, not the statistics of VecNormalize.")
    normalize.__dict__.update(class_attributes={}, returns=None)  # it can be pickled again; `set_venv` replaces them
    return normalize


def check_statistics(path: Path) -> None:
    """
    :param path: of a pickle that somebody else will unpickle; our file beside it says nothing about it
    :raises UnsafeFile: if that would run something that is not on our lists
    :raises ValueError: if it is damaged
    """
    safe_pickle.loads(_content(path), str(path))


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    check_unpacked_size(size, size, str(path))
    return read_bounded(path, size)


def _beside(path: Path, digest: str) -> object:
    """:return: the statistics in our own file, None if there is none, or it belongs to another pickle"""
    beside = path.with_suffix(".safetensors")
    if not beside.is_file():
        return None
    found = safe_objects.loads(_content(beside), str(beside))
    return found["statistics"] if isinstance(found, dict) and found.get("of pickle") == digest else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
