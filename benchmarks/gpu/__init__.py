"""The parts of `bash benchmarks/gpu.sh`: each a script of its own, run by :mod:`gpu.runner` within a budget of time."""
