"""Write the results as tables between two marks of docs/performance.md: `bash benchmarks/gpu.sh --table`.

Ignores dry runs and runs on a CPU. Missing results appear as "not measured".
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu.parts import PARTS
from gpu.setup import ROOT

PAGE, RESULTS = ROOT / "docs/performance.md", ROOT / "benchmarks/results"
BEGIN, END = "<!-- gpu results: written by bash benchmarks/gpu.sh --table -->", "<!-- gpu results: end -->"
NOT_MEASURED = "not measured"
SPEED = "env_steps_per_second"
Result = dict[str, Any]


def results(folder: Path) -> dict[str, Result]:
    """:return: results measured on a GPU, by part"""
    found = {}
    for part in PARTS:
        path = folder / f"gpu_{part.name}.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if result.get("on_gpu") and not result.get("dry_run"):
            found[part.name] = result
    return found


def tables(found: dict[str, Result]) -> str:
    """:return: Markdown"""
    of_parts = (
        ("throughput", "contestants", _throughput),
        ("sweep", "rows", _sweep),
        ("family", "rows", _family),
        ("update", "rows", _updates),
        ("profile", "operations", _operations),
    )
    # The file of a part that was cut off early may lack results.
    return "\n\n".join(
        [_goals(found), *(table(found[part]) for part, key, table in of_parts if key in found.get(part, {}))]
    )


def _goals(found: dict[str, Result]) -> str:
    tests = found.get("correctness")
    counts = [f"{tests[status]} {status}" for status in ("passed", "failed", "skipped") if tests and status in tests]
    verdict = ", ".join(counts) or None
    ratio = max(
        (each["ratio_to_sb3"]["median"] for each in found.get("throughput", {}).get("contestants", {}).values()),
        default=None,
    )
    rows = [
        ("tests marked `gpu`", "all pass", verdict, tests),
        ("times SB3's `dqn`, 8 samples per step", "15", _number(ratio, ".1f"), found.get("throughput")),
        ("environment steps/s at 8 samples per step", "6,000", _best(found, 8), found.get("sweep")),
        ("environment steps/s at 1 sample per step", "12,000", _best(found, 1), found.get("sweep")),
        ("Pong to 18, `dqn_dueling`", "3 minutes", _pong(found.get("pong18")), found.get("pong18")),
        ("the same with `-conf short`", "", _pong(found.get("pong18_short")), found.get("pong18_short")),
        ("with another seed", "", _pong(found.get("pong18_short_seed2")), found.get("pong18_short_seed2")),
        ("Pong to 18, `dqn_pqn`", "", _pong(found.get("second")), found.get("second")),
    ]
    lines = [[what, goal, value or NOT_MEASURED, _where(result)] for what, goal, value, result in rows]
    return _table(["", "goal", "measured", "on"], lines)


def _where(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{result['card']}, {result['cores']} cores, torch {result['versions']['torch']}, commit {result['commit']}"


def _best(found: dict[str, Result], samples: float) -> str | None:
    rows = [row for row in found.get("sweep", {}).get("rows", ()) if row["samples_per_step"] == samples]
    if not rows:
        return None
    best = max(rows, key=lambda row: row[SPEED])
    return f"{best[SPEED]:,.0f} ({best['n_envs']} environments, batch {best['batch_size']:,})"


def _pong(result: Result | None) -> str | None:
    if result is None or "reached_18" not in result:
        return None
    reached = [_reached(result["reached_18"][f"last_{games}"], games) for games in (10, 100)]
    said = [each for each in reached if each]
    if reached[1] is None:
        best = result["best_mean_of_last_100"]
        said.append(f"mean of 100 games {best} at best in {result['trained_seconds']:.0f} s")
    return "; ".join(said)


def _reached(mark: dict[str, Any] | None, games: int) -> str | None:
    if mark is None:
        return None
    return f"{mark['seconds'] / 60:.1f} minutes, {mark['env_steps']:,} steps (mean of {games} games)"


def _throughput(result: Result) -> str:
    lines = []
    for name, each in result["contestants"].items():
        speed, ratio = each[SPEED], each["ratio_to_sb3"]
        idle = result.get("shares", {}).get(name, {}).get("gpu", {}).get("idle")
        spread = f"{speed['median']:,.0f} ({speed['min']:,.0f} to {speed['max']:,.0f})"
        lines.append([name, spread, f"{ratio['median']:.1f}", _number(idle, ".0%") or NOT_MEASURED])
    return _table(["Pong, 8 samples per step", "env steps/s", "times SB3", "GPU idle"], lines)


def _sweep(result: Result) -> str:
    head = [
        "environments",
        "batch",
        "samples/step",
        "env steps/s",
        "environment",
        "acting",
        "sampling",
        "update",
        "GPU idle",
    ]
    lines = []
    for row in result["rows"]:
        thread, gpu = row["shares"]["main_thread"], row["shares"].get("gpu", {})
        parts = [f"{thread.get(name, 0):.0%}" for name in ("environment", "acting", "sampling", "update")]
        sizes = [str(row["n_envs"]), f"{row['batch_size']:,}", f"{row['samples_per_step']:g}", f"{row[SPEED]:,.0f}"]
        lines.append([*sizes, *parts, _number(gpu.get("idle"), ".0%") or NOT_MEASURED])
    return _table(head, lines)


def _family(result: Result) -> str:
    first = result["rows"][0]
    head = (
        f"{first['n_envs']} environments, batch {first['batch_size']}, {first['samples_per_step']:g} samples per step"
    )
    lines = []
    for row in result["rows"]:
        thread, gpu = row["shares"]["main_thread"], row["shares"].get("gpu", {})
        shares = [_number(thread.get("update", 0), ".0%"), _number(gpu.get("idle"), ".0%") or NOT_MEASURED]
        lines.append([f"`{row['algorithm']}`", f"{row[SPEED]:,.0f}", *(each or "" for each in shares)])
    return _table([head, "env steps/s", "update", "GPU idle"], lines)


def _updates(result: Result) -> str:
    lines = [
        [
            f"{row['batch_size']:,}",
            row["update"],
            f"{row['median_ms']:.2f}" if "median_ms" in row else row["does_not_run"],
        ]
        for row in result["rows"]
    ]
    return _table(["batch", "update of dqn_dueling", "ms, median"], lines)


def _operations(result: Result) -> str:
    steps = result["vector_steps"]
    lines = [
        [f"`{row['name']}`", str(row["calls"]), f"{row['gpu_us'] / steps:.0f}", f"{row['cpu_us'] / steps:.0f}"]
        for row in result["operations"][:12]
    ]
    head = f"{result['n_envs']} environments, batch {result['batch_size']}"
    return _table([head, "calls", "GPU us per vector step", "CPU us per vector step"], lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def filled(page: str, tables_: str) -> str:
    """
    :param page: text with both marks
    :return: text with these tables between the marks
    :raises ValueError: without the marks
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN} and {END}, between which the tables belong.")
    return f"{before}{begin}\n\n{tables_}\n\n{end}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with gpu_*.json")
    parser.add_argument("--page", type=Path, default=PAGE, help="page with the marks")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is not up to date")
    args = parser.parse_args(arguments)
    page = args.page.read_text()
    wanted = filled(page, tables(results(args.results)))
    if not args.check:
        args.page.write_text(wanted)
    return int(args.check and page != wanted)


if __name__ == "__main__":
    sys.exit(main())
