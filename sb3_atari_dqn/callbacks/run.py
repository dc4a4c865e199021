"""What the callbacks share: the folder of the run, and full episodes instead of steps."""

from __future__ import annotations

import re
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.callbacks import claims, episode_log
from sb3_atari_dqn.callbacks.monitors import check_monitored

_NUMBERED = re.compile(r".*episode_(\d+)\.\w+")


@dataclass(frozen=True)
class Run:
    """
    What the zoo knows about a run and does not pass to callbacks.

    :param folder: of the run, with the monitor files
    :param make_evaluation_env: builds one ordinary environment that renders, wrapped as for the run's evaluations
    :param env_name: of the subfolder where the zoo keeps configuration and normalization statistics
    :param make_evaluation_envs: builds n environments for the run's evaluations, native ones where possible
    """

    folder: Path
    make_evaluation_env: Callable[[], VecEnv]
    env_name: str | None = None
    make_evaluation_envs: Callable[[int], VecEnv] | None = None


@dataclass(frozen=True)
class Episode:
    """
    A training episode that has just ended.

    :param number: 1 for the first episode that ended, over all environments
    :param env: index of its environment
    :param score: raw return, as in the monitor file
    :param length: as in the monitor file: frames for Atari games under a preset, else environment steps
    :param env_steps: of the training, over all environments
    """

    number: int
    env: int
    score: float
    length: int
    env_steps: int


