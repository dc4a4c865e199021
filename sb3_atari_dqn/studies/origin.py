"""Which code a run was trained with, and on which machine."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPU_FLAGS = ("avx512_bf16", "amx_bf16")  # on which the speed of bfloat16 depends


@cache
def commit() -> str:
    """:return: of the checkout that holds this package, else the version of the package"""
    here = Path(__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)  # not some checkout around an environment
        changed = _git(here, "status", "--porcelain", "-uno")
        return _git(here, "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return _version()


@cache
def machine() -> str:
    """:return: processor, cores, Python and system"""
    return f"{_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def _git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=folder, text=True, stderr=subprocess.DEVNULL).strip()


def _version() -> str:
    try:
        return f"sb3-atari-dqn {version('sb3-atari-dqn')}"
    except PackageNotFoundError:
        return "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    name = next((value for key, value in fields.items() if key.strip() == "model name"), "unknown CPU").strip()
    flags = next((value.split() for key, value in fields.items() if key.strip() == "flags"), [])
    units = [flag for flag in _CPU_FLAGS if flag in flags]
    return f"{name} ({', '.join(units) or 'no bf16 units'})"
