"""Connections kept for the next batch: lent to one at a time, closed when they failed or nobody wants them."""

from typing import Any

import pytest

from transfer.errors import ConnectionLost
from transfer.keeping import IDLE, Keeper


class Line:
    def __init__(self, store: str, log: list[str]) -> None:
        self.store, self.log = store, log

    def __enter__(self) -> "Line":
        self.log.append(f"open {self.store}")
        return self

    def __exit__(self, *_: object) -> None:
        self.log.append(f"close {self.store}")


class Place:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.now = 0.0
        made: Any = lambda store: Line(store, self.log)  # noqa: E731
        self.keeper = Keeper(made, monotonic=lambda: self.now)


def test_the_next_batch_gets_the_same_connection() -> None:
    place = Place()
    with place.keeper.lend("a") as first:
        pass
    with place.keeper.lend("a") as second, place.keeper.lend("b"):
        assert second is first
    assert place.log == ["open a", "open b"]
    place.keeper.close()
    assert sorted(place.log[2:]) == ["close a", "close b"]


def test_two_users_at_once_have_a_connection_each() -> None:
    place = Place()
    with place.keeper.lend("a") as one, place.keeper.lend("a") as other:
        assert one is not other


def test_what_failed_is_not_lent_again() -> None:
    place = Place()
    with pytest.raises(ConnectionLost), place.keeper.lend("a"):
        raise ConnectionLost("the connection was lost", to="sftp://store")
    with place.keeper.lend("a"):
        pass
    assert place.log == ["open a", "close a", "open a"]


def test_what_nobody_wants_is_closed_after_a_while() -> None:
    place = Place()
    with place.keeper.lend("a"):
        pass
    place.now = IDLE - 1
    place.keeper.close_idle()
    assert place.log == ["open a"]
    place.now = IDLE + 1
    place.keeper.close_idle()
    assert place.log == ["open a", "close a"]


def test_what_comes_back_after_the_end_is_closed() -> None:
    place = Place()
    with place.keeper.lend("a"):
        place.keeper.close()
        assert place.log == ["open a"]
    assert place.log == ["open a", "close a"]
