"""The ledger: one SQL database that is queue, memory and audit log (see `ledger.Ledger`)."""

from sqlalchemy.exc import DBAPIError

from transfer.ledger import schema
from transfer.ledger.engine import open_engine, unavailable
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger

__all__ = ["Lease", "Ledger", "open_ledger"]


def open_ledger(url: str, *, actor: str | None = None, room: int = 0) -> Ledger:
    """Open the ledger at `url`, making or migrating its tables.  `room` must be free on a file's disk for new work.

    Raises `LedgerUnavailable` when there is no database, `LedgerSchema` when it is not ours.
    """
    engine = open_engine(url)
    try:
        schema.migrate(engine)
    except DBAPIError as error:
        raise unavailable(error, engine) from error
    return Ledger(engine, actor=actor, room=room)
