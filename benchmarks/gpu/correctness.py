"""Part 1: the tests marked `gpu`. The result lists each test with its recorded properties, such as a difference."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu.results import Report, arguments
from gpu.setup import ROOT

TESTS = "tests/learners/test_gpu.py"


def main() -> int:
    args = arguments(__doc__).parse_args()
    report = Report("correctness", args)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "tests.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            TESTS,
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={log}",
        ]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if not log.exists():
            print(f"pytest ended with exit code {done.returncode} and no result")
            return 1
        tests = outcomes(ElementTree.parse(log).getroot())
    counts = {status: sum(test["status"] == status for test in tests) for status in ("passed", "failed", "skipped")}
    report.done(**counts, tests=tests)
    return int(counts["failed"] > 0 or not tests)


def outcomes(log: ElementTree.Element) -> list[dict[str, Any]]:
    """:return: name, status, seconds and recorded properties of each test, and the reason if it did not pass"""
    return [_outcome(case) for case in log.iter("testcase")]


def _outcome(case: ElementTree.Element) -> dict[str, Any]:
    recorded = {each.get("name", ""): each.get("value") for each in case.iter("property")}
    test: dict[str, Any] = {"name": case.get("name"), "seconds": round(float(case.get("time", 0)), 2), **recorded}
    for tag, status in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if (told := case.find(tag)) is not None:
            reason = re.sub(r"\s+", " ", told.get("message") or "").replace(f"{ROOT}/", "")
            return {**test, "status": status, "reason": reason[:300]}
    return {**test, "status": "passed"}


if __name__ == "__main__":
    sys.exit(main())
