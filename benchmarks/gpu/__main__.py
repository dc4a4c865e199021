"""Test and measure the GPU path, see benchmarks/gpu.sh. Exit codes: 0 all done, 1 not all, 10 to 14 in gpu.machine."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import circumstances

from gpu import setup
from gpu.machine import NO_PACKAGES, Facts, Trouble, trouble
from gpu.parts import PARTS
from gpu.runner import Order, run_all


def main() -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the running part together with this process
    args = _arguments()
    if args.wheels is not None:
        return setup.fetch_wheels(args.wheels, args.python_version)
    if args.table:
        from gpu import table

        return table.main([])
    if args.commit:
        os.environ["BENCHMARK_COMMIT"] = args.commit
    if (problem := _set_up()) is not None:
        return _refuse(problem)
    set_up_s = time.monotonic() - began
    facts = _facts()
    problem = trouble(facts)
    if problem is not None and not args.dry_run:
        return _refuse(problem)
    return _run(args, facts, problem, began, set_up_s)


def _run(args: argparse.Namespace, facts: Facts, problem: Trouble | None, began: float, set_up_s: float) -> int:
    out = args.out or (
        Path(tempfile.mkdtemp(prefix="gpu-dry-run-")) if args.dry_run else setup.ROOT / "benchmarks/results"
    )
    out.mkdir(parents=True, exist_ok=True)
    device = "cpu" if problem else "cuda"
    print(f"Set up in {set_up_s:.1f} s, looked around in {time.monotonic() - began - set_up_s:.1f} s; results: {out}")
    if problem:
        print(f"{problem.sentence} Every part is tried small on the CPU; none of it is run on a GPU.")
    words = [word for word in sys.argv[1:] if word not in ("--out", str(args.out))]
    command = " ".join(["bash", "benchmarks/gpu.sh", *words])
    order = Order(out.resolve(), began + 60 * args.minutes, device, args.dry_run, facts, command)
    about = {
        **circumstances(),
        "command": command,
        "on_gpu": device == "cuda",
        "dry_run": args.dry_run,
        "card": facts.cards[0] if facts.cards else None,
        "driver": facts.driver,
        "torch": facts.torch,
        "cores": facts.cores,
        "set_up_seconds": round(set_up_s, 1),
    }
    outcomes = run_all([part for part in PARTS if part.name in args.parts], order, about)
    print(f"{time.monotonic() - began:.0f} s in all.")
    return int(any(outcome.status != "done" for outcome in outcomes))


def _set_up() -> Trouble | None:
    names = setup.missing()
    if not names:
        return None
    print(f"Installing {', '.join(names)} into {setup.SITE.name}/")
    sentence = setup.install(names)
    return Trouble(NO_PACKAGES, sentence) if sentence else None


def _facts() -> Facts:
    """Query a separate process, because a process that initializes CUDA keeps GPU memory."""
    printed = subprocess.run([sys.executable, "-m", "gpu.machine"], capture_output=True, text=True, check=True).stdout
    return Facts(**json.loads(printed.splitlines()[-1]))


def _refuse(problem: Trouble) -> int:
    print(problem.sentence, file=sys.stderr)
    return problem.code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bash benchmarks/gpu.sh", description="Prove and measure the GPU path.")
    names = [part.name for part in PARTS]
    parser.add_argument("--minutes", type=_minutes, default=8, help="for everything, set-up included (default 8)")
    parser.add_argument("--parts", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", type=Path, help="folder for the results (default benchmarks/results)")
    parser.add_argument("--commit", help="that is measured, where the folder is no git checkout")
    parser.add_argument("--dry-run", action="store_true", help="every part small, without a GPU too; results aside")
    parser.add_argument("--wheels", nargs="*", metavar="PACKAGE", help="fetch packages for a machine without a network")
    parser.add_argument("--python-version", default="3.12", help="of that machine (default 3.12)")
    parser.add_argument("--table", action="store_true", help="write the table of docs/performance.md")
    return parser.parse_args()


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 1 <= minutes <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes from 1 to 600")
    return minutes


if __name__ == "__main__":
    sys.exit(main())
