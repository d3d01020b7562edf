"""What is always true of the dashboard's questions, whatever happened: pages of lists, and one file's way."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from transfer.ledger import Ledger, open_ledger
from transfer.ledger.glance import sessions
from transfer.ledger.glance.sessions import Wanted
from transfer.ledger.glance.timeline import Phase, attempts, spans
from transfer.ledger.guarded import CLAIMED, SENDING
from transfer.ledger.reports import SessionRow
from transfer.ledger.tables import sessions as table
from transfer.status import ENDS, JOURNEY, MOVES, Status

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


# ---- pages


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    made = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('pages') / 'ledger.db'}")
    yield made
    made.engine.dispose()


def _arrive(ledger: Ledger, days: list[int], seen: list[int]) -> None:
    """Sessions of these days of March are seen."""
    with ledger.writing() as connection:
        for day in days:
            number = len(seen) + 1
            row = {"source": "rig", "path": f"S/{number}", "lab": "lab", "subject": "S", "number": number}
            connection.execute(insert(table).values(id=number, date=date(2026, 3, day), origin="disk", **row))
            seen.append(number)


_DAYS = st.lists(st.integers(1, 5), max_size=6)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_DAYS, later=st.lists(_DAYS, max_size=4), limit=st.integers(1, 7))
def test_walking_the_pages_shows_each_session_once_in_order(
    ledger: Ledger, first: list[int], later: list[list[int]], limit: int
) -> None:
    """Whatever a page's length, and although more arrive between two: none twice, none that was there missed."""
    with ledger.writing() as connection:
        connection.execute(delete(table))
    seen: list[int] = []
    _arrive(ledger, first, seen)
    there, coming = list(seen), iter(later)
    shown: list[SessionRow] = []
    after = None
    while True:
        page = sessions.sessions(ledger, Wanted(), after=after, limit=limit)
        assert len(page.rows) <= limit
        shown += page.rows
        assert len(shown) <= len(seen)
        after = page.after
        if after is None:
            break
        _arrive(ledger, next(coming, []), seen)
    assert set(there) <= {row.id for row in shown}
    assert all((one.date, one.id) > (other.date, other.id) for one, other in pairwise(shown))


# ---- one file's way


@dataclass(frozen=True)
class Told:
    """An event as the ledger keeps it."""

    id: int
    at: datetime
    subject: str
    what: str
    was: str | None = None
    became: str | None = None
    actor: str = "worker:rig:1"
    why: str | None = None
    attempt: str | None = None
    detail: dict[str, str] | None = None


@st.composite
def ways(draw: st.DrawFn) -> list[Told]:
    """What may be told of one file: legal moves, failures and holds, and its batch's claims, by a clock that jumps."""
    told: list[Told] = []
    status, at = Status.DISCOVERED, NOON
    for number in range(draw(st.integers(0, 12))):
        at += timedelta(seconds=draw(st.integers(-30, 600)))
        kinds = ["claimed", "sending", "postponed", "held", "released", *(["moved"] * 4)]
        what = draw(st.sampled_from(kinds))
        if what in (CLAIMED, SENDING):
            told.append(Told(number, at, "batch", what, attempt="a"))
        elif what == "moved":
            became = draw(st.sampled_from(sorted(there for here, there in MOVES if here == status)))
            told.append(Told(number, at, "item", what, was=status, became=became, attempt="a"))
            status = became
        else:
            told.append(Told(number, at, "item", what, attempt="a"))
        if status in ENDS:
            break
    return told


@given(told=ways(), visit=st.none() | st.integers(0, 900))
def test_the_spans_of_a_file_cover_its_time_without_gap_or_overlap(
    told: list[Told], visit: int | None
) -> None:
    """However it went, and although a clock went back: each moment from the first to the last has one phase."""
    begun = None if visit is None else NOON - timedelta(seconds=visit)
    found = spans(begun, NOON, told)
    assert found[0].begin == (begun or NOON)
    assert all(one.end == other.begin and one.begin <= other.begin for one, other in pairwise(found))
    assert all(one.phase is not other.phase for one, other in pairwise(found))
    assert all(one.phase in Phase for one in found)
    ended = any(one.became in ENDS for one in told)
    assert (found[-1].end is not None) == ended
    if found[-1].end is not None:
        assert found[-1].end >= found[-1].begin


@given(told=ways())
def test_an_attempt_is_told_once_and_by_how_it_ended(told: list[Told]) -> None:
    """One claim is one attempt, however much it wrote; what it wrote last is what came of it."""
    own = [one for one in told if one.subject == "item"]
    found = attempts(own)
    assert len(found) == (1 if own else 0)
    for one in found:
        last = own[-1]
        assert one.outcome == ("failed" if last.what in ("postponed", "held") else last.became or last.what)
        assert one.began_at == own[0].at


def test_a_straight_journey_spends_its_time_in_the_order_of_the_phases() -> None:
    """Waiting, then connecting, sending, verifying, writing back: nothing is told twice."""
    moments = (NOON + timedelta(minutes=n) for n in range(20))
    told = [
        Told(number, next(moments), "item", "moved", was=was, became=became)
        for number, (was, became) in enumerate(pairwise(JOURNEY))
    ]
    claimed = Told(10, told[1].at + timedelta(seconds=20), "batch", CLAIMED)
    sending = Told(11, told[1].at + timedelta(seconds=30), "batch", SENDING)
    found = spans(NOON - timedelta(minutes=1), NOON, [*told[:2], claimed, sending, *told[2:]])
    assert [one.phase for one in found] == [
        Phase.HASHING,
        Phase.WRITING_BACK,
        Phase.WAITING,
        Phase.CONNECTING,
        Phase.SENDING,
        Phase.VERIFYING,
        Phase.WRITING_BACK,
    ]
