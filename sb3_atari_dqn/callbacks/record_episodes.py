"""Videos of training episodes, or of evaluation episodes during training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.atari.skipping import actions_per_second
from sb3_atari_dqn.callbacks.evaluation_episode import check_fits, global_generators_restored, play_episode
from sb3_atari_dqn.callbacks.monitors import check_monitored
from sb3_atari_dqn.callbacks.run import Episode, RunCallback
from sb3_atari_dqn.callbacks.video import FORMATS, Video, check_encoder
from sb3_atari_dqn.validation import as_int, check_between, check_known

SOURCES = ("training", "evaluation")
MOST_SCALE = 16
#: Above 50 frames per second most viewers play a GIF slowly: GIF delays are whole hundredths of a second.
MOST_FPS = {"mp4": 240, "gif": 50}


class RecordEpisodes(RunCallback):
    """
    Record every n-th episode as a video of the game's screen, enlarged (not of the network's observations).

    The video has one ``render()`` of the environment per environment step; with frame skipping an Atari game advances
    several frames in between. Episodes are recorded in full, over all lives. Recording draws no random numbers from the
    generators of the training.

    - ``source="training"``: episodes 1, n + 1, 2n + 1, ... in the order in which they begin, over all environments,
      with the exploration of the training: ``videos/training_episode_000001.mp4``. Needs environments that render
      (``render_mode="rgb_array"``, also for the native Atari environments). An episode that is unfinished when
      training ends is discarded, and not recorded by a training that continues with it.
    - ``source="evaluation"``: after every n-th training episode, one episode of the current greedy policy in a separate
      environment, while training waits: ``videos/evaluation_episode_000001.mp4``, with the number of the preceding
      training episode.

    :param every_n_episodes: n, over all environments
    :param format: "mp4" or "gif"
    :param scale: each pixel becomes scale x scale pixels, at most 16
    :param source: "training" or "evaluation"
    :param fps: frames per second of the video, at most 240, for a GIF at most 50; None: the game's own speed up to that
        limit, 15 for an Atari game with 4 frames per environment step
    :param max_steps: limit of environment steps per evaluation episode: a greedy policy may get stuck
    :param seed: evaluation episode k uses seed + k
    :param make_env: builds the evaluation environment, with ``render_mode="rgb_array"`` and a ``Monitor``; only needed
        outside the zoo's train
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    :raises ValueError: on a bad argument; before training starts, without a working encoder or a rendered image
    """

    def __init__(
        self,
        every_n_episodes: int = 1,
        format: str = "mp4",
        scale: int = 2,
        source: str = "training",
        fps: int | None = None,
        max_steps: int = 27_000,
        seed: int = 0,
        make_env: Callable[[], VecEnv] | None = None,
        folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(folder, verbose)
        self.every_n_episodes = as_int("every_n_episodes", every_n_episodes, 1)
        check_known("format of RecordEpisodes", format, FORMATS)
        check_known("source of RecordEpisodes", source, SOURCES)
        self.format, self.source = format, source
        self.scale = as_int("scale", scale, 1)
        check_between("scale", self.scale, 1, MOST_SCALE)
        self.fps: float | None = fps if fps is None else as_int("fps", fps, 1)
        if self.fps is not None:
            check_between(f"fps of a {format.upper()}", self.fps, 1, MOST_FPS[format])
        self.max_steps, self.seed = as_int("max_steps", max_steps, 1), as_int("seed", seed, 0)
        if make_env is not None and not callable(make_env):
            raise ValueError(f"make_env must be a function that builds an environment, got {make_env!r}")
        self._make_env = make_env
        self.outputs = (f"videos/{source}_episode_*.{format}",)
        self._begun = 0  # training episodes
        self._numbers: list[int] = []  # of the running one of each environment
        self._under_way: set[int] = set()  # environments that have made a step in it
        self._recordings: dict[int, tuple[int, Video]] = {}  # environment -> episode number, video

    @property
    def renders_training(self) -> bool:
        """Whether the training environments must render."""
        return self.source == "training"

    def _init_callback(self) -> None:
        check_encoder(self.format)
        if self.renders_training:
            self._check_training_env()
        elif self._make_env is None and self.run is None:
            raise ValueError("RecordEpisodes(source='evaluation') needs make_env= outside the zoo's train")
        else:
            self._check_evaluation_env()
        super()._init_callback()

    def _take_over(self) -> None:
        super()._take_over()
        self._begun = max(self._begun, self.n_episodes)

    def _forget(self) -> None:
        self._numbers = []

    def state_dict(self) -> dict[str, Any]:
        """:return: which episodes are running, too"""
        running = {"begun": self._begun, "numbers": list(self._numbers), "under_way": sorted(self._under_way)}
        return {**super().state_dict(), **running}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """:param state: from `state_dict`, also of a version that knew of no running episodes"""
        super().load_state_dict(state)
        self._begun = state.get("begun", self.n_episodes)
        self._numbers, self._under_way = list(state.get("numbers", ())), set(state.get("under_way", ()))

    def _check_training_env(self) -> None:
        modes = set(self.training_env.get_attr("render_mode"))
        if modes != {"rgb_array"}:
            raise ValueError(
                f"RecordEpisodes(source='training') needs environments that render images, got render_mode="
                f"{_joined(modes)}: build them with render_mode='rgb_array', or record evaluation episodes with "
                "source='evaluation'"
            )
        self._set_speed(self.training_env)

    def _check_evaluation_env(self) -> None:
        """Build one and close it, so that errors appear before training and not in the middle of it."""
        with global_generators_restored():
            env = self._evaluation_env()
        try:
            if not isinstance(env, VecEnv):
                raise ValueError(f"make_env must build a VecEnv (make_vec_env does), got a {type(env).__name__}")
            check_monitored(env, "RecordEpisodes(make_env=)")
            modes = set(env.get_attr("render_mode"))
            if modes != {"rgb_array"}:
                raise ValueError(
                    f"RecordEpisodes(source='evaluation') needs an environment that renders images, got render_mode="
                    f"{_joined(modes)}: build it with render_mode='rgb_array' in make_env="
                )
            check_fits(env, self.model)
            self._set_speed(env)
        finally:
            env.close()

    def _set_speed(self, env: VecEnv) -> None:
        if self.fps is None:
            self.fps = min(actions_per_second(env), MOST_FPS[self.format])

    # --- training episodes

    def _on_training_start(self) -> None:
        self._drop_all()
        if self.renders_training:
            n_envs = self.training_env.num_envs
            if len(self._numbers) != n_envs:
                self._numbers, self._under_way = [0] * n_envs, set()
                for env in range(n_envs):
                    self._begin(env)
            else:
                for env in set(range(n_envs)) - self._under_way:
                    self._record(env)

    def _on_step(self) -> bool:
        if self.renders_training:
            ended = [env for env, info in enumerate(self.locals["infos"]) if "episode" in info]
            for env in ended:
                self._finish(env)
            for env in [env for env in self._recordings if env not in ended]:
                self._add_frame(env)
            self._under_way = set(range(self.training_env.num_envs)).difference(ended)
            for env in ended:
                self._begin(env)
        return super()._on_step()

    def _on_training_end(self) -> None:
        self._drop_all()

    def _begin(self, env: int) -> None:
        self._begun += 1
        self._numbers[env] = self._begun
        self._record(env)

    def _record(self, env: int) -> None:
        """The first frame is available already, because vectorized environments reset themselves."""
        number = self._numbers[env]
        if (number - 1) % self.every_n_episodes == 0:
            self._recordings[env] = number, self._new_video()
            self._add_frame(env)

    def _add_frame(self, env: int) -> None:
        number, video = self._recordings[env]
        try:
            video.add(self.training_env.env_method("render", indices=[env])[0])
        except OSError as error:
            del self._recordings[env]
            self._give_up(video, number, error)

    def _finish(self, env: int) -> None:
        if env in self._recordings:
            number, video = self._recordings.pop(env)
            self._keep(video, number)

    def _drop_all(self) -> None:
        while self._recordings:
            self._recordings.popitem()[1][1].discard()

    # --- evaluation episodes

    def _on_episode(self, episode: Episode) -> None:
        if self.source == "evaluation" and episode.number % self.every_n_episodes == 0:
            video = self._new_video()
            try:
                play_episode(self.model, self._evaluation_env, self.seed + episode.number, self.max_steps, video.add)
            except OSError as error:
                self._give_up(video, episode.number, error)
                return
            self._keep(video, episode.number)

    def _evaluation_env(self) -> VecEnv:
        if self._make_env is not None:
            return self._make_env()
        assert self.run is not None  # _init_callback has checked it
        return self.run.make_evaluation_env()

    # --- files

    def _new_video(self) -> Video:
        assert self.fps is not None  # _init_callback has checked it
        return Video(self.folder / "videos", self.format, self.scale, self.fps)

    def _keep(self, video: Video, number: int) -> None:
        path = self._path(number)
        try:
            video.keep(path)
            self._say(f"Recorded {path}")
        except OSError as error:
            self._give_up(video, number, error)

    def _give_up(self, video: Video, number: int, error: OSError) -> None:
        video.discard()
        self._warn(self._path(number), error)

    def _path(self, number: int) -> Path:
        return self.folder / "videos" / f"{self.source}_episode_{number:06d}.{self.format}"


def _joined(render_modes: set[str | None]) -> str:
    return ", ".join(sorted(map(str, render_modes)))
