"""One visit to a session: discover what it holds, register it, and say when to come again."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset
from transfer.errors import TransferError, UnknownSession, UntrustedPath
from transfer.ledger.intake import forget_eid
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
    try:
        listed, locked = _listed(work, session) if work.lab.work == "alyx" else (None, False)
        seen = discover(work, session, listed)
        gone = [item.source_path.relative_to(session.path) for item in seen.gone]
        outcome = register(work, session, leave=[*seen.unquiet, *gone])
    except UnknownSession:
        with work.ledger.guarded(work.lease) as tx:
            forget_eid(tx, session)
        raise
    finish(work, session, seen, eid=outcome.eid, come_again=locked)
    return outcome.failures + [vanished(item) for item in seen.gone]


def _listed(work: SessionWork, session: Session) -> tuple[Mapping[PurePosixPath, Listed], bool]:
    """What Alyx lists as missing at the store, by path in the session, and whether others are moving some of it."""
    eid = find_session(work, session)
    found: dict[PurePosixPath, Listed] = {}
    for dataset in work.catalog.datasets_of_session(eid):
        record = dataset.record(work.lab.store)
        if record is not None and not record.exists:
            error = _distrusted(session, dataset, record.path)
            found[dataset.path] = Listed(dataset=dataset.id, record=record.id, error=error)
    locked: set[UUID] = set()
    if work.lab.incumbent:
        locked = coexistence.locked_by_others(work, [listed.record for listed in found.values()])
    free = {path: listed for path, listed in found.items() if listed.record not in locked}
    return free, bool(locked)


def _distrusted(session: Session, dataset: CatalogDataset, path: PurePosixPath) -> TransferError | None:
    """Why the record's path is not the dataset's own place in this session; a path from Alyx is never trusted."""
    try:
        if refuse_unsafe(path) == session.path / refuse_unsafe(dataset.path):
            return None
    except TransferError as error:
        return error
    return UntrustedPath("Alyx names a path that is not the dataset's own", to=path)
