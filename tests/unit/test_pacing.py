"""The breaker, the pace and the waits of an incident are decisions: tables and properties, no clock, no ledger."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer import pacing
from transfer.errors import (
    CATALOGUE,
    ConnectionLost,
    EndpointUnreachable,
    PathTooLong,
    Reach,
    SourceVanished,
    StoreDenied,
    StoreFull,
    TransferError,
)
from transfer.pacing import Breaker, Gate, Pace, gate, may_probe
from transfer.retries import Patience, wait_of_incident

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
AWAY = EndpointUnreachable("no answer", to="sftp://store")
times = st.one_of(st.none(), st.integers(-7200, 7200).map(lambda seconds: NOON + timedelta(seconds=seconds)))


# ---- the breaker


@pytest.mark.parametrize(
    ("breaker", "minutes", "paused", "expected"),
    [
        (Breaker.CLOSED, None, False, Gate.FREE),
        (Breaker.CLOSED, 1, False, Gate.SHUT),  # somebody asked us to wait
        (Breaker.OPEN, 1, False, Gate.SHUT),
        (Breaker.OPEN, 0, False, Gate.ONE),
        (Breaker.OPEN, -60, False, Gate.ONE),
        (Breaker.PROBING, 5, False, Gate.SHUT),
        (Breaker.PROBING, -1, False, Gate.ONE),  # whoever looked has died
        (Breaker.HALF_OPEN, None, False, Gate.ONE),
        (Breaker.CLOSED, None, True, Gate.SHUT),
        (Breaker.HALF_OPEN, None, True, Gate.SHUT),
    ],
)
def test_how_much_may_be_begun_at_an_endpoint(
    breaker: Breaker, minutes: int | None, paused: bool, expected: Gate
) -> None:
    retry_at = None if minutes is None else NOON + timedelta(minutes=minutes)
    assert gate(breaker, retry_at=retry_at, paused=paused, now=NOON) is expected


@given(st.sampled_from(Breaker), times, st.booleans())
def test_nothing_stays_shut_for_ever_by_itself(
    breaker: Breaker, retry_at: datetime | None, paused: bool
) -> None:
    """Unless a person paused it, some time after its time everything may be tried by one."""
    later = NOON + timedelta(hours=3)
    found = gate(breaker, retry_at=retry_at, paused=paused, now=later)
    assert (found is Gate.SHUT) == paused


@given(st.sampled_from(Breaker), times, st.booleans())
def test_a_look_is_due_only_where_one_may_be_begun_and_nobody_has_looked(
    breaker: Breaker, retry_at: datetime | None, paused: bool
) -> None:
    due = may_probe(breaker, retry_at=retry_at, paused=paused, now=NOON)
    if due:
        assert gate(breaker, retry_at=retry_at, paused=paused, now=NOON) is Gate.ONE
        assert breaker in (Breaker.OPEN, Breaker.PROBING)


# ---- the pace


def test_one_more_when_all_places_were_taken() -> None:
    pace = pacing.after_success(Pace(at_once=4), moving=4, rate=1e6, now=NOON)
    assert (pace.at_once, pace.rate) == (5, 1e6)
    assert pace.decisions[-1].why == "all 4 places were taken, and it went well"


def test_nothing_is_learnt_while_places_are_free() -> None:
    assert pacing.after_success(Pace(at_once=4), moving=3, rate=1e6, now=NOON) == Pace(at_once=4)


def test_no_more_when_the_last_step_brought_no_speed() -> None:
    pace = Pace(at_once=5, rate=1e6)
    assert pacing.after_success(pace, moving=5, rate=1.02e6, now=NOON) == pace
    faster = pacing.after_success(pace, moving=5, rate=1.3e6, now=NOON)
    assert faster.at_once == 6
    assert faster.decisions[-1].why == "1.3e+06 bytes per second with 5 at once, 1e+06 with fewer"


def test_half_as_many_when_it_cannot_be_reached() -> None:
    pace = pacing.after_failure(Pace(at_once=9), AWAY, now=NOON)
    assert (pace.at_once, pace.rate) == (4, None)
    assert pace.decisions[-1].why == "[E-2002] no answer"


def test_a_full_store_is_no_matter_of_pace() -> None:
    assert pacing.after_failure(Pace(at_once=9), StoreFull("full", to="store"), now=NOON) == Pace(at_once=9)


@given(st.lists(st.one_of(st.floats(1, 1e12), st.none(), st.just("failed")), max_size=80))
def test_a_pace_stays_within_its_bounds_and_tells_why(story: list[float | str | None]) -> None:
    """Always from 1 to 16, each change with its reason, the newest twenty kept; and JSON keeps it all."""
    pace = Pace()
    for step in story:
        was = pace
        if step == "failed":
            pace = pacing.after_failure(pace, AWAY, now=NOON)
        else:
            assert not isinstance(step, str)
            pace = pacing.after_success(pace, moving=pace.at_once, rate=step, now=NOON)
        assert pacing.LEAST <= pace.at_once <= pacing.MOST
        assert len(pace.decisions) <= 20
        if pace.at_once != was.at_once:
            newest = pace.decisions[-1]
            assert (newest.was, newest.became) == (was.at_once, pace.at_once)
            assert newest.why
    assert pacing.pace_of(pacing.as_json(pace)) == pace


# ---- incidents


def test_a_thousand_files_denied_are_one_incident_and_one_is_none() -> None:
    denied = StoreDenied("permission denied", to="a.npy")
    assert pacing.is_systematic(denied, files=1000, known=False)
    assert not pacing.is_systematic(denied, files=pacing.ENOUGH - 1, known=False)
    assert pacing.is_systematic(denied, files=1, known=True)


@pytest.mark.parametrize("kind", [PathTooLong, SourceVanished])
def test_what_is_the_files_own_affair_is_no_incident_however_many_there_are(
    kind: type[TransferError],
) -> None:
    assert not pacing.is_systematic(kind("it failed", to="a.npy"), files=1000, known=True)


def test_what_reaches_the_endpoint_is_not_counted_file_by_file() -> None:
    """Those have their own way: the endpoint is kept back at the first."""
    wholes = [kind for kind in CATALOGUE.values() if kind.reach is Reach.ENDPOINT]
    assert wholes
    for kind in wholes:
        error = kind.__new__(kind)
        assert not pacing.is_systematic(error, files=1000, known=True)


@given(st.integers(0, 10**7), st.floats(0, 1))
def test_an_incident_waits_as_long_again_as_it_has_lasted_within_bounds(seconds: int, chance: float) -> None:
    patience = Patience()
    wait = wait_of_incident(timedelta(seconds=seconds), patience, chance=chance)
    assert patience.first_wait <= wait <= patience.longest_wait * (1 + patience.jitter)
    if patience.first_wait.total_seconds() <= seconds <= patience.longest_wait.total_seconds():
        assert wait >= timedelta(seconds=seconds)


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_the_smallest_file_goes_first(sizes: list[int]) -> None:
    assert sizes[pacing.goes_first(sizes)] == min(sizes)


def test_a_lost_line_halves_the_pace_too() -> None:
    assert pacing.after_failure(Pace(at_once=8), ConnectionLost("reset", to="store"), now=NOON).at_once == 4
