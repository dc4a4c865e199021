"""What stopped a training: which environment, at which step, and where to continue."""

import os
import signal
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from traceback import walk_tb
from typing import Any, NamedTuple

from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from sb3_atari_dqn.finite import NonFiniteTransition, NonFiniteValues

# Seconds in which a process that closed its pipe has ended.
_LAST_BREATH = 5.0


def checkpoint_hint(model: Any) -> str:
    """
    :param model: whoever writes its checkpoints keeps the path of the last one in `model.last_checkpoint`
    :return: a sentence for the end of a message, with the space before it; empty without a checkpoint
    """
    if model.last_checkpoint is None:
        return ""
    way_out = "`python -m sb3_atari_dqn resume` with its run folder continues from it."
    return f" The last checkpoint is {model.last_checkpoint}: {way_out}"


@contextmanager
def explained_failures(model: Any) -> Iterator[None]:
    """
    Context for what steps or resets environments. Errors of an environment itself keep their type and get a note.

    :param model: that is being trained
    :raises ValueError: on a NaN or infinity of environments or network
    :raises RuntimeError: if the process of an environment ended; the others are then closed
    """
    try:
        yield
    except NonFiniteValues as error:
        raise ValueError(
            f"The network gives an action value of {error.what} for environment {error.row} at step "
            f"{model.num_timesteps}: its parameters are damaged, or its values overflow. Continue from an earlier "
            f"model, with a lower learning_rate if the training has diverged.{checkpoint_hint(model)}"
        ) from error
    except NonFiniteTransition as error:
        hint = checkpoint_hint(model)
        if not hint:
            raise
        raise NonFiniteTransition(f"{error}{hint}") from error
    except Exception as error:
        failure = _failure_of(error)
        if failure is None:
            raise
        of_training = model.env is not None and failure.env is model.env.unwrapped
        where = f"at step {model.num_timesteps}" + ("" if of_training else ", in an evaluation or another callback")
        if message := _of_dead_worker(failure.env, error, where):
            raise RuntimeError(f"{message}{checkpoint_hint(model)}") from error
        error.add_note(f"{failure.who} failed {where}.{checkpoint_hint(model)}")
        raise


def watch_workers(env: VecEnv) -> None:
    """
    Let a process of SB3's SubprocVecEnv that ends close its pipe, so that waiting for its answer ends too.

    Under the start method "fork" each process inherits the pipes of those created after it: the pipe of a
    dead one stays open, and SB3 would wait for its answer for ever. A thread waits for the processes; steps cost
    nothing.

    :param env: any; watched once
    """
    workers: Any = env.unwrapped
    if os.name != "posix" or workers in _watched or not getattr(workers, "processes", None):
        return
    _watched.add(workers)
    sentinels = [os.dup(process.sentinel) for process in workers.processes]
    watcher = threading.Thread(target=_shut_down_first, args=(weakref.ref(workers), sentinels), daemon=True)
    watcher.start()


_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def _shut_down_first(reference: Any, sentinels: list[int]) -> None:
    """Wait until one of the processes ends; they all do once the environment is closed or collected."""
    ended: list[Any] = connection.wait(sentinels)
    workers = reference()
    if workers is not None:
        for sentinel in ended:
            remote = workers.remotes[sentinels.index(sentinel)]
            with suppress(OSError), socket.socket(fileno=os.dup(remote.fileno())) as pipe:
                pipe.shutdown(socket.SHUT_RDWR)  # what was sent before can still be received
    for sentinel in sentinels:
        os.close(sentinel)


class _Failure(NamedTuple):
    env: Any
    who: str


def _failure_of(error: BaseException) -> _Failure | None:
    """:return: the innermost vectorized environment that the error passed through, None if there is none"""
    failure = None
    for frame, _ in walk_tb(error.__traceback__):
        env = frame.f_locals.get("self")
        if isinstance(env, VecEnv) and not isinstance(env, VecEnvWrapper):
            # The counters of SB3's DummyVecEnv and of our native environments.
            index = frame.f_locals.get("env_idx", frame.f_locals.get("number"))
            failure = _Failure(env, f"One of the environments ({type(env).__name__})")
            if isinstance(index, int):
                failure = _Failure(env, f"Environment {index}")
    return failure


def _of_dead_worker(env: Any, error: Exception, where: str) -> str:
    """
    Close SB3's SubprocVecEnv if one of its processes ended: its own `close()` would fail, and hide the error.

    :return: the message, empty if all processes are alive
    """
    processes = getattr(env, "processes", None)
    if not processes or not isinstance(error, EOFError | OSError):
        return ""
    if env.closed:
        return f"The environments are closed, {where}: create new ones and pass them to set_env()."
    ended = connection.wait([process.sentinel for process in processes], _LAST_BREATH)
    for process in processes:
        if process.sentinel in ended:
            process.join(_LAST_BREATH)  # its exit code may come a moment later
    dead = [index for index, process in enumerate(processes) if process.exitcode is not None]
    if not dead:
        return ""
    exit_code = processes[dead[0]].exitcode
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_LAST_BREATH)
    for remote in env.remotes:
        with suppress(OSError):
            remote.close()
    env.closed = True
    return (
        f"The process of environment {dead[0]} {_end_of(exit_code)}, {where}; the other environments were "
        "closed. Create new ones to continue."
    )


def _end_of(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code} (its own error is printed above)"
    with suppress(ValueError):  # a signal that this Python does not know
        name = signal.Signals(-exit_code).name
        reason = " (often for lack of memory)" if name == "SIGKILL" else ""
        return f"was killed by {name}{reason}"
    return f"was killed by signal {-exit_code}"
