"""What is told, when, and what is not said again."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.news import LONGEST, SETTLED, digest, plain
from transfer.notices import Concern, Digest, Hours, Rules, Silence, Told, read_hours, read_time
from transfer.timetable import Misread

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HELD = Concern(
    key="held file cortexlab source-unreadable",
    lab="cortexlab",
    sentence="3 files of cortexlab are held: the owner keeps the worker out",
    do="Give the worker's account permission.",
    files=3,
)
ALYX = Concern(key="paused alyx", lab=None, sentence="alyx is paused by anne: upgrade", do="Resume it.")


class Target:
    """One target, and what it was told so far."""

    def __init__(self, rules: Rules | None = None, labs: tuple[str, ...] = ()) -> None:
        self.rules, self.labs = rules, labs
        self.told: tuple[Told, ...] = ()

    def walk(
        self, now: datetime, *concerns: Concern, silences: tuple[Silence, ...] = (), sent: bool = True
    ) -> Digest:
        found = digest(now, concerns, self.told, silences, self.rules, labs=self.labs)
        self.told = found.remembered(self.told, sent=sent and found.message is not None)
        return found

    def hears(self, now: datetime, *concerns: Concern, **more: object) -> str | None:
        """What the target is told: title and body."""
        message = self.walk(now, *concerns, **more).message  # type: ignore[arg-type]
        return f"{message.title}\n{message.body}" if message else None


# ---- one thing


def test_something_new_is_told_at_once_with_what_to_do() -> None:
    said = Target().hears(NOON, HELD)

    assert said is not None
    assert "1 new (cortexlab)" in said
    assert "3 files of cortexlab are held" in said
    assert "What to do: Give the worker's account permission." in said


def test_many_new_things_are_one_message() -> None:
    said = Target().walk(NOON, HELD, ALYX)

    assert said.message is not None
    assert said.message.title == "alyx-transfer: 2 new"
    assert {one.key for one in said.tell} == {HELD.key, ALYX.key}


def test_what_was_told_is_not_told_again() -> None:
    target = Target()
    target.walk(NOON, HELD)

    assert target.hears(NOON + 10 * timedelta(minutes=1), HELD) is None


@pytest.mark.parametrize(("files", "again"), [(4, False), (29, False), (30, True), (300, True)])
def test_what_has_grown_tenfold_is_told_again(files: int, again: bool) -> None:
    target = Target()
    target.walk(NOON, HELD)

    said = target.hears(NOON + HOUR, replace(HELD, files=files))

    assert (said is not None) is again
    assert said is None or "When this was last told: 3." in said


def test_one_file_more_of_three_hundred_is_no_news() -> None:
    target = Target()
    target.walk(NOON, replace(HELD, files=300))

    assert target.hears(NOON + HOUR, replace(HELD, files=301)) is None


def test_a_message_that_was_not_sent_is_told_with_the_next_walk() -> None:
    target = Target()
    first = target.hears(NOON, HELD, sent=False)

    assert target.hears(NOON + HOUR, HELD) == first


def test_what_stands_is_told_once_a_day_at_the_time_of_the_rules() -> None:
    """At eight in the morning in London, however often the round is walked."""
    target = Target(Rules(zone=ZoneInfo("Europe/London"), at=time(8)))
    target.walk(NOON, HELD)

    heard = [
        now
        for step in range(1, 3 * 24 * 6)
        if target.hears(now := NOON + step * timedelta(minutes=10), HELD) is not None
    ]

    assert heard == [datetime(2026, 3, day, 8, tzinfo=UTC) for day in (5, 6, 7)]


def test_a_reminder_is_not_sent_right_after_the_news() -> None:
    target = Target(Rules(at=time(12, 5)))
    target.walk(NOON, HELD)

    assert target.hears(NOON + timedelta(minutes=10), HELD) is None
    assert target.hears(NOON + DAY + timedelta(minutes=10), HELD) is not None


def test_what_is_over_is_told_once() -> None:
    target = Target()
    target.walk(NOON, HELD)

    assert target.hears(NOON + HOUR) is None
    said = target.hears(NOON + HOUR + SETTLED)
    assert said is not None
    assert "1 over" in said
    assert "3 files of cortexlab are held" in said
    assert target.hears(NOON + 3 * HOUR) is None
    assert target.told == ()


def test_what_comes_and_goes_is_told_once() -> None:
    """A line that drops every few minutes is one piece of news."""
    target = Target()
    target.walk(NOON, ALYX)

    for minute in range(1, 200):
        here = (ALYX,) if minute % 10 < 5 else ()
        assert target.hears(NOON + timedelta(minutes=minute), *here) is None


def test_what_comes_back_after_it_was_over_is_new() -> None:
    target = Target()
    target.walk(NOON, HELD)
    target.walk(NOON + HOUR)
    target.walk(NOON + 2 * HOUR)

    assert "1 new" in (target.hears(NOON + 3 * HOUR, HELD) or "")


# ---- quiet hours, silences, labs


def test_in_quiet_hours_nothing_is_said_and_afterwards_it_is() -> None:
    target = Target(Rules(quiet=read_hours("22:00-07:00")))
    midnight = NOON + 12 * HOUR

    assert target.hears(midnight, HELD) is None
    assert target.hears(midnight + 7 * HOUR, HELD) is not None


def test_a_silenced_lab_is_not_spoken_of_and_told_when_the_silence_ends() -> None:
    target = Target()
    silence = Silence(lab="cortexlab", until=NOON + DAY, by="person:anne", why="moving")

    assert "cortexlab" not in (target.hears(NOON, HELD, ALYX, silences=(silence,)) or "cortexlab")
    said = target.hears(NOON + DAY, HELD, ALYX, silences=(silence,))
    assert said is not None
    assert "3 files of cortexlab" in said


def test_what_is_over_during_a_silence_is_never_spoken_of() -> None:
    target = Target()
    target.walk(NOON, HELD)
    silence = Silence(lab="cortexlab", until=NOON + DAY, by="person:anne", why=None)

    for hour in range(1, 72):
        assert target.hears(NOON + hour * HOUR, silences=(silence,)) is None


def test_what_went_right_before_a_silence_is_not_spoken_of_in_it() -> None:
    target = Target()
    target.walk(NOON, HELD)
    target.walk(NOON + HOUR)
    silence = Silence(lab="cortexlab", until=None, by="person:anne", why=None)

    assert target.hears(NOON + 3 * HOUR, silences=(silence,)) is None
    assert target.told == ()


def test_a_target_hears_of_its_labs_and_of_what_concerns_all() -> None:
    said = Target(labs=("hoferlab",)).hears(NOON, HELD, ALYX)

    assert said is not None
    assert "cortexlab" not in said
    assert "alyx is paused" in said


def test_a_target_that_is_given_other_labs_is_not_told_that_the_first_are_well() -> None:
    target = Target()
    target.walk(NOON, HELD)
    target.labs = ("hoferlab",)

    assert target.hears(NOON + HOUR, HELD) is None
    assert target.hears(NOON + 3 * HOUR, HELD) is None


# ---- words


def test_a_hostile_name_stays_in_its_line() -> None:
    named = replace(HELD, sentence="held: a\nb\x1b[31m\r\n\u202e.npy", do="x" * 10_000)

    body = (Target().walk(NOON, named).message or pytest.fail("nothing said")).body

    assert len(body) <= LONGEST
    assert "\x1b" not in body
    assert "\u202e" not in body
    assert "held: a b [31m .npy" in body


@pytest.mark.parametrize(
    "name",
    ["@everyone.npy", "a @HERE b", "<!channel>", "<b>x</b>", "[free](https://example.org)", "@channel"],
)
def test_a_hostile_name_calls_nobody_and_is_no_markup(name: str) -> None:
    said = plain(f"a file is held: {name}")
    for bad in ("@everyone", "@here", "@channel", "<", ">", "]("):
        assert bad not in said.lower()
    assert plain("anna@hereford.example wrote alf/_ibl_x.npy") == "anna@hereford.example wrote alf/_ibl_x.npy"


def test_what_does_not_fit_into_a_message_comes_with_the_next() -> None:
    target, messages, told = Target(), 0, []
    many = [replace(HELD, key=f"key {number}", sentence="x" * 600, do="y" * 600) for number in range(30)]

    while (found := target.walk(NOON, *many)).message is not None:
        messages += 1
        told += [one.key for one in found.tell]
        assert len(found.message.body) <= LONGEST
        assert f"{len(found.tell)} new" in found.message.title

    assert 5 < messages < 15
    assert sorted(told) == sorted(one.key for one in many)


def test_the_message_says_where_to_look() -> None:
    rules = Rules(link="https://transfer.example.org")
    assert "https://transfer.example.org or `alyx-transfer held`" in (Target(rules).hears(NOON, HELD) or "")


@pytest.mark.parametrize("words", ["22:00", "22:00-22:00", "25:00-07:00", "22-7", "", "a-b"])
def test_what_is_no_hours_is_refused(words: str) -> None:
    with pytest.raises(Misread):
        read_hours(words)


@pytest.mark.parametrize("words", ["24:00", "8", "08:60", "noon", "08:00:00"])
def test_what_is_no_time_of_day_is_refused(words: str) -> None:
    with pytest.raises(Misread):
        read_time(words)


@given(begin=st.times(), end=st.times(), wall=st.times())
def test_hours_and_their_complement_are_the_day(begin: time, end: time, wall: time) -> None:
    if begin != end:
        assert (wall in Hours(begin=begin, end=end)) != (wall in Hours(begin=end, end=begin))


# ---- always and never

_LABS = ("cortexlab", "hoferlab")
CONCERNS = st.lists(
    st.builds(
        Concern,
        key=st.sampled_from([f"key {number}" for number in range(40)]),
        lab=st.sampled_from([*_LABS, None]),
        sentence=st.text(max_size=600),
        do=st.text(max_size=600),
        files=st.integers(0, 2000),
        since=st.none() | st.just(NOON - DAY),
    ),
    unique_by=lambda one: one.key,
    max_size=40,
).map(tuple)
SILENCES = st.lists(
    st.builds(
        Silence,
        lab=st.sampled_from(_LABS),
        until=st.none() | st.timedeltas(-DAY, 3 * DAY).map(lambda length: NOON + length),
        by=st.just("person:anne"),
        why=st.none(),
    ),
    unique_by=lambda one: one.lab,
    max_size=2,
).map(tuple)
RULES = st.builds(
    Rules,
    zone=st.sampled_from(["UTC", "Europe/London", "Asia/Kathmandu"]).map(ZoneInfo),
    at=st.times(),
    quiet=st.none() | st.builds(Hours, begin=st.just(time(22)), end=st.just(time(7))),
)
STEPS = st.lists(st.tuples(st.timedeltas(timedelta(0), 2 * DAY), CONCERNS, st.booleans()), max_size=8)


@given(steps=STEPS, concerns=CONCERNS, silences=SILENCES, rules=RULES)
def test_the_same_is_never_said_twice_at_the_same_moment(
    steps: list[tuple[timedelta, tuple[Concern, ...], bool]],
    concerns: tuple[Concern, ...],
    silences: tuple[Silence, ...],
    rules: Rules,
) -> None:
    """Whatever was told before: a round that is walked twice repeats nothing, and ends with nothing to say."""
    target, now = Target(rules), NOON
    for length, earlier, sent in steps:
        now += length
        target.walk(now, *earlier, silences=silences, sent=sent)

    said: list[str] = []
    for _ in range(60):
        found = target.walk(now, *concerns, silences=silences)
        said += [*(one.key for one in found.tell), *found.over]
        if found.message is None:
            break
    else:
        pytest.fail("it never ends")
    assert len(said) == len(set(said))


@given(concerns=CONCERNS, silences=SILENCES, rules=RULES, failing=st.integers(0, 5))
def test_everything_that_stands_is_told_within_a_day_and_a_half(
    concerns: tuple[Concern, ...], silences: tuple[Silence, ...], rules: Rules, failing: int
) -> None:
    """But for silenced labs; also when the first messages could not be sent."""
    target, told = Target(rules), set()
    for step in range(36 * 6):
        now = NOON + step * timedelta(minutes=10)
        found = target.walk(now, *concerns, silences=silences, sent=step >= failing)
        if step >= failing:
            told |= {one.key for one in found.tell}
    silent = {one.lab for one in silences if one.holds(now)}
    assert {one.key for one in concerns if one.lab not in silent} <= told


@given(steps=STEPS, changing=st.lists(SILENCES, min_size=8, max_size=8), rules=RULES)
def test_a_silenced_lab_is_never_spoken_of(
    steps: list[tuple[timedelta, tuple[Concern, ...], bool]],
    changing: list[tuple[Silence, ...]],
    rules: Rules,
) -> None:
    """Also not of what went before the silence began."""
    target, now = Target(rules), NOON
    for (length, concerns, sent), silences in zip(steps, changing, strict=False):
        now += length
        before = {one.key: one.lab for one in target.told}
        found = target.walk(now, *concerns, silences=silences, sent=sent)
        silent = {one.lab for one in silences if one.holds(now)}
        assert silent.isdisjoint({one.lab for one in found.tell})
        assert silent.isdisjoint({before[key] for key in found.over})


@given(
    concerns=CONCERNS,
    rules=RULES,
    ahead=st.timedeltas(timedelta(0), 400 * DAY),
    back=st.timedeltas(timedelta(0), 400 * DAY),
)
def test_a_clock_that_goes_back_repeats_nothing(
    concerns: tuple[Concern, ...], rules: Rules, ahead: timedelta, back: timedelta
) -> None:
    target, now = Target(replace(rules, quiet=None)), NOON + ahead
    while target.walk(now, *concerns).message is not None:
        pass

    assert target.hears(now - back, *concerns) is None


@given(concerns=CONCERNS, rules=RULES)
def test_after_a_clock_that_was_ahead_reminders_come_again_within_two_days(
    concerns: tuple[Concern, ...], rules: Rules
) -> None:
    target = Target(replace(rules, quiet=None))
    while target.walk(NOON + 400 * DAY, *concerns).message is not None:
        pass

    target.walk(NOON, *concerns)
    heard = [target.hears(NOON + hour * HOUR, *concerns) for hour in range(1, 49)]
    assert not concerns or any(heard)


@given(concerns=CONCERNS, rules=RULES)
def test_a_message_is_never_longer_than_a_messenger_takes(
    concerns: tuple[Concern, ...], rules: Rules
) -> None:
    target = Target(replace(rules, quiet=None))
    while (message := target.walk(NOON, *concerns).message) is not None:
        assert len(message.body) <= LONGEST
        assert "\n" not in message.title
