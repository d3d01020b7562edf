"""Incidents: one cause behind many failures is one row, with the number of files that wait for it.

What makes failures one incident is the error's code and the endpoint it speaks of.  At most one is open for both.

    a failure of the whole endpoint   opens one with all that waits there; it ends when the endpoint answers, or, where
                                      a person must act, when they resume it
    many files failing alike          wait together, unheld and without spending tries; the first of them that goes on
                                      makes the others due, and with the last of them the incident ends

The files are found by what they carry: an open item's `error`, at the endpoint.  Nothing is counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, update

from transfer.errors import CATALOGUE, Cure, Reach, TransferError
from transfer.ledger.engine import insert_into
from transfer.ledger.guarded import Guarded
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, copies, datasets, incidents, items, sessions

_ALYX = "alyx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """One cause, what it says, and how many files wait for it."""

    id: int
    code: str
    endpoint: str
    text: str
    files: int
    first_at: datetime
    last_at: datetime
    closed_at: datetime | None = None

    @property
    def name(self) -> str:
        """The error's name; the code where no such error is known any more."""
        kind = CATALOGUE.get(self.code)
        return kind.name if kind else self.code


_FIELDS = tuple(incidents.c[name] for name in Incident.__dataclass_fields__)


def current(ledger: Ledger, endpoint: str | None = None) -> list[Incident]:
    """The open incidents, the oldest first."""
    with ledger.reading() as connection:
        return standing(connection, endpoint)


def standing(connection: Connection, endpoint: str | None = None) -> list[Incident]:
    """The same within a transaction that stands."""
    query = select(*_FIELDS).where(incidents.c.open == OPEN).order_by(incidents.c.id)
    if endpoint is not None:
        query = query.where(incidents.c.endpoint == endpoint)
    return [Incident(**row._mapping) for row in connection.execute(query)]


def recent(ledger: Ledger, *, since: datetime, limit: int = 100) -> list[Incident]:
    """Incidents that were open at any moment since then, the newest first."""
    with ledger.reading() as connection:
        rows = connection.execute(
            select(*_FIELDS)
            .where(or_(incidents.c.open == OPEN, incidents.c.closed_at >= since))
            .order_by(incidents.c.id.desc())
            .limit(limit)
        )
        return [Incident(**row._mapping) for row in rows]


def open_among(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of these endpoints that have an open incident."""
    query = select(incidents.c.endpoint).where(incidents.c.open == OPEN, incidents.c.endpoint.in_(names))
    return sorted(set(connection.scalars(query)))


def for_a_person(connection: Connection) -> tuple[str, ...]:
    """Code and endpoint of the open incidents that time alone does not cure."""
    found = (incident for incident in standing(connection, None) if incident.code in CATALOGUE)
    return tuple(
        f"{incident.code} at {incident.endpoint}"
        for incident in found
        if CATALOGUE[incident.code].cure in (Cure.PERSON, Cure.NOTHING)
    )


def is_open(ledger: Ledger, code: str, endpoint: str) -> bool:
    return any(incident.code == code for incident in current(ledger, endpoint))


def note(ledger: Ledger, error: TransferError, endpoint: str) -> Incident:
    """Open the incident, or go on with the one that is open; its files are counted anew."""
    with ledger.unguarded() as tx:
        key = f"{error.code} {endpoint}"
        opened = tx.connection.execute(
            insert_into(tx.connection, incidents)
            .values(
                key=key,
                code=error.code,
                endpoint=endpoint,
                text=error.sentence,
                files=0,
                first_at=tx.now,
                last_at=tx.now,
                open=1,
            )
            .on_conflict_do_nothing()
        )
        row = tx.connection.execute(
            update(incidents)
            .where(incidents.c.key == key, incidents.c.open == OPEN)
            .values(text=error.sentence, last_at=tx.now, files=_count(tx.connection, error.code, endpoint))
            .returning(*_FIELDS)
        ).one()
        if opened.rowcount == 1:
            tx.log("incident", [(row.id, "opened", None, None, error.sentence)], {"code": error.code})
        return Incident(**row._mapping)


def let_wait(ledger: Ledger, incident: Incident, *, until: datetime, but: Sequence[int]) -> None:
    """None of the incident's files is tried before `until`, except those in `but`."""
    with ledger.writing() as connection:
        connection.execute(
            update(items)
            .where(
                _carries(incident.code, incident.endpoint),
                items.c.id.not_in(but),
                items.c.not_before < until,
            )
            .values(not_before=until)
        )


def heard_from(ledger: Ledger, endpoint: str) -> None:
    """Something went well at the endpoint: end what is over, and go on with what is being cured."""
    with ledger.unguarded() as tx:
        for incident in standing(tx.connection, endpoint):
            kind = CATALOGUE.get(incident.code)
            if kind is not None and kind.reach is Reach.ENDPOINT:
                if kind.cure in (Cure.TIME, Cure.FRESH_CONNECTION):
                    _end(tx, [incident])
                continue
            _look_at(tx, incident)


def look_at_all(ledger: Ledger) -> None:
    """End incidents of files that are all gone: a person released or abandoned them."""
    for incident in current(ledger):
        kind = CATALOGUE.get(incident.code)
        if kind is None or kind.reach is not Reach.ENDPOINT:
            with ledger.unguarded() as tx:
                _look_at(tx, incident)


def _look_at(tx: Guarded, incident: Incident) -> None:
    left = _count(tx.connection, incident.code, incident.endpoint)
    if left == 0:
        _end(tx, [incident])
    elif left < incident.files:
        _go_on(tx, incident)
        tx.connection.execute(update(incidents).where(incidents.c.id == incident.id).values(files=left))


def close(tx: Guarded, endpoint: str) -> None:
    """A person resumed the endpoint: its incidents are over, and their files are due."""
    over = standing(tx.connection, endpoint)
    for incident in over:
        _go_on(tx, incident)
    _end(tx, over)


def _end(tx: Guarded, over: Sequence[Incident]) -> None:
    for incident in over:
        ended = tx.connection.execute(
            update(incidents)
            .where(incidents.c.id == incident.id, incidents.c.open == OPEN)
            .values(open=None, closed_at=tx.now)
        )
        if ended.rowcount:
            tx.log("incident", [(incident.id, "closed", None, None, incident.text)], {"code": incident.code})


def _go_on(tx: Guarded, incident: Incident) -> None:
    tx.connection.execute(
        update(items)
        .where(_carries(incident.code, incident.endpoint), items.c.not_before > tx.now)
        .values(not_before=tx.now)
    )


def _count(connection: Connection, code: str, endpoint: str) -> int:
    """How many files wait: all of an endpoint's where the failure is the endpoint's, else those that carry it."""
    kind = CATALOGUE.get(code)
    whole = kind is not None and kind.reach is Reach.ENDPOINT
    condition = _touching(endpoint) if whole else _carries(code, endpoint)
    return connection.scalar(select(func.count()).select_from(items).where(_WAITS, condition)) or 0


_WAITS = and_(items.c.open == OPEN, items.c.hold.is_(None))


def _carries(code: str, endpoint: str) -> ColumnElement[bool]:
    return and_(_WAITS, items.c.error == code, _touching(endpoint))


def _touching(endpoint: str) -> ColumnElement[bool]:
    """The condition that an item comes from or goes to the endpoint."""
    if endpoint == _ALYX:
        return true()
    return items.c.copy.in_(
        select(copies.c.id)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(or_(copies.c.repository == endpoint, sessions.c.source == endpoint))
    )
