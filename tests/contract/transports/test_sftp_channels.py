"""How many conversations there are: opened at once, as many as the server allows, which is learned once."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_server import TinyServer, TinyStream

from transfer.errors import (
    ConnectionLost,
    EndpointUnreachable,
    HostKeyChanged,
    LoginRefused,
    StoreRefused,
    TransferError,
)
from transfer.transports.sftp import channels
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.options import SftpOptions

OPTIONS = SftpOptions(host="tiny", user="nobody", root=PurePosixPath("/root"), agent=True, timeout=5.0)
REFUSED = EndpointUnreachable("the server cannot be reached (it closed the connection)", to="sftp://tiny")


@dataclass
class Line(TinyStream):
    """A stream that may die, and is counted."""

    carrier: "Counting"
    dead: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.carrier.server)

    def recv(self, nbytes: int, /) -> bytes:
        return b"" if self.dead else super().recv(nbytes)

    def close(self) -> None:
        with self.carrier.guard:
            self.carrier.lines.remove(self)


@dataclass
class Counting:
    """A carrier that opens a stream when `may(open, opening)` does not raise."""

    may: Callable[[int, int], None] = lambda open, opening: None
    server: TinyServer = field(default_factory=TinyServer)
    asked: int = 0
    opening: int = 0
    lines: list[Line] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)
    meet: Callable[[], object] = lambda: None

    def stream(self) -> Line:
        with self.guard:
            self.asked += 1
            self.opening += 1
        try:
            self.meet()
            with self.guard:
                self.may(len(self.lines), self.opening)
                self.lines.append(Line(self))
                return self.lines[-1]
        finally:
            with self.guard:
                self.opening -= 1

    def begin(self, command: str) -> Line:
        return self.stream()

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        with self.guard:
            self.asked += 1
            self.may(len(self.lines), 1)
        return Outcome(out=b"done", err=b"", status=0)

    def close(self) -> None: ...


def at_most(most: int) -> Callable[[int, int], None]:
    def may(open: int, opening: int) -> None:
        if open >= most:
            raise REFUSED

    return may


def test_further_ones_are_opened_at_the_same_time() -> None:
    carrier = Counting()
    with Channels(carrier, OPTIONS) as lines:
        with lines.one():
            pass
        meeting = threading.Barrier(3)
        # Each waits until all three are on their way; one after the other would wait for ever.
        carrier.meet = lambda: meeting.wait(timeout=20)
        with lines.several(4) as hands:
            assert len(hands) == 4
    assert carrier.asked == 4


@pytest.mark.parametrize("error", [REFUSED, LoginRefused("login refused", to="sftp://tiny")])
def test_a_server_that_refuses_us_is_asked_once(error: TransferError) -> None:
    def never(open: int, opening: int) -> None:
        raise error

    carrier = Counting(never)
    with Channels(carrier, OPTIONS) as lines, pytest.raises(type(error)), lines.several(4):
        pass
    assert carrier.asked == 1


@given(st.integers(1, 6), st.lists(st.integers(1, 8), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_there_are_never_more_than_wished_or_allowed_and_the_limit_is_learned_once(
    most: int, wishes: list[int]
) -> None:
    carrier = Counting(at_most(most))
    refused = 0
    with Channels(carrier, OPTIONS) as lines:
        for wish in wishes:
            before, known = carrier.asked, lines.cap
            with lines.several(wish) as hands:
                assert len(hands) == min(wish, most)
            if known is not None:
                assert carrier.asked == before
            refused += lines.cap is not None and known is None
        assert lines.cap in (None, most)
        assert refused == (max(wishes) > most)


def test_a_server_that_minds_only_many_at_once_is_asked_one_at_a_time() -> None:
    def one_by_one(open: int, opening: int) -> None:
        if opening > 1:
            raise REFUSED

    carrier = Counting(one_by_one)
    meeting = threading.Barrier(3)

    def meet() -> None:
        if carrier.asked > 1 and not meeting.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(timeout=20)
                meeting.abort()

    carrier.meet = meet
    with Channels(carrier, OPTIONS) as lines, lines.several(4) as hands:
        assert len(hands) == 4
        assert lines.cap is None


def test_another_server_in_the_place_of_ours_is_no_limit() -> None:
    def changed(open: int, opening: int) -> None:
        if open:
            raise HostKeyChanged("the server shows another key", to="sftp://tiny")

    with Channels(Counting(changed), OPTIONS) as lines:
        with pytest.raises(HostKeyChanged), lines.several(3):
            pass
        assert lines.cap is None
        with lines.one():
            pass


def test_all_that_are_allowed_may_be_lent() -> None:
    with Channels(Counting(at_most(2)), OPTIONS) as lines, lines.several(4) as hands:
        assert len(hands) == 2
        with pytest.raises(StoreRefused), lines.several(1):
            pass


def test_one_left_in_the_middle_of_something_is_closed_and_its_place_is_free() -> None:
    carrier = Counting(at_most(2))
    with Channels(carrier, OPTIONS) as lines:
        with lines.several(4) as hands:
            hands[0].interrupt()
        assert len(carrier.lines) == 1
        with lines.several(4) as hands:
            assert len(hands) == 2


def test_an_idle_one_that_died_is_replaced_and_a_living_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TRUSTED_FOR", 0.0)
    carrier = Counting()
    with Channels(carrier, OPTIONS) as lines:
        with lines.several(3):
            pass
        carrier.lines[0].dead = carrier.lines[2].dead = True
        living = carrier.lines[1]
        with lines.several(3) as hands:
            assert len(hands) == 3
        assert carrier.asked == 5
        assert living in carrier.lines
        lines.require()


def test_a_command_gets_the_place_of_an_idle_one_for_good() -> None:
    carrier = Counting(at_most(2))
    with Channels(carrier, OPTIONS) as lines:
        with lines.several(4), pytest.raises(StoreRefused):
            lines.carrier.run("md5sum", b"", timeout=1)
        assert lines.carrier.run("md5sum", b"", timeout=1).out == b"done"
        asked = carrier.asked
        with lines.several(4) as hands:
            assert len(hands) == 1
            assert lines.carrier.run("md5sum", b"", timeout=1).out == b"done"
        assert carrier.asked == asked + 1


def test_once_it_is_lost_every_wish_says_so() -> None:
    with Channels(Counting(), OPTIONS) as lines:
        with pytest.raises(ConnectionLost), lines.one():
            raise ConnectionLost("the connection was lost", to="sftp://tiny")
        with pytest.raises(ConnectionLost), lines.one():
            pass
