"""What the ledger knows of other work: the bytes that wait for a store, the subjects that were ever seen."""

from collections.abc import Collection
from pathlib import PurePosixPath

from sqlalchemy import select

from transfer.ledger.ledger import Ledger
from transfer.ledger.sums import total
from transfer.ledger.tables import OPEN, copies, datasets, items, sessions
from transfer.status import Status

_TO_BE_SENT = (Status.DISCOVERED, Status.REGISTERED, Status.PLANNED)


def promised(ledger: Ledger, store: str, *, besides: Collection[PurePosixPath]) -> int:
    """Bytes that open items of other sessions than `besides` have still to bring to the store, held ones not."""
    with ledger.reading() as connection:
        found = connection.scalar(
            select(total(items.c.size))
            .join(copies, copies.c.id == items.c.copy)
            .join(datasets, datasets.c.id == copies.c.dataset)
            .join(sessions, sessions.c.id == datasets.c.session)
            .where(
                items.c.open == OPEN,
                items.c.hold.is_(None),
                items.c.status.in_(_TO_BE_SENT),
                copies.c.repository == store,
                sessions.c.path.not_in([str(path) for path in besides]),
            )
        )
    return int(found or 0)


def subjects(ledger: Ledger) -> list[PurePosixPath]:
    """The folders of all subjects."""
    with ledger.reading() as connection:
        return [PurePosixPath(name) for name in connection.scalars(select(sessions.c.subject).distinct())]
