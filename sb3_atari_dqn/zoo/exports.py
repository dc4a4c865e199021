"""Models of runs as folders without pickle, for the command `export` and for pushing to the Hub."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints import export_files
from sb3_atari_dqn.checkpoints.export_files import CONFIG, FILES
from sb3_atari_dqn.checkpoints.model_files import read_attributes
from sb3_atari_dqn.files import replacing
from sb3_atari_dqn.validation import check_known
from sb3_atari_dqn.zoo.saved_run import SavedRun, find_run

#: Hyperparameters of the zoo that say how observations are made.
PREPROCESSING = ("env_wrapper", "vec_env_wrapper", "frame_stack", "normalize", "normalize_kwargs")


def is_export(place: Path) -> bool:
    """:return: whether this is a folder with an exported model, complete or damaged"""
    return (place / CONFIG).is_file()


def load(place: Path, best: bool, checkpoint: int | None, last_checkpoint: bool) -> tuple[Any, dict[str, Any]]:
    """
    :param place: a run folder, or a zip in one or anywhere
    Other parameters: see :func:`~sb3_atari_dqn.zoo.saved_run.find_run`
    :return: the model, without an environment, and what is known about its environment
    :raises ValueError: if there is no model, or it is not of one of our algorithms
    """
    is_alone = place.is_file() and not (best or last_checkpoint or checkpoint is not None) and not _is_in_run(place)
    run = None if is_alone else find_run(place, best, checkpoint, last_checkpoint)
    path = place if run is None else run.model_path
    model = class_of(read_attributes(path).get("algorithm"), path).load(path, device="cpu")
    return model, {} if run is None else _about(run)


def _is_in_run(model: Path) -> bool:
    """:return: whether it lies in a run folder, or in its folder `models`"""
    folder = model.absolute().parent
    places = [folder, folder.parent] if folder.name == "models" else [folder]
    return any(any(place.glob("*/args.yml")) for place in places)


def import_folder(folder: Path) -> Any:
    """
    :param folder: of an exported model
    :return: the model, of the class that wrote it
    :raises ValueError: if it is damaged, or of no class of ours
    """
    return class_of(export_files.read_config(folder).get("algorithm"), folder).import_(folder, device="cpu")


def class_of(name: Any, place: Path) -> Any:
    """:raises ValueError: if the name is not that of one of our algorithms"""
    classes = {algorithm.class_name: algorithm for algorithm in ALGORITHMS.values()}
    if not isinstance(name, str):
        raise ValueError(f"{place} is not a model of this package; it exports {', '.join(classes)}.")
    check_known(f"algorithm of {place}", name, classes)
    return classes[name].import_class()


def _about(run: SavedRun) -> dict[str, Any]:
    """:return: plain; what the zoo cannot say plainly is given as text"""
    known = {name: run.hyperparams[name] for name in PREPROCESSING if run.hyperparams.get(name)}
    return {"env": run.env_id, "env_kwargs": _plain(run.env_kwargs), **{k: _plain(v) for k, v in known.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def export_beside(model: Any, folder: Path) -> str:
    """
    Write an export among other files, each replaced at once; those of an earlier export are removed.

    :param model: of one of our algorithms
    :param folder: that exists
    :return: why there is no export, or no ONNX file; empty if both were written
    """
    with tempfile.TemporaryDirectory() as place:
        try:
            written = model.export(Path(place, "export"))
        except ValueError as error:
            _remove(folder, FILES)
            return str(error)
        _remove(folder, set(FILES) - set(written.files))
        for name in reversed(written.files):  # config.json, which names the others, last
            with Path(place, "export", name).open("rb") as source, replacing(folder / name) as file:
                shutil.copyfileobj(source, file)
    return f"no {export_files.ONNX}: {written.left_out}" if written.left_out else ""


def _remove(folder: Path, names: Any) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
