"""Living beside IBL's own nightly crons, in labs whose config says `incumbent = true`.

The crons honour one lock: `transfer_pending` in the json of a central record keeps `bulk_transfer` away
from it (alyx/data/transfers.py).  But the same flag makes `bulk_sync` look at the store by name and announce
whatever it finds, so it is never set while a copy stands at the final name.  Alyx replaces json as a whole:
we merge ours beside what is there and take back only what is ours.  `local_missing` is never written: a
clean-up of IBL's deletes such datasets.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from transfer.catalog.base import FileRecord
from transfer.errors import MovedByOthers, TransferError
from transfer.model import Item
from transfer.steps.work import DelegatedWork, Failure, StreamingWork, Work, by_hundred

OURS = "alyx_transfer"
PENDING = "transfer_pending"
_STUCK_AFTER = timedelta(days=7)
_LOOK_AGAIN_AFTER = timedelta(hours=1)
_ZONES = timedelta(hours=14)  # Alyx's times are naive: no zone is further from UTC than this


def set_pending(
    work: StreamingWork | DelegatedWork, items: Sequence[Item]
) -> tuple[list[Item], list[Failure]]:
    """Lock the records of what is about to be sent; answers what may be sent and what another tool is moving.

    Without an incumbent nothing is locked and everything may be sent.
    """
    if not work.lab.incumbent:
        return list(items), []
    uuid, _ = work.ledger.identity()
    free: list[Item] = []
    failures: list[Failure] = []
    for some in by_hundred(items):
        standing = work.transport.stat([item.store_path for item in some])
        records = work.catalog.records([item.record for item in some])
        locked = _locked(work, records)
        for item, stored in zip(some, standing, strict=True):
            record = records.get(item.record)
            if item.record in locked:
                failures.append(Failure(item=item, error=_moved_by_others(item), burn=0))
                continue
            free.append(item)
            if stored is None and record is not None and not record.exists:
                work.ensure()
                work.catalog.announce(record.id, False, json=merged(record, by=str(uuid)))
    return free, failures


def _moved_by_others(item: Item) -> TransferError:
    return MovedByOthers(
        "another tool says it is moving this file", to=item.source_path, after=_LOOK_AGAIN_AFTER
    )


def merged(record: FileRecord, *, by: str) -> Mapping[str, Any]:
    """The record's json with our lock beside whatever else is in it."""
    return {**(record.json or {}), PENDING: True, OURS: {"by": by}}


def without_ours(json: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The json without our lock; a flag that is not ours stays."""
    if not json or OURS not in json:
        return json
    rest = {key: value for key, value in json.items() if key not in (OURS, PENDING)}
    return rest or None


def cleared(work: Work, items: Sequence[Item]) -> dict[UUID, dict[str, Any]]:
    """What announcing PATCHes say besides `exists`, by record: the json without our lock, where we hold one."""
    if not work.lab.incumbent:
        return {}
    found: dict[UUID, dict[str, Any]] = {}
    for some in by_hundred(items):
        for record in work.catalog.records([item.record for item in some]).values():
            if OURS in (record.json or {}):
                found[record.id] = {"json": without_ours(record.json)}
    return found


def clear(work: Work, items: Sequence[Item]) -> None:
    """Take our locks back from records of items that stop moving: every exit does."""
    if not work.lab.incumbent:
        return
    for some in by_hundred([item for item in items if item.record_uuid]):
        for record in work.catalog.records([item.record for item in some]).values():
            rest = without_ours(record.json)
            if rest != record.json:
                work.ensure()
                work.catalog.announce(record.id, record.exists, json=rest)


def locked_by_others(work: Work, records: Sequence[UUID]) -> set[UUID]:
    """Records another tool says it is moving, whose datasets have moved within 7 days; older flags are stuck."""
    return {record for some in by_hundred(records) for record in _locked(work, work.catalog.records(some))}


def _locked(work: Work, records: Mapping[UUID, FileRecord]) -> set[UUID]:
    flagged = [
        record
        for record in records.values()
        if record.dataset and (record.json or {}).get(PENDING) and OURS not in (record.json or {})
    ]
    datasets = work.catalog.datasets([one.dataset for one in flagged if one.dataset]) if flagged else {}
    now = work.ledger.moment()
    return {
        record.id
        for record in flagged
        if record.dataset in datasets and not _stuck(datasets[record.dataset].changed_at, now)
    }


def _stuck(changed_at: datetime, now: datetime) -> bool:
    """Whether a naive server time lies more than 7 days back in every time zone."""
    return now.astimezone(UTC).replace(tzinfo=None) - changed_at > _STUCK_AFTER + _ZONES
