"""Everything that a training changes in a model, part by part, so that another process can go on with it.

N: environments.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from sb3_atari_dqn.algorithms.base import ValueBasedAlgorithm
from sb3_atari_dqn.algorithms.optimizer_state import load_optimizer_state, optimizer_state
from sb3_atari_dqn.algorithms.remote_acting import let_actors_follow
from sb3_atari_dqn.algorithms.replay_state import buffer_state, frame_source, load_buffer_state, load_frames
from sb3_atari_dqn.checkpoints import training
from sb3_atari_dqn.checkpoints.archive import CheckpointFolder
from sb3_atari_dqn.checkpoints.callback_states import all_callbacks
from sb3_atari_dqn.checkpoints.env_state import env_state, load_env_state
from sb3_atari_dqn.checkpoints.frame_files import FrameSource
from sb3_atari_dqn.checkpoints.state import State, generator_state, load_generator_state
from sb3_atari_dqn.learners.fast import FastLearner
from sb3_atari_dqn.networks.generators import generators

if TYPE_CHECKING:
    _Host = ValueBasedAlgorithm
else:
    _Host = object

#: Attributes that are arrays of all environments, dictionaries of these, or None.
_ARRAYS = ("_last_obs", "_last_original_obs", "_last_episode_starts")
#: The last episodes, for the means in the logs.
_EPISODES = ("ep_info_buffer", "ep_success_buffer")


class TrainingState(_Host):
    """A mixin: the state of a training between two rollouts, when no step is on its way."""

    #: Of what is stored, such as a replay memory: what identifies it, itself, and itself if it exists already
    _memory_identity: Callable[[], State]
    _memory: Callable[[], Any]
    _existing_memory: Callable[[], Any | None]
    _continuation: training.Continuation | None = None

    def identity(self) -> State:
        """:return: what a training that continues this one must have in common with it"""
        return {
            "algorithm": type(self).__name__,
            "environment": _env_names(self.env),
            "observation space": str(self.observation_space),
            "action space": str(self.action_space),
            "number of environments": self.n_envs,
            **self._memory_identity(),
        }

    def continue_from(self, archive: CheckpointFolder, run_folder: Path) -> None:
        """
        Bring this model, its environments and the log files to where a checkpoint was taken; the next learn(), with
        `reset_num_timesteps=False` and the callbacks of the run, goes on from there.

        :param archive: from :func:`~sb3_atari_dqn.checkpoints.training.open_archive`
        :param run_folder: with the log files
        :raises ValueError: if it does not fit
        """
        self._continuation = training.load(archive, self, run_folder)

    @property
    def continuation(self) -> training.Continuation | None:
        """The checkpoint that this model was loaded from, during the next learn(): a callback brings the rest back"""
        return self._continuation

    def end_continuation(self) -> None:
        """Called when learn() is left; another training may continue the run now."""
        if self._continuation is not None:
            self._continuation.archive.close()
            self._continuation = None

    def state_dict(self) -> dict[str, State]:
        """
        :return: the state by part, plain copies; without the frames of the replay memory (:meth:`frame_source`)
        :raises TypeError: if the replay buffer is of a class that gives no state
        """
        learner = self._get_learner()  # now: which precision it takes is part of the state
        state: dict[str, State] = {
            "policy": {name: value.clone() for name, value in self.policy.state_dict().items()},
            "optimizer": optimizer_state(self.policy.optimizer),
            "drawing_layers": {"generators": [each.get_state() for each in generators(self.policy)]},
            "built": self.built_with(),  # type: ignore[attr-defined]
            "loop": self._loop_state(),
            "exploration": self.explorer.state_dict(),
            "actions": generator_state(self.action_space.np_random),
            "learner": learner.state_dict() if isinstance(learner, FastLearner) else {},
            "log": {**self._log.state_dict(), "pending": _pending_values(self.logger)},
            "env": env_state(cast(Any, self.env)),
        }
        buffer = self._existing_memory()
        return state if buffer is None else {**state, "replay": buffer_state(buffer)}

    def frame_source(self) -> FrameSource | None:
        """:return: the frames of the replay memory; None if its state holds everything"""
        return frame_source(self._existing_memory())

    @property
    def frames_saved_in(self) -> str | None:
        """The checkpoint with the frames up to it; None: the replay memory is another one, was loaded, or emptied"""
        return getattr(self._existing_memory(), "saved_in", None)

    @frames_saved_in.setter
    def frames_saved_in(self, checkpoint: str | None) -> None:
        buffer = self._existing_memory()
        if buffer is not None and hasattr(buffer, "saved_in"):
            buffer.saved_in = checkpoint

    def load_state_dict(self, state: dict[str, State], frames: Iterable[Any] = ()) -> None:
        """
        Continue where the state was taken; the next learn() must not reset the number of time steps.

        :param state: from `state_dict` of a model with the same arguments, in such an environment
        :param frames: chunks, from :meth:`frame_source`, oldest first
        :raises ValueError: if it does not fit
        """
        if "replay" in state:
            load_buffer_state(self._memory(), state["replay"])
            load_frames(self._memory(), frames)
        if state["learner"]:
            # "auto" measures which precision is faster: a continued training takes the one it had.
            self._get_learner(recorded=state["learner"]["precision"])
        self._load_networks(state)
        self.explorer.load_state_dict(state["exploration"])
        load_generator_state(self.action_space.np_random, state["actions"])
        self._log.load_state_dict({key: value for key, value in state["log"].items() if key != "pending"})
        let_actors_follow(self)  # which may ask for new episodes
        self._load_loop_state(state["loop"])
        first = load_env_state(cast(Any, self.env), state["env"])
        if first is not None:  # new episodes
            self._last_obs = first  # type: ignore[assignment]
            self._last_episode_starts = np.ones(self.n_envs, dtype=bool)
            if self._vec_normalize_env is not None:
                self._last_original_obs = self._vec_normalize_env.get_original_obs()

    def load_pending_log(self, state: State) -> None:
        """
        :param state: the part `log`: what was recorded since the logs were written last goes into the logger, which
            must exist
        """
        for name, (value, count, excluded) in state["pending"].items():
            self.logger.name_to_value[name] = value
            self.logger.name_to_count[name] = count
            self.logger.name_to_excluded[name] = tuple(excluded)

    def _load_networks(self, state: dict[str, State]) -> None:
        own = self.policy.state_dict()
        theirs = {name: torch.as_tensor(value) for name, value in state["policy"].items()}
        shapes = [{name: tuple(value.shape) for name, value in each.items()} for each in (own, theirs)]
        if shapes[0] != shapes[1]:
            differing = sorted(
                name for name in shapes[0].keys() | shapes[1].keys() if shapes[0].get(name) != shapes[1].get(name)
            )
            raise ValueError(
                f"The checkpoint holds other networks than those of this {type(self).__name__}: {differing[0]} is "
                f"{shapes[1].get(differing[0], 'missing')} there and {shapes[0].get(differing[0], 'missing')} here. "
                "Build it with the same policy and policy_kwargs."
            )
        self.policy.load_state_dict(theirs)
        for own_generator, saved in zip(generators(self.policy), state["drawing_layers"]["generators"], strict=True):
            own_generator.set_state(saved)
        load_optimizer_state(self.policy.optimizer, state["optimizer"])
        if self._learner is not None:
            self._learner.refresh()

    def _loop_state(self) -> State:
        return {
            **{name: _number(getattr(self, name)) for name in self._counters},
            **{name: _copied(getattr(self, name)) for name in _ARRAYS},
            **{name: [_plain_info(each) for each in getattr(self, name) or ()] for name in _EPISODES},
        }

    def _load_loop_state(self, state: State) -> None:
        for name in (*self._counters, *_ARRAYS):
            setattr(self, name, state[name])
        for name in _EPISODES:
            setattr(self, name, deque(state[name], maxlen=self._stats_window_size))


def _env_names(env: Any) -> str | None:
    """:return: as registered with gymnasium; None where environments do not tell"""
    try:
        names = sorted({spec.id for spec in env.get_attr("spec") if spec is not None})
    except Exception:  # of environments of other packages
        return None
    return ", ".join(names) or None


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: np.array(each) for name, each in value.items()}
    return None if value is None else np.array(value)


def _plain_info(info: Any) -> Any:
    """:return: of Monitor's numbers those that are plain; SB3 reads return and length only"""
    if not isinstance(info, dict):
        return _number(np.asarray(info)[()])
    numbers = {name: _number(value) for name, value in info.items()}
    return {name: value for name, value in numbers.items() if value is None or isinstance(value, int | float | str)}


def _pending_values(logger: Any) -> State:
    """:return: what was recorded since the logs were written last: value, count, formats that leave it out"""
    pending: State = {}
    for name, value in logger.name_to_value.items():
        plain = _number(value)
        if isinstance(plain, bool | int | float | str):  # pictures and videos are recorded and written at once
            excluded = list(logger.name_to_excluded.get(name) or ())
            pending[name] = [plain, int(logger.name_to_count.get(name, 0)), excluded]
    return pending


@contextmanager
def prepared_callbacks(model: Any, callback: Any) -> Iterator[None]:
    """
    Tell those callbacks that want to know it, before the environments are reset and when learn() is left, which leaves
    the policy in evaluation mode.

    :param model: about to be trained
    :param callback: as given to learn()
    """
    with ExitStack() as stack:
        stack.callback(model.policy.set_training_mode, False)  # the last update left it on
        stack.callback(model.end_continuation)
        for each in list(all_callbacks(callback)):
            if hasattr(each, "release_folder"):
                stack.callback(each.release_folder)
            if hasattr(each, "prepare") and hasattr(each, "finish"):
                stack.callback(each.finish)
                each.prepare(model, callback)
        yield
