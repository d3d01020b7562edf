"""What a mover was asked to carry: the frozen document of a batch, its task, and the staging folders to clean.

PROMISES
- key and document are committed together, before anything is submitted, and never change until the task has
  ended or the mover does not know it any more;
- a staging folder is remembered from before it can exist until it was cleaned, and is not cleaned while a task may
  write there or an open item stands on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, insert, select, update

from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import OPEN, batches, items, stagings
from transfer.model import Item
from transfer.status import Status

_MARGIN = timedelta(days=1)  # how long after its deadline a task that nobody knows may still write


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a batch asked for.

    `task` is None until the mover was heard to accept it; it is `unwanted` when the batch was cancelled or closed.
    """

    key: str
    document: Mapping[str, Any]
    task: str | None
    unwanted: bool

    def asked_for(self, item: Item) -> bool:
        """Whether the item is in the document: its place was committed with it."""
        return item.partial == f"{self.key}/{item.uuid}"


def submission_of(ledger: Ledger, batch: int) -> Submission | None:
    """The batch's submission that has not ended, as far as we know."""
    with ledger.reading() as connection:
        row = connection.execute(select(batches).where(batches.c.id == batch)).one()
    if row.submission_key is None:
        return None
    return Submission(
        key=row.submission_key,
        document=row.document,
        task=row.task,
        unwanted=row.cancel_at is not None or row.open is None,
    )


def outstanding(ledger: Ledger, store: str, *, at_least: int = 0) -> int:
    """How many submissions to a store, of `at_least` so many bytes each, have not ended."""
    with ledger.reading() as connection:
        return (
            connection.scalar(
                select(func.count())
                .select_from(batches)
                .where(
                    batches.c.target == store,
                    batches.c.submission_key.is_not(None),
                    batches.c.bytes >= at_least,
                )
            )
            or 0
        )


def at_the_mover(ledger: Ledger, batch_ids: Sequence[int]) -> list[str]:
    """What the mover says of those batches that it carries, one line each."""
    with ledger.reading() as connection:
        found = connection.execute(
            select(batches.c.id, batches.c.note).where(
                batches.c.id.in_(batch_ids),
                batches.c.task.is_not(None),
                batches.c.cancel_at.is_(None),
                exists().where(items.c.batch == batches.c.id, items.c.open == OPEN, items.c.hold.is_(None)),
            )
        )
        return [f"the mover, batch {row.id}{f' ({row.note})' if row.note else ''}" for row in found]


def freeze(
    tx: Guarded, batch: int, *, store: str, key: str, document: Mapping[str, Any], deadline: datetime
) -> None:
    """Commit what will be asked, before it is asked."""
    tx.connection.execute(
        update(batches)
        .where(batches.c.id == batch)
        .values(
            submission_key=key,
            document=dict(document),
            task=None,
            deadline=deadline,
            note=None,
            bytes_moved=0,
        )
    )
    tx.connection.execute(
        insert(stagings).values(submission_key=key, target=store, clean_at=deadline + _MARGIN)
    )
    tx.log("batch", [(batch, "frozen", None, None, None)], {"submission_key": key})


def submitted(tx: Guarded, batch: int, task: str) -> None:
    """The mover accepted it."""
    tx.connection.execute(update(batches).where(batches.c.id == batch).values(task=task))
    tx.log("batch", [(batch, "submitted", None, None, None)], {"task": task})


def heard(tx: Guarded, batch: int, *, note: str, bytes_moved: int, at: datetime) -> None:
    """What the mover says meanwhile; nobody looks again before `at`."""
    tx.connection.execute(
        update(batches).where(batches.c.id == batch).values(note=note, bytes_moved=bytes_moved, not_before=at)
    )


def ended(tx: Guarded, batch: int, *, how: str, known: bool = True) -> None:
    """The batch may submit anew.  With `known` its task has ended, and what is left in its folder may go."""
    key = tx.connection.scalar(select(batches.c.submission_key).where(batches.c.id == batch))
    tx.connection.execute(
        update(batches)
        .where(batches.c.id == batch)
        .values(submission_key=None, document=None, task=None, deadline=None, note=None, not_before=None)
    )
    if known:
        tx.connection.execute(
            update(stagings).where(stagings.c.submission_key == key).values(clean_at=tx.now)
        )
    tx.log("batch", [(batch, "ended", None, None, how)], {"submission_key": key})


def wait(tx: Guarded, waiting: Sequence[Item], *, at: datetime) -> None:
    """These items have nothing to do before `at`; that is no failure and costs no try."""
    for some in chunks([item.id for item in tx.still(waiting)]):
        tx.connection.execute(
            update(items).where(items.c.id.in_(some)).values(not_before=at, error=None, error_text=None)
        )


def split(tx: Guarded, batch: int, leaving: Sequence[Item]) -> int:
    """Give some of a batch's items a batch of their own; answers its id."""
    columns = (batches.c.source, batches.c.target, batches.c.transport, batches.c.priority)
    route = tx.connection.execute(select(*columns).where(batches.c.id == batch)).one()
    ours = tx.still(leaving)
    size = sum(item.size for item in ours)
    made = tx.connection.execute(
        insert(batches).values(**route._mapping, files=len(ours), bytes=size)
    ).inserted_primary_key
    assert made is not None
    new = int(made[0])
    tx.connection.execute(
        update(batches)
        .where(batches.c.id == batch)
        .values(files=batches.c.files - len(ours), bytes=batches.c.bytes - size)
    )
    for some in chunks([item.id for item in ours]):
        tx.connection.execute(update(items).where(items.c.id.in_(some)).values(batch=new))
    tx.log("batch", [(new, "split", None, None, f"half of batch {batch}, to find the file that fails")])
    return new


def to_clean(ledger: Ledger, store: str) -> list[str]:
    """The keys whose staging folders may go: nobody writes there, and no open item stands there."""
    with ledger.reading() as connection:
        due = set(
            connection.scalars(
                select(stagings.c.submission_key).where(
                    stagings.c.target == store, stagings.c.clean_at <= ledger.now(connection)
                )
            )
        )
        due -= set(
            connection.scalars(select(batches.c.submission_key).where(batches.c.submission_key.in_(due)))
        )
        stood_on = connection.scalars(
            select(items.c.partial).where(
                items.c.open == OPEN,
                items.c.partial.contains("/"),
                items.c.status.in_([Status.SENT, Status.VERIFIED]),
            )
        )
        return sorted(due - {partial.partition("/")[0] for partial in stood_on})


def cleaned(ledger: Ledger, keys: Sequence[str]) -> None:
    """Forget staging folders that the mover was asked to remove."""
    with ledger.writing() as connection:
        for some in chunks(keys):
            connection.execute(delete(stagings).where(stagings.c.submission_key.in_(some)))
