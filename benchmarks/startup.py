"""The cost of an installed sb3_atari_dqn at the start of a Python process that never imports the zoo.

    python benchmarks/startup.py

Each sample is a fresh interpreter: one processes a site directory with our two start-up files, one a directory with an
empty start-up line, and one imports the package. Samples alternate.
"""

import argparse
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from report import circumstances, spread, write

ROOT = Path(__file__).resolve().parent.parent

_START = """
import site, sys, time
begin = time.perf_counter()
site.addsitedir({folder!r})
print((time.perf_counter() - begin) * 1e3)
"""
_IMPORT = """
import sys, time
sys.path.insert(0, {folder!r})
begin = time.perf_counter()
import sb3_atari_dqn
print((time.perf_counter() - begin) * 1e3)
"""


def measure(program: str, folder: Path) -> float:
    """:return: milliseconds of one fresh interpreter"""
    code = program.format(folder=str(folder))
    return float(subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True))


def site_directory(folder: Path, *, ours: bool) -> Path:
    folder.mkdir()
    if ours:
        shutil.copy(ROOT / "sb3_atari_dqn.pth", folder)
        module = Path(shutil.copy(ROOT / "sb3_atari_dqn_autoload.py", folder))
        py_compile.compile(str(module))  # as pip does at installation
    else:
        (folder / "empty.pth").write_text("import sys\n")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()

    samples: dict[str, list[float]] = {"start_with_us_ms": [], "start_without_us_ms": [], "import_package_ms": []}
    with tempfile.TemporaryDirectory() as scratch:
        ours = site_directory(Path(scratch) / "ours", ours=True)
        empty = site_directory(Path(scratch) / "empty", ours=False)
        package = Path(scratch) / "package"
        shutil.copytree(ROOT / "sb3_atari_dqn", package / "sb3_atari_dqn", ignore=shutil.ignore_patterns("__pycache__"))
        py_compile.compile(str(package / "sb3_atari_dqn" / "__init__.py"))
        for _ in range(args.samples):
            samples["start_with_us_ms"].append(measure(_START, ours))
            samples["start_without_us_ms"].append(measure(_START, empty))
            samples["import_package_ms"].append(measure(_IMPORT, package))
    figures = {name: spread(values) for name, values in samples.items()}
    added = figures["start_with_us_ms"]["median"] - figures["start_without_us_ms"]["median"]
    write({**circumstances(), "added_to_a_start_ms": added, **figures}, args.out)


if __name__ == "__main__":
    main()
