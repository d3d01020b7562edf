"""register: make sure Alyx knows each file by the hash we have, and learn its ids.

The rules are those of docs/architecture.md, "Alyx":

- look first: the session's datasets are listed before anything is registered;
- three hashes decide (`verdicts.three_hashes`); what somebody else changed is held, never overwritten;
- at most 50 files to a request, one request at a time (the session's lease); a request whose outcome is
  unknown is never repeated before two looks, 30 seconds apart, agree;
- every answer is compared with what was sent: Alyx truncates lists and changes odd paths silently;
- in a lab whose work source is Alyx nothing is registered: a lab file that differs is a person's case.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset, FileRecord, NewFile, Registered, Registration
from transfer.errors import (
    AmbiguousSession,
    AnswerDiffers,
    CatalogBroken,
    CatalogRefused,
    ChangedElsewhere,
    DoubledDataset,
    DoubledLately,
    LostRace,
    NumberNotPadded,
    ProtectedDataset,
    Reach,
    RegisteredHashDiffers,
    TransferError,
    UnknownOutcome,
    UnknownSession,
)
from transfer.ledger.intake import Known, registered
from transfer.ledger.rows import DATASETS
from transfer.ledger.tables import datasets
from transfer.model import Item, Session
from transfer.status import Status
from transfer.steps.doubles import repair_doubles
from transfer.steps.work import Failure, SessionWork
from transfer.verdicts import Comparison, KnownHash, Verdict, compare, three_hashes

CHUNK = 50
LOOKS_APART = timedelta(seconds=30)
_LOOKS = 10

Paths = dict[PurePosixPath, list[CatalogDataset]]


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
    known = _by_path(work.catalog.datasets_of_session(eid))
    to_register, adopted, failures = _judge(work, session, eid, items, known)
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, adopted)
    for chunk in _chunks(to_register):
        failures += _register_chunk(work, session, eid, chunk, known)
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
            dataset = _single(work, eid, item.source_path.relative_to(session.path), known)
            verdict = three_hashes(
                lab=item.md5,
                alyx=KnownHash(dataset.md5) if dataset else None,
                registered=registered_before.get(item.dataset),
            )
            if _must_register(work, verdict, item, dataset):
                to_register.append(item)
            elif dataset is not None:
                adopted.append(_adopted(work, item, dataset, verdict))
        except TransferError as error:
            failures.append(_failure(item, error))
    return to_register, adopted, failures


def _failure(item: Item, error: TransferError) -> Failure:
    """The failure of one file; raises again what concerns more than that file."""
    if error.reach is Reach.ENDPOINT or isinstance(error, LostRace):
        raise error
    return Failure(item=item, error=error, burn=0 if isinstance(error, DoubledLately) else 1)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Requests' worth of files.  What failed before goes alone, so that it cannot fail the others again."""
    fresh = [item for item in items if not item.tries]
    yield from (fresh[start : start + CHUNK] for start in range(0, len(fresh), CHUNK))
    yield from ([item] for item in items if item.tries)


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


def _by_path(found: Sequence[CatalogDataset]) -> Paths:
    paths: Paths = {}
    for dataset in found:
        paths.setdefault(dataset.path, []).append(dataset)
    return paths


def _single(work: SessionWork, eid: UUID, path: PurePosixPath, known: Paths) -> CatalogDataset | None:
    """The dataset of that path; a doubled row makes every registration of it fail, so it is repaired first."""
    if len(known.get(path, [])) > 1:
        known[path] = [repair_doubles(work, eid, path)]
    found = known.get(path, [])
    return found[0] if found else None


def _registered_before(work: SessionWork, session: Session) -> dict[int, str | None]:
    with work.ledger.reading() as connection:
        rows = connection.execute(DATASETS.where(datasets.c.session == session.id)).all()
    return {row.id: row.registered_md5 for row in rows}


def _must_register(work: SessionWork, verdict: Verdict, item: Item, dataset: CatalogDataset | None) -> bool:
    """Whether to POST; raises when a person must decide."""
    complete = dataset is not None and _is_complete(work, item, dataset)
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


def _equal(dataset: CatalogDataset, item: Item) -> bool:
    return compare(dataset.md5, item.md5) is Comparison.EQUAL


def _is_complete(work: SessionWork, item: Item, dataset: CatalogDataset) -> bool:
    """Whether the dataset has a record at the store for this very path."""
    return any(one.repository == work.lab.store and one.path == item.source_path for one in dataset.records)


def _records(item: Item, records: Sequence[FileRecord]) -> dict[str, UUID]:
    """The record in each repository: of several (an unpadded session number) the one with the item's path."""
    return {one.repository: one.id for one in sorted(records, key=lambda one: one.path == item.source_path)}


def _adopted(work: SessionWork, item: Item, dataset: CatalogDataset, verdict: Verdict) -> Known:
    """Take Alyx's ids; a dataset without a hash gets ours in one PATCH (that keeps its records' flags)."""
    if verdict is Verdict.SET_HASH:
        work.ensure()
        dataset = work.catalog.set_hash(dataset.id, item.md5, item.size)
    return Known(
        item=item,
        dataset_uuid=dataset.id,
        md5=item.md5,
        size=item.size,
        records=_records(item, dataset.records),
        registered_by_us=False,
    )