class RunCallback(BaseCallback):
    """
    Calls :meth:`_on_episode` at the end of each full episode; losing a life does not end one.

    A folder belongs to one training. Another training that runs at the same time raises an error, and so does a new one
    that finds files of the same names there. A callback that is used again, or a model that continues
    (``learn(reset_num_timesteps=False)``), continues these files: episode numbers go on, and only files that are always
    overwritten are replaced.

    :param folder: where to write; None: the run folder, which the zoo's commands supply
    :param verbose: 1 prints a line per file
    :raises ValueError: before training starts, if no environment reports the end of an episode, or the folder belongs
        to another training
    """

    #: Glob patterns of the files that it writes into the folder.
    outputs: tuple[str, ...] = ()

    def __init__(self, folder: str | Path | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.run: Run | None = None
        self.n_episodes = 0
        self._given_folder = None if folder is None else Path(folder)
        self._own_folder: Path | None = None  # the files in it are ours
        self._continues = False  # its state was loaded, for the training that begins next
        self._trained: weakref.ref[Any] | None = None  # the model of the last training

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """
        Up to 0.1.0 the hook was called ``_on_game``: still accepted for one release.

        Every class before this one that defines one of the two names gets the other, mixins included: whichever of
        them a ``super()`` call uses, it finds the next class.
        """
        super().__init_subclass__(**kwargs)
        for each in cls.__mro__[: cls.__mro__.index(RunCallback)]:
            own: Any = vars(each)
            if "_on_game" in own and "_on_episode" not in own:
                warnings.warn(f"{each.__name__}._on_game was renamed to _on_episode", FutureWarning, stacklevel=2)
                each._on_episode = own["_on_game"]  # type: ignore[attr-defined]
            elif "_on_episode" in own and "_on_game" not in own:
                each._on_game = own["_on_episode"]  # type: ignore[attr-defined]

    @property
    def n_games(self) -> int:
        """The name of :attr:`n_episodes` up to 0.1.0."""
        warnings.warn("n_games was renamed to n_episodes", FutureWarning, stacklevel=2)
        return self.n_episodes

    def bind(self, run: Run) -> None:
        """:param run: the one that this callback belongs to"""
        self.run = run

    @property
    def writes(self) -> bool:
        """Whether it writes files, and so needs a folder of its own"""
        return True

    @property
    def folder(self) -> Path:
        """:raises ValueError: if there is neither a ``folder=`` nor a run of the zoo"""
        if self._given_folder is not None:
            return self._given_folder
        if self.run is None:
            name = type(self).__name__
            raise ValueError(f"{name} has no run folder outside the zoo's train: give one, {name}(folder='my_run')")
        return self.run.folder

    @property
    def env_name(self) -> str | None:
        """The zoo's name of the environment, None outside the zoo"""
        return None if self.run is None else self.run.env_name

    def _init_callback(self) -> None:
        if type(self)._on_episode is not RunCallback._on_episode:
            check_monitored(self.training_env, type(self).__name__)
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        claims.claim(self.folder, self)
        if self._own_folder != self.folder.resolve():
            try:
                self._take_over()
            except (OSError, ValueError):
                self.release_folder()
                raise
            self._own_folder = self.folder.resolve()

    def state_dict(self) -> dict[str, Any]:
        """:return: what counts on from here"""
        return {"n_episodes": self.n_episodes, "n_calls": self.n_calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        The files in the folder are then its own, and are not looked at: what was written after the state was taken is
        for the caller to remove.

        :param state: from `state_dict`
        :raises ValueError: without a folder
        """
        if self.writes:
            self._own_folder = self.folder.resolve()
        self.n_episodes, self.n_calls = state["n_episodes"], state["n_calls"]
        self._continues = True

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        is_other_model = self._trained is not None and self._trained() is not self.model
        if not self._continues and (is_other_model or self.model.num_timesteps == 0):
            self._forget()
        self._trained = weakref.ref(self.model)
        super().on_training_start(locals_, globals_)
        self._continues = False

    def _forget(self) -> None:
        """Another training begins: forget what belongs to the last one, but for the files, which go on."""

    def on_training_end(self) -> None:
        super().on_training_end()
        self.release_folder()

    def release_folder(self) -> None:
        """Another training may write there now. Learn() of our algorithms calls this when it is left, however it is."""
        claims.release(self)

    def _take_over(self) -> None:
        """Check the files that are already in the folder, and continue them."""
        found = sorted(path for pattern in self.outputs for path in self.folder.glob(pattern) if path.is_file())
        is_continued = self.model.num_timesteps > 0 or getattr(self.model, "continuation", None) is not None
        if found and not is_continued:
            name = type(self).__name__
            raise ValueError(
                f"{found[0]} exists already and belongs to another training: give another folder, {name}(folder=...), "
                f"or move the file; to continue that training use the same {name} again, or load its model and call "
                "learn(reset_num_timesteps=False)"
            )
        if found:
            self.n_episodes = max(self.n_episodes, episodes_so_far(self.folder))

    def _on_step(self) -> bool:
        for env, info in enumerate(self.locals["infos"]):
            if "episode" in info:
                self._end_episode(env, info["episode"])
        return True

    def _end_episode(self, env: int, info: dict[str, Any]) -> None:
        self.n_episodes += 1
        self._on_episode(Episode(self.n_episodes, env, float(info["r"]), int(info["l"]), self.num_timesteps))

    def _on_episode(self, episode: Episode) -> None:
        """:param episode: the one that has just ended"""

    _on_game = _on_episode

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """
        Turn a failure to write a file (a full disk, say) into a warning; training goes on.

        :param path: of the file; the rest of the block, for instance its line on the screen, is skipped too
        """
        try:
            yield
        except OSError as error:
            self._warn(path, error)

    def _warn(self, path: Path, error: OSError) -> None:
        warnings.warn(
            f"{type(self).__name__} could not write {path}: {error}. Training continues without it: free some space, "
            "fix the path, or give another folder=",
            stacklevel=2,
        )

    def _say(self, line: str) -> None:
        if self.verbose > 0:
            print(line)


def episodes_so_far(folder: Path) -> int:
    """:return: the highest episode number in the files that our callbacks wrote to this folder"""
    names = [path.name for pattern in ("models/*", "videos/*") for path in folder.glob(pattern)]
    numbers = [int(match[1]) for match in map(_NUMBERED.fullmatch, names) if match]
    return max([episode_log.last_episode(folder), *numbers])
