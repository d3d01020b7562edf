"""The first page's own sums and sentences."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.pages.overview import curve, days, headline, points, troubles
from transfer.ledger.glance.overview import Hour, Overview, Route
from transfer.ledger.health import Check

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
QUIET = Check(
    now=NOW,
    oldest_unsent=None,
    waiting=0,
    held_files=0,
    held_sessions=0,
    paused=(),
    troubles=0,
    stuck_files=0,
    stuck_sessions=0,
    too_old=False,
)
WRONG: dict[str, Any] = {
    "unwalked": ("probe flatiron",),
    "away": ("cortexlab",),
    "held_files": 1,
    "held_sessions": 1,
    "paused": ("archive",),
    "troubles": 1,
    "stuck_files": 1,
    "stuck_sessions": 1,
    "too_old": True,
    "rows_without_owner": 1,
    "incidents": ("E-2003 archive",),
    "disk_full": "The ledger's disk is full.",
}


def first_page(check: Check, *, empty: bool = False) -> Overview:
    return Overview(
        now=NOW,
        empty=empty,
        check=check,
        routes=(),
        causes=(),
        failures=(),
        matters=(),
        more_matters=0,
        incidents=(),
        moving=(),
        places=(),
    )


def route(*hours: Hour) -> Route:
    return Route(
        lab="cortexlab",
        source="cortexlab_SR",
        target="archive",
        day_files=0,
        day_bytes=0,
        week_files=0,
        week_bytes=0,
        backlog_files=0,
        backlog_bytes=0,
        held_files=0,
        oldest_unsent=None,
        curve=hours,
    )


HOURS = st.builds(
    Hour,
    at=st.integers(0, 7 * 24).map(lambda ago: NOW.replace(minute=0) - timedelta(hours=ago)),
    files=st.integers(0, 10**6),
    bytes=st.integers(0, 10**15),
)
ROUTES = st.lists(st.lists(HOURS, max_size=8).map(lambda told: route(*told)), max_size=4)


def test_a_quiet_night_is_a_good_one() -> None:
    assert troubles(QUIET) == ()
    assert headline(first_page(QUIET)) == "A good night: nothing needs a person."
    assert headline(first_page(replace(QUIET, waiting=10**6))) == "A good night: nothing needs a person."
    assert headline(first_page(QUIET, empty=True)) == "All is quiet."


@pytest.mark.parametrize("what", list(WRONG))
def test_one_thing_that_is_wrong_makes_a_bad_night(what: str) -> None:
    check = replace(QUIET, **{what: WRONG[what]})
    assert len(troubles(check)) == 1
    assert headline(first_page(check, empty=True)).startswith("Somebody must look: ")


def test_nothing_that_a_check_finds_is_left_out_here() -> None:
    """A new field of a check is either no trouble, or one of those above."""
    assert {one.name for one in fields(Check)} - set(WRONG) == {"now", "oldest_unsent", "versions", "waiting"}


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1 file is held"), (2, "2 files are held"), (1_000_000, "1\u202f000\u202f000 files are held")],
)
def test_one_and_a_million_are_said_rightly(number: int, words: str) -> None:
    assert troubles(replace(QUIET, held_files=number)) == (words,)


@given(routes=ROUTES)
def test_the_curve_has_everything_that_arrived_and_nothing_twice(routes: list[Route]) -> None:
    hours = curve(routes)
    told = [hour for one in routes for hour in one.curve]
    assert sum(hour.files for hour in hours) == sum(hour.files for hour in told)
    assert sum(hour.bytes for hour in hours) == sum(hour.bytes for hour in told)
    assert sorted({hour.at for hour in hours}) == [hour.at for hour in hours]


@given(routes=ROUTES)
def test_picture_and_table_agree(routes: list[Route]) -> None:
    hours = curve(routes)
    drawn = points(hours, NOW)
    assert sum(size for _, size in drawn) == sum(size for _, _, size in days(hours))
    assert {later - sooner for (sooner, _), (later, _) in pairwise(drawn)} == {3600}
    assert len(drawn) == 7 * 24 + 1
