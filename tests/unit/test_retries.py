"""When to try again, and when to ask a person."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import CATALOGUE, ConfigProblems, Cure, Reach, RequestMalformed, TransferError
from transfer.retries import Hold, Patience, TryAgain, decide, wait_before

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PATIENCE = Patience(jitter=0)
LONG = Patience().longest_wait * (1 + Patience().jitter)

_LISTS = (ConfigProblems, RequestMalformed)  # made of a list of problems
kinds = st.sampled_from([kind for kind in CATALOGUE.values() if kind not in _LISTS])
spans = st.timedeltas(timedelta(0), timedelta(days=3))
asked = st.none() | spans
shares = st.floats(0, 1)


def failure(cure: Cure, reach: Reach = Reach.FILE, after: timedelta | None = None) -> TransferError:
    """An error of that cure and reach; no class of its own, or it would join the kinds of errors."""
    error = TransferError("it failed", to="a.npy", do="Wait.", after=after)
    error.__dict__.update(cure=cure, reach=reach)
    return error


@pytest.mark.parametrize(
    ("cure", "reach", "tries", "decision"),
    [
        (Cure.TIME, Reach.FILE, 1, TryAgain(NOON + timedelta(seconds=30))),
        (Cure.TIME, Reach.FILE, 2, TryAgain(NOON + timedelta(seconds=60))),
        (Cure.TIME, Reach.FILE, 3, TryAgain(NOON + timedelta(seconds=120))),
        (Cure.TIME, Reach.FILE, 7, TryAgain(NOON + timedelta(seconds=1920))),
        (Cure.TIME, Reach.FILE, 8, Hold("gave up after 8 tries. ")),
        (Cure.TIME, Reach.FILE, 99, Hold("gave up after 99 tries. ")),
        (Cure.TIME, Reach.BATCH, 7, TryAgain(NOON + timedelta(seconds=1920))),
        (Cure.TIME, Reach.BATCH, 8, Hold("gave up after 8 tries. ")),
        (Cure.FRESH_CONNECTION, Reach.BATCH, 1, TryAgain(NOON + timedelta(seconds=30))),
        (Cure.FRESH_CONNECTION, Reach.BATCH, 8, Hold("gave up after 8 tries. ")),
        (Cure.TIME, Reach.ENDPOINT, 8, TryAgain(NOON + timedelta(seconds=3840))),
        (Cure.TIME, Reach.ENDPOINT, 9, TryAgain(NOON + timedelta(hours=2))),
        (Cure.TIME, Reach.ENDPOINT, 10_000, TryAgain(NOON + timedelta(hours=2))),
        (Cure.FRESH_CONNECTION, Reach.ENDPOINT, 50, TryAgain(NOON + timedelta(hours=2))),
        (Cure.PERSON, Reach.FILE, 1, Hold()),
        (Cure.PERSON, Reach.ENDPOINT, 1, Hold()),
        (Cure.NOTHING, Reach.FILE, 1, Hold()),
        (Cure.NOTHING, Reach.ENDPOINT, 99, Hold()),
    ],
)
def test_the_table(cure: Cure, reach: Reach, tries: int, decision: TryAgain | Hold) -> None:
    made = decide(failure(cure, reach), tries=tries, patience=PATIENCE, now=NOON, chance=0)
    assert made == decision


def test_waits_as_long_as_the_other_side_asks() -> None:
    """A Retry-After longer than our own back-off is honoured."""
    soon = failure(Cure.TIME, Reach.ENDPOINT, after=timedelta(minutes=5))
    decision = decide(soon, tries=1, patience=Patience(), now=NOON, chance=0)
    assert decision == TryAgain(at=NOON + timedelta(minutes=5))


def test_a_shorter_wish_does_not_hurry_us() -> None:
    soon = failure(Cure.TIME, after=timedelta(seconds=1))
    assert decide(soon, tries=3, patience=PATIENCE, now=NOON, chance=0) == TryAgain(
        NOON + timedelta(minutes=2)
    )


@given(kind=kinds, tries=st.integers(1, 10**9), after=asked, chance=shares)
def test_never_before_now_nor_before_what_was_asked(
    kind: type[TransferError], tries: int, after: timedelta | None, chance: float
) -> None:
    decision = decide(kind("x", after=after), tries=tries, patience=Patience(), now=NOON, chance=chance)
    if isinstance(decision, TryAgain):
        assert decision.at >= NOON + Patience().first_wait
        assert decision.at >= NOON + (after or timedelta(0))


@given(attempt=st.integers(0, 10**9), after=asked, chance=shares)
def test_a_wait_is_bounded(attempt: int, after: timedelta | None, chance: float) -> None:
    """By the longest wait and its jitter, or by what was asked, whichever is longer."""
    wait = wait_before(attempt, Patience(), chance=chance, asked=after)
    assert Patience().first_wait <= wait <= max(LONG, after or timedelta(0))


@given(attempt=st.integers(2, 100), more=st.integers(0, 100), after=asked, chance=shares, less=shares)
def test_a_later_attempt_never_comes_sooner(
    attempt: int, more: int, after: timedelta | None, chance: float, less: float
) -> None:
    first = wait_before(attempt, Patience(), chance=chance, asked=after)
    assert first <= wait_before(attempt + more, Patience(), chance=chance, asked=after)
    assert wait_before(attempt, Patience(), chance=chance * less) <= wait_before(
        attempt, Patience(), chance=chance
    )


@given(tries=st.integers(1, 10**6), chance=shares, cure=st.sampled_from([Cure.TIME, Cure.FRESH_CONNECTION]))
def test_an_endpoint_that_time_cures_is_never_given_up(tries: int, chance: float, cure: Cure) -> None:
    """Alyx may be down for days: no file is held for it."""
    error = failure(cure, Reach.ENDPOINT)
    assert isinstance(decide(error, tries=tries, patience=Patience(), now=NOON, chance=chance), TryAgain)


@given(kind=kinds, tries=st.integers(1, 10**6), chance=shares)
def test_what_only_a_person_cures_is_never_tried_again(
    kind: type[TransferError], tries: int, chance: float
) -> None:
    if kind.cure in (Cure.PERSON, Cure.NOTHING):
        assert decide(kind("x"), tries=tries, patience=Patience(), now=NOON, chance=chance) == Hold()


@given(kind=kinds, tries=st.integers(8, 10**6), chance=shares)
def test_what_concerns_a_file_or_batch_ends_with_a_person(
    kind: type[TransferError], tries: int, chance: float
) -> None:
    if kind.reach is not Reach.ENDPOINT:
        assert isinstance(decide(kind("x"), tries=tries, patience=Patience(), now=NOON, chance=chance), Hold)


def test_a_first_wait_above_the_longest_is_cut() -> None:
    odd = Patience(first_wait=timedelta(hours=3), longest_wait=timedelta(hours=1), jitter=0)
    assert wait_before(2, odd, chance=1) == timedelta(hours=1)
