"""What may be claimed now, as conditions: nobody holds it, nothing keeps it back, and its time has come.

While Alyx is kept back bytes still move: a batch is claimed for those of its items whose next step does not need
Alyx (`WITHOUT_ALYX`), and for no others, so that no worker claims in vain.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, exists, or_, select

from transfer.ledger.gates import taken
from transfer.ledger.leases import free
from transfer.ledger.tables import OPEN, batches, copies, datasets, endpoints, items, sessions
from transfer.status import Status

_ALYX = "alyx"  # the endpoint that discover, register, publish and record cannot do without

WITHOUT_ALYX = frozenset({Status.PLANNED, Status.SENT})
"""Facts whose next step goes on while Alyx is away: bytes are sent to partial names and verified there.  What
would be seen by others (a final name, an announcement) waits until Alyx was read again."""


def may_be_claimed(
    table: Table,
    now: datetime,
    sources: Sequence[str] | None,
    only: Sequence[int] | None,
    targets: Sequence[str] | None = None,
) -> list[ColumnElement[bool]]:
    """The conditions under which a session or batch may be claimed; `targets` are of batches."""
    due = [free(table, now), ~_takes_nothing(table.c.source, now)]
    if table is sessions:
        waiting = and_(sessions.c.not_before.is_(None), sessions.c.id.in_(_sessions_with_work(now)))
        due += [
            ~_takes_nothing(_ALYX, now),
            or_(sessions.c.not_before <= now, waiting),
            sessions.c.hold.is_(None),
        ]
    else:
        wanted = and_(
            batches.c.open == OPEN,
            batches.c.cancel_at.is_(None),
            or_(~_takes_nothing(_ALYX, now), _has_due(now, items.c.status.in_(WITHOUT_ALYX))),
            _has_due(now),
        )
        unwanted = or_(batches.c.open.is_(None), batches.c.cancel_at.is_not(None))
        to_wind_up = and_(batches.c.submission_key.is_not(None), unwanted)
        due += [
            or_(wanted, to_wind_up),
            or_(batches.c.not_before.is_(None), batches.c.not_before <= now),
            ~_takes_nothing(batches.c.target, now),
        ]
    if sources is not None:
        due.append(table.c.source.in_(sources))
    if targets is not None:
        due.append(batches.c.target.in_(targets))
    if only is not None:
        due.append(table.c.id.in_(only))
    return due


def _sessions_with_work(now: datetime) -> Select[Any]:
    """Sessions with an item at DISCOVERED whose time has come.

    Such a session is due even if nobody rang: the ring is a write of its own, so a death or a visit that was
    just ending may have swallowed it, and an item that could not be registered waits by its own `not_before`.
    """
    return (
        select(datasets.c.session)
        .join(copies, copies.c.dataset == datasets.c.id)
        .join(items, items.c.copy == copies.c.id)
        .where(item_is_due(now), items.c.batch.is_(None), items.c.status == Status.DISCOVERED)
    )


def _has_due(now: datetime, *which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(item_is_due(now), items.c.batch == batches.c.id, *which)


def item_is_due(now: datetime) -> ColumnElement[bool]:
    return and_(items.c.open == OPEN, items.c.hold.is_(None), items.c.not_before <= now)


def is_kept_back(name: Any, now: datetime) -> ColumnElement[bool]:
    """Whether nothing is to be done at an endpoint now: a person paused it, or it failed and waits."""
    return exists().where(
        endpoints.c.name == name, or_(endpoints.c.paused_by.is_not(None), endpoints.c.retry_at > now)
    )


def _takes_nothing(name: Any, now: datetime) -> ColumnElement[bool]:
    """Kept back, or as much is under way there as it may be given at once (`gates`)."""
    return or_(is_kept_back(name, now), taken(name, now))
