"""What people did: the events whose actor is a person."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text

from transfer.ledger.glance.pages import Page, number, paged
from transfer.ledger.guarded import chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import BY_A_PERSON, copies, datasets, events, items, sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """One thing a person did.  `name` is the thing's name for people."""

    id: int
    at: datetime
    person: str
    what: str
    subject: str
    subject_id: str
    name: str
    was: str | None
    became: str | None
    why: str | None


def acts(
    ledger: Ledger, *, person: str | None = None, after: str | None = None, limit: int = 50
) -> Page[Act]:
    """The newest first."""
    query = select(events).where(text(BY_A_PERSON)).order_by(events.c.id.desc())
    if person is not None:
        query = query.where(events.c.actor == f"person:{person}")
    if after is not None:
        query = query.where(events.c.id < number(after))
    with ledger.reading() as connection:
        found = connection.execute(query.limit(limit + 1)).all()
        names = _names(connection, [(row.subject, row.subject_id) for row in found])
    rows = [
        Act(
            id=row.id,
            at=row.at,
            person=row.actor.removeprefix("person:"),
            what=row.what,
            subject=row.subject,
            subject_id=row.subject_id,
            name=names.get((row.subject, row.subject_id), row.subject_id),
            was=row.was,
            became=row.became,
            why=row.why,
        )
        for row in found
    ]
    return paged(rows, limit, lambda last: last.id)


def _names(connection: Connection, subjects: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What people call these things; those that go by their names already are left out."""
    names = {}
    for some in chunks(_ids(subjects, "session")):
        query = select(sessions.c.id, sessions.c.path).where(sessions.c.id.in_(some))
        names.update({("session", str(row.id)): row.path for row in connection.execute(query)})
    for some in chunks(_ids(subjects, "item")):
        query = (
            select(items.c.id, sessions.c.path.label("session"), datasets.c.path)
            .join(copies, copies.c.id == items.c.copy)
            .join(datasets, datasets.c.id == copies.c.dataset)
            .join(sessions, sessions.c.id == datasets.c.session)
            .where(items.c.id.in_(some))
        )
        found = connection.execute(query)
        names.update({("item", str(row.id)): f"{row.session}/{row.path}" for row in found})
    names.update({("batch", one): f"batch {one}" for kind, one in subjects if kind == "batch"})
    return names


def _ids(subjects: list[tuple[str, str]], kind: str) -> list[int]:
    return sorted({int(one) for of, one in subjects if of == kind and one.isdigit()})
