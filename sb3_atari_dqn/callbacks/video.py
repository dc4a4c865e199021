"""Videos that are encoded on the fly: frames go through a pipe to ffmpeg and are not kept in memory."""

import contextlib
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

from sb3_atari_dqn.files import Unfinished

FORMATS = ("mp4", "gif")

# Each GIF frame gets its own palette: practically exact for the at most 128 colours of an Atari game (ffmpeg may be off
# by one level). A single palette for all frames would have to wait for the end of the episode.
_FILTERS = {
    "mp4": "scale=iw*{scale}:ih*{scale}:flags=neighbor,pad=ceil(iw/2)*2:ceil(ih/2)*2",
    "gif": "scale=iw*{scale}:ih*{scale}:flags=neighbor,split[a][b];[a]palettegen=stats_mode=single[p];"
    "[b][p]paletteuse=new=1:dither=none",
}
_ENCODERS = {
    "mp4": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"),
    "gif": ("-c:v", "gif"),
}


def check_encoder(file_format: str = "mp4") -> None:
    """
    Encode a video of one frame.

    :param file_format: "mp4" or "gif"
    :raises ValueError: without an ffmpeg that encodes this format
    """
    try:
        get_ffmpeg_exe()
    except RuntimeError as error:
        raise ValueError(
            "No video encoder: pip install imageio-ffmpeg, or set the environment variable "
            f"IMAGEIO_FFMPEG_EXE to an ffmpeg ({error})"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        video = Video(Path(folder), file_format, 1, 15)
        try:
            video.add(np.zeros((16, 16, 3), np.uint8))
            video.keep(Path(folder, f"test.{file_format}"))
        except OSError as error:
            raise ValueError(
                f"{get_ffmpeg_exe()} cannot encode {file_format} ({error}): fix or unset IMAGEIO_FFMPEG_EXE; pip "
                "install imageio-ffmpeg installs one that can"
            ) from error
        finally:
            video.discard()


class Video:
    """
    One video, under a temporary name until :meth:`keep`. A video that is not kept leaves no file behind.

    :param folder: of the video; created with the first frame
    :param file_format: "mp4" or "gif"
    :param scale: each pixel becomes scale x scale pixels
    :param fps: frames per second
    """

    def __init__(self, folder: Path, file_format: str, scale: int, fps: float) -> None:
        self._folder = folder
        self._format, self._scale, self._fps = file_format, scale, fps
        self._encoder: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None
        self._size: tuple[int, ...] = ()
        self._finalizer: Callable[[], Any] = lambda: None

    def add(self, frame: np.ndarray) -> None:
        """
        :param frame: uint8 [H, W, 3]; all of the same size
        :raises OSError: if the folder is not writable, or ffmpeg has stopped; with ffmpeg's own message
        """
        if self._encoder is None:
            self._start(frame.shape[:2])
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise OSError(f"got a frame of {frame.dtype} {frame.shape} in a video of uint8 {(*self._size, 3)}")
        try:
            self._pipe().write(np.ascontiguousarray(frame).data)
        except OSError as error:
            raise OSError(f"ffmpeg stopped: {self._message()}") from error

    def keep(self, path: Path) -> None:
        """
        :param path: in the same folder
        :raises OSError: if ffmpeg failed, with its own message
        """
        assert self._encoder is not None  # there was a frame
        self._pipe().close()
        if self._encoder.wait() != 0 or self._path.stat().st_size == 0:
            raise OSError(f"ffmpeg failed: {self._message()}")
        self._unfinished.keep(path)
        self.discard()

    def discard(self) -> None:
        """Stop; can be called more than once, and after :meth:`keep`."""
        self._finalizer()

    def _start(self, size: tuple[int, ...]) -> None:
        self._size = size
        self._folder.mkdir(parents=True, exist_ok=True)
        self._unfinished = Unfinished(self._folder / "video", f".{self._format}")
        self._path = self._unfinished.path
        self._finalizer = self._unfinished.discard
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the encoder)
        try:
            self._encoder = self._popen(self._command(size), self._messages)
        except OSError:
            self._messages.close()
            raise
        self._finalizer = weakref.finalize(self, _abandon, self._encoder, self._messages, self._unfinished)

    def _popen(self, command: list[str], messages: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            start_new_session=True,  # Ctrl-C must reach the training only
        )

    def _command(self, size: tuple[int, ...]) -> list[str]:
        height, width = size
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(self._fps), "-i", "-")
        filters = _FILTERS[self._format].format(scale=self._scale)
        # One thread, to leave the CPU to the training.
        quiet = ("-v", "error", "-y", "-threads", "1", "-filter_threads", "1")
        return [
            *(get_ffmpeg_exe(), *quiet, *raw, "-an", "-filter_complex", filters),
            *(*_ENCODERS[self._format], "-threads", "1", str(self._path)),
        ]

    def _pipe(self) -> Any:
        assert self._encoder is not None
        return self._encoder.stdin

    def _message(self) -> str:
        assert self._messages is not None
        self._messages.seek(0)
        return " ".join(self._messages.read().decode(errors="replace").split()) or "no message"


def _abandon(encoder: "subprocess.Popen[bytes]", messages: IO[bytes], unfinished: Unfinished) -> None:
    """Stop an encoder, running or not, and remove its temporary file."""
    encoder.kill()
    encoder.wait()
    messages.close()
    if encoder.stdin is not None and not encoder.stdin.closed:
        with contextlib.suppress(OSError):  # buffered data has no reader any more
            encoder.stdin.close()
    unfinished.discard()
