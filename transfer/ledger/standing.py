"""What scan, reconcile and tidy have to know of many rows at once, and the few writes they make."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import and_, exists, func, insert, select, update

from transfer.ledger.guarded import Guarded, chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.sums import total
from transfer.ledger.tables import copies, datasets, items, receipts, sessions
from transfer.status import Condition, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenSession:
    """What the ledger remembers of looks at one session's folder."""

    id: int
    look: str | None
    done_look: str | None
    complete: bool
    waiting: bool


def seen_sessions(ledger: Ledger, source: str) -> dict[PurePosixPath, SeenSession]:
    """Every session of a lab repository, by path."""
    with ledger.reading() as connection:
        rows = connection.execute(select(sessions).where(sessions.c.source == source)).all()
    return {
        PurePosixPath(row.path): SeenSession(
            id=row.id,
            look=row.look,
            done_look=row.done_look,
            complete=row.complete_at is not None,
            waiting=row.not_before is not None,
        )
        for row in rows
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class StandingCopy:
    """One copy at a store that nobody moves now, as the ledger last proved it."""

    id: int
    session: int
    dataset_uuid: UUID
    record_uuid: UUID | None
    path: PurePosixPath | None
    md5: str | None
    size: int | None
    owned: bool  # an open item works on it
    abandoned: bool = False  # a person gave its last item up


def copies_at(ledger: Ledger, store: str, uuids: Sequence[UUID]) -> dict[UUID, StandingCopy]:
    """Our copies of these datasets at `store`, by dataset."""
    owned = exists().where(and_(items.c.copy == copies.c.id, items.c.open == 1))
    last = (
        select(items.c.status)
        .where(items.c.copy == copies.c.id)
        .order_by(items.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    found: dict[UUID, StandingCopy] = {}
    with ledger.reading() as connection:
        for some in chunks(list(uuids)):
            rows = connection.execute(
                select(
                    copies,
                    datasets.c.session,
                    datasets.c.dataset_uuid,
                    owned.label("owned"),
                    last.label("last_status"),
                )
                .join(datasets, datasets.c.id == copies.c.dataset)
                .where(copies.c.repository == store, datasets.c.dataset_uuid.in_(some))
            )
            for row in rows:
                found[row.dataset_uuid] = StandingCopy(
                    id=row.id,
                    session=row.session,
                    dataset_uuid=row.dataset_uuid,
                    record_uuid=row.record_uuid,
                    path=PurePosixPath(row.path) if row.path else None,
                    md5=row.proved_md5,
                    size=row.proved_size,
                    owned=bool(row.owned),
                    abandoned=row.last_status == Status.ABANDONED,
                )
    return found


def reopen(ledger: Ledger, wanted: Iterable[StandingCopy], *, condition: Condition, why: str) -> int:
    """Open an item at REGISTERED for copies that must be proved or sent again; answers how many were opened."""
    with ledger.unguarded() as tx:
        return sum(_reopen(tx, copy, Status.REGISTERED, condition, why) for copy in wanted)


def doubt(ledger: Ledger, copy: StandingCopy, *, why: str) -> bool:
    """Open an item at DISCOVERED, so that the session's next visit compares lab, Alyx and ledger anew."""
    with ledger.unguarded() as tx:
        opened = _reopen(tx, copy, Status.DISCOVERED, Condition.SUPERSEDED, why)
        if opened:
            tx.connection.execute(
                update(sessions).where(sessions.c.id == copy.session).values(not_before=tx.now)
            )
        return opened


def _reopen(tx: Guarded, copy: StandingCopy, status: Status, condition: Condition, why: str) -> bool:
    if copy.md5 is None or copy.abandoned or _is_owned(tx, copy.id):
        return False
    tx.connection.execute(update(copies).where(copies.c.id == copy.id).values(condition=condition))
    made = tx.connection.execute(
        insert(items).values(
            copy=copy.id,
            md5=copy.md5,
            size=copy.size,
            status=status,
            not_before=tx.now,
            since=tx.now,
            created_at=tx.now,
        )
    )
    assert made.inserted_primary_key is not None
    tx.log("item", [(made.inserted_primary_key[0], "reopened", None, status, why)])
    return True


def _is_owned(tx: Guarded, copy: int) -> bool:
    found = select(items.c.id).where(items.c.copy == copy, items.c.open == 1)
    return tx.connection.scalar(found) is not None


def open_records(ledger: Ledger, store: str) -> set[UUID]:
    """The central records that an open item works on."""
    with ledger.reading() as connection:
        return set(
            connection.scalars(
                select(copies.c.record_uuid)
                .join(items, and_(items.c.copy == copies.c.id, items.c.open == 1))
                .where(copies.c.repository == store, copies.c.record_uuid.is_not(None))
            )
        )


def recent_folders(ledger: Ledger, store: str, *, since: datetime) -> set[PurePosixPath]:
    """The store's folders in which items moved since then, or still move."""
    with ledger.reading() as connection:
        paths = connection.scalars(
            select(copies.c.path)
            .join(items, items.c.copy == copies.c.id)
            .where(copies.c.repository == store, copies.c.path.is_not(None), items.c.since >= since)
        )
        return {PurePosixPath(path).parent for path in paths}


def partials_in_use(ledger: Ledger) -> set[str]:
    """The names of partials that open items stand on."""
    with ledger.reading() as connection:
        return set(
            connection.scalars(select(items.c.partial).where(items.c.open == 1, items.c.partial.is_not(None)))
        )


def backlog(ledger: Ledger, source: str) -> tuple[int, int, timedelta]:
    """Files and bytes of a lab that are not recorded yet, and the age of the oldest."""
    with ledger.reading() as connection:
        now = ledger.now(connection)
        rows = connection.execute(
            select(items.c.size, items.c.created_at)
            .join(copies, copies.c.id == items.c.copy)
            .join(datasets, datasets.c.id == copies.c.dataset)
            .join(sessions, sessions.c.id == datasets.c.session)
            .where(items.c.open == 1, sessions.c.source == source)
        ).all()
    oldest = min((row.created_at for row in rows), default=now)
    return len(rows), sum(row.size for row in rows), now - oldest


def held_last(ledger: Ledger, source: str) -> str | None:
    """What a person reads about the session or file of a lab that was held last; None where nothing is held."""
    of_items = (
        select(items.c.hold_text)
        .join(copies, copies.c.id == items.c.copy)
        .join(datasets, datasets.c.id == copies.c.dataset)
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(items.c.open == 1, items.c.hold.is_not(None), sessions.c.source == source)
        .order_by(items.c.id.desc())
    )
    of_sessions = (
        select(sessions.c.hold_text)
        .where(sessions.c.source == source, sessions.c.hold.is_not(None))
        .order_by(sessions.c.id.desc())
    )
    with ledger.reading() as connection:
        return connection.scalar(of_sessions.limit(1)) or connection.scalar(of_items.limit(1))


def arrived_of(ledger: Ledger, session_ids: Sequence[int]) -> tuple[int, int, int, int]:
    """Of these sessions: files recorded, files known, bytes sent at least, bytes known."""
    sent = (Status.SENT, Status.VERIFIED, Status.PUBLISHED, Status.RECORDED)
    with ledger.reading() as connection:
        rows = connection.execute(
            select(items.c.status, func.count().label("files"), total(items.c.size).label("bytes"))
            .join(copies, copies.c.id == items.c.copy)
            .join(datasets, datasets.c.id == copies.c.dataset)
            .where(
                datasets.c.session.in_(session_ids),
                items.c.status.not_in([Status.SUPERSEDED, Status.ABANDONED]),
            )
            .group_by(items.c.status)
        ).all()
    return (
        sum(row.files for row in rows if row.status == Status.RECORDED),
        sum(row.files for row in rows),
        sum(row.bytes for row in rows if row.status in sent),
        sum(row.bytes for row in rows),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many copies at one store stand at a status; held ones apart."""

    status: Status
    held: bool
    files: int
    bytes: int


def tally(ledger: Ledger, store: str) -> list[Tally]:
    """Where the copies at `store` stand, each by its newest item."""
    newest = select(func.max(items.c.id)).group_by(items.c.copy).scalar_subquery()
    held = items.c.hold.is_not(None)
    count, size = func.count(), total(items.c.size)
    with ledger.reading() as connection:
        rows = connection.execute(
            select(items.c.status, held.label("held"), count.label("files"), size.label("bytes"))
            .join(copies, copies.c.id == items.c.copy)
            .where(copies.c.repository == store, items.c.id.in_(newest))
            .group_by(items.c.status, held)
        ).all()
    return [
        Tally(status=Status(row.status), held=bool(row.held), files=row.files, bytes=int(row.bytes))
        for row in rows
    ]


def arrivals(ledger: Ledger, store: str) -> int:
    """How many times a file's arrival at `store` was recorded, ever."""
    with ledger.reading() as connection:
        query = select(func.count()).select_from(receipts).join(copies, copies.c.id == receipts.c.copy)
        return connection.scalar(query.where(copies.c.repository == store, receipts.c.kind == "arrival")) or 0
