#!/usr/bin/env bash
# Test and measure the GPU path. Each part writes its result file as soon as it has results.
#
#   bash benchmarks/gpu.sh [--minutes 8] [--parts NAME ...] [--out FOLDER] [--commit HASH]
#   bash benchmarks/gpu.sh --dry-run     run every part at a small size, also without a GPU
#   bash benchmarks/gpu.sh --wheels      download packages for a machine without network, see benchmarks/README.md
#   bash benchmarks/gpu.sh --table       write the tables of docs/performance.md from the results
#
# PYTHON: interpreter with torch (default: .venv/bin/python if it exists, else python3).
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; fi
fi
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}" PYTHONUNBUFFERED=1
export PYTHONPATH="$PWD:$PWD/benchmarks:$PWD/.gpu-site${PYTHONPATH:+:$PYTHONPATH}"
exec "$PYTHON" -m gpu "$@"
