"""What needs a person, as the notices tell it: counted by lab and cause, so that a thousand held files are one concern.

Incidents that time does not cure, paused places, what is held, files that cannot be moved as they are, a bad night,
machines whose workers fell silent, and what is wrong with the ledger itself.  Nothing is left out for being many.  What
time alone cures is no concern until it has lasted too long, and what a person holds on purpose is none.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from transfer.errors import BY_NAME, CATALOGUE, Cure
from transfer.ledger.files import TROUBLE
from transfer.ledger.glance.crew import SILENT_AFTER
from transfer.ledger.health import Check, check
from transfer.ledger.ledger import Ledger
from transfer.ledger.scopes import CANCELLED, PAUSED
from transfer.ledger.tables import (
    OPEN,
    copies,
    datasets,
    endpoints,
    hours,
    incidents,
    items,
    sessions,
    workers,
)
from transfer.notices import Concern

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_ON_PURPOSE = (CANCELLED, PAUSED)
_LONGEST_KEY = 180
_READ = "Read why it waits: alyx-transfer held"


@dataclass(frozen=True)
class _Look:
    """One reading transaction.  `labs` names the lab of each lab repository."""

    connection: Connection
    now: datetime
    labs: Mapping[str, str]
    paused: dict[str, Any] = field(default_factory=dict)


def concerns(
    ledger: Ledger, *, labs: Mapping[str, str] | None = None, old_after: timedelta = _DAY
) -> list[Concern]:
    """Everything that needs a person, in no order.  `labs` names the labs of repositories not seen yet."""
    whole = check(ledger)
    with ledger.reading() as connection:
        seen = connection.execute(select(sessions.c.source, sessions.c.lab).distinct())
        named = {**(labs or {}), **{row.source: row.lab for row in seen}}
        look = _Look(connection, ledger.now(connection), named)
        return [
            *_paused(look),
            *_incidents(look),
            *_held(look, "session", _HELD_SESSIONS),
            *_held(look, "file", _HELD_FILES),
            *_troubles(look),
            *(_late(look, old_after) if _any_old(look, whole, old_after) else ()),
            *_silent_machines(look),
            *_of_the_ledger(whole),
        ]


def _paused(look: _Look) -> Iterator[Concern]:
    for row in look.connection.execute(select(endpoints).where(endpoints.c.paused_by.is_not(None))):
        look.paused[row.name] = row
        by = row.paused_by.removeprefix("person:")
        yield _concern(
            f"paused {row.name}",
            look.labs.get(row.name),
            f"{row.name} is paused by {by}: {row.pause_reason or 'no reason was given'}",
            f"When the reason is gone: alyx-transfer resume {row.name}",
        )


def _incidents(look: _Look) -> Iterator[Concern]:
    """Those that time does not cure; at a paused place the pause is told."""
    for row in look.connection.execute(select(incidents).where(incidents.c.open == OPEN)):
        kind = CATALOGUE.get(row.code)
        if row.endpoint in look.paused or (kind and kind.cure in (Cure.TIME, Cure.FRESH_CONNECTION)):
            continue
        yield _concern(
            f"incident {row.code} {row.endpoint}",
            look.labs.get(row.endpoint),
            f"{_files(row.files)} at {row.endpoint} for one cause: [{row.code}] {row.text}",
            kind.remedy if kind else _READ,
            files=row.files,
            since=row.first_at,
        )


def _held(look: _Look, what: str, query: Select[Any]) -> Iterator[Concern]:
    for row in look.connection.execute(query):
        kind = BY_NAME.get(row.hold)
        yield _concern(
            f"held {what} {row.lab} {row.hold}",
            row.lab,
            f"{_count(row.files, what)} of {row.lab} {_is(row.files)} held: {kind.cause if kind else row.hold}",
            kind.remedy if kind else _READ,
            files=row.files,
            since=row.since,
        )


_HELD_SESSIONS = (
    select(
        sessions.c.lab,
        sessions.c.hold,
        func.count().label("files"),
        func.min(sessions.c.looked_at, type_=sessions.c.looked_at.type).label("since"),
    )
    .where(sessions.c.hold.is_not(None), sessions.c.hold.not_in(_ON_PURPOSE))
    .group_by(sessions.c.lab, sessions.c.hold)
)
_ITEMS = (
    items.join(copies, copies.c.id == items.c.copy)
    .join(datasets, datasets.c.id == copies.c.dataset)
    .join(sessions, sessions.c.id == datasets.c.session)
)
_HELD_FILES = (
    select(
        sessions.c.lab,
        items.c.hold,
        func.count().label("files"),
        func.min(items.c.since, type_=items.c.since.type).label("since"),
    )
    .select_from(_ITEMS)
    .where(items.c.open == OPEN, items.c.hold.is_not(None), items.c.hold.not_in(_ON_PURPOSE))
    .group_by(sessions.c.lab, items.c.hold)
)


def _troubles(look: _Look) -> Iterator[Concern]:
    """Files that cannot be moved as they are, and that somebody can cure."""
    code = func.substr(datasets.c.unregistrable, 2, 6)
    query = (
        select(sessions.c.lab, code.label("code"), func.count().label("files"))
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(TROUBLE, datasets.c.gone_at.is_(None))
        .group_by(sessions.c.lab, code)
    )
    for row in look.connection.execute(query):
        kind = CATALOGUE.get(row.code)
        yield _concern(
            f"trouble {row.lab} {row.code}",
            row.lab,
            f"{_files(row.files)} of {row.lab} cannot be moved: {kind.cause if kind else row.code}",
            kind.remedy if kind else _READ,
            files=row.files,
        )


def _any_old(look: _Look, whole: Check, old_after: timedelta) -> bool:
    """Whether the oldest is old, which an index tells: to count by route, every open file is looked at."""
    return whole.oldest_unsent is not None and look.now - whole.oldest_unsent > old_after


def _late(look: _Look, old_after: timedelta) -> Iterator[Concern]:
    """A bad night: what waits unheld is too old; whether nothing arrived at all is told with it."""
    query = (
        select(
            sessions.c.source,
            copies.c.repository.label("target"),
            func.count().label("files"),
            func.min(items.c.created_at, type_=items.c.created_at.type).label("oldest"),
        )
        .select_from(_ITEMS)
        .where(items.c.open == OPEN, items.c.hold.is_(None))
        .group_by(sessions.c.source, copies.c.repository)
    )
    arrived = _arrived(look)
    for row in look.connection.execute(query):
        if look.now - row.oldest <= old_after:
            continue
        night = "" if (row.source, row.target) in arrived else " In the last 24 hours nothing arrived."
        yield _concern(
            f"late {row.source} {row.target}",
            look.labs.get(row.source),
            f"{_files(row.files)} from {row.source} to {row.target} {'waits' if row.files == 1 else 'wait'}, "
            f"the oldest for too long.{night}",
            f"Run: alyx-transfer status, and alyx-transfer why {row.source}",
            files=row.files,
            since=row.oldest,
        )


def _arrived(look: _Look) -> set[tuple[str, str]]:
    """The routes on which a file arrived in the last day."""
    day = (look.now - _DAY).replace(minute=0, second=0, microsecond=0)
    query = select(hours.c.source, hours.c.target).where(hours.c.outcome == "arrived", hours.c.hour >= day)
    return {(row.source, row.target) for row in look.connection.execute(query.distinct())}


def _silent_machines(look: _Look) -> Iterator[Concern]:
    """Machines of which no worker lives although one never said that it stops."""
    alive = func.sum(case((workers.c.seen_at >= look.now - SILENT_AFTER, 1), else_=0))
    last = func.max(workers.c.seen_at, type_=workers.c.seen_at.type)
    query = (
        select(workers.c.host, last.label("last"))
        .where(workers.c.stopped_at.is_(None), workers.c.seen_at >= look.now - _WEEK)
        .group_by(workers.c.host)
        .having(alive == 0)
    )
    for row in look.connection.execute(query):
        yield _concern(
            f"silent {row.host}",
            None,
            f"No worker on {row.host} was heard of any more, and none said that it stops",
            "Look at that machine, and start its worker again: alyx-transfer worker",
            since=row.last,
        )


def _of_the_ledger(whole: Check) -> Iterator[Concern]:
    if whole.disk_full:
        do = "Make room on the disk with the ledger; work goes on by itself."
        yield _concern("ledger disk", None, whole.disk_full, do)
    if whole.rows_without_owner:
        count = whole.rows_without_owner
        says = (
            f"{count} row{'s' if count > 1 else ''} of the ledger {'have' if count > 1 else 'has'} no owner"
        )
        do = "A worker mends them within the hour; if this stands longer, run: alyx-transfer doctor"
        yield _concern("ledger rows", None, says, do, files=count)
    if whole.stuck:
        what = f"{_files(whole.stuck_files)} and {_count(whole.stuck_sessions, 'session')}"
        says = f"{what} are due, and nobody takes them"
        do = "See that workers run: alyx-transfer doctor says what keeps them."
        yield _concern("ledger stuck", None, says, do, files=whole.stuck)


def _concern(key: str, lab: str | None, sentence: str, do: str, **more: Any) -> Concern:
    return Concern(key=_fitting(key), lab=lab, sentence=sentence, do=do, **more)


def _fitting(key: str) -> str:
    """A key that fits the column, and stays the same for the same words."""
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _files(count: int) -> str:
    return _count(count, "file")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
