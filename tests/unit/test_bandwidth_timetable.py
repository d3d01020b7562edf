"""The weekly timetable: what lab managers write, and which limit holds at every instant, also when clocks change."""

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transfer.timetable import Misread, Rate, Timetable, Window, read_rate, read_timetable, shown

LONDON = ZoneInfo("Europe/London")
MB = 1_000_000
BY_DAY = read_timetable(["mon-fri 08:00-19:00 20 MB/s", "otherwise unlimited"], LONDON)


def at(words: str, zone: ZoneInfo = LONDON) -> datetime:
    """The first instant at which the zone's clocks show this."""
    return datetime.fromisoformat(words).replace(tzinfo=zone).astimezone(UTC)


# ---- what people write


@pytest.mark.parametrize(
    ("words", "rate"),
    [
        ("20 MB/s", 20 * MB),
        ("20MB/s", 20 * MB),
        ("1.5 GB/s", 1500 * MB),
        ("500 kB/s", 500_000),
        ("20 MiB/s", 20 << 20),
        ("100 Mbit/s", 12_500_000),
        ("1Gbit/s", 125 * MB),
        ("unlimited", None),
        ("Unlimited", None),
        ("0", 0),
        ("nothing", 0),
    ],
)
def test_a_rate_is_read_as_people_write_it(words: str, rate: Rate) -> None:
    assert read_rate(words) == rate


@pytest.mark.parametrize(
    "words", ["20", "20 Mb/s", "20 mb/s", "fast", "-1 MB/s", "", "1 kB/s", "0.1 B/s", "1e3 MB/s"]
)
def test_what_is_no_rate_is_refused_in_one_sentence_that_names_it(words: str) -> None:
    with pytest.raises(Misread) as refused:
        read_rate(words)
    assert f'"{words}"' in refused.value.what
    assert refused.value.do.endswith(".")


@given(st.one_of(st.none(), st.integers(100, 100_000).map(lambda thousands: thousands * 1000)))
def test_a_rate_that_is_shown_can_be_typed(rate: Rate) -> None:
    again = read_rate(shown(rate))
    assert again == rate or (again and rate and abs(again - rate) <= rate / 1000)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("mon-fri 8-19 20 MB/s", "8-19 20 MB/s"),
        ("mon-frx 20 MB/s", "frx"),
        ("mon 08:00-08:00 20 MB/s", "no length"),
        ("mon 08:00-24:30 20 MB/s", "24:30"),
        ("mon 08:60-09:00 20 MB/s", "08:60"),
        ("mon 08:00-19:00", "names no bandwidth"),
        ("mon", "names no bandwidth"),
        ("20 MB/s 08:00-19:00", "neither days nor hours"),
        ("", "neither days nor hours"),
        ("mon-fri 08:00-19:00 20 Mb/s", "20 Mb/s"),
    ],
)
def test_a_misread_entry_is_named_with_what_is_wrong_in_it(entry: str, named: str) -> None:
    with pytest.raises(Misread) as refused:
        read_timetable([entry, "otherwise unlimited"], LONDON)
    assert f'"{entry}"' in refused.value.what
    assert named in refused.value.what


def test_nothing_may_stand_after_otherwise() -> None:
    with pytest.raises(Misread, match="is not the last entry"):
        read_timetable(["otherwise 5 MB/s", "mon 20 MB/s"], LONDON)


def test_hours_need_a_time_zone_and_a_plain_limit_does_not() -> None:
    assert read_timetable(["5 MB/s"], None).rate_at(datetime.now(UTC)) == 5 * MB
    with pytest.raises(Misread, match="whose hours"):
        read_timetable(["mon 20 MB/s"], None)


def test_days_are_lists_ranges_and_long_names() -> None:
    def days(words: str) -> list[int]:
        return sorted(read_timetable([f"{words} 1 MB/s"], LONDON).windows[0].days)

    assert days("mon-fri") == [0, 1, 2, 3, 4]
    assert days("sat,sun") == days("saturday,sunday") == [5, 6]
    assert days("fri-mon") == [0, 4, 5, 6]
    assert days("Mon,wed-thu") == [0, 2, 3]
    assert days("daily") == days("08:00-09:00") == list(range(7))


# ---- which limit holds


