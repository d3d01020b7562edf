"""What no row may be: states that nothing of ours writes, or in which nobody would ever look at the row again.

Each `Oddity` says what is wrong, which rows are so (a worker that holds the row's lease is its owner, and it is left
alone), and what is done about it: back to the last fact that can be proved again, never forward.  `sanity` asks and
mends; the tables are here and in `oddities_around` (what is around the items).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Table, bindparam, exists, func, or_, select, text, update

from transfer.ledger.guarded import Guarded
from transfer.ledger.leases import free
from transfer.ledger.scopes import CANCELLED
from transfer.ledger.tables import OPEN, STRAY, Instant, batches, copies, datasets, items, sessions
from transfer.status import ENDS, Status
from transfer.status import OPEN as MOVING

Subject = Literal["item", "batch", "session", "copy", "endpoint", "job", "staging"]
Mend = Callable[[Guarded, Sequence[Any]], None]

# The statements are made once and asked with `moments`.
NOW: Any = bindparam("now", type_=Instant())
TOO_FAR: Any = bindparam("too_far", type_=Instant())
MUCH_TOO_FAR: Any = bindparam("much_too_far", type_=Instant())
TOO_LONG: Any = bindparam("too_long", type_=Instant())
_WAIT = timedelta(days=30)  # nothing of ours waits longer
_LEASE = timedelta(hours=2)  # the longest lease is an hour


def moments(now: datetime) -> dict[str, datetime]:
    """What the statements are asked with."""
    return {"now": now, "too_far": now + _WAIT, "much_too_far": now + 2 * _WAIT, "too_long": now + _LEASE}


_AT_STORE = (Status.SENT, Status.VERIFIED, Status.PUBLISHED)
_IN_BATCH = (Status.PLANNED, *_AT_STORE)


@dataclass(frozen=True, slots=True)
class Oddity:
    """One kind of impossible or ownerless row.  `done` is what is written into the event."""

    name: str
    subject: Subject
    says: str
    done: str
    which: Select[Any]
    mend: Mend


# ---- items


def _items(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Open items of which nobody holds batch or session now."""
    return (
        select(items.c.id)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .outerjoin(batches, batches.c.id == items.c.batch)
        .where(items.c.open == OPEN, free(sessions, NOW), free(batches, NOW), *conditions)
    )


def set_to(table: Table, key: Any, **values: Any) -> Mend:
    """Write these values; a callable is asked with the transaction."""

    def mend(tx: Guarded, ids: Sequence[Any]) -> None:
        now = {name: value(tx) if callable(value) else value for name, value in values.items()}
        tx.connection.execute(update(table).where(key.in_(ids)).values(**now))

    return mend


def now_of(tx: Guarded) -> datetime:
    return tx.now


def back_to(status: Status) -> Mend:
    """Send items back, as a step does: what was proved beyond is proved again."""
    values: dict[str, Any] = {} if status is Status.PLANNED else {"batch": None}

    def mend(tx: Guarded, ids: Sequence[int]) -> None:
        found = tx.connection.execute(select(items.c.id, items.c.status).where(items.c.id.in_(ids))).all()
        tx.connection.execute(
            update(items)
            .where(items.c.id.in_(ids))
            .values(
                status=status,
                open=1,
                partial=None,
                attempt=None,
                proof=None,
                proved_at=None,
                since=tx.now,
                not_before=tx.now,
                **values,
            )
        )
        tx.log("item", [(row.id, "moved", row.status, status, "sanity") for row in found])
        if status is Status.DISCOVERED:
            visit(tx, _sessions_of(ids))

    return mend


def _sessions_of(ids: Sequence[int]) -> Select[Any]:
    return (
        select(datasets.c.session)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(items, items.c.copy == copies.c.id)
        .where(items.c.id.in_(ids))
    )


def visit(tx: Guarded, which: Any) -> None:
    """These sessions are due, unless they are held."""
    tx.connection.execute(
        update(sessions).where(sessions.c.id.in_(which), sessions.c.hold.is_(None)).values(not_before=tx.now)
    )


def _close(tx: Guarded, ids: Sequence[int]) -> None:
    tx.connection.execute(
        update(items).where(items.c.id.in_(ids)).values(open=None, hold=None, hold_text=None)
    )


def _hold_cancelled(tx: Guarded, ids: Sequence[int]) -> None:
    text = "Its batch was cancelled. Release it to let it go on."
    tx.connection.execute(update(items).where(items.c.id.in_(ids)).values(hold=CANCELLED, hold_text=text))


