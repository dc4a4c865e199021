"""Colours, text and scaling for all images."""

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sb3_atari_dqn.files import Unfinished

Colour = tuple[int, int, int]

BACKGROUND: Colour = (16, 19, 24)
RAISED: Colour = (44, 50, 59)
SLATE: Colour = (98, 108, 121)
TEXT: Colour = (238, 241, 244)
MUTED: Colour = (164, 173, 184)
#: Colour-blind safe. Source: Okabe & Ito 2008, "Color Universal Design".
ORANGE: Colour = (230, 159, 0)
BLUE: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """:return: Pillow's built-in font, independent of system fonts"""
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def text_width(text: str, size: int) -> int:
    """:return: in pixels"""
    return int(np.ceil(font(size).getlength(text)))


def write(
    draw: ImageDraw.ImageDraw,
    xy: tuple[int, int],
    text: str,
    size: int = 15,
    colour: Colour = TEXT,
    anchor: str = "la",
) -> None:
    """
    :param xy: of the anchor, in pixels
    :param size: of the font, in pixels
    :param anchor: Pillow's: horizontally l, m, r, vertically a (ascender), m, s (baseline)
    """
    left, top, ink = _ink(text, size, anchor)
    draw.bitmap((xy[0] + left, xy[1] + top), ink, fill=colour)


@lru_cache(maxsize=4096)
def _ink(text: str, size: int, anchor: str) -> tuple[int, int, Image.Image]:
    """:return: offset from the anchor, and coverage; cached, because text dominates the cost of a video"""
    left, top, right, bottom = (int(side) for side in font(size).getbbox(text, anchor=anchor))
    ink = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(ink).text((-left, -top), text, fill=255, font=font(size), anchor=anchor)
    return left, top, ink


def shortened(text: str, size: int, width: int) -> str:
    """:return: the text, truncated with "..." to at most ``width`` pixels"""
    if text_width(text, size) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda n: text_width(f"{text[:n]}...", size)) - 1
    return f"{text[: max(fitting, 0)]}..."


def fit(picture: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """
    Scale an image to a box, keeping its aspect ratio. Enlarged images have equally large pixels: the factor is an
    integer if that fills at least two thirds of the box.

    :param picture: uint8 [H, W, 3]
    :param box: (height, width) in pixels
    :return: uint8, not larger than the box
    """
    height, width = picture.shape[:2]
    factor = min(box[0] / height, box[1] / width)
    if factor >= 1 and int(factor) > factor * 2 / 3:
        factor = int(factor)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """
    Write a file under a temporary name in the same folder and rename it when it is complete.

    :param path: of the file; for a symbolic link, its target is replaced
    :return: the temporary name, with the same suffix
    :raises OSError: if it cannot be written
    """
    target = end_of_links(path)
    unfinished = Unfinished(target, target.suffix)
    try:
        yield unfinished.path
        unfinished.keep(target)
    finally:
        unfinished.discard()


def end_of_links(path: Path) -> Path:
    """:return: the target of symbolic links, existing or not"""
    return Path(os.path.realpath(path))


def check_writable(path: Path, suffix: str) -> None:
    """
    :param path: of a file to be written later; creates its folder
    :param suffix: required suffix
    :raises ValueError: if the file could not be written
    """
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path} must end with {suffix}: give another name with -o")
    target = end_of_links(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        if target.is_symlink():
            raise OSError("it is a symbolic link to itself")
        if target.exists() and not target.is_file():
            raise OSError("it is not a regular file")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error}): give another path with -o") from error
