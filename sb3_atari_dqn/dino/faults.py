"""Browser failures. The environment recovers from them: it truncates the episode and starts a new browser."""


class BrowserFault(RuntimeError):
    """Base class of all failures of a running or starting browser."""


class BrowserGone(BrowserFault):
    """The browser process has exited, or its pipe is closed."""


class RendererGone(BrowserFault):
    """The renderer process of the page has ended; the browser itself is alive."""


class PageHung(BrowserFault):
    """No response within the timeout."""


class PageError(BrowserFault):
    """The browser returned an error, or JavaScript raised one."""


class NoBrowser(RuntimeError):
    """No browser is installed, or none that supports the options: retrying cannot help."""
