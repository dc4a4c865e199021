"""Creates the folder of a run exclusively, and removes it if the run fails to start.

``enjoy`` opens the latest folder, so a folder without a model does harm. Only folders created for the run are removed.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def create(upstream: Callable[..., Any], manager: Any) -> None:
    """Create the run folder, with the next free number if another run has taken this one. A continued run has one.

    :param upstream: ``ExperimentManager.create_log_folder``
    :param manager: stores the created folders, deepest first
    :raises OSError: if the folder cannot be created
    """
    if manager.continued is not None:
        upstream(manager)
        return
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
    """Remove the run folder, and empty parent folders that were created with it."""
    made = getattr(manager, "folders_made", [])
    if not made:
        return
    shutil.rmtree(made[0], ignore_errors=True)
    for folder in made[1:]:
        try:
            folder.rmdir()
        except OSError:  # contains other runs by now
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
