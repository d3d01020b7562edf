"""What may be switched off, to show that a drill can fail: each by wrapping what the program is given.

`off` prepares the stage before the program is wired, and what it returns is entered while the drill lasts.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID

from rehearsal.around import Around, AroundCatalog, SaysWhatWasExpected, around_catalog
from rehearsal.configuring import know_host
from rehearsal.stage import Off, Stage
from sandbox.box import STORE
from transfer.catalog.base import Catalog, CatalogDataset, FileRecord, Registered, Registration
from transfer.errors import UnknownOutcome
from transfer.ledger import endpoints, transactions
from transfer.ledger.leases import Lease


@dataclass(frozen=True, kw_only=True, slots=True)
class Protection:
    """One protection: the drill it is needed for, what it does, and what a lab would have without it."""

    name: str
    drill: str
    what: str
    harm: str
    off: Off


def _verification(stage: Stage) -> AbstractContextManager[object]:
    stage.around.ways.append(SaysWhatWasExpected)
    return nullcontext()


def _hash_distrust(stage: Stage) -> AbstractContextManager[object]:
    """The ledger is told that the canary was fine a moment ago, so that nobody asks it."""

    def believe() -> None:
        now = datetime.now(UTC).isoformat()
        endpoints.learnt(stage.ledger, STORE, remote_hash=True, canary_at=now)

    stage.once_open.append(believe)
    return nullcontext()


def _host_key(stage: Stage) -> AbstractContextManager[object]:
    """Whatever key is shown is written into known_hosts before each connection."""

    class Trusting(Around):
        def __enter__(self) -> "Trusting":
            know_host(stage.known_hosts, stage.line, stage.shown_key)
            super().__enter__()
            return self

    stage.around.ways.append(Trusting)
    return nullcontext()


def _read_back(stage: Stage) -> AbstractContextManager[object]:
    stage.around.catalogs.append(lambda real: around_catalog(_NotReadBack(real)))
    return nullcontext()


class _NotReadBack(AroundCatalog):
    """After an announcement the next look at its dataset is answered from memory: as before, and announced."""

    def __init__(self, real: Catalog) -> None:
        super().__init__(real)
        self._seen: dict[UUID, CatalogDataset] = {}
        self._announced: set[UUID] = set()

    def datasets(self, ids: Sequence[UUID]) -> dict[UUID, CatalogDataset]:
        found = self.real.datasets([one for one in ids if not self._remembered(one)])
        remembered = {one: self._as_announced(self._seen[one]) for one in ids if self._remembered(one)}
        for dataset in remembered.values():
            self._announced -= {record.id for record in dataset.records}
        self._seen.update(found)
        return {**found, **remembered}

    def announce(self, record: UUID, exists: bool, *json: Any, **more: Any) -> FileRecord:
        told = self.real.announce(record, exists, *json, **more)
        if exists:
            self._announced.add(record)
        return told

    def _remembered(self, dataset: UUID) -> bool:
        seen = self._seen.get(dataset)
        return seen is not None and any(record.id in self._announced for record in seen.records)

    def _as_announced(self, dataset: CatalogDataset) -> CatalogDataset:
        records = tuple(
            replace(record, exists=True) if record.id in self._announced else record
            for record in dataset.records
        )
        return replace(dataset, records=records)


def _look_first(stage: Stage) -> AbstractContextManager[object]:
    stage.around.catalogs.append(lambda real: around_catalog(_Repeating(real)))
    return nullcontext()


class _Repeating(AroundCatalog):
    """A registration whose answer was lost is sent once more at once."""

    def register(self, registration: Registration) -> list[Registered]:
        try:
            return self.real.register(registration)
        except UnknownOutcome:
            return self.real.register(registration)


def _lease_guard(_stage: Stage) -> AbstractContextManager[object]:
    """Nobody asks whether a lease is still held, neither by the clock nor in the database."""
    off = ExitStack()
    off.enter_context(patch.object(Lease, "ensure", lambda _lease: None))
    off.enter_context(patch.object(transactions, "renew", lambda *_words: None))
    return off


def _audit(stage: Stage) -> AbstractContextManager[object]:
    stage.audited = False
    return nullcontext()


PROTECTIONS: tuple[Protection, ...] = (
    Protection(
        name="verification",
        drill="damage",
        what="the stored bytes are hashed and compared with what was registered",
        harm="a damaged file would have been announced, and every reader would have loaded it",
        off=_verification,
    ),
    Protection(
        name="hash-distrust",
        drill="lying-hash",
        what="a store's hash command is believed only after a canary",
        harm="a damaged file would have been announced on the word of a store that did not look",
        off=_hash_distrust,
    ),
    Protection(
        name="audit",
        drill="rot",
        what="stored copies are read again from time to time",
        harm="a file that rotted at the store would have stayed announced, with nobody knowing",
        off=_audit,
    ),
    Protection(
        name="host-key",
        drill="host-key",
        what="a store is known by its host key",
        harm="the lab's files would have been given to a server that nobody knows",
        off=_host_key,
    ),
    Protection(
        name="read-back",
        drill="changed-meanwhile",
        what="Alyx is read again after each announcement",
        harm="an old version would have been announced as the new one, and nobody told",
        off=_read_back,
    ),
    Protection(
        name="look-first",
        drill="lost-answer",
        what="after a lost answer Alyx is looked at before anything is registered again",
        harm="Alyx would have had files twice, and refused every later registration of them",
        off=_look_first,
    ),
    Protection(
        name="lease-guard",
        drill="sleep",
        what="a worker acts only while it holds the lease",
        harm="two workers would have written about the same files at once, each believing to be alone",
        off=_lease_guard,
    ),
)
