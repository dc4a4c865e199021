"""A browser with one page in it that reaches no network."""

import time
from typing import Any

from sb3_atari_dqn.dino.browser import arguments, find_browser
from sb3_atari_dqn.dino.devtools import DevTools
from sb3_atari_dqn.dino.faults import BrowserFault, BrowserGone, PageError, PageHung
from sb3_atari_dqn.dino.process import BrowserProcess

#: Seconds for a browser to start or a page to load: on a busy machine that takes far longer than a step.
START_TIMEOUT_S = 60.0


class Page:
    """
    Starts a browser. What it can be asked may raise any :class:`BrowserFault`; it is then of no further use.

    :param browser: path or name, see :func:`find_browser`
    :param visible: show a window
    :raises NoBrowser: if the machine has none
    :raises BrowserFault: if it does not start
    """

    def __init__(self, browser: str | None, visible: bool) -> None:
        #: Seconds for an answer. Whoever has loaded what it wants may ask for quicker ones.
        self.timeout_s = START_TIMEOUT_S
        path = find_browser(browser)
        self.process = BrowserProcess(path, arguments("{folder}/profile", visible))
        self._devtools = DevTools(self.process)
        self._session: str | None = None
        try:
            self._open()
        except BrowserFault as fault:
            words = self.process.last_words()
            self.close()
            if isinstance(fault, BrowserGone):
                raise BrowserGone(f"{path} ended while it started: {words or 'it wrote nothing'}") from fault
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the browser, in whatever state it is."""
        self.process.end()

    def before_load(self, script: str) -> None:
        """:param script: JavaScript that runs in every page loaded from now on, before the page's own"""
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    def load(self, url: str) -> None:
        """:param url: an address; a page that says that there is no network counts as loaded"""
        self._ask("Page.navigate", url=url)

    def js(self, expression: str, wait_for_promise: bool = False) -> Any:
        """
        :param expression: JavaScript, run in the page
        :param wait_for_promise: its value is a promise; wait for what it promises
        :return: its value
        :raises PageError: if it raises
        """
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait_for_promise)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details.get("text")))
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """
        :param expression: JavaScript; asked again until it is true, while a page loads
        :raises PageHung: if that takes too long
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_true(expression):
            if time.monotonic() > deadline:
                raise PageHung(f"the page does not come to {expression!r} within {START_TIMEOUT_S} s")
            time.sleep(0.01)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.js(expression))
        except PageError:  # its world was exchanged under it: the page is loading
            return False

    def _open(self) -> None:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Inspector"):
            self._ask(f"{domain}.enable")
        self._cut_off_network()
        light = [{"name": "prefers-color-scheme", "value": "light"}]  # in the dark the game begins at night
        self._ask("Emulation.setEmulatedMedia", features=light)
        self._ask("Emulation.setFocusEmulationEnabled", enabled=True)  # the game stops when its window loses the focus

    def _cut_off_network(self) -> None:
        self._ask("Network.enable")
        nowhere = dict(offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self._ask("Network.emulateNetworkConditions", **nowhere)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._devtools.call(method, self.timeout_s, self._session, **params)
