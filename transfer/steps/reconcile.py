"""reconcile: compare what Alyx says of the central copies with what we proved, closed rows too.

Alyx has other writers.  Each pass reads the datasets changed since the last one (with a generous overlap,
because the server's times are naive), and now and then all of them, and mends what differs:

    hash differs, announced      withdraw at once, then let register decide by three hashes
    hash differs, not announced  let register decide
    hash equal, not announced    open an item: the stored copy is proved, then announced
    only the size differs        patch the size (the incumbent writes what a listing said)
    flagged `mismatch_hash`      hash the stored copy: right, clear the flag; wrong, withdraw and send again

Rows with an open item have an owner and are left to it.  What a person abandoned is not opened again.  A row
that Alyx refuses to have mended is counted and stops no other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from transfer.catalog.base import Catalog, CatalogDataset, FileRecord
from transfer.errors import AnswerDiffers, CatalogRefused, StoredFileMissing
from transfer.ledger import standing
from transfer.ledger.ledger import Ledger
from transfer.ledger.standing import StandingCopy
from transfer.model import Lab
from transfer.status import Condition
from transfer.transports.base import Download, Failed, Got, Readable
from transfer.verdicts import Central, central

OVERLAP = timedelta(hours=3)
FLAG = "mismatch_hash"
REFUSED = "refused by Alyx"

Fixes = Counter[str]


def reconcile(
    ledger: Ledger,
    catalog: Catalog,
    lab: Lab,
    *,
    open_store: Callable[[], Readable],
    everything: bool = False,
) -> Fixes:
    """One pass over a lab's central records; answers how many of each fix were made."""
    mark = f"reconcile {lab.repository} {lab.store}"
    since = None if everything else _parse(ledger.watermark(mark))
    newest = since
    fixes: Fixes = Counter()
    for some in _by(100, catalog.datasets_changed(lab.store, since - OVERLAP if since else None)):
        ours = standing.copies_at(ledger, lab.store, [dataset.id for dataset in some])
        for dataset in some:
            newest = max(newest or dataset.changed_at, dataset.changed_at)
            copy = ours.get(dataset.id)
            if copy is not None and not copy.owned:
                fixes[mended(ledger, catalog, dataset, copy)] += 1
    _mismatches(ledger, catalog, lab, open_store, fixes)
    if newest is not None and not fixes[REFUSED]:
        ledger.set_watermark(mark, newest.isoformat())
    del fixes[Central.NOTHING.value]
    return +fixes


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _by(size: int, rows: Iterable[CatalogDataset]) -> Iterator[Sequence[CatalogDataset]]:
    source = iter(rows)
    while some := list(islice(source, size)):
        yield some


def mended(ledger: Ledger, catalog: Catalog, dataset: CatalogDataset, copy: StandingCopy) -> str:
    """Make one row's fix and name it; `Central.NOTHING` when there was nothing to mend."""
    try:
        return _mend(ledger, catalog, dataset, copy)
    except (AnswerDiffers, CatalogRefused):
        return REFUSED


def _mend(ledger: Ledger, catalog: Catalog, dataset: CatalogDataset, copy: StandingCopy) -> str:
    record = next((one for one in dataset.records if one.id == copy.record_uuid), None)
    verdict = central(
        alyx_md5=dataset.md5,
        alyx_size=dataset.size,
        exists=record is not None and record.exists,
        proved_md5=copy.md5,
        proved_size=copy.size,
    )
    match verdict:
        case Central.WITHDRAW:
            assert record is not None
            catalog.announce(record.id, False)
            standing.doubt(ledger, copy, why="Alyx announced it with another hash")
        case Central.SEND_AGAIN:
            standing.doubt(ledger, copy, why="Alyx has another hash")
        case Central.PROVE:
            standing.reopen(ledger, [copy], condition=Condition.EXPECTED, why="Alyx no longer announces it")
        case Central.SET_SIZE:
            assert copy.size is not None
            catalog.set_size(dataset.id, copy.size)
        case Central.NOTHING:
            pass
    return verdict.value


def _mismatches(
    ledger: Ledger,
    catalog: Catalog,
    lab: Lab,
    open_store: Callable[[], Readable],
    fixes: Fixes,
) -> None:
    """What readers flagged: nothing is believed before the stored bytes were hashed."""
    flagged = {record.dataset: record for record in catalog.flagged_records(lab.store) if record.dataset}
    if not flagged:
        return
    ours = standing.copies_at(ledger, lab.store, list(flagged))
    wanted = {copy.id: copy for copy in ours.values() if not copy.owned and copy.path and copy.md5}
    if not wanted:
        return
    with open_store() as store:
        downloads = [Download(key=copy.id, path=copy.path) for copy in wanted.values() if copy.path]
        looked_at = [(wanted[seen.key], seen) for seen in store.get(downloads, lambda _count: None)]
    for copy, seen in looked_at:
        record = flagged[copy.dataset_uuid]
        json = {key: value for key, value in (record.json or {}).items() if key != FLAG} or None
        try:
            fixes[_answered(ledger, catalog, copy, seen, replace(record, json=json))] += 1
        except (AnswerDiffers, CatalogRefused):
            fixes[REFUSED] += 1


def _answered(
    ledger: Ledger, catalog: Catalog, copy: StandingCopy, seen: Got | Failed, record: FileRecord
) -> str:
    """Take a reader's flag off again, after what was seen at the store; `record` is without the flag."""
    if isinstance(seen, Got) and seen.md5 == copy.md5:
        catalog.announce(record.id, record.exists, json=record.json)
        return "flag cleared"
    if isinstance(seen, Failed) and not isinstance(seen.error, StoredFileMissing):
        return "flagged copy not readable now"
    catalog.announce(record.id, False, json=record.json)
    standing.reopen(ledger, [copy], condition=Condition.DAMAGED, why="a reader found it damaged, so did we")
    return "damaged copy sent again"
