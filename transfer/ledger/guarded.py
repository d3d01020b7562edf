"""A lease holder's transaction: every write a worker makes about its items goes through here.

The transaction begins by renewing the lease (see `leases`), so a worker that was overtaken writes
nothing.  Each write about an item names the status it saw; an item that has moved meanwhile (a newer
hash superseded it, a person abandoned it) is left alone and left out of the answer.  Each write leaves
an event in the same transaction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from transfer.errors import TransferError
from transfer.ledger import rows
from transfer.ledger.hourly import count
from transfer.ledger.leases import Lease
from transfer.ledger.processes import this_process
from transfer.ledger.tables import datasets, events, items
from transfer.model import Item
from transfer.status import ENDS, Proof, Status, may_move

CLAIMED = "claimed"
"""The event of a lease: a worker takes a session or a batch.  Its detail has the bytes that had moved by then."""

SENDING = "sending"
"""The event of a batch: the names of the partials are written down, and bytes begin to move."""

_AT_ONCE = 500  # ids to a query: SQLite and request sizes have limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One item's next fact.  `partial` and `proof` are written as they stand here; None clears them."""

    item: Item
    became: Status
    partial: str | None = None
    proof: Proof | None = None
    why: str | None = None


def chunks(ids: Sequence[Any], size: int = _AT_ONCE) -> Iterable[Sequence[Any]]:
    """`ids` in pieces a query can carry."""
    return (ids[start : start + size] for start in range(0, len(ids), size))


_MOVE = (
    update(items)
    .where(items.c.id == bindparam("_id"), items.c.status == bindparam("_was"), items.c.open == 1)
    .values(
        status=bindparam("_became"),
        open=bindparam("_open"),
        batch=bindparam("_batch"),
        partial=bindparam("_partial"),
        attempt=bindparam("_attempt"),
        proof=bindparam("_proof"),
        proved_at=bindparam("_proved_at"),
        since=bindparam("_now"),
        not_before=bindparam("_now"),
        error=None,
        error_text=None,
    )
)
_INTEND = (
    update(items)
    .where(items.c.id == bindparam("_id"), items.c.status == Status.PLANNED, items.c.open == 1)
    .values(partial=bindparam("_partial"), attempt=bindparam("_attempt"), opened_by=bindparam("_opened_by"))
)
_FAIL = (
    update(items)
    .where(items.c.id == bindparam("_id"), items.c.status == bindparam("_was"), items.c.open == 1)
    .values(
        tries=items.c.tries + bindparam("_burnt"),
        not_before=bindparam("_at"),
        hold=bindparam("_hold"),
        hold_text=bindparam("_hold_text"),
        error=bindparam("_error"),
        error_text=bindparam("_error_text"),
    )
)

_LEAVES_BATCH = frozenset({Status.DISCOVERED, Status.REGISTERED})


def _proved_at(item: Item, proof: Proof | None, now: datetime) -> datetime | None:
    """When the proof was made: kept while it is carried on, None without one."""
    if proof is None:
        return None
    return now if item.proof is None else item.proved_at


