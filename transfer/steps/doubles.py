"""The repair of a doubled dataset: two rows for one file, after which every registration of it fails.

Two identical registrations at once make one (Alyx has no unique constraint on datasets).  The surplus row is
the one without file records.  It is deleted only when nothing can hang on it: no file records, no tags, known
to us for ten minutes, another row left, and still so at a second look.  Ten minutes by our own clock since we
first saw it, because Alyx's times are naive and in a zone we do not know.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset
from transfer.errors import DoubledDataset, DoubledLately
from transfer.steps.work import SessionWork

OLD_ENOUGH = timedelta(minutes=10)


def surplus(found: Sequence[CatalogDataset]) -> list[CatalogDataset]:
    """The rows that nothing hangs on; never all of them."""
    empty = [one for one in found if not one.records and not one.tags]
    return empty if len(empty) < len(found) else empty[1:]


def repair_doubles(work: SessionWork, eid: UUID, path: PurePosixPath) -> CatalogDataset:
    """Delete the surplus rows of one file; answers the one that stays.

    Raises `DoubledLately` while it is too early to be sure, `DoubledDataset` when a person must choose.
    """
    first = _rows(work, eid, path)
    doomed = surplus(first)
    if len(first) - len(doomed) != 1:
        ids = ", ".join(str(one.id) for one in first)
        raise DoubledDataset(
            f"Alyx has {len(first)} datasets with file records for one file ({ids})", to=path
        )
    young = [one for one in doomed if not _known_long_enough(work, one.id)]
    if young:
        raise DoubledLately(f"Alyx has {len(first)} datasets for one file", to=path, after=OLD_ENOUGH)
    again = _rows(work, eid, path)
    doomed_ids = {one.id for one in doomed}
    if {one.id for one in surplus(again)} != doomed_ids:
        raise DoubledLately("Alyx's doubled rows changed while we looked", to=path, after=OLD_ENOUGH)
    for one in doomed:
        work.ensure()
        work.catalog.delete_dataset(one.id)
        work.ledger.set_watermark(_mark(one.id), None)
    (left,) = [one for one in again if one.id not in doomed_ids]
    return left


def _known_long_enough(work: SessionWork, dataset: UUID) -> bool:
    now = work.ledger.moment()
    seen = work.ledger.watermark(_mark(dataset))
    if seen is None:
        work.ledger.set_watermark(_mark(dataset), now.isoformat())
        return False
    return now - datetime.fromisoformat(seen) >= OLD_ENOUGH


def _mark(dataset: UUID) -> str:
    return f"doubled {dataset}"


def _rows(work: SessionWork, eid: UUID, path: PurePosixPath) -> list[CatalogDataset]:
    return [one for one in work.catalog.datasets_of_session(eid) if one.path == path]
