"""What every benchmark reports with its results: command, commit, machine, and medians with their spread."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


def circumstances(*distributions: str) -> dict[str, Any]:
    """:param distributions: packages whose versions to report"""
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": _commit(),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        "versions": {name: version(name) for name in distributions},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """:return: median, minimum and maximum"""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def write(result: dict[str, Any], out: str | None) -> None:
    """Print the result, and write it to the user's file."""
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        Path(out).write_text(text + "\n")


def _commit() -> str:
    """:return: of this checkout; set BENCHMARK_COMMIT where the folder is not a checkout"""
    if given := os.environ.get("BENCHMARK_COMMIT"):
        return given
    here = Path(__file__).parent
    try:
        commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=here, text=True).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno"], cwd=here, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with changes" if changed else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    name = next((value for key, value in fields.items() if key.strip() == "model name"), "unknown CPU").strip()
    flags = next((value.split() for key, value in fields.items() if key.strip() == "flags"), [])
    units = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(units) or 'no bf16 units'})"