class Guarded:
    """What a lease holder may write.  Made by `Ledger.guarded` and of no use after its `with`."""

    def __init__(self, connection: Connection, *, now: datetime, actor: str, lease: Lease | None) -> None:
        self.connection = connection
        self.now = now
        self.actor = actor
        self.lease = lease

    def still(self, wanted: Sequence[Item]) -> list[Item]:
        """Those of `wanted` that still stand where the caller saw them, held ones left out.

        Their rows are locked, in the order of their ids: what is answered here is still so when the write
        that follows arrives, whoever else (another lease, a person) is about to write.
        """
        seen: dict[int, str] = {}
        for ids in chunks(sorted(item.id for item in wanted)):
            found = self.connection.execute(
                select(items.c.id, items.c.status)
                .where(items.c.id.in_(ids), items.c.open == 1, items.c.hold.is_(None))
                .order_by(items.c.id)
                .with_for_update()
            )
            seen.update((row.id, row.status) for row in found)
        return [item for item in wanted if seen.get(item.id) == item.status]

    def intend(self, partials: Sequence[tuple[Item, str, str]]) -> list[Item]:
        """Commit (item, attempt, partial name) before the partial is opened; answers the items still ours."""
        ours = {item.id for item in self.still([item for item, _, _ in partials])}
        rows_ = [
            {"_id": item.id, "_attempt": attempt, "_partial": partial, "_opened_by": this_process()}
            for item, attempt, partial in partials
            if item.id in ours
        ]
        if rows_:
            self.connection.execute(_INTEND, rows_)
            if self.lease is not None:
                self.log(self.lease.kind, [(self.lease.subject, SENDING, None, None, None)])
        return [item for item, _, _ in partials if item.id in ours]

    def move(self, moves: Sequence[Move]) -> list[Item]:
        """Write proved facts; answers the items that moved.  A move that `status.may_move` forbids is a defect."""
        ours = {item.id for item in self.still([move.item for move in moves])}
        moving = [move for move in moves if move.item.id in ours]
        for number, times in Counter(move.item.id for move in moving).items():
            if times > 1:
                raise AssertionError(f"item {number} is named twice in one move")
        for move in moving:
            if not may_move(move.item.status, move.became):
                raise AssertionError(
                    f"item {move.item.id} may not go from {move.item.status} to {move.became}"
                )
        if moving:
            self.connection.execute(_MOVE, [self._move_row(move) for move in moving])
            self.log(
                "item",
                [(move.item.id, "moved", move.item.status, move.became, move.why) for move in moving],
            )
        return [move.item for move in moving]

    def _move_row(self, move: Move) -> dict[str, Any]:
        item = move.item
        starts_anew = move.became in _LEAVES_BATCH or move.became is Status.PLANNED
        return {
            "_id": item.id,
            "_was": item.status,
            "_became": move.became,
            "_open": None if move.became in ENDS else 1,
            "_batch": None if move.became in _LEAVES_BATCH else item.batch,
            "_partial": None if starts_anew else move.partial,
            "_attempt": None if starts_anew else item.attempt,
            "_proof": None if starts_anew else move.proof,
            "_proved_at": _proved_at(item, None if starts_anew else move.proof, self.now),
            "_now": self.now,
        }

    def forget_hashes(self, changed: Sequence[Item]) -> None:
        """Have these files hashed again at the next visit, even if size and time stayed the same."""
        for ids in chunks(sorted(item.dataset for item in changed)):
            self.connection.execute(update(datasets).where(datasets.c.id.in_(ids)).values(md5=None))

    def hold(self, failures: Sequence[tuple[Item, TransferError]], *, because: str = "") -> None:
        """Put items in a person's hands; the caller has read their central records."""
        self._fail(failures, at=None, because=because)

    def postpone(
        self, failures: Sequence[tuple[Item, TransferError]], *, at: datetime, burn: int = 1
    ) -> None:
        """Try items again not before `at`; `burn` tries are counted."""
        self._fail(failures, at=at, burn=burn)

    def _fail(
        self,
        failures: Sequence[tuple[Item, TransferError]],
        *,
        at: datetime | None,
        burn: int = 1,
        because: str = "",
    ) -> None:
        ours = {item.id for item in self.still([item for item, _ in failures])}
        failing = [(item, error) for item, error in failures if item.id in ours]
        if not failing:
            return
        held = at is None
        self.connection.execute(
            _FAIL,
            [
                {
                    "_id": item.id,
                    "_was": item.status,
                    "_burnt": burn,
                    "_at": at or self.now,
                    "_hold": error.name if held else None,
                    "_hold_text": because + error.sentence if held else None,
                    "_error": error.code,
                    "_error_text": error.sentence,
                }
                for item, error in failing
            ],
        )
        what = "held" if held else "postponed"
        for code in sorted({error.code for _, error in failing}):
            some = [(item, error) for item, error in failing if error.code == code]
            lines = [(item.id, what, item.status, None, error.sentence) for item, error in some]
            self.log("item", lines, {"code": code})
            count(self.connection, [item for item, _ in some], code, now=self.now)

    def log(
        self,
        subject: str,
        lines: Sequence[tuple[object, str, str | None, str | None, str | None]],
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write events: (subject id, what, was, became, why)."""
        self.connection.execute(
            insert(events),
            [
                {
                    "at": self.now,
                    "subject": subject,
                    "subject_id": str(subject_id),
                    "what": what,
                    "was": was,
                    "became": became,
                    "actor": self.actor,
                    "why": why,
                    "attempt": self.lease.token if self.lease else None,
                    "detail": dict(detail) if detail else None,
                }
                for subject_id, what, was, became, why in lines
            ],
        )

    def items(self, *conditions: Any) -> list[Item]:
        """Items as this transaction sees them; nobody else writes them before it ends."""
        locked = rows.ITEMS.where(*conditions).order_by(items.c.id).with_for_update(of=items)
        return [rows.item(row) for row in self.connection.execute(locked)]
