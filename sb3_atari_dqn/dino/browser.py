"""Finds the browser and builds its command line."""

import os
import shutil
import sys

from sb3_atari_dqn.dino.faults import NoBrowser

VARIABLE = "SB3_ATARI_DQN_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL = "apt-get install chromium"

QUIET = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",  # crash reporters start anyway, but their services do not
    "--disable-features=MediaRouter,OptimizationHints,SpareRendererForSitePerProcess,Translate",
    "--mute-audio",
)
#: Blocks network access for all pages and services of the browser; DevTools also emulates offline mode.
NO_NETWORK = (
    "--disable-background-networking",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
#: Makes rendering and timing reproducible.
SAME_EVERYWHERE = (
    "--disable-gpu",
    "--force-device-scale-factor=1",
    "--force-color-profile=srgb",
    "--lang=en-US",
    "--window-size=800,600",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


def find_browser(asked: str | None = None) -> str:
    """
    :param asked: path or name; None uses the environment variable, or searches PATH for the usual names
    :return: path of an executable
    :raises NoBrowser: if none is found; the message explains how to install or name one
    """
    named = asked or os.environ.get(VARIABLE)
    for name in [named] if named else NAMES:
        path = shutil.which(name)
        if path:
            return path
    if named:
        option = f"browser={named!r}" if asked else f"The environment variable {VARIABLE}={named!r}"
        raise NoBrowser(f"{option} was not found: set it to the path of a Chromium or Chrome, or to its name on PATH.")
    raise NoBrowser(
        f"No Chromium or Chrome found on PATH ({', '.join(NAMES)}): install one (Debian: {INSTALL}), or set the "
        f"environment variable {VARIABLE} to its path."
    )


def arguments(profile: str, visible: bool) -> list[str]:
    """
    :param profile: empty folder for the browser profile
    :param visible: show a window
    :return: command line arguments
    :raises NoBrowser: if ``visible`` is set on a machine without a display
    """
    if visible and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoBrowser(
            "render_mode='human' opens a window, but there is no display (DISPLAY is not set): use "
            "render_mode='rgb_array' or None."
        )
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # required to run as root
    headless = [] if visible else ["--headless=new"]
    # Open no page by itself. Keep shared memory in the browser's own folder, as /dev/shm is small in containers.
    wiring = ["--remote-debugging-pipe", "--no-startup-window", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    return [*headless, *as_root, *wiring, *QUIET, *NO_NETWORK, *SAME_EVERYWHERE]
