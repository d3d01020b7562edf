"""Which limit holds, who said so and what comes next; and the arithmetic that keeps it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.bandwidth import BURST, Bucket, Origin, Plan, Recording, Wish, sentence, standing
from transfer.errors import QuietHours, RigRecording
from transfer.timetable import Rate, read_timetable

MB = 1_000_000
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
SEVEN = datetime(2026, 11, 23, 19, tzinfo=UTC)
BY_DAY = Plan(timetable=read_timetable(["mon-fri 08:00-19:00 20 MB/s"], ZoneInfo("Europe/London")))
FLAG = Recording(flag="/rigs/7/recording.flag", since=NOON)
ANNE = Wish(
    rate=5 * MB, by="person:anne", since=NOON, until=NOON + timedelta(hours=2), why="a visitor's talk"
)


# ---- who decides


def test_the_timetable_holds_where_nobody_says_more() -> None:
    found = standing(NOON, BY_DAY, wish=None, recording=None)
    assert (found.rate, found.origin, found.changes_at, found.then) == (
        20 * MB,
        Origin.TIMETABLE,
        SEVEN,
        None,
    )


def test_without_any_limit_nothing_ever_changes() -> None:
    found = standing(NOON, Plan(), wish=None, recording=None)
    assert (found.rate, found.origin, found.changes_at) == (None, Origin.NOBODY, None)


def test_a_persons_limit_holds_until_its_end_and_then_the_timetable_again() -> None:
    found = standing(NOON, BY_DAY, wish=ANNE, recording=None)
    assert (found.rate, found.changes_at, found.then) == (5 * MB, ANNE.until, 20 * MB)
    assert found.because == "set by anne: a visitor's talk"

    assert ANNE.until is not None
    over = standing(ANNE.until, BY_DAY, wish=ANNE, recording=None)
    assert (over.rate, over.origin) == (20 * MB, Origin.TIMETABLE)


def test_a_persons_limit_may_be_above_the_timetables() -> None:
    assert standing(NOON, BY_DAY, wish=replace(ANNE, rate=None), recording=None).rate is None


def test_a_limit_that_ends_where_the_timetable_says_the_same_changes_later() -> None:
    found = standing(NOON, BY_DAY, wish=replace(ANNE, rate=20 * MB), recording=None)
    assert (found.changes_at, found.then) == (SEVEN, None)


def test_a_limit_without_an_end_has_no_next_change() -> None:
    assert standing(NOON, BY_DAY, wish=replace(ANNE, until=None), recording=None).changes_at is None


@pytest.mark.parametrize("wish", [None, ANNE, replace(ANNE, rate=None)])
def test_nothing_moves_while_the_rig_records_whatever_else_holds(wish: Wish | None) -> None:
    found = standing(NOON, BY_DAY, wish=wish, recording=FLAG)
    assert found.silent
    assert isinstance(found.error, RigRecording)
    assert FLAG.flag in found.error.sentence


def test_a_trickle_while_recording_never_raises_a_lower_limit() -> None:
    plan = replace(BY_DAY, while_recording=10 * MB)
    assert standing(NOON, plan, wish=None, recording=FLAG).rate == 10 * MB
    lower = standing(NOON, plan, wish=ANNE, recording=FLAG)
    assert (lower.rate, lower.origin, lower.recording) == (5 * MB, Origin.PERSON, FLAG)


def test_hours_without_any_bytes_are_no_recording() -> None:
    closed = Plan(timetable=read_timetable(["mon-fri 08:00-19:00 0"], ZoneInfo("Europe/London")))
    found = standing(NOON, closed, wish=None, recording=None)
    assert found.silent
    assert isinstance(found.error, QuietHours)


RATES: st.SearchStrategy[Rate] = st.one_of(st.none(), st.just(0), st.integers(100_000, 10**10))


@given(RATES, RATES, RATES, st.booleans(), st.booleans())
def test_what_holds_while_recording_is_never_above_the_setting_nor_above_what_held(
    table: Rate, wished: Rate, recording: Rate, person: bool, records: bool
) -> None:
    plan = Plan(timetable=replace(BY_DAY.timetable, otherwise=table), while_recording=recording)
    wish = replace(ANNE, rate=wished) if person else None
    before = standing(NOON, plan, wish=wish, recording=None)
    found = standing(NOON, plan, wish=wish, recording=FLAG if records else None)
    if records:
        limits = [rate for rate in (before.rate, recording) if rate is not None]
        assert found.rate == (min(limits) if limits else None)
    else:
        assert found == before


# ---- in words


def test_the_sentence_says_what_holds_why_and_what_comes_next() -> None:
    told = sentence(standing(NOON, BY_DAY, wish=ANNE, recording=None))
    assert told == "5 MB/s (set by anne: a visitor's talk); 20 MB/s from 2026-11-23 14:00Z"


def test_a_stale_flag_is_said_and_still_holds() -> None:
    found = standing(NOON, BY_DAY, wish=None, recording=replace(FLAG, stale=True))
    assert found.silent
    assert sentence(found) == (
        "nothing (the rig is recording: /rigs/7/recording.flag) until the flag is gone. "
        "The flag stands since 2026-11-23 12:00Z: if nothing records, remove it"
    )


# ---- the arithmetic


def test_an_idle_line_may_send_a_burst_and_then_waits() -> None:
    bucket = Bucket(0.0)
    place = bucket.take(int(MB * BURST), now=100.0, rate=MB)
    assert bucket.wait(place, now=100.0, rate=MB) == 0
    place = bucket.take(MB, now=100.0, rate=MB)
    assert bucket.wait(place, now=100.0, rate=MB) == pytest.approx(1.0)
    assert bucket.wait(place, now=101.0, rate=MB) == pytest.approx(0.0)


def test_a_new_limit_counts_at_once_for_those_who_wait() -> None:
    bucket = Bucket(0.0)
    place = bucket.take(11 * MB, now=0.0, rate=MB)
    assert bucket.wait(place, now=0.0, rate=MB) == pytest.approx(10.5)
    assert bucket.wait(place, now=0.0, rate=10 * MB) == pytest.approx(0.6)
    assert bucket.wait(place, now=0.0, rate=None) == 0


def test_a_clock_that_jumps_back_gives_nothing_away() -> None:
    bucket = Bucket(10.0)
    place = bucket.take(2 * MB, now=10.0, rate=MB)
    assert bucket.wait(place, now=5.0, rate=MB) == pytest.approx(1.5)
    assert bucket.wait(place, now=10.0, rate=MB) == pytest.approx(1.5)


@settings(max_examples=200)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 2 * MB), st.floats(0, 3)), min_size=1, max_size=60),
    rates=st.lists(st.integers(100_000, 5 * MB), min_size=1, max_size=4),
)
def test_over_any_window_at_most_the_rate_and_a_burst_moves(
    pieces: list[tuple[int, float]], rates: list[int]
) -> None:
    """Four threads; each sends a piece when it may, after a pause of its own; the rate changes on the way.

    What moves in any window is at most the rate over it, the burst, and one piece for each thread.
    """
    bucket, todo, places = Bucket(0.0), list(reversed(pieces)), [0.0] * 4
    sent: list[tuple[float, int]] = []
    hands = [(0.0, thread) for thread in range(4)]
    while todo:
        now, thread = heappop(hands)
        rate = rates[len(sent) * len(rates) // len(pieces)]
        left = bucket.wait(places[thread], now=now, rate=rate)
        if left > 1e-9:
            heappush(hands, (now + min(left, 0.25), thread))
            continue
        size, pause = todo.pop()
        sent.append((now, size))
        places[thread] = bucket.take(size, now=now, rate=rate)
        heappush(hands, (now + pause, thread))
    fastest, largest = max(rates), max(size for size, _ in pieces)
    for first, (begin, _) in enumerate(sent):
        total = 0
        for end, size in sent[first:]:
            total += size
            assert total <= fastest * (end - begin) + fastest * BURST + 4 * largest + 1


@settings(max_examples=100)
@given(st.lists(st.integers(1, 2 * MB), min_size=20, max_size=60), st.integers(100_000, 5 * MB))
def test_a_busy_line_gets_all_of_its_limit(sizes: list[int], rate: int) -> None:
    """Nobody waits longer than the limit asks: the time is that of the bytes, less the burst."""
    bucket, now = Bucket(0.0), 0.0
    for size in sizes:
        place = bucket.take(size, now=now, rate=rate)
        now += bucket.wait(place, now=now, rate=rate)
    assert now == pytest.approx(max(0.0, sum(sizes) / rate - BURST), abs=1e-6)
