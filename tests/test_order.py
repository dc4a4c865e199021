"""The long files come first: each of them is there, and no other is put before it."""

import pytest

from tests.support import order


@pytest.mark.parametrize("name", order.LONG)
def test_a_long_file_is_there_and_comes_before_the_others(name):
    assert (order.TESTS / name).is_file()
    assert order.rank(order.TESTS / name) < order.rank(order.TESTS / "test_order.py")