def test_working_hours_are_limited_and_nothing_else() -> None:
    assert BY_DAY.rate_at(at("2026-11-23 07:59:59")) is None
    assert BY_DAY.rate_at(at("2026-11-23 08:00")) == 20 * MB
    assert BY_DAY.rate_at(at("2026-11-23 18:59:59")) == 20 * MB
    assert BY_DAY.rate_at(at("2026-11-23 19:00")) is None
    assert BY_DAY.rate_at(at("2026-11-28 12:00")) is None


def test_the_next_change_is_the_moment_and_the_limit_that_follows() -> None:
    assert BY_DAY.next_change(at("2026-11-23 12:00")) == (at("2026-11-23 19:00"), None)
    assert BY_DAY.next_change(at("2026-11-27 19:00")) == (at("2026-11-30 08:00"), 20 * MB)
    assert read_timetable(["5 MB/s"], None).next_change(at("2026-11-27 19:00")) is None


def test_a_window_over_midnight_belongs_to_the_day_it_begins() -> None:
    table = read_timetable(["fri 22:00-06:00 unlimited", "otherwise 5 MB/s"], LONDON)
    assert table.rate_at(at("2026-11-28 05:59")) is None
    assert table.rate_at(at("2026-11-27 05:59")) == 5 * MB


def test_the_first_entry_that_fits_holds() -> None:
    table = read_timetable(["mon 12:00-13:00 1 MB/s", "mon-fri 08:00-19:00 20 MB/s"], LONDON)
    assert table.rate_at(at("2026-11-23 12:30")) == MB
    assert table.rate_at(at("2026-11-23 13:30")) == 20 * MB
    assert table.rate_at(at("2026-11-23 20:30")) is None


def test_an_entry_that_changes_nothing_is_no_change() -> None:
    table = read_timetable(["mon-fri 08:00-12:00 5 MB/s", "mon-fri 12:00-19:00 5 MB/s"], LONDON)
    assert table.next_change(at("2026-11-23 09:00")) == (at("2026-11-23 19:00"), None)


# ---- when the clocks change.  London: missing 01:00-02:00 on 2026-03-29, doubled 01:00-02:00 on 2026-10-25 (a Sunday)

SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 01:00 becomes 02:00
AUTUMN = datetime(
    2026, 10, 25, tzinfo=UTC
)  # 01:00 summer time; at 01:00 UTC the clocks go back from 02:00 to it


def holds(entry: str, day: datetime) -> list[tuple[float, float]]:
    """When the entry holds on that day and night, in hours after `day`."""
    table = read_timetable([f"{entry} 1 MB/s", "otherwise unlimited"], LONDON)
    spans, now = [], day - timedelta(hours=12)
    while (change := table.next_change(now)) and change[0] < day + timedelta(hours=12):
        begin = change[0]
        after = table.next_change(begin)
        assert change[1] == MB
        assert after is not None
        now = after[0]
        spans.append(((begin - day) / timedelta(hours=1), (now - day) / timedelta(hours=1)))
    return spans


@pytest.mark.parametrize(
    ("entry", "span"),
    [
        ("sun 00:30-01:30", (-0.5, 0.0)),  # ends when the clocks jump
        ("sun 01:30-03:00", (0.0, 1.0)),  # begins when they jump
        ("sun 00:30-03:00", (-0.5, 1.0)),  # an hour shorter, as the night is
        ("sun 01:00-02:00", (0.0, 1.0)),  # wholly in the missing hour: by the old clock
        ("sun 01:15-01:45", (0.25, 0.75)),
        ("sun 02:00-03:00", (0.0, 1.0)),
    ],
)
def test_the_missing_hour_skips_no_window(entry: str, span: tuple[float, float]) -> None:
    assert holds(entry, SPRING) == [span]


@pytest.mark.parametrize(
    ("entry", "span"),
    [
        ("sun 01:00-01:30", (0.0, 0.5)),  # the first time only
        ("sun 00:30-01:30", (-0.5, 0.5)),
        ("sun 01:30-02:00", (0.5, 2.0)),  # to 02:00, of which there is one
        ("sun 00:30-03:00", (-0.5, 3.0)),  # an hour longer, as the night is
    ],
)
def test_the_doubled_hour_runs_no_window_twice(entry: str, span: tuple[float, float]) -> None:
    assert holds(entry, AUTUMN) == [span]


ZONES = (
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Antarctica/Troll",
)


