"""MP4 files, written picture by picture."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import imageio_ffmpeg
import numpy as np

from sb3_atari_dqn.pictures.drawing import complete_or_absent


def check_encoder() -> None:
    """:raises ValueError: if there is no ffmpeg"""
    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ValueError(
            "no video encoder: `pip install imageio-ffmpeg` brings one, or name an ffmpeg in the environment variable "
            f"IMAGEIO_FFMPEG_EXE ({error})"
        ) from error


class Video:
    """
    A video that appears under its name when it is complete; to be used in a ``with`` statement.

    :param path: ends with .mp4
    :param size: (width, height), both even
    :param fps: pictures per second
    :raises OSError: if ffmpeg stops, with its words on the screen
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._size, self._fps = size, fps
        self._file = complete_or_absent(path)

    def __enter__(self) -> Self:
        unfinished = self._file.__enter__()
        self._frames: Any = imageio_ffmpeg.write_frames(
            str(unfinished),
            self._size,
            fps=self._fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart"],
        )
        self._frames.send(None)
        return self

    def add(self, picture: np.ndarray) -> None:
        """:param picture: uint8 [height, width, 3]"""
        self._frames.send(np.ascontiguousarray(picture))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.close()
        self._file.__exit__(kind, error, trace)
