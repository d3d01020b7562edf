"""The requests that register: chunk by chunk, each answer compared with what was sent.

`register` decides which files go; here they go.  A request that Alyx refuses as a whole is taken apart, so that one
file stops none; one whose outcome is unknown is never repeated before two looks agree, and what was done is
adopted.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset, FileRecord, NewFile, Registered, Registration
from transfer.errors import (
    AnswerDiffers,
    CatalogBroken,
    CatalogRefused,
    DoubledDataset,
    DoubledLately,
    LostRace,
    ProtectedDataset,
    Reach,
    TransferError,
    UnknownOutcome,
)
from transfer.ledger.intake import Known, registered
from transfer.model import Item, Session
from transfer.steps.doubles import repair_doubles
from transfer.steps.work import Failure, SessionWork
from transfer.verdicts import Comparison, Verdict, compare

CHUNK = 50
LOOKS_APART = timedelta(seconds=30)
_LOOKS = 10

Paths = dict[PurePosixPath, list[CatalogDataset]]


def failure_of(item: Item, error: TransferError) -> Failure:
    """The failure of one file; raises again what concerns more than that file."""
    if error.reach is Reach.ENDPOINT or isinstance(error, LostRace):
        raise error
    return Failure(item=item, error=error, burn=0 if isinstance(error, DoubledLately) else 1)


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Requests' worth of files.  What failed before goes alone, so that it cannot fail the others again."""
    fresh = [item for item in items if not item.tries]
    yield from (fresh[start : start + CHUNK] for start in range(0, len(fresh), CHUNK))
    yield from ([item] for item in items if item.tries)


def by_path(found: Sequence[CatalogDataset]) -> Paths:
    paths: Paths = {}
    for dataset in found:
        paths.setdefault(dataset.path, []).append(dataset)
    return paths


def single(work: SessionWork, eid: UUID, path: PurePosixPath, known: Paths) -> CatalogDataset | None:
    """The dataset of that path; a doubled row makes every registration of it fail, so it is repaired first."""
    if len(known.get(path, [])) > 1:
        known[path] = [repair_doubles(work, eid, path)]
    found = known.get(path, [])
    return found[0] if found else None


def _equal(dataset: CatalogDataset, item: Item) -> bool:
    return compare(dataset.md5, item.md5) is Comparison.EQUAL


def is_complete(work: SessionWork, item: Item, dataset: CatalogDataset) -> bool:
    """Whether the dataset has a record at the store for this very path."""
    return any(one.repository == work.lab.store and one.path == item.source_path for one in dataset.records)


def _records(item: Item, records: Sequence[FileRecord]) -> dict[str, UUID]:
    """The record in each repository: of several (an unpadded session number) the one with the item's path."""
    return {one.repository: one.id for one in sorted(records, key=lambda one: one.path == item.source_path)}


def adopt(work: SessionWork, item: Item, dataset: CatalogDataset, verdict: Verdict) -> Known:
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


def register_chunk(
    work: SessionWork, session: Session, eid: UUID, items: Sequence[Item], known: Paths
) -> list[Failure]:
    """One request for up to 50 files; where Alyx refuses it as a whole, one by one, so that one stops none."""
    try:
        return _register_once(work, session, eid, items, known)
    except AnswerDiffers as error:
        return [Failure(item=item, error=error) for item in items]
    except (ProtectedDataset, CatalogRefused, DoubledDataset) as error:
        refused: TransferError = error
    known = by_path(work.catalog.datasets_of_session(eid))
    left = _take_over(work, session, items, known)  # the refused request may have done a part
    if len(items) == 1:
        return [failure for item in left for failure in _refused(work, session, eid, item, known, refused)]
    return [failure for item in left for failure in register_chunk(work, session, eid, [item], known)]


def _take_over(work: SessionWork, session: Session, items: Sequence[Item], known: Paths) -> list[Item]:
    """Adopt what Alyx has by now exactly as it is here; answers the rest."""
    found: list[Known] = []
    left: list[Item] = []
    for item in items:
        there = known.get(item.source_path.relative_to(session.path), [])
        if len(there) == 1 and is_complete(work, item, there[0]) and _equal(there[0], item):
            found.append(adopt(work, item, there[0], Verdict.ADOPT))
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
        single(work, eid, path, known)
        return _register_once(work, session, eid, [item], known)
    except TransferError as still:
        return [failure_of(item, still)]


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
        now = by_path(work.catalog.datasets_of_session(eid))
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
