"""A lab that exists only in the ledger's tests: what discover, register and the planner would write of it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import md5
from itertools import pairwise
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid5

import pytest
from sqlalchemy import event, select

from transfer import planning
from transfer.ledger import Lease, Ledger, open_ledger
from transfer.ledger.guarded import Move
from transfer.ledger.intake import Known, Look, discovered, finish_session, registered
from transfer.ledger.rows import ITEMS, item
from transfer.ledger.tables import events, items
from transfer.model import Item, Lab, Route, Session, SessionKey, SourceFile
from transfer.planning import Limits
from transfer.status import JOURNEY, Proof, Status

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LAB = Lab(
    name="churchlandlab", repository="rig_7", root=Path("/rigs/7"), store="flatiron", work="disk", flag=None
)
ROUTE = Route(source=LAB.repository, target=LAB.store, transport="local")
_NAMES = UUID("00000000-0000-0000-0000-00000000a1f0")


@dataclass
class Clock:
    """One clock for the database and the holder's own; it moves only when told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - NOON).total_seconds()

    def passes(self, **span: float) -> None:
        self.now += timedelta(**span)


def hash_of(text: str) -> str:
    return md5(text.encode()).hexdigest()


def uuid_of(text: str) -> UUID:
    return uuid5(_NAMES, text)


@dataclass
class World:
    """A ledger and what discover, register and the planner would do to it."""

    ledger: Ledger
    clock: Clock
    lab: Lab = LAB
    route: Route = ROUTE
    lease_seconds: float = 60
    files: dict[str, str] = field(default_factory=dict)

    def session(self, number: int = 1, *, subject: str = "SW_012") -> int:
        """A session that is due."""
        key = SessionKey(source=self.lab.repository, subject=subject, date=date(2026, 3, 4), number=number)
        made = self.ledger.saw_session(key, self.lab)
        self.ledger.make_due(made)
        return made

    def claim_session(self, session: int) -> tuple[Lease, Session]:
        claimed = self.ledger.claim_session(self.lease_seconds, only=[session])
        assert claimed is not None
        return claimed

    def visit(self, session: int, contents: dict[str, str], *, register: bool = True) -> list[Item]:
        """Discover these files (path -> content) and register what is new; answers the items that are gone."""
        self.ledger.make_due(session)
        lease, found = self.claim_session(session)
        with self.ledger.guarded(lease) as tx:
            gone = discovered(tx, found, self.lab, [look(path, text) for path, text in contents.items()])
        if register:
            with self.ledger.guarded(lease) as tx:
                registered(tx, [known(one) for one in tx.items(items.c.status == Status.DISCOVERED)])
        with self.ledger.guarded(lease) as tx:
            finish_session(tx, found, look="0" * 32)
        self.ledger.release(lease)
        return gone

    def plan(self, *, files: int = 400, only: Sequence[int] | None = None) -> list[int]:
        return self.ledger.plan(self.route, partial(planning.batches, limits=Limits(files=files)), only=only)

    def planned(self, *contents: str, number: int = 1) -> int:
        """The id of one batch with a file for each content."""
        self.visit(self.session(number), {f"alf/{text}.times.npy": text for text in contents})
        (batch,) = self.plan(files=5000)
        return batch

    def claim(self, batch: int) -> Lease:
        claimed = self.ledger.claim_batch(self.lease_seconds, only=[batch])
        assert claimed is not None
        return claimed[0]

    def advance(self, lease: Lease, to: Status) -> list[Item]:
        """Walk the batch's due items step by step to `to`."""
        for here, there in pairwise(JOURNEY):
            if JOURNEY.index(there) > JOURNEY.index(to):
                break
            standing = [one for one in self.ledger.due_items(int(lease.subject)) if one.status is here]
            with self.ledger.guarded(lease) as tx:
                tx.move([step(one, there) for one in standing])
        return self.ledger.due_items(int(lease.subject))

    def beside(
        self, work: Callable[[], object], other: Callable[[], object], *, after: str = "items"
    ) -> None:
        """Run `work`; when it has first read the table `after`, let `other` run on another thread.

        `other` ends at once where nothing keeps it, or waits for `work`'s transaction: half a second tells.
        """
        thread = threading.Thread(target=other)

        def look_over(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
            first = thread.ident is None and threading.current_thread() is not thread
            if first and f"FROM {after}" in statement:
                thread.start()
                thread.join(0.5)

        event.listen(self.ledger.engine, "after_cursor_execute", look_over)
        try:
            work()
        finally:
            event.remove(self.ledger.engine, "after_cursor_execute", look_over)
            thread.join()

    def items(self) -> list[Item]:
        with self.ledger.reading() as connection:
            return [item(row) for row in connection.execute(ITEMS.order_by(items.c.id))]

    def moves(self) -> list[tuple[str, str, str]]:
        """(item, was, became) of every move, in order."""
        with self.ledger.reading() as connection:
            wanted = events.c.what == "moved"
            rows = connection.execute(select(events).where(wanted).order_by(events.c.id))
            return [(row.subject_id, row.was, row.became) for row in rows]


def look(path: str, text: str, *, why_not: str | None = None) -> Look:
    digest = None if why_not else hash_of(text)
    file = SourceFile(path=PurePosixPath(path), size=len(text), mtime_ns=1, md5=digest)
    return Look(file=file, unregistrable=why_not)


def known(one: Item) -> Known:
    """What Alyx would answer: ids that depend on the file's path only."""
    path = str(one.source_path)
    records = {one.source: uuid_of(f"{path} {one.source}"), one.target: uuid_of(f"{path} {one.target}")}
    return Known(
        item=one,
        dataset_uuid=uuid_of(path),
        md5=one.md5,
        size=one.size,
        records=records,
        registered_by_us=True,
    )


def step(one: Item, there: Status) -> Move:
    """The move a step would write."""
    partials = {Status.SENT: f".{one.uuid}.{'0' * 8}.part", Status.VERIFIED: one.partial}
    proof = Proof.READ_BACK if there in (Status.VERIFIED, Status.PUBLISHED, Status.RECORDED) else None
    return Move(item=one, became=there, partial=partials.get(there), proof=proof)


def who_is_it(url: str) -> tuple[str, int]:
    """What another process does that starts: open the ledger, making it where there is none."""
    ledger = open_ledger(url)
    uuid, epoch = ledger.identity()
    ledger.engine.dispose()
    return str(uuid), epoch


def claim_all(url: str) -> list[int]:
    """What another process does that works: claim sessions until none is left."""
    ledger = open_ledger(url)
    got = []
    while claimed := ledger.claim_session(60):
        got.append(claimed[1].id)
    ledger.engine.dispose()
    return got


on_both = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
