"""What needs a person, each with one sentence and one action: the head of the first page.

In this order: incidents, paused endpoints, held sessions, held files, files that cannot be moved as they are.  What a
person stopped on purpose (cancelled, paused) is no matter that needs one.  More than `_APART` of one kind in one lab
are one matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from transfer.errors import BY_NAME, CATALOGUE, Cure
from transfer.ledger.files import TROUBLE
from transfer.ledger.incidents import Incident, standing
from transfer.ledger.scopes import CANCELLED, PAUSED
from transfer.ledger.tables import OPEN, copies, datasets, endpoints, items, sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class Matter:
    """One thing that needs a person: one sentence and one action.

    `kind` is incident, endpoint, session, file, or `files` for many held files of one hold in one lab.  `target`
    is what the action is for, as `transfer.ledger.finding` reads it.  `action` is release, retry or resume, None
    where only the world can be mended.  `page` is where the dashboard shows it.
    """

    kind: str
    name: str
    target: str | None
    sentence: str
    action: str | None
    files: int
    since: datetime | None
    code: str | None
    page: str = "/held"


SHOWN = 20
"""So many are shown at once."""

_APART = 3
_MOST = 200  # of each kind
_ON_PURPOSE = (CANCELLED, PAUSED)


def asked(connection: Connection) -> tuple[Matter, ...]:
    """All of them within a transaction that stands, at most `_MOST` of a kind."""
    paused = {row.name for row in connection.execute(_PAUSED)}
    return (
        *(
            _incident(one)
            for one in standing(connection)
            if one.endpoint not in paused and _for_a_person(one)
        ),
        *(_endpoint(row) for row in connection.execute(_PAUSED)),
        *_held(connection, _SESSIONS, "session", _session),
        *_held(connection, _FILES, "file", _file),
        *(_trouble(row) for row in connection.execute(_TROUBLES)),
    )


def _for_a_person(incident: Incident) -> bool:
    kind = CATALOGUE.get(incident.code)
    return kind is None or kind.cure in (Cure.PERSON, Cure.NOTHING)


def _incident(one: Incident) -> Matter:
    return Matter(
        kind="incident",
        name=one.endpoint,
        target=f"endpoint:{one.endpoint}",
        sentence=one.text,
        action="retry",
        files=one.files,
        since=one.first_at,
        code=one.code,
        page=_PLACES,
    )


_PAUSED = select(endpoints).where(endpoints.c.paused_by.is_not(None)).order_by(endpoints.c.name)


def _endpoint(row: Row[Any]) -> Matter:
    by = row.paused_by.removeprefix("person:")
    return Matter(
        kind="endpoint",
        name=row.name,
        target=f"endpoint:{row.name}",
        sentence=f"{row.name} is paused by {by}: {row.pause_reason or 'no reason was given'}",
        action="resume",
        files=0,
        since=None,
        code=None,
        page=_PLACES,
    )


_PLACES = "/endpoints"


_SESSIONS = (
    select(
        sessions.c.lab,
        sessions.c.hold,
        func.count().label("files"),
        func.min(sessions.c.id).label("id"),
        func.min(sessions.c.looked_at, type_=sessions.c.looked_at.type).label("since"),
    )
    .where(sessions.c.hold.is_not(None), sessions.c.hold.not_in(_ON_PURPOSE))
    .group_by(sessions.c.lab, sessions.c.hold)
    .order_by(func.count().desc(), sessions.c.lab, sessions.c.hold)
)
_FILES = (
    select(
        sessions.c.lab,
        items.c.hold,
        func.count().label("files"),
        func.min(items.c.since, type_=items.c.since.type).label("since"),
    )
    .select_from(items)
    .join(copies, copies.c.id == items.c.copy)
    .join(datasets, datasets.c.id == copies.c.dataset)
    .join(sessions, sessions.c.id == datasets.c.session)
    .where(items.c.open == OPEN, items.c.hold.is_not(None), items.c.hold.not_in(_ON_PURPOSE))
    .group_by(sessions.c.lab, items.c.hold)
    .order_by(func.count().desc(), sessions.c.lab, items.c.hold)
)


def _held(connection: Connection, groups: Select[Any], what: str, each: Any) -> Iterator[Matter]:
    for group in connection.execute(groups.limit(_MOST)).all():
        if group.files <= _APART:
            yield from each(connection, group)
            continue
        kind = BY_NAME.get(group.hold)
        cause = f"{kind.cause} {kind.remedy}" if kind else group.hold
        yield Matter(
            kind=f"{what}s",
            name=group.lab,
            target=None,
            sentence=f"{group.files} {what}s of {group.lab} are held: {cause}",
            action=None,
            files=group.files,
            since=group.since,
            code=kind.code if kind else None,
        )


def _session(connection: Connection, group: Row[Any]) -> Iterator[Matter]:
    query = select(sessions).where(sessions.c.hold == group.hold, sessions.c.lab == group.lab)
    for row in connection.execute(query.order_by(sessions.c.id)):
        yield Matter(
            kind="session",
            name=row.path,
            target=f"session:{row.id}",
            sentence=row.hold_text or row.hold,
            action="release",
            files=0,
            since=row.looked_at,
            code=_code(row.hold),
            page=f"/sessions/{row.id}",
        )


def _file(connection: Connection, group: Row[Any]) -> Iterator[Matter]:
    query = (
        select(items, sessions.c.path.label("session"), datasets.c.path, datasets.c.id.label("dataset"))
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(items.c.open == OPEN, items.c.hold == group.hold, sessions.c.lab == group.lab)
        .order_by(items.c.id)
    )
    for row in connection.execute(query):
        yield Matter(
            kind="file",
            name=f"{row.session}/{row.path}",
            target=f"item:{row.id}",
            sentence=row.hold_text or row.hold,
            action="release",
            files=1,
            since=row.since,
            code=_code(row.hold),
            page=f"/files/{row.dataset}",
        )


_CODE = func.substr(datasets.c.unregistrable, 2, 6)
_TROUBLES = (
    select(
        sessions.c.lab,
        _CODE.label("code"),
        func.count().label("files"),
        func.min(datasets.c.id).label("id"),
        func.min(sessions.c.path).label("session"),
        func.min(datasets.c.path).label("path"),
        func.min(datasets.c.unregistrable).label("text"),
    )
    .join(sessions, sessions.c.id == datasets.c.session)
    .where(TROUBLE, datasets.c.unregistrable.is_not(None), datasets.c.gone_at.is_(None))
    .group_by(sessions.c.lab, _CODE)
    .order_by(func.count().desc(), sessions.c.lab, _CODE)
    .limit(_MOST)
)


def _trouble(row: Row[Any]) -> Matter:
    """Only somebody at the lab can cure it; afterwards the file is looked at again."""
    kind = CATALOGUE.get(row.code)
    several = (
        f"{row.files} files of {row.lab} cannot be moved: {kind.cause} {kind.remedy}" if kind else row.text
    )
    return Matter(
        kind="file" if row.files == 1 else "files",
        name=f"{row.session}/{row.path}" if row.files == 1 else row.lab,
        target=f"file:{row.id}" if row.files == 1 else None,
        sentence=row.text.removeprefix(f"[{row.code}] ") if row.files == 1 else several,
        action="retry" if row.files == 1 else None,
        files=row.files,
        since=None,
        code=row.code,
        page=f"/files/{row.id}" if row.files == 1 else "/held",
    )


def _code(hold: str) -> str | None:
    kind = BY_NAME.get(hold)
    return kind.code if kind else None
