"""Many requests on a few hands: every result once, and nothing runs on when nobody waits."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.transports.crew import Crew


@given(hands=st.integers(1, 5), requests=st.lists(st.integers(), max_size=60))
def test_every_request_gets_its_result_once(hands: int, requests: list[int]) -> None:
    crew = Crew(range(hands))
    results = list(crew.spread(requests, lambda _hand, request: request * 2))
    assert sorted(results) == sorted(request * 2 for request in requests)


@given(hands=st.integers(1, 4), stop_after=st.integers(0, 20))
def test_requests_are_never_pulled_far_ahead_and_only_here(hands: int, stop_after: int) -> None:
    before = set(threading.enumerate())
    pulled = 0

    def requests() -> Iterator[int]:
        nonlocal pulled
        for number in range(1000):
            assert threading.current_thread() is threading.main_thread()
            pulled += 1
            yield number

    crew = Crew(range(hands))
    results = crew.spread(requests(), lambda _hand, request: request)
    for _ in range(stop_after):
        next(results)
    assert pulled <= stop_after + 2 * hands
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "transport-hand"]


def test_work_that_is_blocked_is_woken_when_nobody_waits_any_more() -> None:
    blocked = [threading.Event() for _ in range(3)]
    begun = threading.Barrier(3)

    def work(hand: threading.Event, request: int) -> int:
        if request:
            begun.wait()
            hand.wait()
            crew.check()
        else:
            begun.wait()
        return request

    crew = Crew(blocked, wake=threading.Event.set)
    results = crew.spread(range(3), work)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert all(event.is_set() for event in blocked)


@pytest.mark.parametrize("hands", [1, 3])
def test_what_the_work_raises_is_raised_here(hands: int) -> None:
    def work(_hand: int, request: int) -> int:
        if request == 5:
            raise KeyboardInterrupt
        return request

    with pytest.raises(KeyboardInterrupt):
        list(Crew(range(hands)).spread(range(100), work))


def test_ctrl_c_while_a_hand_is_being_engaged_ends_every_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that was just started is not known yet; the others must not wait for its end signal."""
    crew = Crew(range(3))
    engage = crew._engage
    engaged: list[threading.Thread] = []

    def interrupted(*parts: object) -> threading.Thread:
        engaged.append(engage(*parts))  # type: ignore[arg-type]
        if len(engaged) == 2:
            raise KeyboardInterrupt
        return engaged[-1]

    monkeypatch.setattr(crew, "_engage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(crew.spread(range(9), lambda _hand, request: request))
    for thread in engaged:
        thread.join(10)
        assert not thread.is_alive()
