"""rebuild: a ledger that was lost is made anew from Alyx and the store.

Alyx knows every dataset, its hash and where it should stand; the store has the bytes.  So each file that Alyx has a
record of at the store is written down with an item that stands at REGISTERED, and the ordinary journey does the rest:
what stands at the store with the registered hash is adopted (proved by hashing, receipt written, nothing sent); what is
announced and is not there, or holds other bytes, is withdrawn at once and sent again from the lab.

PROMISES
- nothing is believed: a copy counts only when its bytes were hashed again;
- what the ledger knows already is left alone, so it may be repeated, and killed at any line;
- a path that leads out of its session, or a row without an md5 (a SHA-1 of old), is counted and stops no other.

What is not in Alyx is lost with the ledger: who did what and when, holds, and files given up (those move again).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import Catalog, CatalogDataset
from transfer.errors import TransferError
from transfer.ledger.ledger import Ledger
from transfer.ledger.rebuilding import Remembered, remember
from transfer.model import Lab, SessionKey
from transfer.paths import parse_session, refuse_unsafe

_MD5 = 32  # hex digits


@dataclass
class Rebuilt:
    """What came of it for one lab: files written down, those the ledger knew, those left out, by the reason why."""

    files: int = 0
    known: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def rebuild(
    ledger: Ledger, catalog: Catalog, lab: Lab, *, on_session: Callable[[int], None] = lambda _files: None
) -> Rebuilt:
    """Write down what Alyx has of one lab; `on_session` sees the files as they are written.

    Raises what the catalogue raises; what was written until then stays.
    """
    done = Rebuilt()
    for key, (eid, found) in _by_session(catalog, lab, done.left_out).items():
        session = ledger.saw_session(key, lab, eid=eid)
        new = remember(ledger, lab, session, found)
        done.files += new
        done.known += len(found) - new
        on_session(new)
    return done


_Sessions = Mapping[SessionKey, tuple[UUID | None, Sequence[Remembered]]]


def _by_session(catalog: Catalog, lab: Lab, left_out: Counter[str]) -> _Sessions:
    """The whole list is read before anything is written: Alyx's lists have no order."""
    files: defaultdict[SessionKey, dict[PurePosixPath, Remembered]] = defaultdict(dict)
    eids: dict[SessionKey, UUID | None] = {}
    for dataset in catalog.datasets_changed(lab.store, None):
        for key, one in _remembered(dataset, lab, left_out):
            files[key][one.path] = one
            eids[key] = dataset.session
    return {
        key: (eids[key], list(files[key].values())) for key in sorted(files, key=lambda one: str(one.path))
    }


def _remembered(
    dataset: CatalogDataset, lab: Lab, left_out: Counter[str]
) -> Iterator[tuple[SessionKey, Remembered]]:
    at_store, at_lab = dataset.record(lab.store), dataset.record(lab.repository)
    if at_store is None or at_lab is None:
        left_out["not of this lab's machine"] += 1
        return
    if len(dataset.md5) != _MD5 or dataset.size is None:
        left_out["no md5 or no size in Alyx"] += 1
        return
    try:
        parts = refuse_unsafe(at_lab.path).parts
    except TransferError:
        left_out["a path in Alyx that cannot be trusted"] += 1
        return
    key = parse_session(PurePosixPath(*parts[:3]), lab.repository) if len(parts) > 3 else None
    if key is None or at_store.path != at_lab.path:
        left_out["a path in Alyx that lies in no session"] += 1
        return
    yield (
        key,
        Remembered(
            path=PurePosixPath(*parts[3:]),
            uuid=dataset.id,
            md5=dataset.md5,
            size=dataset.size,
            lab_record=at_lab.id,
            store_record=at_store.id,
            announced=at_store.exists,
        ),
    )
