"""Which files to bring back: where each stands at the store, and where it belongs in a folder here.  Pure.

Promised: no path leaves the folder it is joined to, no two files are brought to one place (not even on a disk that
takes upper and lower case for the same), and no file has a name of our own partials.  What cannot be brought is
listed with the reason, never left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import CatalogDataset, FileRecord
from transfer.errors import StoredFileMissing, TransferError, UntrustedPath
from transfer.paths import is_leftover, parse_session, refuse_unsafe, with_uuid
from transfer.verdicts import is_md5

_SESSION_PARTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One file.  `path` is where it belongs below the folder, `stored` below the store's root.

    `md5` is None when Alyx has no md5 of it (an old row has a SHA-1, or nothing): it cannot be verified.
    """

    dataset: UUID
    store: str
    path: PurePosixPath
    stored: PurePosixPath
    md5: str | None
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """A dataset that cannot be brought, and why.  `path` is relative to its session."""

    dataset: UUID
    path: PurePosixPath
    error: TransferError


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to bring, and what cannot be brought."""

    wanted: tuple[Wanted, ...]
    unavailable: tuple[Unavailable, ...]


def plan(datasets: Iterable[CatalogDataset], *, stores: Sequence[str], only: Sequence[str] = ()) -> Plan:
    """Choose each dataset's copy: the one that Alyx says exists in the first of `stores` that has one.

    `only` are globs; a dataset is meant when one of them fits its name or its path in the session.
    """
    wanted: list[Wanted] = []
    unavailable: list[Unavailable] = []
    taken: dict[str, UUID] = {}
    for dataset in datasets:
        if only and not any(_fits(dataset.path, glob) for glob in only):
            continue
        try:
            one = _wanted(dataset, stores)
            other = taken.setdefault(str(one.path).casefold(), one.dataset)
            if other != one.dataset:
                raise UntrustedPath(f"dataset {other} has the same place", to=one.path)
            wanted.append(one)
        except TransferError as error:
            unavailable.append(Unavailable(dataset=dataset.id, path=dataset.path, error=error))
    return Plan(wanted=tuple(wanted), unavailable=tuple(unavailable))


def _fits(path: PurePosixPath, glob: str) -> bool:
    return fnmatchcase(str(path), glob) or fnmatchcase(path.name, glob)


def _wanted(dataset: CatalogDataset, stores: Sequence[str]) -> Wanted:
    record = _record(dataset, stores)
    path = refuse_unsafe(record.path)
    if (
        parse_session(PurePosixPath(*path.parts[:_SESSION_PARTS]), source="") is None
        or PurePosixPath(*path.parts[_SESSION_PARTS:]) != dataset.path
        or ":" in str(path)
        or is_leftover(path.name)
    ):
        raise UntrustedPath("Alyx names a path that is not the dataset's own", to=path)
    return Wanted(
        dataset=dataset.id,
        store=record.repository,
        path=path,
        stored=with_uuid(path, dataset.id),
        md5=dataset.md5.lower() if is_md5(dataset.md5) else None,
        size=dataset.size,
    )


def _record(dataset: CatalogDataset, stores: Sequence[str]) -> FileRecord:
    there = [record for record in dataset.records if record.exists and record.repository in stores]
    if not there:
        do = "Wait until it has arrived (alyx-transfer why), or name another --store."
        raise StoredFileMissing(
            f"Alyx announces no copy at {' or '.join(stores) or 'any store'}", to=dataset.path, do=do
        )
    return min(there, key=lambda record: (stores.index(record.repository), record.path))
