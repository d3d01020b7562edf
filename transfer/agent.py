"""The agent's row in Alyx's `/tasks`: that it lives, what waits, and which ledger speaks for the repository.

One ledger per lab repository.  The row carries the ledger's uuid, its epoch and its last event; a row of
another ledger, or one that has seen more of ours than we remember (a ledger restored from an old backup),
stops us before anything moves.  `recover` is the person's answer: it draws a new epoch, sends every open item
back to REGISTERED and takes the row over.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from transfer.catalog.base import AgentTask, Catalog
from transfer.errors import ForeignLedger, RestoredLedger
from transfer.ledger import endpoints, standing
from transfer.ledger.guarded import Guarded
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import batches, items, sessions
from transfer.ledger.tables import ledger as ledger_table
from transfer.model import Lab
from transfer.secrecy import masked
from transfer.status import Status

NAME = "alyx-transfer"
_LONGEST = 500  # characters of an error in Alyx's row


def check_owner(ledger: Ledger, catalog: Catalog, lab: Lab) -> None:
    """Raise `ForeignLedger` or `RestoredLedger` when this ledger may not speak for the lab's repository."""
    uuid, epoch = ledger.identity()
    refuse_strangers(
        catalog.agent_task(NAME, lab.repository),
        uuid=str(uuid),
        epoch=epoch,
        last_event=ledger.last_event(),
        repository=lab.repository,
    )


def refuse_strangers(
    task: AgentTask | None, *, uuid: str, epoch: int, last_event: int, repository: str
) -> None:
    """The decision behind `check_owner`."""
    told: Mapping[str, Any] = (task.arguments or {}) if task else {}
    owner = told.get("ledger")
    if owner is None:
        return
    if owner != uuid:
        raise ForeignLedger(f"another ledger ({owner}) moves the files of this repository", to=repository)
    if (int(told.get("epoch", 0)), int(told.get("event", 0))) > (epoch, last_event):
        raise RestoredLedger(
            f"Alyx has seen event {told.get('event')} of this ledger, which knows only {last_event}",
            to=repository,
        )


def mirror(ledger: Ledger, catalog: Catalog, lab: Lab, *, version: str) -> str:
    """Write the agent's row; answers the line it says.  Raises as `check_owner` does."""
    check_owner(ledger, catalog, lab)
    uuid, epoch = ledger.identity()
    files, size, age = standing.backlog(ledger, lab.repository)
    line = (
        f"{files} files ({size} bytes) wait, the oldest for {int(age.total_seconds())} s"
        if files
        else "all sent"
    )
    trouble = _trouble(ledger, lab)
    event = ledger.last_event()
    catalog.write_agent_task(
        NAME,
        lab.repository,
        status="Started",
        arguments={
            "repository": lab.repository,  # Alyx takes no two rows of one name with equal arguments
            "ledger": str(uuid),
            "epoch": epoch,
            "event": event,
            "at": ledger.moment().isoformat(timespec="seconds"),
            "files_waiting": files,
            "bytes_waiting": size,
            "last_error": masked(trouble)[:_LONGEST] if trouble else None,
            "version": version,
        },
        log=line,
    )
    with ledger.writing() as connection:
        connection.execute(update(ledger_table).values(mirrored_event=event))
    return line


def _trouble(ledger: Ledger, lab: Lab) -> str | None:
    """What is wrong at the lab now: a place that is kept back, else what was held last."""
    for name in (endpoints.ALYX, lab.repository, lab.store):
        if ledger.is_kept_back(name):
            return f"{name}: {endpoints.last_failure(ledger, name)[1] or 'kept back'}"
    return standing.held_last(ledger, lab.repository)


def recover(ledger: Ledger, *, why: str) -> int:
    """Draw a new epoch and send every open item back to be planned and proved anew; answers how many.

    Leases and batches of the old epoch end; what arrived meanwhile is adopted by its hash, not sent again.
    The caller overwrites the agents' rows with `take_over`.
    """
    ledger.identity()
    with ledger.unguarded() as tx:
        _end_leases(tx)
        beyond = [Status.PLANNED, Status.SENT, Status.VERIFIED, Status.PUBLISHED]
        moved = tx.connection.execute(
            update(items)
            .where(items.c.open == 1, items.c.status.in_(beyond))
            .values(
                status=Status.REGISTERED,
                batch=None,
                partial=None,
                attempt=None,
                proof=None,
                not_before=tx.now,
            )
        )
        tx.connection.execute(update(sessions).where(sessions.c.hold.is_(None)).values(not_before=tx.now))
        tx.connection.execute(update(ledger_table).values(epoch=ledger_table.c.epoch + 1))
        epoch = tx.connection.scalar(select(ledger_table.c.epoch))
        tx.log(
            "ledger", [("ledger", "recovered", None, None, why)], {"epoch": epoch, "items": moved.rowcount}
        )
        return moved.rowcount


def take_over(ledger: Ledger, catalog: Catalog, lab: Lab, *, version: str) -> None:
    """Make the agent's row ours, whoever's it was."""
    uuid, epoch = ledger.identity()
    catalog.write_agent_task(
        NAME,
        lab.repository,
        status="Started",
        arguments={
            "repository": lab.repository,
            "ledger": str(uuid),
            "epoch": epoch,
            "event": ledger.last_event(),
            "version": version,
        },
        log="taken over by recover",
    )


def _end_leases(tx: Guarded) -> None:
    for table in (sessions, batches):
        tx.connection.execute(update(table).values(lease_token=None, lease_holder=None, lease_until=None))
    tx.connection.execute(update(batches).where(batches.c.open == 1).values(open=None))
