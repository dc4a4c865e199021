"""Install the missing dependencies of the parts, except torch: as few packages as possible, all from wheels.

Imports the standard library only, because it runs before anything is installed.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE, WHEELS = ROOT / ".gpu-site", ROOT / "wheels"

#: Packages that deep learning images lack: the default of --wheels.
RARE = ("stable-baselines3", "sb3-contrib", "gymnasium", "Farama-Notifications", "ale-py", "zstandard")

#: Module -> distributions to install if it is missing: its own, and dependencies that no other entry covers.
NEEDED = {
    "stable_baselines3": ("stable-baselines3",),
    "sb3_contrib": ("sb3-contrib",),
    "gymnasium": ("gymnasium",),
    "farama_notifications": ("Farama-Notifications",),
    "ale_py": ("ale-py",),
    "zstandard": ("zstandard",),
    "cloudpickle": ("cloudpickle",),
    "numpy": ("numpy",),
    "cv2": ("opencv-python-headless",),
    "psutil": ("psutil",),
    "yaml": ("PyYAML",),
    "packaging": ("packaging",),
    "PIL": ("pillow",),
    "pandas": ("pandas", "python-dateutil", "pytz", "tzdata", "six"),
    "matplotlib": (
        "matplotlib",
        "contourpy",
        "cycler",
        "fonttools",
        "kiwisolver",
        "pyparsing",
        "python-dateutil",
        "six",
    ),
    "pytest": ("pytest", "iniconfig", "pluggy", "Pygments"),
}

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def missing() -> list[str]:
    """:return: distributions to install, without duplicates"""
    absent = [names for module, names in NEEDED.items() if importlib.util.find_spec(module) is None]
    return list(dict.fromkeys(name for names in absent for name in names))


def install(names: list[str]) -> str | None:
    """
    Install from `wheels/` if that folder exists, else from the package index.

    :param names: distributions
    :return: error message, None on success
    """
    source = ["--no-index", "--find-links", str(WHEELS)] if WHEELS.is_dir() else ["-c", str(ROOT / "constraints.txt")]
    quick = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--only-binary=:all:"]
    done = _pip("install", *quick, *source, "--target", str(SITE), *names)
    importlib.invalidate_caches()
    if done.returncode == 0:
        return None
    reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
    way_out = "fetch the wheels on another machine (bash benchmarks/gpu.sh --wheels) and take the folder wheels/ along"
    return f"{', '.join(names)} could not be installed ({reason}): {way_out}."


def fetch_wheels(names: list[str], python_version: str) -> int:
    """
    :param names: distributions; an empty list stands for the default ones
    :param python_version: of the machine with the GPU, such as "3.12"
    :return: exit code
    """
    target = ["--python-version", python_version, "--implementation", "cp"]
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    constraints = ["-c", str(ROOT / "constraints.txt"), "-d", str(WHEELS)]
    done = _pip("download", "--no-deps", "--only-binary=:all:", *target, *platforms, *constraints, *(names or RARE))
    print(done.stdout + done.stderr, end="")
    if done.returncode == 0:
        size = sum(wheel.stat().st_size for wheel in WHEELS.glob("*.whl"))
        print(f"wheels/ holds {size / 1e6:.0f} MB for Python {python_version}: take it along.")
    return done.returncode


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
