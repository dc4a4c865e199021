"""Videos, for tests to look at."""

from pathlib import Path

import cv2
import numpy as np
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
