"""register: make sure Alyx knows each file by the hash we have, and learn its ids.

The rules are those of docs/architecture.md, "Alyx":

- look first: the session's datasets are listed before anything is registered;
- three hashes decide (`verdicts.three_hashes`); what somebody else changed is held, never overwritten;
- at most 50 files to a request, one request at a time (the session's lease); a request whose outcome is
  unknown is never repeated before two looks, 30 seconds apart, agree;
- every answer is compared with what was sent: Alyx truncates lists and changes odd paths silently;
- in a lab whose work source is Alyx nothing is registered: a lab file that differs is a person's case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset, NewFile, Registered, Registration
from transfer.errors import (
    AmbiguousSession,
    AnswerDiffers,
    CatalogBroken,
    CatalogRefused,
    ChangedElsewhere,
    DoubledDataset,
    NumberNotPadded,
    ProtectedDataset,
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
from transfer.verdicts import KnownHash, Verdict, three_hashes

CHUNK = 50
LOOKS_APART = timedelta(seconds=30)
_LOOKS = 10

Paths = Mapping[PurePosixPath, list[CatalogDataset]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What register leaves: the session's id in Alyx, and the failures."""

    eid: UUID
    failures: list[Failure]


def register(work: SessionWork, session: Session) -> Outcome:
    """DISCOVERED -> REGISTERED for every open item of the session.

    Raises `UnknownSession`, `AmbiguousSession`, `NumberNotPadded`, and what the catalogue raises.
    """
    eid = find_session(work, session)
    items = work.ledger.session_items(session.id, Status.DISCOVERED)
    if not items:
        return Outcome(eid, [])
    known = _by_path(work.catalog.datasets_of_session(eid))
    registered_before = _registered_before(work, session)
    failures: list[Failure] = []
    to_register: list[Item] = []
    adopted: list[Known] = []
    for item in items:
        path = item.source_path.relative_to(session.path)
        try:
            dataset = _single(work, eid, path, known)
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
            failures.append(Failure(item=item, error=error))
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, adopted)
    for start in range(0, len(to_register), CHUNK):
        failures += _register_chunk(work, session, eid, to_register[start : start + CHUNK], known)
    return Outcome(eid, failures)


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


def _by_path(found: Sequence[CatalogDataset]) -> dict[PurePosixPath, list[CatalogDataset]]:
    paths: dict[PurePosixPath, list[CatalogDataset]] = {}
    for dataset in found:
        paths.setdefault(dataset.path, []).append(dataset)
    return paths


def _single(work: SessionWork, eid: UUID, path: PurePosixPath, known: Paths) -> CatalogDataset | None:
    """The dataset of that path; a doubled row makes every registration of it fail, so it is repaired first."""
    found = known.get(path, [])
    if len(found) > 1:
        return repair_doubles(work, eid, path)
    return found[0] if found else None


def _registered_before(work: SessionWork, session: Session) -> dict[int, str | None]:
    with work.ledger.reading() as connection:
        rows = connection.execute(DATASETS.where(datasets.c.session == session.id)).all()
    return {row.id: row.registered_md5 for row in rows}


def _must_register(work: SessionWork, verdict: Verdict, item: Item, dataset: CatalogDataset | None) -> bool:
    """Whether to POST; raises when a person must decide."""
    complete = dataset is not None and dataset.record(work.lab.store) is not None
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
        records={record.repository: record.id for record in dataset.records},
        registered_by_us=False,
    )


def _register_chunk(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], known: Paths
) -> list[Failure]:
    """One request for up to 50 files; where Alyx refuses it as a whole, one by one, so that one stops none."""
    try:
        return _register_once(work, session, eid, items, known)
    except (ProtectedDataset, CatalogRefused, DoubledDataset) as error:
        if len(items) == 1:
            return [Failure(item=items[0], error=error)]
    known = _by_path(work.catalog.datasets_of_session(eid))  # the refused request may have done a part
    failures: list[Failure] = []
    for item in items:
        try:
            failures += _register_once(work, session, eid, [item], known)
        except (ProtectedDataset, CatalogRefused) as error:
            failures.append(Failure(item=item, error=error))
        except DoubledDataset:
            failures += _after_repair(work, session, eid, item)
    return failures


def _after_repair(work: SessionWork, session: Session, eid: UUID, item: Item) -> list[Failure]:
    path = item.source_path.relative_to(session.path)
    try:
        repair_doubles(work, eid, path)
        return _register_once(work, session, eid, [item], _by_path(work.catalog.datasets_of_session(eid)))
    except TransferError as error:
        return [Failure(item=item, error=error)]


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
        records = {record.repository: record.id for record in answer.records}
        error = _compare(work, item, path, answer, records)
        if error:
            failures.append(Failure(item=item, error=error))
        else:
            good.append(
                Known(
                    item=item,
                    dataset_uuid=answer.dataset,
                    md5=item.md5,
                    size=item.size,
                    records=records,
                    registered_by_us=True,
                )
            )
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, good)
    return failures


def _compare(
    work: SessionWork, item: Item, path: PurePosixPath, answer: Registered, records: Mapping[str, UUID]
) -> TransferError | None:
    if answer.path != path:
        return AnswerDiffers(f"Alyx registered {path} as {answer.path}", to=item.source_path)
    if answer.size != item.size:
        return AnswerDiffers(
            f"Alyx took {answer.size} bytes where {item.size} were said", to=item.source_path
        )
    if work.lab.store not in records:
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
    found: list[Known] = []
    failures: list[Failure] = []
    for item in items:
        path = item.source_path.relative_to(session.path)
        candidates = [one for one in now.get(path, []) if one.md5 == item.md5 and one.record(work.lab.store)]
        if len(now.get(path, [])) == 1 and candidates:
            found.append(_adopted(work, item, candidates[0], Verdict.ADOPT))
        else:
            failures.append(Failure(item=item, error=error))
    with work.ledger.guarded(work.lease) as tx:
        registered(tx, found)
    return failures


def _hashes(paths: Paths) -> dict[PurePosixPath, list[tuple[UUID, str, int]]]:
    return {
        path: sorted((one.id, one.md5, len(one.records)) for one in found) for path, found in paths.items()
    }
