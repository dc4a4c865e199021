"""What every benchmark reports with its results: command, commit, machine, and medians with their spread."""

import json
import os
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sb3_atari_dqn.studies.origin import commit, machine


def circumstances(*distributions: str) -> dict[str, Any]:
    """:param distributions: packages whose versions to report"""
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": os.environ.get("BENCHMARK_COMMIT") or commit(),  # where the folder is not a checkout
        "machine": machine(),
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
