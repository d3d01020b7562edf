"""A person's timetable above the config's: what it means, and what a machine does that cannot read it."""

from datetime import UTC, datetime

import pytest

from transfer.bandwidth import Origin, Plan, Wish, Written, standing
from transfer.timetable import Misread, read_timetable, written

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def by_anna(*entries: str, timezone: str | None = "UTC") -> Written:
    return Written(entries=entries, timezone=timezone, by="person:anna", since=NOON, why="term begins")


def test_a_persons_timetable_holds_instead_of_the_configs() -> None:
    plan = Plan(timetable=read_timetable(["otherwise 1MB/s"], None), while_recording=5)
    under = plan.under(by_anna("08:00-13:00 2MB/s", "otherwise unlimited"))
    found = standing(NOON, under, wish=None, recording=None)
    assert (found.rate, found.origin, found.then) == (2_000_000, Origin.TIMETABLE, None)
    assert found.changes_at == datetime(2026, 3, 4, 13, 0, tzinfo=UTC)
    assert found.because == "the timetable that anna set: term begins"
    assert under.while_recording == 5


def test_a_persons_limit_is_above_a_persons_timetable() -> None:
    plan = Plan().under(by_anna("otherwise 2MB/s"))
    wish = Wish(rate=7_000_000, by="person:otto", since=NOON)
    assert standing(NOON, plan, wish=wish, recording=None).rate == 7_000_000


@pytest.mark.parametrize("timezone", ["Mars/Olympus", None])
def test_hours_of_no_known_zone_are_refused(timezone: str | None) -> None:
    with pytest.raises(Misread):
        Plan().under(by_anna("08:00-13:00 2MB/s", timezone=timezone))


def test_a_week_is_typed_in_lines_or_with_semicolons() -> None:
    assert written(["mon 1MB/s; tue 2MB/s\n\n otherwise 0 "]) == ["mon 1MB/s", "tue 2MB/s", "otherwise 0"]
