#!/usr/bin/env bash
# Prove and measure the GPU path: one command, every result in a file of its own as soon as it is there.
#
#   bash benchmarks/gpu.sh [--minutes 8] [--parts NAME ...] [--out FOLDER] [--commit HASH]
#   bash benchmarks/gpu.sh --dry-run     every part small, on a machine without a GPU too
#   bash benchmarks/gpu.sh --wheels      fetch what a machine without a network lacks, see benchmarks/README.md
#   bash benchmarks/gpu.sh --table       the table of docs/performance.md from the results
#
# PYTHON names the interpreter that has torch (default: .venv/bin/python where there is one, else python3).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; fi
fi
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}" PYTHONUNBUFFERED=1
export PYTHONPATH="$PWD:$PWD/benchmarks:$PWD/.gpu-site${PYTHONPATH:+:$PYTHONPATH}"
exec "$PYTHON" -m gpu "$@"
