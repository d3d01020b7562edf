"""Brings a real ledger into the states a journey passes, through the functions the steps themselves write with.

place = Place(tmp_path)               # a SQLite ledger, one lab, a clock that stands still
place.session("SW_012", files=["alf/spikes.times.npy"])
place.advance(session, to=Status.SENT)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Row, select

from transfer import planning
from transfer.errors import SourceVanished, TransferError
from transfer.ledger import Ledger, endpoints, open_ledger, rows
from transfer.ledger.arrivals import Arrival, recorded
from transfer.ledger.finding import Target
from transfer.ledger.guarded import Move
from transfer.ledger.intake import Known, Look, discovered, finish_session, registered
from transfer.ledger.leases import Lease
from transfer.ledger.tables import datasets, events, items, sessions
from transfer.model import Item, Lab, Route, Session, SessionKey, SourceFile
from transfer.paths import partial_name
from transfer.planning import Limits
from transfer.status import JOURNEY, Proof, Status

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NAMESPACE = UUID("6a0f2d52-1f5c-4a55-9a3c-1d6f6d3c8c11")
LAB = Lab(
    name="cortexlab",
    repository="cortexlab_SR",
    root=Path("/rigs/cortexlab/Subjects"),
    store="flatiron_cortexlab",
    work="disk",
)
ROUTE = Route(source=LAB.repository, target=LAB.store, transport="local")
SPIKES = "alf/spikes.times.npy"
VIDEO = "raw_video_data/_iblrig_leftCamera.raw.mp4"
NOTES = "notes from the rig.txt"


def md5_of(name: str, version: int = 1) -> str:
    return uuid5(NAMESPACE, f"md5 {name} {version}").hex


def dataset_uuid(name: str) -> UUID:
    return uuid5(NAMESPACE, f"dataset {name}")


def record_uuid(name: str, repository: str) -> UUID:
    return uuid5(NAMESPACE, f"record {name} {repository}")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **length: float) -> datetime:
        self.now += timedelta(**length)
        return self.now


@dataclass
class Place:
    """One installation's ledger."""

    url: str
    lab: Lab = LAB
    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(self.url, actor="worker:rig-7:812")
        self.ledger._clock = self.clock
        endpoints.ensure(self.ledger, [self.lab.repository, self.lab.store, "alyx"])

    def close(self) -> None:
        self.ledger.engine.dispose()

    # ---- sessions

    def seen(self, subject: str = "SW_012", number: int = 1) -> int:
        """A session the scan has seen, not due yet."""
        key = SessionKey(source=self.lab.repository, subject=subject, date=date(2026, 3, 4), number=number)
        return self.ledger.saw_session(key, self.lab)

    def claim(self, session: int) -> tuple[Lease, Session]:
        self.ledger.make_due(session)
        claimed = self.ledger.claim_session(60, only=[session])
        assert claimed is not None, f"session {session} cannot be claimed"
        return claimed

    def discovered(
        self,
        subject: str = "SW_012",
        files: Sequence[str] = (SPIKES,),
        *,
        number: int = 1,
        version: int = 1,
        size: int = 4096,
        unregistrable: dict[str, str] | None = None,
        finish: bool = False,
    ) -> int:
        """A session whose files were found; `unregistrable` are those that cannot move, with the reason."""
        session = self.seen(subject, number)
        lease, row = self.claim(session)
        looks = [
            Look(
                file=SourceFile(
                    path=PurePosixPath(name), size=size, mtime_ns=version, md5=md5_of(name, version)
                )
            )
            for name in files
        ] + [
            Look(file=SourceFile(path=PurePosixPath(name), size=size, mtime_ns=1), unregistrable=why)
            for name, why in (unregistrable or {}).items()
        ]
        with self.ledger.guarded(lease) as tx:
            gone = discovered(tx, row, self.lab, looks)
            if gone:
                error = SourceVanished("the lab's file is gone", to=gone[0].source_path)
                tx.hold([(item, error) for item in gone])
            if finish:
                finish_session(tx, row, look="0" * 32)
        self.ledger.release(lease)
        return session

    def registered(self, session: int) -> None:
        lease, _ = self.claim(session)
        waiting = self.ledger.session_items(session, Status.DISCOVERED)
        with self.ledger.guarded(lease) as tx:
            registered(tx, [self._known(item) for item in waiting])
            row = self._session(session)
            finish_session(tx, row, look="0" * 32)
        self.ledger.release(lease)

    def _known(self, item: Item) -> Known:
        name = str(item.source_path)
        places = (self.lab.repository, self.lab.store)
        return Known(
            item=item,
            dataset_uuid=dataset_uuid(name),
            md5=item.md5,
            size=item.size,
            records={place: record_uuid(name, place) for place in places},
            registered_by_us=True,
        )

    def _session(self, session: int) -> Session:
        with self.ledger.reading() as connection:
            return rows.session(connection.execute(rows.SESSIONS.where(sessions.c.id == session)).one())

    # ---- items

    def items(self, session: int) -> list[Item]:
        """All items of the session, ended ones too."""
        with self.ledger.reading() as connection:
            found = connection.execute(rows.ITEMS.where(datasets.c.session == session).order_by(items.c.id))
            return [rows.item(row) for row in found]

    def item(self, session: int) -> Item:
        """The newest item of a session."""
        return self.items(session)[-1]

    def file(self, session: int, name: str = SPIKES) -> Target:
        with self.ledger.reading() as connection:
            dataset = connection.scalar(
                select(datasets.c.id).where(datasets.c.session == session, datasets.c.path == name)
            )
        assert dataset is not None
        return Target(kind="file", name=name, id=dataset)

    def planned(self, session: int) -> list[int]:
        return self.ledger.plan(ROUTE, partial(planning.batches, limits=Limits()), only=[session])

    def claim_batch(self, batch: int) -> Lease:
        claimed = self.ledger.claim_batch(60, only=[batch])
        assert claimed is not None, f"batch {batch} cannot be claimed"
        return claimed[0]

    def step(self, session: int, became: Status) -> None:
        """Move every unheld open item of the session one fact on, as the steps do."""
        here = JOURNEY[JOURNEY.index(became) - 1]
        moving = self.ledger.session_items(session, here)
        for batch in sorted({item.batch for item in moving if item.batch is not None}):
            lease = self.claim_batch(batch)
            mine = [item for item in moving if item.batch == batch]
            with self.ledger.guarded(lease) as tx:
                if became is Status.RECORDED:
                    recorded(tx, [Arrival(item=item, read_back_at=tx.now) for item in mine])
                else:
                    tx.move([self._move(item, became, lease.token) for item in mine])
            self.ledger.release(lease)

    def _move(self, item: Item, became: Status, attempt: str) -> Move:
        match became:
            case Status.SENT:
                name = partial_name(item.uuid, attempt)
                return Move(item=replace(item, attempt=attempt), became=became, partial=name)
            case Status.VERIFIED:
                return Move(item=item, became=became, partial=item.partial, proof=Proof.READ_BACK)
            case _:
                return Move(item=item, became=became, proof=item.proof)

    def at(self, status: Status, subject: str = "SW_012", files: Sequence[str] = (SPIKES,)) -> int:
        """A session all of whose files stand at `status`, one of the journey's facts."""
        session = self.discovered(subject, files)
        for fact in JOURNEY[1 : JOURNEY.index(status) + 1]:
            match fact:
                case Status.REGISTERED:
                    self.registered(session)
                case Status.PLANNED:
                    self.planned(session)
                case _:
                    self.step(session, fact)
        return session

    def events(self, *, actor: str | None = None) -> list[Row[Any]]:
        """The events in order, of one actor if asked."""
        wanted = select(events).order_by(events.c.id)
        with self.ledger.reading() as connection:
            return list(connection.execute(wanted.where(events.c.actor == actor) if actor else wanted))

    def session_row(self, session: int) -> Row[Any]:
        with self.ledger.reading() as connection:
            return connection.execute(select(sessions).where(sessions.c.id == session)).one()

    # ---- trouble

    def under_lease(self, item: Item, write: Callable[..., None]) -> None:
        """Do `write(tx)` under the lease that guards the item."""
        if item.batch is not None:
            lease = self.claim_batch(item.batch)
        else:
            lease, _ = self.claim(item.session)
        with self.ledger.guarded(lease) as tx:
            write(tx)
        self.ledger.release(lease)

    def hold(self, session: int, error: TransferError, *, because: str = "") -> None:
        """Hold the newest item of the session."""
        item = self.item(session)
        self.under_lease(item, lambda tx: tx.hold([(item, error)], because=because))

    def postpone(self, session: int, error: TransferError, *, at: datetime) -> None:
        item = self.item(session)
        self.under_lease(item, lambda tx: tx.postpone([(item, error)], at=at))

    def hold_session(self, session: int, error: TransferError) -> None:
        lease, _ = self.claim(session)
        self.ledger.hold_session(lease, error)
        self.ledger.release(lease)
