"""The folder of one run: claimed for it alone, and gone again if the run never came to be.

``enjoy`` opens the latest folder, so one without a model is worse than none. Only what was made for a run may be
removed with it.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def create(upstream: Callable[..., Any], manager: Any) -> None:
    """Make the run folder, under the next free number if another run has taken this one since.

    :param upstream: ``ExperimentManager.create_log_folder``
    :param manager: remembers the folders made for it, the deepest first
    :raises OSError: if the folder cannot be made
    """
    while True:
        run = Path(manager.save_path).absolute()
        missing = [folder for folder in (run, *run.parents) if not folder.exists()]
        try:
            run.mkdir(parents=True)
            break
        except FileExistsError:
            if not run.is_dir():
                raise
            _take_next_number(manager)
    manager.folders_made = missing
    upstream(manager)


def remove(manager: Any) -> None:
    """Remove the run folder, and those above it that were made for it and hold nothing else."""
    made = getattr(manager, "folders_made", [])
    if not made:
        return
    shutil.rmtree(made[0], ignore_errors=True)
    for folder in made[1:]:
        try:
            folder.rmdir()
        except OSError:  # other runs moved in
            return


@contextmanager
def removed_on_failure(manager: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove(manager)
        raise


def _take_next_number(manager: Any) -> None:
    from rl_zoo3.utils import get_latest_run_id

    number = get_latest_run_id(manager.log_path, manager.env_name) + 1
    manager.save_path = os.path.join(manager.log_path, f"{manager.env_name}_{number}")
    manager.params_path = f"{manager.save_path}/{manager.env_name}"
