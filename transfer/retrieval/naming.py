"""From what a person named to the datasets Alyx has: a session or a file by its path, or either by its uuid."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from uuid import UUID

from transfer.catalog.base import Catalog, CatalogDataset
from transfer.errors import AmbiguousSession, NothingFound, UnknownSession
from transfer.paths import parse_session

_SESSION_PARTS = 3


def named(catalog: Catalog, names: Sequence[str]) -> list[CatalogDataset]:
    """The datasets that are meant, each once, in the order asked and by path within a session.

    A name is `subject/YYYY-MM-DD/NNN`, the same with a file's path behind it, a session's uuid or a dataset's.
    Raises `NothingFound` for a name that fits nothing, `AmbiguousSession` when Alyx has the session twice.
    """
    found: dict[UUID, CatalogDataset] = {}
    for name in names:
        found.update((dataset.id, dataset) for dataset in sorted(_named(catalog, name), key=lambda d: d.path))
    return list(found.values())


def _named(catalog: Catalog, name: str) -> list[CatalogDataset]:
    try:
        uuid = UUID(name)
    except ValueError:
        return _by_path(catalog, name)
    if dataset := catalog.datasets([uuid]).get(uuid):
        return [dataset]
    try:
        return catalog.datasets_of_session(uuid)
    except UnknownSession as error:
        what = "Alyx has neither a session nor a dataset with this uuid"
        raise NothingFound(what, to=name, do="Check the uuid.") from error


def _by_path(catalog: Catalog, name: str) -> list[CatalogDataset]:
    path = PurePosixPath(name.replace("\\", "/"))
    key = parse_session(PurePosixPath(*path.parts[:_SESSION_PARTS]), source="")
    if key is None:
        do = "Name subject/YYYY-MM-DD/NNN, a file of it, or the uuid of a session or dataset."
        raise NothingFound("this is no session and no dataset", to=name, do=do)
    sessions = catalog.sessions(key.subject, key.date, key.number)
    if not sessions:
        raise NothingFound("Alyx has no such session", to=key.path, do="Check the name.")
    if len(sessions) > 1:
        do = f"Name it by its uuid: {', '.join(str(one.id) for one in sessions)}."
        raise AmbiguousSession("Alyx has this session more than once", to=key.path, do=do)
    datasets = catalog.datasets_of_session(sessions[0].id)
    below = PurePosixPath(*path.parts[_SESSION_PARTS:])
    if below == PurePosixPath():
        return datasets
    chosen = [dataset for dataset in datasets if dataset.path == below]
    if not chosen:
        do = "Name a dataset by its path in the session: collection/#revision#/name."
        raise NothingFound("Alyx has no such dataset", to=name, do=do)
    return chosen
