"""Gathers from the ledger what explains one file or one session; `transfer.progress` makes the sentence."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, or_, select

from transfer.errors import NothingFound
from transfer.ledger import reports
from transfer.ledger.bandwidth import quiet_reason
from transfer.ledger.due import WITHOUT_ALYX
from transfer.ledger.endpoints import ALYX
from transfer.ledger.files import FileRow
from transfer.ledger.finding import Target
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import (
    OPEN,
    batches,
    copies,
    datasets,
    endpoints,
    events,
    items,
    receipts,
    sessions,
)
from transfer.progress import (
    Carriage,
    End,
    Endpoint,
    Explanation,
    FileFacts,
    Lease,
    SessionFacts,
    Visit,
    explain,
    explain_session,
)
from transfer.status import ENDS, JOURNEY, Status

_QUEUE = 1000


def why(ledger: Ledger, target: Target) -> Explanation:
    """Explain a file or a session."""
    if target.kind == "session":
        return explain_session(session_facts(ledger, target.row))
    return explain(file_facts(ledger, target.row, item=target.item))


def file_facts(ledger: Ledger, dataset: int, *, item: int | None = None) -> FileFacts:
    """What bears on one file: on its newest item, or on the `item` named.  Raises `NothingFound`."""
    rows = reports.files(ledger, dataset=dataset, item=item)
    if not rows:
        raise NothingFound("the ledger has no such file", to=f"dataset {dataset}")
    return _file_facts(ledger, rows[-1])


def session_facts(ledger: Ledger, session: int) -> SessionFacts:
    """What bears on one session.  Raises `NothingFound`."""
    rows = reports.sessions(ledger, session=session)
    if not rows:
        raise NothingFound("the ledger has no such session", to=f"session {session}")
    tally = rows[0]
    with ledger.reading() as connection:
        now = ledger.now(connection)
        visit = _visit(connection, ledger, session, now)
        dataset = connection.scalar(_foremost(session))
    return SessionFacts(
        now=now,
        visit=visit,
        files=tally.files,
        recorded=tally.recorded,
        waiting=tally.waiting,
        held=tally.held,
        unregistrable=tally.unregistrable,
        foremost=file_facts(ledger, dataset) if dataset is not None else None,
    )


def _foremost(session: int) -> Any:
    """The file that says best why a session is not done: a held one, else the one furthest from its end."""
    is_open = items.c.open == OPEN
    trouble = and_(datasets.c.unregistrable.startswith("[E-"), datasets.c.gone_at.is_(None))
    order = case(
        {status.value: place for place, status in enumerate(JOURNEY)}, value=items.c.status, else_=-1
    )
    return (
        select(datasets.c.id)
        .outerjoin(copies, copies.c.dataset == datasets.c.id)
        .outerjoin(items, and_(items.c.copy == copies.c.id, is_open))
        .where(datasets.c.session == session, or_(is_open, trouble))
        .order_by(
            case((items.c.hold.is_not(None), 0), else_=1), order, items.c.not_before.desc(), datasets.c.id
        )
        .limit(1)
    )


def _file_facts(ledger: Ledger, row: FileRow) -> FileFacts:
    known = row.status in set(Status)
    status = Status(row.status) if known else None
    with ledger.reading() as connection:
        now = ledger.now(connection)
        session = connection.scalar(select(datasets.c.session).where(datasets.c.id == row.id))
        assert session is not None
        return FileFacts(
            now=now,
            name=f"{row.session}/{row.relative_path}",
            visit=_visit(connection, ledger, session, now),
            status=status,
            item=row.item if known else None,
            hold=row.hold,
            hold_text=row.hold_text,
            not_before=row.not_before,
            tries=row.tries,
            error_text=row.error_text,
            carriage=_carriage(connection, ledger, row.batch, now, alyx=status not in WITHOUT_ALYX)
            if row.batch and status not in ENDS
            else None,
            end=_end(connection, row, status) if status in ENDS else None,
            unregistrable=row.unregistrable,
            gone_at=row.gone_at,
        )


def _lease(row: Row[Any], now: datetime) -> Lease | None:
    if row.lease_until is None or row.lease_until <= now:
        return None
    return Lease(holder=row.lease_holder or "unknown", until=row.lease_until)


def _visit(connection: Connection, ledger: Ledger, session: int, now: datetime) -> Visit:
    row = connection.execute(select(sessions).where(sessions.c.id == session)).one()
    return Visit(
        path=row.path,
        hold=row.hold,
        hold_text=row.hold_text,
        not_before=row.not_before,
        lease=_lease(row, now),
        error_text=row.error_text,
        looked_at=row.looked_at,
        complete_at=row.complete_at,
        by_alyx=row.origin == "alyx",
        endpoints=_endpoints(connection, (row.source, ALYX)),
        ahead=_ahead(connection, ledger, "session", row),
    )


def _carriage(connection: Connection, ledger: Ledger, batch: int, now: datetime, *, alyx: bool) -> Carriage:
    """The batch; its next step needs both ends, and `alyx` or not."""
    names = (ALYX,) if alyx else ()
    row = connection.execute(select(batches).where(batches.c.id == batch)).one()
    return Carriage(
        id=row.id,
        note=row.note,
        not_before=row.not_before,
        cancel_at=row.cancel_at,
        lease=_lease(row, now),
        error_text=row.error_text,
        endpoints=_endpoints(connection, (row.source, row.target, *names)),
        ahead=_ahead(connection, ledger, "batch", row),
    )


def _endpoints(connection: Connection, names: Sequence[str]) -> tuple[Endpoint, ...]:
    found = connection.execute(
        select(endpoints.c.name, endpoints.c.paused_by, endpoints.c.pause_reason, endpoints.c.retry_at).where(
            endpoints.c.name.in_(names)
        )
    )
    states = {
        row.name: Endpoint(**row._mapping, quiet=quiet_reason(connection, row.name) if row.retry_at else None)
        for row in found
    }
    return tuple(states.get(name, Endpoint(name=name)) for name in names)


def _ahead(connection: Connection, ledger: Ledger, kind: Literal["session", "batch"], row: Row[Any]) -> int:
    """How many a worker would claim before this one, at most `_QUEUE`; the order is that of the claims."""
    due = ledger.due(kind, limit=_QUEUE)
    if kind == "batch":
        before = or_(
            batches.c.priority > row.priority,
            and_(batches.c.priority == row.priority, batches.c.id < row.id),
        )
        query = select(func.count()).select_from(batches).where(batches.c.id.in_(due), before)
    else:
        query = select(func.count()).select_from(sessions).where(sessions.c.id.in_(due), _earlier(row))
    return connection.scalar(query) or 0


def _earlier(row: Row[Any]) -> ColumnElement[bool]:
    """What a person put first, then sessions nobody rang for, then the longest waiting."""
    return or_(sessions.c.priority > row.priority, and_(sessions.c.priority == row.priority, _longer(row)))


def _longer(row: Row[Any]) -> ColumnElement[bool]:
    same = and_(sessions.c.not_before.is_not_distinct_from(row.not_before), sessions.c.id < row.id)
    if row.not_before is None:
        return same
    return or_(sessions.c.not_before.is_(None), sessions.c.not_before < row.not_before, same)


def _end(connection: Connection, row: FileRow, status: Status | None) -> End:
    assert row.since is not None, f"item {row.item} has no moment"
    assert row.item is not None
    if status is Status.RECORDED:
        receipt = connection.scalar(
            select(receipts.c.id).where(receipts.c.item == row.item, receipts.c.kind == "arrival")
        )
        return End(at=row.since, proof=row.proof, receipt=receipt)
    if status is Status.SUPERSEDED:
        copy = select(items.c.copy).where(items.c.id == row.item).scalar_subquery()
        successor = connection.scalar(
            select(func.min(items.c.id)).where(items.c.copy == copy, items.c.id > row.item)
        )
        return End(at=row.since, successor=successor)
    told = connection.execute(
        select(events.c.actor, events.c.why)
        .where(
            events.c.subject == "item",
            events.c.subject_id == str(row.item),
            events.c.became == Status.ABANDONED,
        )
        .order_by(events.c.id.desc())
        .limit(1)
    ).first()
    return End(at=row.since, by=told.actor if told else None, why=told.why if told else None)
