"""The questions of the dashboard on a ledger as it stands after a year: none of them reads a large table as a whole."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from bench import plans
from bench.full_ledger import FILES, Full, fill
from transfer.ledger import Ledger, open_ledger, reports, sanity
from transfer.ledger.glance import audit, crew, overview, places, rounds, sessions, timeline, transfers
from transfer.ledger.glance.sessions import State, Wanted, behind_all

_ITEMS = 6_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def year(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ledger, Full]]:
    """A ledger with a year in it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('year') / 'ledger.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_of_a_year")
    ledger = open_ledger(url)
    yield ledger, fill(ledger.engine, _ITEMS)
    ledger.engine.dispose()


@pytest.fixture(scope="module")
def postgres_of_a_year(postgres_server: str) -> Iterator[str]:
    from tests import servers

    with servers.database(postgres_server, "year") as url:
        yield url


_DAYS = Wanted(since=date.today() - timedelta(days=90), until=date.today() - timedelta(days=60))
_LAB = "lab_03"


def _sessions(**wanted: Any) -> Callable[[Ledger], Any]:
    return lambda ledger: sessions.sessions(ledger, Wanted(**wanted))


_QUESTIONS: dict[str, Callable[[Ledger], Any]] = {
    "overview": overview.overview,
    "check": reports.check,
    "held": lambda ledger: reports.held(ledger, limit=200),
    "sessions": _sessions(),
    "sessions, further on": lambda ledger: sessions.sessions(ledger, Wanted(), after=f"{date.today()}~50"),
    "sessions of a lab": _sessions(lab=_LAB),
    "sessions of some days": lambda ledger: sessions.sessions(ledger, _DAYS),
    "sessions of a subject": _sessions(subject="03_00"),
    **{f"sessions that are {state}": _sessions(state=state) for state in State},
    **{f"sessions of a lab that are {state}": _sessions(lab=_LAB, state=state) for state in State},
    "files of a session": lambda ledger: sessions.files(ledger, session=20),
    "files of a batch": lambda ledger: sessions.files(ledger, batch=3),
    "files held": lambda ledger: sessions.files(ledger, held=True),
    "files at a status": lambda ledger: sessions.files(ledger, status="sent"),
    "files at a status, further on": lambda ledger: sessions.files(ledger, status="sent", after="5000~9000"),
    "what moves": transfers.moving,
    "transfers": transfers.transfers,
    "transfers, further on": lambda ledger: transfers.transfers(ledger, after="9"),
    "transfers that are open": lambda ledger: transfers.transfers(ledger, open_only=True),
    "a transfer": lambda ledger: transfers.transfer(ledger, 3),
    "a file's way": lambda ledger: timeline.timeline(ledger, 2_000),
    "places": places.places,
    "workers": crew.workers,
    "what people did": audit.acts,
    "what one person did": lambda ledger: audit.acts(ledger, person="anne1"),
    "rounds": rounds.rounds,
}


@pytest.mark.parametrize("name", _QUESTIONS)
def test_no_question_reads_a_large_table_as_a_whole(year: tuple[Ledger, Full], name: str) -> None:
    """However much the ledger holds, an index leads to what is asked, on both databases."""
    ledger, _ = year
    with plans.watching(ledger.engine) as asked:
        _QUESTIONS[name](ledger)
    assert asked
    assert plans.scans(ledger.engine, asked, small=True) == []


@pytest.mark.parametrize("name", _QUESTIONS)
def test_every_number_is_a_whole_one(year: tuple[Ledger, Full], name: str) -> None:
    """A sum is no decimal on any database: the API says whole numbers, and the metrics count with them."""
    ledger, _ = year
    found = list(_values(_QUESTIONS[name](ledger)))
    assert found
    assert not [one for one in found if isinstance(one, Decimal)]


def test_the_sums_of_a_route_are_whole_numbers(year: tuple[Ledger, Full]) -> None:
    """The same of what the command and the metrics read."""
    ledger, _ = year
    assert not [one for one in _values(reports.summary(ledger)) if isinstance(one, Decimal)]


def _values(answer: Any) -> Iterator[Any]:
    """Every value within an answer."""
    if is_dataclass(answer):
        for one in fields(answer):
            yield from _values(getattr(answer, one.name))
    elif isinstance(answer, (list, tuple)):
        for one in answer:
            yield from _values(one)
    else:
        yield answer


def test_a_question_without_an_index_is_noticed(year: tuple[Ledger, Full]) -> None:
    """The look at the plans is worth something: it finds a whole reading where there is one."""
    ledger, _ = year
    with plans.watching(ledger.engine) as asked, ledger.reading() as connection:
        connection.execute(text("SELECT count(*) FROM items WHERE md5 = 'x'"))
        connection.execute(text("SELECT events.id FROM events WHERE events.why = 'x'"))
        connection.execute(text("SELECT items.id FROM items WHERE items.id = 7"))
    found = plans.scans(ledger.engine, asked, small=True)
    assert len(found) == 2
    assert "items" in found[0]
    assert "events" in found[1]


