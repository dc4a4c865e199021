"""The parts of `bash benchmarks/gpu.sh`: separate scripts, which :mod:`gpu.runner` runs within a time budget."""
