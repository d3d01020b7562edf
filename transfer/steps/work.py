"""What a step is given: the lease it works under and the places it may touch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from transfer.catalog.base import Catalog, CatalogDataset, FileRecord
from transfer.errors import CatalogRefused, TransferError
from transfer.ledger.leases import Lease
from transfer.ledger.ledger import Ledger
from transfer.model import Item, Lab
from transfer.paths import TypeIndex
from transfer.status import Status
from transfer.transports.base import Moved, Readable, StreamingTransport
from transfer.transports.delegated import DelegatedTransport
from transfer.verdicts import Comparison, compare

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One item that could not go on.

    `back_to` is the fact that still holds of it, if that is less than it had; `burn` is how many tries it cost.
    """

    item: Item
    error: TransferError
    back_to: Status | None = None
    burn: int = 1


def _quiet(_count: int) -> None:
    """Nobody watches."""


@dataclass(kw_only=True, slots=True)
class Work:
    """The setting of a step: one lease, one lab, the ledger and the catalogue."""

    ledger: Ledger
    lease: Lease
    lab: Lab
    catalog: Catalog
    moved: Moved = field(default=_quiet)

    def ensure(self) -> None:
        """Raise `LostRace` when this worker must not act any more."""
        self.lease.ensure()


@dataclass(kw_only=True, slots=True)
class SessionWork(Work):
    """Discover and register: Alyx's types besides."""

    types: TypeIndex
    sleep: Callable[[float], None]


@dataclass(kw_only=True, slots=True)
class BatchWork(Work):
    """Push to record, whatever carries the bytes.

    Without `alyx` it is kept back now: push goes on without the look there, because all it writes is a partial of
    its own, and publish looks before anybody else can see the bytes.
    """

    announcers: int = 4  # connections that PATCH at once
    alyx: bool = True


@dataclass(kw_only=True, slots=True)
class StreamingWork(BatchWork):
    """The bytes flow through us."""

    transport: StreamingTransport
    token_used: bool = False  # whether partials are named after the lease's token already


@dataclass(kw_only=True, slots=True)
class DelegatedWork(BatchWork):
    """A mover carries the bytes of `batch`; `open_reader` opens another road to the store, where there is one.

    Without `disk` the lab's files cannot be looked at from here: the mover compares them with the registered hash, and
    what it finds otherwise goes back to the lab's own worker.
    """

    transport: DelegatedTransport
    batch: int
    disk: bool
    open_reader: Callable[[], Readable | None]


def by_hundred(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Pieces as large as one request to Alyx may name ids."""
    return (rows[start : start + 100] for start in range(0, len(rows), 100))


@dataclass(frozen=True, slots=True)
class Fresh:
    """An item beside its dataset as Alyx has it at this moment."""

    item: Item
    dataset: CatalogDataset

    @property
    def announced(self) -> bool:
        """Whether Alyx says that the central copy exists."""
        record = central_record(self.item, self.dataset)
        return record is not None and record.exists


def central_record(item: Item, dataset: CatalogDataset) -> FileRecord | None:
    """The item's own central record; an unpadded session number may have left a second one beside it."""
    return next((record for record in dataset.records if record.id == item.record_uuid), None)


def read_again(work: Work, items: Sequence[Item]) -> tuple[list[Fresh], list[Fresh], list[Failure]]:
    """Read the items' datasets now: those whose hash is still ours, those whose hash moved, those that are gone."""
    known = work.catalog.datasets([item.uuid for item in items])
    same, differ, gone = [], [], []
    for item in items:
        dataset = known.get(item.uuid)
        if dataset is None or central_record(item, dataset) is None:
            gone.append(Failure(item=item, error=_gone(item)))
        elif compare(dataset.md5, item.md5) is Comparison.EQUAL:
            same.append(Fresh(item, dataset))
        else:
            differ.append(Fresh(item, dataset))
    return same, differ, gone


def _gone(item: Item) -> TransferError:
    return CatalogRefused(
        "Alyx no longer has the dataset or its central record",
        to=item.source_path,
        do="Find out who deleted it; register it again with alyx-transfer retry, or abandon it.",
    )


def withdraw(work: Work, stale: Iterable[Fresh]) -> None:
    """Set exists=false where Alyx announces a copy whose bytes are not proved to be its hash's."""
    for fresh in stale:
        if fresh.announced:
            work.ensure()
            work.catalog.announce(fresh.item.record, False)


def rediscover(items: Iterable[Item], error: Callable[[Item], TransferError]) -> list[Failure]:
    """Send items back to be hashed and registered again; that costs no try."""
    return [Failure(item=item, error=error(item), back_to=Status.DISCOVERED, burn=0) for item in items]
