"""A run folder with checkpoints: found, locked, and what its files say checked before anything is built."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.allowed_names import trusts
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.checkpoint import Checkpoint, all_in
from sb3_atari_dqn.checkpoints.log_files import load_text_state
from sb3_atari_dqn.zoo.plain_yaml import refused
from sb3_atari_dqn.zoo.run_files import IMPORTED_TO_TRAIN, read_config
from sb3_atari_dqn.zoo.run_settings import read_command_line, reading

#: A word of a command line: the name of an algorithm, an environment or a module.
_WORD = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)


@dataclass
class ContinuedRun:
    """
    :param folder: of the run
    :param archive: its checkpoints, locked
    :param arguments: of its command line
    :param hyperparams: as the zoo saved them
    :param monitors_append: whether monitors are to write on in their files
    """

    folder: Path
    archive: CheckpointFolder
    arguments: dict[str, Any]
    hyperparams: dict[str, Any]
    monitors_append: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """Of which it goes on"""
        assert self.archive.after is not None
        return self.archive.after

    @property
    def steps(self) -> int:
        """Environment steps so far"""
        return self.checkpoint.step

    def check_algorithm(self) -> None:
        """:raises ValueError: if its args.yml names another one than its checkpoint"""
        known = ALGORITHMS.get(self.arguments["algo"])
        if known is None or known.class_name != self.checkpoint.meta["algorithm"]:
            raise ValueError(
                f"{self.folder}: args.yml has algo {self.arguments['algo']}, and the checkpoint belongs to a "
                f"{self.checkpoint.meta['algorithm']}: correct args.yml"
            )

    def restore_files(self) -> None:
        """Bring the log files back that environments which were created in vain have overwritten."""
        load_text_state(self.checkpoint.state("files"), self.folder, [])

    def check_total(self, total: int) -> None:
        """
        :param total: environment steps that it is to have
        :raises ValueError: if it has them already
        """
        if total <= self.steps:
            raise ValueError(
                f"{self.folder} is at step {self.steps:,} already, and {total:,} are not more: give a higher -n."
            )

    @property
    def planned_steps(self) -> int:
        """Environment steps that the run was to have, the last time"""
        return int(self.checkpoint.state("loop")["_total_timesteps"])


def run_folder_of(place: Path) -> Path | None:
    """
    :param place: a run folder, its folder of checkpoints, one of these, or a file in any of them
    :return: the run folder, if it has checkpoints; else None
    """
    place = place.absolute()
    return next((each for each in (place, *place.parents[:3]) if _has_checkpoints(each)), None)


def _has_checkpoints(folder: Path) -> bool:
    return (folder / training.FOLDER).is_dir() and bool(all_in(folder / training.FOLDER))


def checkpoint_at(place: Path) -> Path | None:
    """:return: the checkpoint that a path names, or None for the newest"""
    places = (training.place_of(each)[1] for each in (place, place.absolute().parent))
    return next((each for each in places if each is not None), None)


def open_run(place: Path, total: int | None = None, trust: bool | None = None) -> ContinuedRun:
    """
    :param place: a run folder, a file in it, or one of its checkpoints
    :param total: environment steps that it is to have, None: as planned
    :param trust: let its configuration name any code; None: as SB3_ATARI_DQN_TRUST says
    :return: the run, locked against other processes
    :raises ValueError: if there is nothing to continue, another process continues it, or its checkpoint is damaged
    """
    folder = run_folder_of(place)
    if folder is None:
        raise ValueError(
            f"{place} holds no checkpoints of a run: unless checkpoint_freq is 0, a run gets one every five minutes, "
            "when it is stopped, and at its end. Begin it anew, or pass another run folder."
        )
    if not trusts(trust):
        _check_links(folder)
    arguments = read_command_line(folder, trusts(trust))
    check_command_line(folder, arguments, trusts(trust))
    with reading(f"{folder} cannot be continued"):
        config = folder / EnvironmentName(arguments["env"]) / "config.yml"
        hyperparams = read_config(config, trust, imported=IMPORTED_TO_TRAIN)
    # SaveCheckpoints of the run says how many are kept, once it takes the archive over.
    try:
        archive = training.open_archive(folder / training.FOLDER, keep=1, at=checkpoint_at(place))
    except OSError as error:  # such as a read-only file system
        raise ValueError(
            f"{folder} cannot be continued, since its checkpoints cannot be locked and written ({error}): copy the run "
            "to a folder of your own"
        ) from error
    run = ContinuedRun(folder, archive, arguments, hyperparams)
    try:
        run.check_algorithm()
        run.check_total(total or run.planned_steps)
    except BaseException:
        archive.close()
        raise
    return run


def check_command_line(folder: Path, arguments: dict[str, Any], trust: bool) -> None:
    """
    Its values become words of a command line again, which the zoo partly evaluates.

    :param folder: of the run
    :param arguments: of its command line
    :param trust: its modules may be imported
    :raises ValueError: on a value that is not such a word
    """
    packages = arguments.get("gym_packages") or []
    if packages and not trust:
        raise refused(f"{folder} (gym_packages in args.yml)", ", ".join(map(str, packages)))
    words = {
        "algo": arguments["algo"],
        "env": arguments["env"],
        **{f"gym_packages {i}": each for i, each in enumerate(packages)},
    }
    for name, word in words.items():
        if not (isinstance(word, str) and _WORD.fullmatch(word)):
            raise ValueError(f"{folder}: args.yml has {name} {str(word)[:80]!r}, which is not a name: correct it")
    if type(arguments.get("num_threads", -1)) is not int:
        raise ValueError(
            f"{folder}: args.yml has num_threads {str(arguments['num_threads'])[:80]!r}, not a whole number"
        )


def _check_links(folder: Path) -> None:
    """:raises ValueError: if the log files of a run are links to files elsewhere, which would be overwritten"""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{path} links to {path.resolve()}, outside of the run folder: remove the link, or pass --trust if you "
                "know that the run may write there"
            )
