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
from transfer.model import Item
from transfer.steps.work import BatchWork, Work, by_hundred

OURS = "alyx_transfer"
PENDING = "transfer_pending"
_STUCK_AFTER = timedelta(days=7)
_ZONES = timedelta(hours=14)  # Alyx's times are naive: no zone is further from UTC than this


def set_pending(work: BatchWork, items: Sequence[Item]) -> None:
    """Lock the records of what is about to be sent; a no-op without an incumbent."""
    if not work.lab.incumbent:
        return
    uuid, _ = work.ledger.identity()
    for some in by_hundred(items):
        standing = work.transport.stat([item.store_path for item in some])
        records = work.catalog.records([item.record for item in some])
        for item, stored in zip(some, standing, strict=True):
            record = records.get(item.record)
            if stored is None and record is not None and not record.exists:
                work.ensure()
                work.catalog.announce(record.id, False, json=merged(record, by=str(uuid)))


def merged(record: FileRecord, *, by: str) -> Mapping[str, Any]:
    """The record's json with our lock beside whatever else is in it."""
    return {**(record.json or {}), PENDING: True, OURS: {"by": by}}


def without_ours(json: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The json without our lock; a flag that is not ours stays."""
    if not json or OURS not in json:
        return json
    rest = {key: value for key, value in json.items() if key not in (OURS, PENDING)}
    return rest or None


def cleared(work: Work, item: Item) -> dict[str, Any]:
    """What the announcing PATCH says besides `exists`: the json without our lock."""
    if not work.lab.incumbent:
        return {}
    record = work.catalog.records([item.record]).get(item.record)
    return {"json": without_ours(record.json)} if record else {}


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
    locked: set[UUID] = set()
    for some in by_hundred(records):
        flagged = {
            record.id: record
            for record in work.catalog.records(some).values()
            if record.dataset and (record.json or {}).get(PENDING) and OURS not in (record.json or {})
        }
        datasets = work.catalog.datasets([one.dataset for one in flagged.values() if one.dataset])
        changed = {one.id: one.changed_at for one in datasets.values()}
        locked |= {
            record.id
            for record in flagged.values()
            if record.dataset in changed and not _stuck(changed[record.dataset])
        }
    return locked


def _stuck(changed_at: datetime) -> bool:
    """Whether a naive server time lies more than 7 days back in every time zone."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now - changed_at > _STUCK_AFTER + _ZONES
