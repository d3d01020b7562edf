"""The sanity sweep: every row that is not finished has a next step and a time, or a person's name on it.

PROMISES
- a legal ledger has no odd rows, whatever was done to it: the sweep finds only what nothing of ours writes (a
  restored half, a hand in the database, a defect);
- mending goes back to a fact that can be proved again, never forward, and leaves an event (`mended`) that says what
  was wrong and what was done;
- a row that comes back again and again is put into a person's hands: mending it does not help.

`oddities` and `oddities_around` list what is looked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from transfer.errors import Unexpected
from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.oddities import ANY_ON_THE_WAY, STRAYS, Oddity, moments
from transfer.ledger.oddities_around import ALL, BATCHES, OTHERS
from transfer.ledger.tables import events, items
from transfer.status import Status

MENDED = "mended"
_PASSES = 4  # one mending may uncover the next: an item without a batch may have no ids either
_ENOUGH = 3  # times that a row is mended before a person is asked


@dataclass(frozen=True, slots=True)
class Odd:
    """One row that nobody would look after."""

    name: str
    subject: str
    id: str
    says: str
    done: str

    @property
    def sentence(self) -> str:
        return f"{self.subject} {self.id} {self.says}"


def find(ledger: Ledger) -> list[Odd]:
    """Every row without an owner; writes nothing."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        return [_odd(kind, one) for kind in ALL for one in connection.scalars(kind.which, moments(now)).all()]


def rows_without_owner(connection: Connection, now: datetime) -> int:
    """How many such rows there are; one that is odd in two ways counts once."""
    asked = moments(now)
    found = {("item", one) for one in connection.scalars(ANY_ON_THE_WAY, asked).all()}
    for kind in (*STRAYS, *BATCHES, *OTHERS):
        found.update((str(kind.subject), one) for one in connection.scalars(kind.which, asked).all())
    return len(found)


def mend(ledger: Ledger) -> list[Odd]:
    """Mend what `find` finds, and answer it; what was mended in vain before is held."""
    mended: list[Odd] = []
    for _ in range(_PASSES):
        found = list(_mend_once(ledger))
        mended += found
        if not found:
            break
    return mended


def _mend_once(ledger: Ledger) -> Iterator[Odd]:
    for kind in ALL:
        with ledger.unguarded() as tx:
            ids = list(tx.connection.scalars(kind.which, moments(tx.now)))
            if not ids:
                continue
            in_vain = _mended_in_vain(tx, kind, ids)
            for some in chunks([one for one in ids if one not in in_vain]):
                kind.mend(tx, some)
            _escalate(tx, kind, in_vain)
            tx.log(kind.subject, [(one, MENDED, kind.name, None, _why(kind)) for one in ids])
        yield from (_odd(kind, one) for one in ids)


def _mended_in_vain(tx: Guarded, kind: Oddity, ids: Sequence[Any]) -> list[Any]:
    """Those items that were mended of the same thing often enough."""
    if kind.subject != "item":
        return []
    often = tx.connection.scalars(
        select(events.c.subject_id)
        .where(
            events.c.subject == "item",
            events.c.what == MENDED,
            events.c.was == kind.name,
            events.c.subject_id.in_([str(one) for one in ids[:500]]),
        )
        .group_by(events.c.subject_id)
        .having(func.count() >= _ENOUGH)
    )
    return [int(one) for one in often]


def _escalate(tx: Guarded, kind: Oddity, ids: Sequence[Any]) -> None:
    """Begin again from the first fact, in a person's hands."""
    if not ids:
        return
    error = Unexpected(f"the ledger's row {kind.says}, and was mended {_ENOUGH} times in vain")
    tx.connection.execute(
        update(items)
        .where(items.c.id.in_(ids))
        .values(
            status=Status.DISCOVERED,
            open=1,
            batch=None,
            partial=None,
            attempt=None,
            proof=None,
            proved_at=None,
            not_before=tx.now,
            hold=error.name,
            hold_text=error.sentence,
            error=error.code,
        )
    )


def _odd(kind: Oddity, one: Any) -> Odd:
    return Odd(kind.name, kind.subject, str(one), kind.says, kind.done)


def _why(kind: Oddity) -> str:
    return f"it {kind.says}: {kind.done}"
