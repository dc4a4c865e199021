"""Videos of games in training, or of evaluation games played beside it."""

from collections.abc import Callable
from pathlib import Path

from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_dqn.atari.skipping import actions_per_second
from sb3_atari_dqn.callbacks.evaluation_game import check_fits, global_generators_kept, play
from sb3_atari_dqn.callbacks.monitors import check_monitored
from sb3_atari_dqn.callbacks.run import Game, RunCallback
from sb3_atari_dqn.callbacks.video import FORMATS, Video, check_encoder
from sb3_atari_dqn.validation import as_int, check_between, check_known

SOURCES = ("training", "evaluation")
MOST_SCALE = 16
#: Beyond 50 pictures per second most viewers play a GIF slowly: its delays are counted in hundredths of a second.
MOST_FPS = {"mp4": 240, "gif": 50}


class RecordEpisodes(RunCallback):
    """
    Record every n-th game as a video of the game's own picture, enlarged; never of what the network sees.

    The pictures are those of the environment's ``render``, one per environment step: between two of them an Atari game
    may have gone on by several frames. A game is recorded whole, over all its lives. No generator of the training
    draws a number for it.

    - ``source="training"``: games 1, n + 1, 2n + 1, ... in the order in which they begin, whichever environment plays
      them, with the exploration of the training: ``videos/training_episode_000001.mp4``. Needs environments that
      render (``render_mode="rgb_array"``, of the native Atari environments too). A game that the end of training cuts
      off is not kept.
    - ``source="evaluation"``: after every n-th training game one game in an environment of its own, played greedily
      by the current model, while training waits: ``videos/evaluation_episode_000001.mp4``, numbered by the training
      game it follows.

    :param every_n_episodes: n, over all environments together
    :param format: "mp4" or "gif"
    :param scale: each pixel becomes scale x scale of them; 16 at the most
    :param source: "training" or "evaluation"
    :param fps: pictures per second, 240 at the most, 50 of a GIF; None: the game's own speed, as far as the format
        goes, which is 15 for an Atari game at 4 frames per environment step
    :param max_steps: an evaluation game is cut after as many environment steps: a greedy agent may wait forever
    :param seed: evaluation game k is played with seed + k
    :param make_env: builds the environment of evaluation games, with ``render_mode="rgb_array"`` and a ``Monitor``;
        needed only outside of the zoo's train
    :param folder: see :class:`RunCallback`
    :param verbose: likewise
    :raises ValueError: on a bad argument; before training starts, where there is no encoder or no picture
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
        self._begun = 0  # games that have begun in training
        self._recordings: dict[int, tuple[int, Video]] = {}  # environment -> number of the game, video

    @property
    def renders_training(self) -> bool:
        """Whether the environments of the training must render."""
        return self.source == "training"

    def _init_callback(self) -> None:
        check_encoder(self.format)
        if self.renders_training:
            self._check_training_env()
        elif self._make_env is None and self.run is None:
            raise ValueError("RecordEpisodes(source='evaluation') needs make_env= outside of the zoo's train")
        else:
            self._check_evaluation_env()
        super()._init_callback()

    def _take_over(self) -> None:
        super()._take_over()
        self._begun = max(self._begun, self.n_games)

    def _check_training_env(self) -> None:
        modes = set(self.training_env.get_attr("render_mode"))
        if modes != {"rgb_array"}:
            raise ValueError(
                f"RecordEpisodes(source='training') finds environments that render no picture (render_mode="
                f"{_told(modes)}): build them with render_mode='rgb_array', or record beside training with "
                "source='evaluation'"
            )
        self._set_speed(self.training_env)

    def _check_evaluation_env(self) -> None:
        """Build one and close it: what is wrong with it shall not wait for the middle of training."""
        with global_generators_kept():
            env = self._evaluation_env()
        try:
            if not isinstance(env, VecEnv):
                raise ValueError(f"make_env must build a VecEnv (make_vec_env does), it built a {type(env).__name__}")
            check_monitored(env, "RecordEpisodes(make_env=)")
            modes = set(env.get_attr("render_mode"))
            if modes != {"rgb_array"}:
                raise ValueError(
                    f"RecordEpisodes(source='evaluation') finds an environment that renders no picture (render_mode="
                    f"{_told(modes)}): build it with render_mode='rgb_array' in make_env="
                )
            check_fits(env, self.model)
            self._set_speed(env)
        finally:
            env.close()

    def _set_speed(self, env: VecEnv) -> None:
        if self.fps is None:
            self.fps = min(actions_per_second(env), MOST_FPS[self.format])

    # --- games of the training

    def _on_training_start(self) -> None:
        self._drop_all()
        if self.renders_training:
            for env in range(self.training_env.num_envs):
                self._begin(env)

    def _on_step(self) -> bool:
        if self.renders_training:
            ended = [env for env, info in enumerate(self.locals["infos"]) if "episode" in info]
            for env in ended:
                self._finish(env)
            for env in [env for env in self._recordings if env not in ended]:
                self._add_picture(env)
            for env in ended:
                self._begin(env)
        return super()._on_step()

    def _on_training_end(self) -> None:
        self._drop_all()

    def _begin(self, env: int) -> None:
        """A game begins: its first picture is there already, as environments reset themselves."""
        self._begun += 1
        if (self._begun - 1) % self.every_n_episodes == 0:
            self._recordings[env] = self._begun, self._new_video()
            self._add_picture(env)

    def _add_picture(self, env: int) -> None:
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

    # --- games beside it

    def _on_game(self, game: Game) -> None:
        if self.source == "evaluation" and game.number % self.every_n_episodes == 0:
            video = self._new_video()
            try:
                play(self.model, self._evaluation_env, self.seed + game.number, self.max_steps, video.add)
            except OSError as error:
                self._give_up(video, game.number, error)
                return
            self._keep(video, game.number)

    def _evaluation_env(self) -> VecEnv:
        if self._make_env is not None:
            return self._make_env()
        assert self.run is not None  # _init_callback has seen to it
        return self.run.make_evaluation_env()

    # --- files

    def _new_video(self) -> Video:
        assert self.fps is not None  # _init_callback has seen to it
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


def _told(render_modes: set[str | None]) -> str:
    return ", ".join(sorted(map(str, render_modes)))
