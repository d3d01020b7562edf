"""reconcile: compare what Alyx says of the central copies with what we proved, closed rows too.

Alyx has other writers.  Each pass reads the datasets changed since the last one (with a generous overlap,
because the server's times are naive), and now and then all of them, and mends what differs:

    hash differs, announced      withdraw at once, then visit the session again
    hash differs, not announced  visit the session again
    hash equal, not announced    open an item: the stored copy is proved, then announced
    only the size differs        patch the size (the incumbent writes what a listing said)
    flagged `mismatch_hash`      hash the stored copy: right, clear the flag; wrong, withdraw and send again

Rows with an open item have an owner and are left to it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath

from transfer.catalog.base import Catalog, CatalogDataset
from transfer.ledger import standing
from transfer.ledger.ledger import Ledger
from transfer.ledger.standing import StandingCopy
from transfer.model import Lab
from transfer.status import Condition
from transfer.transports.base import Download, Got, StreamingTransport
from transfer.verdicts import Central, central

OVERLAP = timedelta(hours=3)
FLAG = "mismatch_hash"

Fixes = Counter[str]


def reconcile(
    ledger: Ledger,
    catalog: Catalog,
    lab: Lab,
    *,
    open_store: Callable[[], StreamingTransport],
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
                fixes[_mend(ledger, catalog, lab, dataset, copy)] += 1
    _mismatches(ledger, catalog, lab, open_store, fixes)
    if newest is not None:
        ledger.set_watermark(mark, newest.isoformat())
    del fixes[Central.NOTHING.value]
    return fixes


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _by(size: int, rows: Iterable[CatalogDataset]) -> Iterator[Sequence[CatalogDataset]]:
    source = iter(rows)
    while some := list(islice(source, size)):
        yield some


def _mend(ledger: Ledger, catalog: Catalog, lab: Lab, dataset: CatalogDataset, copy: StandingCopy) -> str:
    record = dataset.record(lab.store)
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
            ledger.make_due(copy.session)
        case Central.SEND_AGAIN:
            ledger.make_due(copy.session)
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
    open_store: Callable[[], StreamingTransport],
    fixes: Fixes,
) -> None:
    """What readers flagged: nothing is believed before the stored bytes were hashed."""
    flagged = {record.dataset: record for record in catalog.flagged_records(lab.store) if record.dataset}
    if not flagged:
        return
    ours = standing.copies_at(ledger, lab.store, list(flagged))
    wanted = [copy for copy in ours.values() if not copy.owned and copy.path and copy.md5]
    if not wanted:
        return
    with open_store() as store:
        stored = _stored_hashes(store, [copy.path for copy in wanted if copy.path])
    for copy, md5 in zip(wanted, stored, strict=True):
        record = flagged[copy.dataset_uuid]
        json = {key: value for key, value in (record.json or {}).items() if key != FLAG} or None
        if md5 == copy.md5:
            catalog.announce(record.id, record.exists, json=json)
            fixes["flag cleared"] += 1
        else:
            catalog.announce(record.id, False, json=json)
            standing.reopen(
                ledger, [copy], condition=Condition.DAMAGED, why="a reader found it damaged, so did we"
            )
            fixes["damaged copy sent again"] += 1


def _stored_hashes(store: StreamingTransport, paths: Sequence[PurePosixPath]) -> list[str | None]:
    found: dict[int, str] = {}
    for outcome in store.get(
        [Download(key=n, path=path) for n, path in enumerate(paths)], lambda _count: None
    ):
        if isinstance(outcome, Got):
            found[outcome.key] = outcome.md5
    return [found.get(n) for n in range(len(paths))]
