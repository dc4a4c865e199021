"""SIGTERM and Ctrl-C as a wish to stop: noted at once, fulfilled between two steps."""

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """
    Takes both signals over until :meth:`restore`, where Python lets us: in the main thread. The second signal has the
    usual effect at once. A handler that the program has set itself stays.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._previous[number] = signal.signal(number, self._note)

    def restore(self) -> None:
        """Can be called more than once."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def stop(self) -> None:
        """
        :raises KeyboardInterrupt: after a Ctrl-C, as without us
        :raises SystemExit: after a SIGTERM, with the status that a shell gives to such a process
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.restore()
        self.received = number
        # Python's own stream may be in use just now.
        os.write(2, b"\nStopping after this step, with a checkpoint; once more stops at once, without one.\n")
