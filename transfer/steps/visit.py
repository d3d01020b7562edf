"""One visit to a session: discover what it holds, register it, and say when to come again."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from transfer.catalog.base import CatalogDataset
from transfer.errors import TransferError
from transfer.model import Session
from transfer.paths import refuse_unsafe
from transfer.steps import coexistence
from transfer.steps.discover import Listed, discover, finish, vanished
from transfer.steps.register import find_session, register
from transfer.steps.work import Failure, SessionWork


def visit(work: SessionWork, session: Session) -> list[Failure]:
    """Discover and register one session; answers the files that could not be registered.

    Raises what concerns the session as a whole (`UnknownSession`, `NotASession`, ...).
    """
    listed = _listed(work, session) if work.lab.work == "alyx" else None
    seen = discover(work, session, listed)
    outcome = register(work, session, leave=seen.unquiet)
    finish(work, session, seen, eid=outcome.eid)
    return outcome.failures + [vanished(item) for item in seen.gone]


def _listed(work: SessionWork, session: Session) -> Mapping[PurePosixPath, Listed]:
    """What Alyx lists as missing at the store, by path in the session."""
    eid = find_session(work, session)
    found: dict[PurePosixPath, Listed] = {}
    for dataset in work.catalog.datasets_of_session(eid):
        record = dataset.record(work.lab.store)
        if record is None or record.exists or not _trusted(session, dataset, record.path):
            continue
        found[dataset.path] = Listed(dataset=dataset.id, record=record.id)
    if work.lab.incumbent:
        locked = coexistence.locked_by_others(work, [listed.record for listed in found.values()])
        found = {path: listed for path, listed in found.items() if listed.record not in locked}
    return found


def _trusted(session: Session, dataset: CatalogDataset, path: PurePosixPath) -> bool:
    """Whether the record's path is the dataset's own place in this session; a path from Alyx is never trusted."""
    try:
        return refuse_unsafe(path) == session.path / refuse_unsafe(dataset.path)
    except TransferError:
        return False