def say_a_reason(table: Table) -> Mend:
    words = "No reason was written down. Look with alyx-transfer why, then release it."

    def mend(tx: Guarded, ids: Sequence[int]) -> None:
        tx.connection.execute(
            update(table)
            .where(table.c.id.in_(ids))
            .values(hold_text=func.coalesce(func.nullif(table.c.error_text, ""), words))
        )

    return mend


_NO_IDS = or_(datasets.c.dataset_uuid.is_(None), copies.c.record_uuid.is_(None))
_NO_TEXT = func.coalesce(items.c.hold_text, "") == ""
_CLOSED_BATCH = or_(items.c.batch.is_(None), batches.c.id.is_(None), batches.c.open.is_(None))


def _ended_but_moving() -> Select[Any]:
    """Closed rows whose status still moves, of copies that nobody else moves."""
    other = items.alias("other")
    successor = exists().where(
        other.c.copy == items.c.copy, or_(other.c.open == OPEN, other.c.id > items.c.id)
    )
    return select(items.c.id).where(text(STRAY), items.c.status.in_(MOVING), ~successor)


_NOT_A_STATUS = select(items.c.id).where(items.c.status.not_in(list(Status)), items.c.open == OPEN)

STRAYS = (
    Oddity(
        "item-of-no-status", "item", "stands at a fact that does not exist", "discovered again",
        _NOT_A_STATUS, back_to(Status.DISCOVERED),
    ),
    Oddity(
        "item-moving-and-closed", "item", "is on its way and closed: nobody would look at it again",
        "opened again, to be discovered", _ended_but_moving(), back_to(Status.DISCOVERED),
    ),
)  # fmt: skip

ON_THE_WAY = (
    Oddity(
        "item-ended-and-open", "item", "has ended and is still open", "closed",
        _items(items.c.status.in_(ENDS)), _close,
    ),
    Oddity(
        "item-without-ids", "item", "counts as registered and has no dataset or record in Alyx",
        "discovered again", _items(items.c.status.in_([Status.REGISTERED, *_IN_BATCH]), _NO_IDS),
        back_to(Status.DISCOVERED),
    ),
    Oddity(
        "item-early-in-batch", "item", "is not planned and in a batch", "taken out of the batch",
        _items(items.c.status.in_([Status.DISCOVERED, Status.REGISTERED]), items.c.batch.is_not(None)),
        set_to(items, items.c.id, batch=None),
    ),
    Oddity(
        "item-without-batch", "item", "is planned and in no open batch", "planned again",
        _items(items.c.status.in_(_IN_BATCH), _CLOSED_BATCH), back_to(Status.REGISTERED),
    ),
    Oddity(
        "item-without-place", "item", "is planned and has no place at the store", "planned again",
        _items(items.c.status.in_(_IN_BATCH), copies.c.path.is_(None)), back_to(Status.REGISTERED),
    ),
    Oddity(
        "item-sent-nowhere", "item", "counts as sent and names no partial", "sent again",
        _items(items.c.status == Status.SENT, items.c.partial.is_(None)), back_to(Status.PLANNED),
    ),
    Oddity(
        "item-without-proof", "item", "counts as verified and has no proof", "sent again",
        _items(items.c.status.in_([Status.VERIFIED, Status.PUBLISHED]), items.c.proof.is_(None)),
        back_to(Status.PLANNED),
    ),
    Oddity(
        "item-without-time", "item", "has no time for its next step", "due now",
        _items(items.c.hold.is_(None), items.c.not_before.is_(None)), set_to(items, items.c.id, not_before=now_of),
    ),
    Oddity(
        "item-too-far", "item", "waits for longer than anything does", "due now",
        _items(items.c.not_before > TOO_FAR), set_to(items, items.c.id, not_before=now_of),
    ),
    Oddity(
        "item-held-without-reason", "item", "is held and nobody says why", "a reason was written",
        _items(items.c.hold.is_not(None), _NO_TEXT), say_a_reason(items),
    ),
    Oddity(
        "item-in-cancelled-batch", "item", "is in a batch that a person cancelled and is not held itself",
        "held for the same person",
        _items(
            items.c.hold.is_(None), items.c.status != Status.PUBLISHED, batches.c.cancel_at.is_not(None)
        ),
        _hold_cancelled,
    ),
)  # fmt: skip


ANY_ON_THE_WAY = _items(
    or_(*(kind.which.whereclause for kind in ON_THE_WAY if kind.which.whereclause is not None))
)
"""All open items that are odd in one way or another: what is open is read once and not once for each way."""
