"""Logs, for tests to look at."""

from stable_baselines3.common.logger import KVWriter


class Memory(KVWriter):
    """Keeps every log that was written."""

    def __init__(self):
        self.dumps = []

    def write(self, key_values, key_excluded, step=0):
        self.dumps.append(dict(key_values))

    def close(self):
        pass