def _register_chunk(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], known: Paths
) -> list[Failure]:
    """One request for up to 50 files; where Alyx refuses it as a whole, one by one, so that one stops none."""
    try:
        return _register_once(work, session, eid, items, known)
    except AnswerDiffers as error:
        return [Failure(item=item, error=error) for item in items]
    except (ProtectedDataset, CatalogRefused, DoubledDataset) as error:
        refused: TransferError = error
    known = _by_path(work.catalog.datasets_of_session(eid))
    left = _take_over(work, session, items, known)  # the refused request may have done a part
    if len(items) == 1:
        return [failure for item in left for failure in _refused(work, session, eid, item, known, refused)]
    return [failure for item in left for failure in _register_chunk(work, session, eid, [item], known)]


def _take_over(work: SessionWork, session: Session, items: Sequence[Item], known: Paths) -> list[Item]:
    """Adopt what Alyx has by now exactly as it is here; answers the rest."""
    found: list[Known] = []
    left: list[Item] = []
    for item in items:
        there = known.get(item.source_path.relative_to(session.path), [])
        if len(there) == 1 and _is_complete(work, item, there[0]) and _equal(there[0], item):
            found.append(_adopted(work, item, there[0], Verdict.ADOPT))
        else:
            left.append(item)
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, found)
    return left


def _refused(
    work: SessionWork, session: Session, eid: UUID, item: Item, known: Paths, error: TransferError
) -> list[Failure]:
    """One file's refusal.  Another client that registered it in the same moment may have doubled its row."""
    path = item.source_path.relative_to(session.path)
    if len(known.get(path, [])) < 2:
        return [Failure(item=item, error=error)]
    try:
        _single(work, eid, path, known)
        return _register_once(work, session, eid, [item], known)
    except TransferError as still:
        return [_failure(item, still)]


def _register_once(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], known: Paths
) -> list[Failure]:
    paths = [item.source_path.relative_to(session.path) for item in items]
    files = [_new_file(item, path, known) for item, path in zip(items, paths, strict=True)]
    defaults = {file.default for file in files}
    if len(defaults) > 1:  # `default` is one flag for a whole request
        halves = [[i for i, f in zip(items, files, strict=True) if f.default is flag] for flag in defaults]
        return [failure for half in halves for failure in _register_once(work, session, eid, half, known)]
    registration = Registration(
        session_path=session.path,
        repository=work.lab.repository,
        lab=work.lab.name,
        files=files,
        default=defaults.pop() is not False,
    )
    work.ensure()
    try:
        answers = work.catalog.register(registration)
    except UnknownOutcome as error:
        return _look_instead(work, session, eid, items, error)
    return _write(work, items, paths, answers)


def _new_file(item: Item, path: PurePosixPath, known: Paths) -> NewFile:
    """What to send; a repeat must carry qc and default, or Alyx resets them."""
    before = known.get(path, [])
    return NewFile(
        path=path,
        md5=item.md5,
        size=item.size,
        qc=before[0].qc if before else None,
        default=before[0].default if before else True,
    )


def _write(
    work: SessionWork, items: Sequence[Item], paths: Sequence[PurePosixPath], answers: Sequence[Registered]
) -> list[Failure]:
    good: list[Known] = []
    failures: list[Failure] = []
    for item, path, answer in zip(items, paths, answers, strict=True):
        error = _compare(work, item, path, answer)
        if error:
            failures.append(Failure(item=item, error=error))
        else:
            good.append(
                Known(
                    item=item,
                    dataset_uuid=answer.dataset,
                    md5=item.md5,
                    size=item.size,
                    records=_records(item, answer.records),
                    registered_by_us=True,
                )
            )
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, good)
    return failures


def _compare(work: SessionWork, item: Item, path: PurePosixPath, answer: Registered) -> TransferError | None:
    if answer.path != path:
        return AnswerDiffers(f"Alyx registered {path} as {answer.path}", to=item.source_path)
    if answer.size != item.size:
        return AnswerDiffers(
            f"Alyx took {answer.size} bytes where {item.size} were said", to=item.source_path
        )
    stored = [record for record in answer.records if record.repository == work.lab.store]
    if stored and item.source_path not in {record.path for record in stored}:
        return AnswerDiffers(f"Alyx made the record {stored[0].path}", to=item.source_path)
    if not stored:
        return CatalogRefused(
            f"Alyx made no record in {work.lab.store}",
            to=item.source_path,
            do=f"Attach the repository {work.lab.store} to the lab {work.lab.name} in Alyx, then release.",
        )
    return None


def _look_instead(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], error: UnknownOutcome
) -> list[Failure]:
    """After a lost answer: wait until two looks agree, take what is there, leave the rest for the next visit."""
    before: Paths | None = None
    for _ in range(_LOOKS):
        work.ensure()
        now = _by_path(work.catalog.datasets_of_session(eid))
        if before is not None and _hashes(before) == _hashes(now):
            break
        before = now
        work.sleep(LOOKS_APART.total_seconds())
    else:
        raise CatalogBroken(
            "Alyx still changes the session minutes after a request was lost", to=session.path
        )
    return [Failure(item=item, error=error) for item in _take_over(work, session, items, now)]


def _hashes(paths: Paths) -> dict[PurePosixPath, list[tuple[UUID, str, int]]]:
    return {
        path: sorted((one.id, one.md5, len(one.records)) for one in found) for path, found in paths.items()
    }
