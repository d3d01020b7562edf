"""When something regular is due: read as written, always ahead, never twice for one moment."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.recurrence import ALWAYS, Cron, Interval, is_due, read_recurrence
from transfer.timetable import Misread

LONDON = ZoneInfo("Europe/London")
ZONES = st.sampled_from(["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]).map(
    ZoneInfo
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
CRONS = st.builds(
    lambda minute, hour, weekday: f"{minute} {hour} * * {weekday}",
    st.sampled_from(["*", "*/5", "0", "30", "59"]),
    st.sampled_from(["*", "1", "2", "*/6", "22-23"]),
    st.sampled_from(["*", "mon-fri", "sun"]),
)
WORDS = st.one_of(
    st.builds(
        lambda count, unit: f"every {count} {unit}s",
        st.integers(1, 500),
        st.sampled_from(["second", "minute", "hour", "day"]),
    ),
    CRONS,
)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("every minute", "every minute"),
        ("Every  90 seconds", "every 90 seconds"),
        ("every 60 minutes", "every hour"),
        ("every 48 hours", "every 2 days"),
        ("15  2 * * mon-fri", "15 2 * * mon-fri (Europe/London)"),
    ],
)
def test_what_a_person_wrote_is_read_and_shown_in_its_simplest_words(words: str, shown: str) -> None:
    assert str(read_recurrence(words, LONDON)) == shown


@pytest.mark.parametrize(
    "words",
    [
        "",
        "every",
        "every 0 days",
        "every week",
        "daily",
        "@daily",
        "* * * *",
        "0 0 * * * *",
        "61 * * * *",
        "0 0 31 2 *",
    ],
)
def test_what_is_no_recurrence_is_refused_with_an_example(words: str) -> None:
    with pytest.raises(Misread, match="every 5 minutes"):
        read_recurrence(words, LONDON)


@given(WORDS, ZONES, MOMENTS)
def test_the_next_moment_is_always_ahead_and_none_lies_between(
    words: str, zone: ZoneInfo, last: datetime
) -> None:
    """And it is in UTC, whatever zone it was written in."""
    found = read_recurrence(words, zone)
    due = found.after(last)

    assert due > last
    assert due.tzinfo is UTC
    assert found.after(due - timedelta(microseconds=1)) == due or isinstance(found, Interval)
    assert due - last >= found.shortest or isinstance(found, Cron)


@given(WORDS, ZONES, MOMENTS)
def test_it_is_due_from_its_moment_on_and_not_before(words: str, zone: ZoneInfo, last: datetime) -> None:
    found = read_recurrence(words, zone)
    due = found.after(last)

    assert is_due(found, last, due)
    assert is_due(found, last, due + timedelta(days=400))
    assert not is_due(found, last, due - timedelta(microseconds=1))
    assert is_due(found, None, last)
    assert is_due(ALWAYS, last, last)


@pytest.mark.parametrize(
    ("expression", "last", "due"),
    [
        # 2026-03-29 01:00 GMT is 02:00 BST: half past one is missing, and comes right after the jump.
        ("30 1 * * *", "2026-03-29T00:00Z", "2026-03-29T01:00Z"),
        # 2026-10-25 02:00 BST is 01:00 GMT: half past one is there twice, and counts once.
        ("30 1 * * *", "2026-10-25T00:00Z", "2026-10-25T00:30Z"),
        ("30 1 * * *", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("0 3 * * *", "2026-07-01T00:00Z", "2026-07-01T02:00Z"),
    ],
)
def test_a_moment_is_kept_once_when_the_clocks_change(expression: str, last: str, due: str) -> None:
    moment = datetime.fromisoformat
    assert Cron(expression, LONDON).after(moment(last)) == moment(due)
