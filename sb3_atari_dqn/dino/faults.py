"""What can go wrong with a browser. All of it is survived: the episode ends, the next one gets a fresh browser."""


class BrowserFault(RuntimeError):
    """Base of all faults of a browser that was running or starting."""


class BrowserGone(BrowserFault):
    """The browser's process has ended, or the pipe to it is closed."""


class RendererGone(BrowserFault):
    """The process that shows the page has ended; the browser itself is alive."""


class PageHung(BrowserFault):
    """No answer within the time limit."""


class PageError(BrowserFault):
    """The browser answered with an error, or the page raised one."""


class NoBrowser(RuntimeError):
    """There is none on this machine, or none that can do what was asked: trying again is of no use."""