def transitions(name: str) -> list[datetime]:
    """Every change of the zone's offset in 2024 to 2028, to the minute."""
    zone, found = ZoneInfo(name), []
    day = datetime(2024, 1, 1, tzinfo=UTC)
    while day.year < 2029:
        after = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            minutes = range(24 * 60 + 1)
            was = day.astimezone(zone).utcoffset()
            changed = bisect_right(
                minutes,
                False,
                key=lambda m, d=day, w=was, z=zone: (d + timedelta(minutes=m)).astimezone(z).utcoffset() != w,
            )
            found.append(day + timedelta(minutes=changed))
        day = after
    return found


TRANSITIONS = {name: transitions(name) for name in ZONES}

WINDOWS = st.builds(
    lambda days, start, length, rate: Window(days=days, start=start, end=start + length, rate=rate),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 24 * 60 - 1),
    st.integers(1, 24 * 60),
    st.sampled_from([None, 0, MB, 2 * MB]),
)


def test_the_zones_do_change_their_clocks() -> None:
    assert all(len(found) >= 10 for found in TRANSITIONS.values())


def oracle(table: Timetable, zone: ZoneInfo, moment: datetime) -> Rate:
    """The limit by the clock on the wall, which is right wherever the clocks did not change lately."""
    wall = moment.astimezone(zone)
    minutes = wall.hour * 60 + wall.minute
    for window in table.windows:
        today, yesterday = wall.weekday() in window.days, (wall.weekday() - 1) % 7 in window.days
        if (today and window.start <= minutes < window.end) or (yesterday and minutes + 1440 < window.end):
            return window.rate
    return table.otherwise


@settings(max_examples=60, deadline=None)
@given(st.lists(WINDOWS, max_size=4), st.integers(0, 7 * 24 * 60), st.sampled_from(ZONES))
def test_in_an_ordinary_week_the_clock_on_the_wall_decides(
    windows: list[Window], minute: int, name: str
) -> None:
    zone = ZoneInfo(name)
    table = Timetable(windows=tuple(windows), otherwise=3 * MB, zone=zone)
    moment = datetime(2026, 1, 12, tzinfo=UTC) + timedelta(minutes=minute)
    assert table.rate_at(moment) == oracle(table, zone, moment)


@settings(max_examples=60, deadline=None)
@given(st.lists(WINDOWS, min_size=1, max_size=3), st.sampled_from(ZONES), st.data())
def test_the_next_change_is_later_and_real_and_none_comes_before_it(
    windows: list[Window], name: str, data: st.DataObject
) -> None:
    """Around every change of the clocks: exactly one limit holds, and `next_change` is strictly later and true."""
    table = Timetable(windows=tuple(windows), zone=ZoneInfo(name))
    around = data.draw(st.sampled_from(TRANSITIONS[name]))
    moment = around + timedelta(seconds=data.draw(st.integers(-86_400, 86_400)))
    now = table.rate_at(moment)

    change = table.next_change(moment)

    end = moment + timedelta(days=8)
    if change is not None:
        end, then = change
        assert end > moment
        assert then != now
        assert table.rate_at(end) == then
        assert table.rate_at(end - timedelta(microseconds=1)) == now
    for share in range(1, 12):
        assert table.rate_at(moment + (end - moment) * share / 12) == now


@settings(max_examples=80, deadline=None)
@given(
    window=st.builds(
        lambda start, length: Window(days=frozenset(range(7)), start=start, end=start + length, rate=MB),
        st.integers(0, 6 * 60),
        st.integers(1, 6 * 60),
    ),
    name=st.sampled_from(ZONES),
    number=st.integers(0, 9),
)
@example(window=Window(days=frozenset(range(7)), start=60, end=120, rate=MB), name="Europe/London", number=0)
@example(window=Window(days=frozenset(range(7)), start=0, end=30, rate=MB), name="America/Havana", number=0)
def test_each_window_of_each_day_holds_exactly_once(window: Window, name: str, number: int) -> None:
    """In the five days around a change of the clocks a daily window holds five times: never twice, never not at all."""
    zone = ZoneInfo(name)
    table = Timetable(windows=(window,), zone=zone)
    middle = TRANSITIONS[name][number].astimezone(zone).date()
    begin, end = (noon(middle + timedelta(days=days), zone) for days in (-3, 2))

    times, now = 0, begin
    while (change := table.next_change(now)) and change[0] < end:
        times += change[1] == MB
        now = change[0]

    assert times == 5


def noon(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, 13, tzinfo=zone).astimezone(UTC)
