"""A browser with one page and no network access."""

import time
from typing import Any

from sb3_atari_dqn.dino.browser import arguments, find_browser
from sb3_atari_dqn.dino.devtools import DevTools
from sb3_atari_dqn.dino.faults import BrowserFault, BrowserGone, PageError, PageHung
from sb3_atari_dqn.dino.process import BrowserProcess

#: Timeout for starting a browser or loading a page, which take far longer than a step on a busy machine.
START_TIMEOUT_S = 60.0


class Page:
    """
    Starts a browser. Every method may raise a :class:`BrowserFault`, after which the page must be closed.

    :param browser: path or name, see :func:`find_browser`
    :param visible: show a window
    :raises NoBrowser: if none is found
    :raises BrowserFault: if it does not start
    """

    def __init__(self, browser: str | None, visible: bool) -> None:
        #: Timeout of a call; callers may lower it after loading a page.
        self.timeout_s = START_TIMEOUT_S
        path = find_browser(browser)
        self.process = BrowserProcess(path, arguments("{folder}/profile", visible))
        self._devtools = DevTools(self.process)
        self._session: str | None = None
        try:
            self._open()
        except BrowserFault as fault:
            output = self.process.output_tail()
            self.close()
            if isinstance(fault, BrowserGone):
                raise BrowserGone(f"{path} exited during start-up: {output or 'it wrote no output'}") from fault
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the browser, regardless of its state."""
        self.process.end()

    def before_load(self, script: str) -> None:
        """:param script: JavaScript to run in every page loaded from now on, before the page's own scripts"""
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    def load(self, url: str) -> None:
        """:param url: an address; the browser's offline page counts as loaded"""
        self._ask("Page.navigate", url=url)

    def js(self, expression: str, wait_for_promise: bool = False) -> Any:
        """
        :param expression: JavaScript, evaluated in the page
        :param wait_for_promise: the value is a promise; wait until it resolves
        :return: the value
        :raises PageError: if the expression throws
        """
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait_for_promise)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details.get("text")))
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """
        :param expression: JavaScript; polled until it is true, while a page loads
        :raises PageHung: on a timeout
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_true(expression):
            if time.monotonic() > deadline:
                raise PageHung(f"{expression!r} timed out after {START_TIMEOUT_S} s")
            time.sleep(0.01)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.js(expression))
        except PageError:  # navigation replaced the execution context: the page is still loading
            return False

    def _open(self) -> None:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Inspector"):
            self._ask(f"{domain}.enable")
        self._cut_off_network()
        light = [{"name": "prefers-color-scheme", "value": "light"}]  # in dark mode the game starts at night
        self._ask("Emulation.setEmulatedMedia", features=light)
        self._ask("Emulation.setFocusEmulationEnabled", enabled=True)  # the game pauses when its window loses focus

    def _cut_off_network(self) -> None:
        self._ask("Network.enable")
        nowhere = dict(offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self._ask("Network.emulateNetworkConditions", **nowhere)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._devtools.call(method, self.timeout_s, self._session, **params)
