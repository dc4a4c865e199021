"""What a test needs, said with a marker and checked where it is used: a marker that was forgotten is an error.

Otherwise `make test-fast` would grow slow again, or start browsers and servers, and nobody would notice.
"""

import pytest

#: What `make test-fast` leaves out.
NOT_FAST = ("slow", "browser", "postgres", "gpu")

_current: frozenset[str] | None = None  # outside of pytest there are no markers


def enter(item: pytest.Item) -> None:
    """From now on the fixtures and the body of this test run."""
    global _current
    _current = frozenset(mark.name for mark in item.iter_markers())


def require(what: str, *markers: str) -> None:
    """
    :param what: that is about to be started
    :param markers: one of which the current test, or the first one that takes the current fixture, must have
    """
    if _current is not None and _current.isdisjoint(markers):
        pytest.fail(f"{what}: mark the test {' or '.join(markers)}")
