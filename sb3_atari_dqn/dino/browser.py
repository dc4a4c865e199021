"""Which browser, and with which arguments it is started."""

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
    "--disable-breakpad",  # crash reporters run nevertheless, but without them its services do not
    "--disable-features=MediaRouter,OptimizationHints,SpareRendererForSitePerProcess,Translate",
    "--mute-audio",
)
#: No page and no service of the browser reaches any network; the page is told to be offline besides.
NO_NETWORK = (
    "--disable-background-networking",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
)
#: What pictures and time depend on.
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
    :param asked: path or name; None takes the environment variable, or searches for the usual names
    :return: path of an executable
    :raises NoBrowser: if there is none; the message says how to install or name one
    """
    named = asked or os.environ.get(VARIABLE)
    for name in [named] if named else NAMES:
        path = shutil.which(name)
        if path:
            return path
    if named:
        where = "The option browser" if asked else f"The environment variable {VARIABLE}"
        raise NoBrowser(
            f"{where} names {named!r}, and there is no such program: name a Chromium or Chrome, by its path or by a "
            "name that is found on PATH."
        )
    raise NoBrowser(
        f"No Chromium or Chrome found ({', '.join(NAMES)}): install one (Debian: {INSTALL}), or name one in the "
        f"environment variable {VARIABLE}."
    )


def arguments(profile: str, visible: bool) -> list[str]:
    """
    :param profile: empty folder for the browser's own files
    :param visible: show a window
    :return: command line arguments
    :raises NoBrowser: if a window is asked for where there is no display
    """
    if visible and sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoBrowser(
            "render_mode='human' opens a window, and this session has no display (DISPLAY is not set): use "
            "render_mode='rgb_array', or none."
        )
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it refuses root otherwise
    headless = [] if visible else ["--headless=new"]
    # Its only page is the one we ask for; shared memory goes into its folder, as containers have little of the other.
    wiring = ["--remote-debugging-pipe", "--no-startup-window", "--disable-dev-shm-usage", f"--user-data-dir={profile}"]
    return [*headless, *as_root, *wiring, *QUIET, *NO_NETWORK, *SAME_EVERYWHERE]
