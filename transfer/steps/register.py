"""register: make sure Alyx knows each file by the hash we have, and learn its ids.

The rules are those of docs/architecture.md, "Alyx":

- look first: the session's datasets are listed before anything is registered;
- three hashes decide (`verdicts.three_hashes`); what somebody else changed is held, never overwritten;
- at most 50 files to a request, one request at a time (the session's lease); a request whose outcome is
  unknown is never repeated before two looks, 30 seconds apart, agree;
- every answer is compared with what was sent: Alyx truncates lists and changes odd paths silently;
- in a lab whose work source is Alyx nothing is registered: a lab file that differs is a person's case.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import select

from transfer.catalog.base import CatalogDataset
from transfer.errors import (
    AmbiguousSession,
    ChangedElsewhere,
    NumberNotPadded,
    RegisteredHashDiffers,
    TransferError,
    UnknownSession,
)
from transfer.ledger.intake import Known, registered
from transfer.ledger.rows import DATASETS
from transfer.ledger.tables import copies, datasets, items
from transfer.model import Item, Session
from transfer.status import Status
from transfer.steps.registration import (
    Paths,
    adopt,
    by_path,
    chunks,
    failure_of,
    is_complete,
    register_chunk,
    single,
)
from transfer.steps.work import Failure, SessionWork
from transfer.verdicts import KnownHash, Verdict, three_hashes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What register leaves: the session's id in Alyx, and the failures."""

    eid: UUID
    failures: list[Failure]


def register(work: SessionWork, session: Session, *, leave: Collection[PurePosixPath] = ()) -> Outcome:
    """DISCOVERED -> REGISTERED for every open item of the session, but for those of the files to `leave`.

    Raises `UnknownSession`, `AmbiguousSession`, `NumberNotPadded`, and what the catalogue raises.
    """
    eid = find_session(work, session)
    items = [
        item
        for item in work.ledger.session_items(session.id, Status.DISCOVERED)
        if item.source_path.relative_to(session.path) not in leave
    ]
    if not items:
        return Outcome(eid, [])
    known = by_path(work.catalog.datasets_of_session(eid))
    to_register, adopted, failures = _judge(work, session, eid, items, known)
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, adopted)
    for chunk in chunks(to_register):
        failures += register_chunk(work, session, eid, chunk, known)
    return Outcome(eid, failures)


def _judge(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], known: Paths
) -> tuple[list[Item], list[Known], list[Failure]]:
    """Three hashes decide for each item: what to register, what to adopt, what a person must look at."""
    registered_before = _registered_before(work, session)
    to_register: list[Item] = []
    adopted: list[Known] = []
    failures: list[Failure] = []
    for item in items:
        try:
            dataset = single(work, eid, item.source_path.relative_to(session.path), known)
            verdict = three_hashes(
                lab=item.md5,
                alyx=KnownHash(dataset.md5) if dataset else None,
                registered=registered_before.get(item.dataset),
            )
            if verdict is Verdict.HOLD and dataset is not None and _was_ours(work, item, dataset.md5):
                verdict = Verdict.REGISTER
            if _must_register(work, verdict, item, dataset):
                to_register.append(item)
            elif dataset is not None:
                adopted.append(adopt(work, item, dataset, verdict))
        except TransferError as error:
            failures.append(failure_of(item, error))
    return to_register, adopted, failures


def find_session(work: SessionWork, session: Session) -> UUID:
    """The session's id in Alyx; exactly one must fit."""
    if len(session.path.name) != 3:
        raise NumberNotPadded(
            "readers look for a session number of three digits, the folder has another", to=session.path
        )
    if session.eid is not None:
        return session.eid
    found = work.catalog.sessions(session.subject, session.date, session.number)
    if not found:
        raise UnknownSession("Alyx has no such session", to=session.path)
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise AmbiguousSession(f"Alyx has {len(found)} sessions for one folder ({ids})", to=session.path)
    return found[0].id


def _registered_before(work: SessionWork, session: Session) -> dict[int, str | None]:
    with work.ledger.reading() as connection:
        rows = connection.execute(DATASETS.where(datasets.c.session == session.id)).all()
    return {row.id: row.registered_md5 for row in rows}


def _was_ours(work: SessionWork, item: Item, md5: str) -> bool:
    """Whether Alyx has a version that we found here earlier: a late worker may have registered it only now.

    It could not be kept from that: Alyx has no conditional update.  What the lab has now came after it.
    """
    with work.ledger.reading() as connection:
        query = (
            select(items.c.id)
            .join(copies, copies.c.id == items.c.copy)
            .where(copies.c.dataset == item.dataset, items.c.md5 == md5, items.c.id != item.id)
        )
        return connection.execute(query.limit(1)).first() is not None


def _must_register(work: SessionWork, verdict: Verdict, item: Item, dataset: CatalogDataset | None) -> bool:
    """Whether to POST; raises when a person must decide."""
    complete = dataset is not None and is_complete(work, item, dataset)
    if work.lab.work == "alyx":
        if verdict in (Verdict.ADOPT, Verdict.SET_HASH) and complete:
            return False
        raise RegisteredHashDiffers("the lab's file is not the version Alyx has", to=item.source_path)
    if verdict is Verdict.HOLD:
        assert dataset is not None
        raise ChangedElsewhere(
            f"Alyx has a version we never registered (hash {dataset.md5}, the lab's is {item.md5})",
            to=item.source_path,
        )
    return verdict is Verdict.REGISTER or not complete
