"""Videos, for tests to look at."""

from pathlib import Path

import cv2
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image, ImageSequence


def pictures_of(path: Path) -> np.ndarray:
    """:return: all pictures of a GIF or another video, uint8 [T, H, W, 3]"""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return np.stack(frames)


def encoder_that_fails(folder: Path, words: str, works: int = 0) -> str:
    """
    :param words: what it says on its standard error
    :param works: how often it is a real encoder before
    :return: a program for IMAGEIO_FFMPEG_EXE
    """
    program = folder / "ffmpeg"
    program.write_text(
        f"""#!/bin/sh
printf x >> "$0.calls"
[ "$(wc -c < "$0.calls")" -le {works} ] && exec '{get_ffmpeg_exe()}' "$@"
cat > /dev/null  # the pictures: a pipe that breaks says nothing of this
echo '{words}' >&2
exit 1
"""
    )
    program.chmod(0o755)
    return str(program)
