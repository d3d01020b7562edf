"""What no batch, session or copy may be, and no lease or wait: the other half of `oddities`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, exists, func, insert, or_, select, text, union

from transfer.ledger.guarded import Guarded
from transfer.ledger.leases import free
from transfer.ledger.oddities import (
    MUCH_TOO_FAR,
    NOW,
    ON_THE_WAY,
    STRAYS,
    TOO_FAR,
    TOO_LONG,
    Mend,
    Oddity,
    now_of,
    say_a_reason,
    set_to,
    visit,
)
from transfer.ledger.tables import (
    OPEN,
    WRONG,
    batches,
    copies,
    datasets,
    endpoints,
    items,
    jobs,
    sessions,
    stagings,
)
from transfer.status import Condition, Status

# ---- batches


def _open_item(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(items.c.batch == batches.c.id, items.c.open == OPEN, *conditions)


def _batches(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(batches.c.id).where(free(batches, NOW), *conditions)


_UNHELD = items.c.hold.is_(None)

BATCHES = (
    Oddity(
        "batch-without-items", "batch", "is open and has nothing to do", "closed",
        _batches(batches.c.open == OPEN, ~_open_item()), set_to(batches, batches.c.id, open=None),
    ),
    Oddity(
        "batch-cancelled-half", "batch", "was cancelled while a file is one request from its end", "goes on",
        _batches(
            batches.c.open == OPEN,
            batches.c.cancel_at.is_not(None),
            _open_item(_UNHELD, items.c.status == Status.PUBLISHED),
        ),
        set_to(batches, batches.c.id, cancel_at=None),
    ),
    Oddity(
        "batch-at-mover-for-nobody", "batch", "has a task at the mover and every file of it is held",
        "the task is stopped; a release asks for it anew",
        _batches(
            batches.c.open == OPEN,
            batches.c.cancel_at.is_(None),
            batches.c.submission_key.is_not(None),
            _open_item(),
            ~_open_item(_UNHELD),
        ),
        set_to(batches, batches.c.id, cancel_at=now_of),
    ),
    Oddity(
        "batch-too-far", "batch", "waits for longer than anything does", "due now",
        select(batches.c.id).where(
            free(batches, NOW),
            batches.c.not_before > TOO_FAR,
            or_(batches.c.open == OPEN, batches.c.submission_key.is_not(None)),
        ),
        set_to(batches, batches.c.id, not_before=None),
    ),
)  # fmt: skip


# ---- sessions, copies, and what is leased or waits

_TROUBLED = select(datasets.c.session).where(
    datasets.c.unregistrable.is_not(None),
    # Other troubles show in the folder: a scan notices the cure.
    datasets.c.unregistrable.startswith("[E-1001]"),
    datasets.c.gone_at.is_(None),
)


def _sessions(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(sessions.c.id).where(free(sessions, NOW), *conditions)


def _lost_copies() -> Select[Any]:
    """Damaged or missing copies, or ones whose version was replaced, with no item to mend them.

    What a person abandoned stays so until it changes.
    """
    of_copy = items.c.copy == copies.c.id
    last = select(items.c.status).where(of_copy).order_by(items.c.id.desc()).limit(1).scalar_subquery()
    wrong = copies.c.condition.in_([Condition.DAMAGED, Condition.MISSING])
    replaced = and_(copies.c.condition != Condition.REMOVED, last == Status.SUPERSEDED)
    # Only these may be lost, as two indexes have them: most copies are well and need no look.
    other, older, newer = copies.alias(), items.alias(), items.alias()
    successor = exists().where(newer.c.copy == older.c.copy, newer.c.id > older.c.id)
    perhaps = (
        select(other.c.id).where(text(WRONG)),
        select(older.c.copy).where(text("status = 'superseded'"), ~successor),
    )
    return (
        select(copies.c.id)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(
            copies.c.id.in_(union(*perhaps)),
            copies.c.repository != sessions.c.source,
            datasets.c.gone_at.is_(None),
            datasets.c.unregistrable.is_(None),
            sessions.c.hold.is_(None),
            sessions.c.not_before.is_(None),
            ~exists().where(of_copy, items.c.open == OPEN),
            or_(wrong, replaced),
            func.coalesce(last, "") != Status.ABANDONED,
        )
    )


def _send_again(tx: Guarded, ids: Sequence[int]) -> None:
    """Open an item for each copy: what is announced is withdrawn before anything is sent."""
    found = tx.connection.execute(
        select(copies.c.id, copies.c.record_uuid, datasets)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .where(copies.c.id.in_(ids))
    ).all()
    for row in found:
        if row.md5 is not None:
            known = row.record_uuid is not None and row.dataset_uuid is not None
            tx.connection.execute(
                insert(items).values(
                    copy=row.id,
                    md5=row.md5,
                    size=row.size,
                    status=Status.REGISTERED if known else Status.DISCOVERED,
                    not_before=tx.now,
                    since=tx.now,
                    created_at=tx.now,
                )
            )
    visit(tx, [row.session for row in found])


def _leased(table: Table, key: Any) -> Select[Any]:
    return select(key).where(table.c.lease_until > TOO_LONG)


def _freed(table: Table, key: Any) -> Mend:
    return set_to(table, key, lease_token=None, lease_holder=None, lease_until=None)


_LEASED = "is leased for longer than any lease lasts"
_FREED = "freed; a holder that lives finds its lease lost"

OTHERS = (
    Oddity(
        "session-held-without-reason", "session", "is held and nobody says why", "a reason was written",
        _sessions(sessions.c.hold.is_not(None), func.coalesce(sessions.c.hold_text, "") == ""),
        say_a_reason(sessions),
    ),
    Oddity(
        "session-too-far", "session", "waits for longer than anything does", "due now",
        select(sessions.c.id).where(
            free(sessions, NOW), sessions.c.hold.is_(None), sessions.c.not_before > TOO_FAR
        ),
        set_to(sessions, sessions.c.id, not_before=now_of),
    ),
    Oddity(
        "session-with-trouble", "session", "has a file that could not be read and is not visited again", "due now",
        _sessions(
            sessions.c.hold.is_(None), sessions.c.not_before.is_(None), sessions.c.id.in_(_TROUBLED)
        ),
        set_to(sessions, sessions.c.id, not_before=now_of),
    ),
    Oddity(
        "copy-nobody-mends", "copy", "is known to be wrong at the store and nobody sends it again",
        "sent again", _lost_copies(), _send_again,
    ),
    Oddity(
        "session-leased-too-long", "session", _LEASED, _FREED,
        _leased(sessions, sessions.c.id), _freed(sessions, sessions.c.id),
    ),
    Oddity(
        "batch-leased-too-long", "batch", _LEASED, _FREED,
        _leased(batches, batches.c.id), _freed(batches, batches.c.id),
    ),
    Oddity(
        "job-leased-too-long", "job", _LEASED, _FREED, _leased(jobs, jobs.c.name), _freed(jobs, jobs.c.name)
    ),
    Oddity(
        "endpoint-too-far", "endpoint", "is kept back for longer than anything is", "tried again now",
        select(endpoints.c.name).where(endpoints.c.retry_at > TOO_FAR),
        set_to(endpoints, endpoints.c.name, retry_at=now_of),
    ),
    Oddity(
        "staging-too-far", "staging", "is never cleaned", "cleaned with the next tidy",
        select(stagings.c.submission_key).where(
            stagings.c.clean_at > MUCH_TOO_FAR,
            ~exists().where(batches.c.submission_key == stagings.c.submission_key),
        ),
        set_to(stagings, stagings.c.submission_key, clean_at=now_of),
    ),
)  # fmt: skip

ALL = (*STRAYS, *ON_THE_WAY, *BATCHES, *OTHERS)
