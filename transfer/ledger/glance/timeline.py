"""One file's way: what happened to it, and where its time went.

What a stretch of time is called comes from the events alone.  Files of a batch are sent together: while one waits for
its turn within its batch, its batch is sending, and so is it.  What a worker does with Alyx, registering as well as
recording, is "writing back".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from transfer.errors import NothingFound
from transfer.ledger.guarded import CLAIMED, SENDING
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import copies, datasets, events, items
from transfer.ledger.tables import receipts as receipt_table
from transfer.status import ENDS, Status


class Phase(StrEnum):
    """Where time goes, in the order of the journey."""

    WAITING = "waiting"
    HASHING = "hashing"
    CONNECTING = "connecting"
    SENDING = "sending"
    VERIFYING = "verifying"
    WRITING_BACK = "writing back"


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """One stretch of time; `end` None while it goes on."""

    phase: Phase
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One claim that touched the file, or one failure: what came of it."""

    attempt: str | None
    began_at: datetime
    actor: str
    outcome: str  # a status, or "failed", "given back"
    code: str | None
    text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What was proved about one copy."""

    id: int
    kind: str
    md5: str
    size: int
    proof: str
    proved_at: datetime
    read_back_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """One event, as the ledger wrote it down."""

    id: int
    at: datetime
    what: str
    was: str | None
    became: str | None
    actor: str
    why: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Everything of one file's newest item."""

    dataset: int
    item: int | None
    spans: tuple[Span, ...]
    attempts: tuple[Attempt, ...]
    receipts: tuple[Receipt, ...]
    events: tuple[Happening, ...]


def timeline(ledger: Ledger, dataset: int) -> Timeline:
    """The way of one file.  Raises `NothingFound`."""
    with ledger.reading() as connection:
        file = connection.execute(select(datasets).where(datasets.c.id == dataset)).first()
        if file is None:
            raise NothingFound("the ledger has no such file", to=dataset, do="See the list of sessions.")
        item = connection.execute(_newest(dataset)).first()
        told = _events(connection, item) if item is not None else []
        visit = _visit(connection, file.session, item.created_at) if item is not None else None
        receipts = connection.execute(_receipts(dataset)).all()
    own = [row for row in told if row.subject == "item"]
    return Timeline(
        dataset=dataset,
        item=item.id if item is not None else None,
        spans=spans(visit, item.created_at, told) if item is not None else (),
        attempts=attempts(own),
        receipts=tuple(Receipt(**row._mapping) for row in receipts),
        events=tuple(Happening(**{name: getattr(row, name) for name in _HAPPENING}) for row in own),
    )


_HAPPENING = Happening.__dataclass_fields__


def _newest(dataset: int) -> Any:
    return (
        select(items.c.id, items.c.batch, items.c.created_at)
        .join(copies, copies.c.id == items.c.copy)
        .where(copies.c.dataset == dataset)
        .order_by(items.c.id.desc())
        .limit(1)
    )


def _receipts(dataset: int) -> Any:
    return (
        select(*(receipt_table.c[name] for name in Receipt.__dataclass_fields__))
        .join(copies, copies.c.id == receipt_table.c.copy)
        .where(copies.c.dataset == dataset)
        .order_by(receipt_table.c.id)
    )


def _events(connection: Connection, item: Row[Any]) -> Sequence[Row[Any]]:
    """The item's own events, and those of the batch it travels in, in the order they were written."""
    own = (events.c.subject == "item") & (events.c.subject_id == str(item.id))
    rows = list(connection.execute(select(events).where(own)))
    if item.batch is not None:
        of_batch = (events.c.subject == "batch") & (events.c.subject_id == str(item.batch))
        rows += connection.execute(select(events).where(of_batch, events.c.what.in_(_OF_A_BATCH)))
    return sorted(rows, key=lambda row: row.id)


def _visit(connection: Connection, session: int, found_at: datetime) -> datetime | None:
    """When the visit began at which the file was found."""
    return connection.scalar(
        select(events.c.at)
        .where(
            events.c.subject == "session",
            events.c.subject_id == str(session),
            events.c.what == CLAIMED,
            events.c.at <= found_at,
        )
        .order_by(events.c.id.desc())
        .limit(1)
    )


# ---- where the time went

_SUBMITTED = "submitted"  # to a mover
_OF_A_BATCH = (CLAIMED, SENDING, _SUBMITTED)

_AFTER = {
    Status.SENT: Phase.VERIFYING,
    Status.VERIFIED: Phase.WRITING_BACK,
    Status.PUBLISHED: Phase.WRITING_BACK,
}
"""What the worker that proved a fact does next; at all others somebody must come first."""

_CLAIMED_AT = {Status.PLANNED: Phase.CONNECTING, **_AFTER}


def spans(visit: datetime | None, found_at: datetime, told: Iterable[Any]) -> tuple[Span, ...]:
    """One after the other from the first moment to the last, without gap; the last goes on unless all is done."""
    found: list[Span] = []
    status: str = Status.DISCOVERED
    if visit is not None:
        _turn(found, Phase.HASHING, visit)
    _turn(found, Phase.WRITING_BACK, found_at)
    for row in told:
        if row.became is not None and row.subject == "item":
            status = row.became
        if status in ENDS:
            found[-1] = replace(found[-1], end=max(row.at, found[-1].begin))
            return tuple(found)
        _turn(found, _phase(row, status, found[-1].phase), row.at)
    return tuple(found)


def _phase(row: Any, status: str, now: Phase) -> Phase:
    if row.subject == "item":
        return _AFTER.get(Status(status), Phase.WAITING) if row.what == "moved" else Phase.WAITING
    if row.what == CLAIMED:
        return _CLAIMED_AT.get(Status(status), now)
    return Phase.SENDING if status == Status.PLANNED else now


def _turn(found: list[Span], phase: Phase, at: datetime) -> None:
    """From `at` on it is this phase; a clock that went back stands still."""
    if found and found[-1].phase is phase:
        return
    if found:
        at = max(at, found[-1].begin)
        found[-1] = replace(found[-1], end=at)
    found.append(Span(phase=phase, begin=at, end=None))


# ---- who tried

_FAILED = ("postponed", "held")


def attempts(own: Iterable[Any]) -> tuple[Attempt, ...]:
    """One for each claim whose holder wrote something about the file, in that order."""
    found: dict[str, Attempt] = {}
    for row in own:
        if row.attempt is None:
            continue
        before = found.get(row.attempt)
        failed = row.what in _FAILED
        found[row.attempt] = Attempt(
            attempt=row.attempt,
            began_at=before.began_at if before else row.at,
            actor=row.actor,
            outcome="failed" if failed else row.became or row.what,
            code=(row.detail or {}).get("code") if failed else None,
            text=row.why if failed else None,
        )
    return tuple(found.values())
