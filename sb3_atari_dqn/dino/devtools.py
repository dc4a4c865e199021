"""A DevTools protocol client over a pipe: no TCP port, standard library only.

Messages are JSON, terminated by a zero byte. Source: Chromium, chrome/browser/devtools/devtools_pipe_handler, and
https://chromedevtools.github.io/devtools-protocol/.
"""

import json
import os
import select
import time
from typing import Any

from sb3_atari_dqn.dino.faults import BrowserGone, PageError, PageHung, RendererGone
from sb3_atari_dqn.dino.process import BrowserProcess

#: Events that report the end of the renderer process. All other events are ignored.
CRASHES = ("Inspector.targetCrashed", "Target.targetCrashed", "Target.detachedFromTarget", "Inspector.detached")

CHUNK_BYTES = 1 << 18


class DevTools:
    """
    Sends calls to a browser, one at a time.

    :param process: the browser; the caller must end it
    """

    def __init__(self, process: BrowserProcess) -> None:
        self._process = process
        self._received = bytearray()
        self._searched = 0
        self._last_id = 0
        self._in_call = False
        self._poll = select.poll()
        self._poll.register(process.read_fd, select.POLLIN)

    def call(self, method: str, timeout_s: float, session: str | None = None, **params: Any) -> dict[str, Any]:
        """
        :param method: DevTools method, such as "Page.navigate"
        :param timeout_s: seconds to wait for the response
        :param session: of the target page; None for the browser itself
        :param params: of the method
        :return: the result
        :raises BrowserFault: one of its subclasses
        """
        if not self._process.ours:
            raise BrowserGone("the browser belongs to another process, or has been closed")
        if self._in_call:
            raise BrowserGone("an earlier call was interrupted, which leaves the game in an unknown state")
        self._in_call = True  # stays True after Ctrl-C
        self._send(method, session, params)
        answer = self._answer(method, time.monotonic() + timeout_s, timeout_s)
        self._in_call = False
        if "error" in answer:
            raise PageError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def _send(self, method: str, session: str | None, params: dict[str, Any]) -> None:
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        unsent = json.dumps(message).encode() + b"\0"
        try:
            while unsent:
                unsent = unsent[os.write(self._process.write_fd, unsent) :]
        except OSError as error:
            raise BrowserGone(f"the browser closed its pipe ({error})") from error

    def _answer(self, method: str, deadline: float, timeout_s: float) -> dict[str, Any]:
        while True:
            message = self._next_message(deadline, f"{method} timed out after {timeout_s} s")
            if message.get("id") == self._last_id:
                return message
            if message.get("method") in CRASHES:
                raise RendererGone(f"the renderer process has ended ({message['method']})")

    def _next_message(self, deadline: float, complaint: str) -> dict[str, Any]:
        while (end := self._received.find(0, self._searched)) < 0:
            self._searched = len(self._received)
            self._receive(deadline, complaint)
        message = json.loads(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return message

    def _receive(self, deadline: float, complaint: str) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not self._poll.poll(left_s * 1000):
            raise PageHung(complaint)
        data = os.read(self._process.read_fd, CHUNK_BYTES)
        if not data:
            raise BrowserGone("the browser exited or closed its pipe")
        self._received += data
