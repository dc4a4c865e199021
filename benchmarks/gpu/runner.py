"""Run the parts one by one within a time budget. If one fails, the next still runs.

Imports the standard library only.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpu.machine import Facts
from gpu.parts import DRY_LIMIT_S, Part
from gpu.results import COMMAND, FACTS, write
from gpu.setup import ROOT

#: Seconds before its time limit at which a part should stop by itself.
GRACE_S = 5


@dataclass(frozen=True)
class Order:
    """
    :param out: folder for the results
    :param deadline: in the time of :func:`time.monotonic`
    :param device: "cuda" or "cpu"
    :param dry_run: run every part at a small size
    :param facts: about the machine
    :param command: the user's command line
    """

    out: Path
    deadline: float
    device: str
    dry_run: bool
    facts: Facts
    command: str


@dataclass
class Outcome:
    """
    :param status: "done", "failed", "cut off" or "not run"
    :param reason: for any status but "done"
    :param seconds: wall-clock time
    :param last_lines: of the output, for any status but "done"
    """

    part: str
    status: str
    reason: str | None = None
    seconds: float = 0.0
    last_lines: tuple[str, ...] = ()


def run_all(parts: Sequence[Part], order: Order, about: dict[str, Any]) -> list[Outcome]:
    """
    :param about: included in gpu_run.json, which is rewritten after each part
    :return: outcomes of all parts
    """
    outcomes: list[Outcome] = []
    for number, part in enumerate(parts):
        outcomes.append(run(part, order, sum(later.limit_s for later in parts[number + 1 :])))
        write(order.out / "gpu_run.json", {**about, "parts": [asdict(each) for each in outcomes]})
        print(say(part, outcomes[-1], order))
    return outcomes


def run(part: Part, order: Order, later_s: float = 0) -> Outcome:
    """
    Run one part in its own process group, up to its time limit.

    :param later_s: time limits of the following parts, in seconds; this part may use the time left beyond them
    """
    left = order.deadline - time.monotonic()
    if left < (0 if order.dry_run else part.least_s):
        return Outcome(part.name, "not run", f"{left:.0f} s are left and it needs {part.least_s}")
    limit = DRY_LIMIT_S if order.dry_run else min(max(part.limit_s, left - later_s), left)
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            _command(part, order, limit), stdout=log, stderr=log, env=_environment(order), start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also on Ctrl-C: leave no process of the part behind
            _end(process)
        took = round(time.monotonic() - began, 1)
        log.seek(0)
        printed = _last_lines(log.read().decode(errors="replace"))
    if code is None:
        return Outcome(part.name, "cut off", f"after {limit:.0f} s; what it had written is kept", took, printed)
    if code:
        return Outcome(part.name, "failed", printed[-1] if printed else f"exit code {code}", took, printed)
    return Outcome(part.name, "done", None, took)


def say(part: Part, outcome: Outcome, order: Order) -> str:
    """:return: one line about the outcome"""
    where = "" if order.device == "cuda" else "; not run on a GPU"
    why = f" ({outcome.reason})" if outcome.reason else ""
    return f"{part.name}: {outcome.status}{why} in {outcome.seconds:.0f} s{where} - {part.what}"


def _command(part: Part, order: Order, limit: float) -> list[str]:
    command = [sys.executable, "-m", part.module, "--out", str(order.out / f"gpu_{part.name}.json")]
    command += ["--seconds", f"{max(limit - GRACE_S, 1):.0f}", "--device", order.device, *part.arguments]
    return [*command, "--dry-run"] if order.dry_run else command


def _environment(order: Order) -> dict[str, str]:
    # A dry run measures nothing: use one thread, to leave the CPU to others.
    threads = {} if order.device == "cuda" else {"OMP_NUM_THREADS": "1"}
    return {**os.environ, **threads, COMMAND: order.command, FACTS: json.dumps(asdict(order.facts))}


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_lines(printed: str) -> tuple[str, ...]:
    """:return: last lines, with paths relative to the checkout"""
    return tuple(line.replace(f"{ROOT}/", "")[:300] for line in printed.strip().splitlines()[-25:])
