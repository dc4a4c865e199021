"""The result file of a part, rewritten under a temporary name and renamed whenever results are added."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from report import circumstances

from gpu.machine import Facts

#: Environment variables with which the runner passes command and facts to a part.
COMMAND, FACTS = "GPU_COMMAND", "GPU_FACTS"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """:return: parser of the arguments that all parts accept"""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file for the result")
    parser.add_argument("--seconds", type=float, default=60, help="time that the part has, from its start")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--dry-run", action="store_true", help="as small as possible: does it run at all?")
    return parser


class Report:
    """
    Results of a part, saved to its file as they arrive.

    :param part: name
    :param args: parsed by :func:`arguments`
    """

    def __init__(self, part: str, args: argparse.Namespace) -> None:
        facts = Facts(**json.loads(os.environ[FACTS])) if FACTS in os.environ else None
        about = circumstances("torch", "stable-baselines3", "ale-py", "numpy")
        self._path = args.out
        self._began = time.monotonic()
        self._deadline = self._began + args.seconds
        self._content: dict[str, Any] = {
            "part": part,
            "complete": False,
            "on_gpu": args.device == "cuda",
            "dry_run": args.dry_run,
            **about,
            "command": os.environ.get(COMMAND, about["command"]),
            "card": facts.cards[0] if facts and facts.cards else None,
            "driver": facts.driver if facts else None,
            "cuda": facts.cuda if facts else None,
            "cores": facts.cores if facts else None,
        }
        if args.device != "cuda":
            self._content["not_run"] = "not run on a GPU"

    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def get(self, name: str, default: Any = None) -> Any:
        """:return: a result reported before"""
        return self._content.get(name, default)

    def put(self, **figures: Any) -> None:
        """Add or replace results, and write the file."""
        self._content.update(figures, seconds=round(time.monotonic() - self._began, 1))
        write(self._path, self._content)

    def done(self, **figures: Any) -> None:
        """Add the last results, and mark the file as complete."""
        self.put(**figures, complete=True)