def test_the_first_page_counts_what_the_lists_show(year: tuple[Ledger, Full]) -> None:
    """The first page's sums and the lists' lengths are of the same rows."""
    ledger, full = year
    page = overview.overview(ledger)
    held = _all(lambda **where: sessions.files(ledger, held=True, **where))
    waiting = [row for row in _files_on_their_way(ledger) if row.hold is None]
    assert sum(route.held_files for route in page.routes) == len(held) == page.check.held_files
    assert sum(route.backlog_files for route in page.routes) == len(held) + len(waiting)
    assert sum(route.backlog_bytes for route in page.routes) == sum(row.size for row in (*held, *waiting))
    assert sum(place.backlog_files for place in page.places) == len(held) + len(waiting)
    assert sum(cause.files for cause in page.causes) == sum(1 for row in (*held, *waiting) if row.error)
    assert [one.id for one in page.moving] == [one.id for one in transfers.moving(ledger)]
    assert page.check.rows_without_owner == 0
    assert full.items > len(held) + len(waiting) > 0


def _files_on_their_way(ledger: Ledger) -> list[Any]:
    statuses = ("discovered", "registered", "planned", "sent", "verified", "published")
    asked = (_all(lambda **where: sessions.files(ledger, status=status, **where)) for status in statuses)  # noqa: B023
    return [row for rows in asked for row in rows]


def _all(ask: Callable[..., Any]) -> list[Any]:
    rows: list[Any] = []
    after = None
    while True:
        page = ask(after=after, limit=200)
        assert page.after != after or after is None
        rows += page.rows
        if page.after is None:
            return rows
        after = page.after


_SPOILT = (
    "status = 'lost'",
    "status = 'recorded'",
    "batch = 1",
    "batch = NULL",
    "partial = NULL",
    "proof = NULL",
    "not_before = NULL",
    "not_before = '2999-01-01 00:00:00'",
    "open = NULL",
    "hold = 'x', hold_text = ''",
)


def test_the_first_page_counts_every_row_that_the_sanity_round_would_mend(tmp_path: Path) -> None:
    """What is counted by one question is what the round finds by many, whatever was done to the rows."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    first = fill(ledger.engine, 1_200).first_open
    for step, what in enumerate(_SPOILT):
        with ledger.writing() as connection:
            where = f"open = 1 AND id > {2 * first} AND id % 20 = {2 * step % 20}"
            connection.execute(text(f"UPDATE items SET {what} WHERE {where}"))
        rows = {(odd.subject, odd.id) for odd in sanity.find(ledger)}
        assert reports.check(ledger).rows_without_owner == len(rows) > 0
    assert len({odd.name for odd in sanity.find(ledger)}) >= 8
    ledger.engine.dispose()


def test_states_share_out_the_sessions(year: tuple[Ledger, Full]) -> None:
    """Every session that has files is found by one state at least, and new ones by no other."""
    ledger, full = year
    found = {
        state: {
            row.id
            for row in _all(lambda **where: sessions.sessions(ledger, Wanted(state=state), **where))  # noqa: B023
        }
        for state in State
    }
    everything = {row.id for row in _all(lambda **where: sessions.sessions(ledger, Wanted(), **where))}
    assert set.union(*found.values()) == everything
    assert not found[State.NEW] & (found[State.MOVING] | found[State.ARRIVED])
    assert not found[State.ARRIVED] & (found[State.MOVING] | found[State.HELD])
    assert len(everything) > full.items // FILES


def test_the_beginning_of_a_subject_finds_exactly_those_that_begin_so(year: tuple[Ledger, Full]) -> None:
    """Signs and case count, as they are written: no database's collation and no pattern has a say."""
    ledger, _ = year
    rows = _all(lambda **where: sessions.sessions(ledger, Wanted(), **where))
    subjects = {row.id: row.session.split("/")[0] for row in rows}
    for beginning in ("0", "03", "03_", "03_0", "03_001", "03_00%", "_", "%", "03-", "03`", "１"):
        found = _all(lambda **where: sessions.sessions(ledger, Wanted(subject=beginning), **where))  # noqa: B023
        assert {row.id for row in found} == {
            one for one, name in subjects.items() if name.startswith(beginning)
        }


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)


@given(beginning=_TEXT, other=_TEXT)
@example(beginning="a\U0010ffff", other="b")
@example(beginning="\ud7ff", other="\ue000")
def test_the_range_of_a_beginning_has_all_that_begin_so_and_nothing_else(beginning: str, other: str) -> None:
    """Letter by letter: what begins so lies between the beginning and the first text behind all of them."""
    behind = behind_all(beginning)
    for one in (other, beginning, beginning + other):
        inside = one >= beginning and (behind is None or one < behind)
        assert inside == one.startswith(beginning)
