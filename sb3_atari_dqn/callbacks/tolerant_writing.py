"""A full disk does not end a training: log files of SB3 that cannot be written are reported, and tried again.

SB3's monitors, loggers and evaluations let an OSError through, in the middle of a step. What a monitor could not write
stays in the buffer of its file, and is written with its next row.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback

from sb3_atari_dqn.checkpoints.callback_states import all_callbacks
from sb3_atari_dqn.checkpoints.log_files import monitor_writers


def tolerate(model: Any, callback: Any, until: ExitStack) -> None:
    """
    :param model: in training, with its logger
    :param callback: of its training
    :param until: whatever is left as it was when this is closed
    """
    for owner, method, name, result in _writing(model, callback):
        original = getattr(owner, method)
        setattr(owner, method, _tolerant(original, name, result))
        until.callback(functools.partial(vars(owner).pop, method, None))


def _writing(model: Any, callback: Any) -> Iterator[tuple[Any, str, str, Any]]:
    """:return: objects that write, the method that does, what to call the file, and what the method returns"""
    for writer in monitor_writers(model.env):
        yield writer, "write_row", writer.file_handler.name, None
    for out in model.logger.output_formats:
        name = getattr(getattr(out, "file", None), "name", None) or f"{type(out).__name__} in {model.logger.get_dir()}"
        yield out, "write", name, None
    for each in all_callbacks(callback):
        if isinstance(each, EvalCallback | CheckpointCallback):
            yield each, "_on_step", f"what {type(each).__name__} saves", True


def _tolerant(method: Callable[..., Any], name: str, result: Any) -> Callable[..., Any]:
    """
    :param method: that may fail
    :param name: of the file, for the message
    :param result: when it has failed
    :return: a function, which is no state of the object that gets it
    """
    has_failed = False

    @functools.wraps(method)
    def tolerant(*args: Any, **kwargs: Any) -> Any:
        nonlocal has_failed
        try:
            returned = method(*args, **kwargs)
        except OSError as error:
            if not has_failed:
                warnings.warn(
                    f"{name} could not be written ({error.strerror or error}). Training goes on: free some space, or "
                    "make the folder writable.",
                    stacklevel=2,
                )
            has_failed = True
            return result
        if has_failed:
            print(f"Written again: {name}")
        has_failed = False
        return returned

    return tolerant
