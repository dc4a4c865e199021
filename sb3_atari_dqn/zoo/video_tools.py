"""Provides the programs that the zoo's video scripts run by name, from installed Python packages.

``push_to_hub`` and ``record_training`` run ``ffmpeg`` through ``os.system`` and ignore its exit status;
``record_training`` runs ``python``. Both may be missing on PATH: moviepy uses the ffmpeg in the package
imageio-ffmpeg, and neither an inactive virtual environment nor Debian's ``python3`` provides ``python``.
"""

import atexit
import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

#: Runs a program under another name. A symbolic link does not work: Python looks for its environment next to the link.
_LAUNCHER = """#!/bin/sh
exec {program} "$@"
"""

#: The same for Python; child processes must register our algorithms even if start-up files are disabled.
_PYTHON_LAUNCHER = """#!/bin/sh
if [ "$1" = -m ] && [ "$2" = rl_zoo3.record_video ]; then
    shift 2
    exec {program} -m sb3_atari_dqn record_video "$@"
fi
exec {program} "$@"
"""

#: Input, filter and output of an ffmpeg run that fails if drawtext finds no font.
_DRAW_A_LETTER = ("-f", "lavfi", "-i", "color=s=64x64", "-vf", "drawtext=text=a", "-frames:v", "1", "-f", "null", "-")

_FONT_CONFIGURATION = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>
"""


@functools.cache
def put_video_tools_on_path() -> None:
    """Add ``ffmpeg``, a font for its ``drawtext`` filter and the running ``python`` to PATH, also for child processes.

    A system's own ffmpeg and fonts are left in place; an ffmpeg that was built without ``drawtext`` gives way, with a
    warning. What is missing comes from the packages imageio-ffmpeg and Pillow, in a private folder that is removed when
    the process ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="sb3_atari_dqn_video_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    _write_launcher(folder / "python", _PYTHON_LAUNCHER, sys.executable)
    own = shutil.which("ffmpeg")
    if own is None and not _add_packaged_ffmpeg(folder):
        return
    if own is not None and not _ffmpeg_draws_text() and not _ffmpeg_has_drawtext():
        warnings.warn(f"{own} was built without the filter drawtext: imageio-ffmpeg's is used.", stacklevel=2)
        _add_packaged_ffmpeg(folder)
    if not _ffmpeg_draws_text():
        _add_font(folder)


def _write_launcher(path: Path, script: str, program: str) -> None:
    path.write_text(script.format(program=shlex.quote(program)))
    path.chmod(0o700)


def _add_packaged_ffmpeg(folder: Path) -> bool:
    """:return: whether imageio-ffmpeg has one for this platform; warns if not"""
    from imageio_ffmpeg import get_ffmpeg_exe

    try:
        _write_launcher(folder / "ffmpeg", _LAUNCHER, get_ffmpeg_exe())
    except RuntimeError as error:
        warnings.warn(f"Cannot create videos: {error}", stacklevel=3)
        return False
    return True


def _ffmpeg_draws_text() -> bool:
    return subprocess.run(["ffmpeg", *_DRAW_A_LETTER], capture_output=True, check=False).returncode == 0


def _ffmpeg_has_drawtext() -> bool:
    filters = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], capture_output=True, check=False).stdout
    return b" drawtext " in filters


def _add_font(folder: Path) -> None:
    """Provide Pillow's bundled font (Aileron) to ``drawtext``, which fails without any font."""
    from PIL.ImageFont import FreeTypeFont, load_default

    font = load_default(size=24)
    if not isinstance(font, FreeTypeFont):  # a Pillow built without FreeType has bitmaps only
        return
    (folder / "default.ttf").write_bytes(font.font_bytes)
    configuration = folder / "fonts.conf"
    configuration.write_text(_FONT_CONFIGURATION.format(folder=folder))
    os.environ["FONTCONFIG_FILE"] = str(configuration)
