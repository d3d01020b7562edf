"""POST /register-file: register one understood file after the other.

Nothing is atomic. Files before a bad one stay registered; a refusal for one file may come after its dataset
row was made or rewritten. Between looking for a dataset and writing it the server takes its time (`gap`), so
two identical registrations at once both find nothing and both make a row.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from sandbox.alyx import alf
from sandbox.alyx.errors import Crash, plain
from sandbox.alyx.model import QC, Row
from sandbox.alyx.parameters import qc_of
from sandbox.alyx.resources import INPUTS, PATH_PATTERN
from sandbox.alyx.seeding import new_dataset
from sandbox.alyx.store import Store
from sandbox.alyx.understanding import File, Plan

Gap = Callable[[], Awaitable[None]]


async def register(store: Store, plan: Plan, gap: Gap) -> AsyncIterator[Row]:
    """Register the files in order; yields each file's dataset as soon as it and its records are written."""
    for file in plan.files:
        with store.lock:
            found, fresh = _look(store, plan, file)
        await gap()
        with store.lock:
            yield store.tables["datasets"][_write(store, plan, file, found, fresh)]


def _look(store: Store, plan: Plan, file: File) -> tuple[Row | None, Row]:
    """The dataset as it is now (a copy, or None) and the row to make if there is none."""
    place = file.place
    revision = _revision(store, place.revision)
    kind = alf.dataset_type(place.name, store.tables["dataset-types"].values())
    form = alf.data_format(place.name, store.tables["data-formats"].values())
    key = {
        "collection": place.collection,
        "name": place.name,
        "session": plan.session,
        "dataset_type": kind["id"],
        "data_format": form["id"],
        "revision": revision,
        "content_type": plan.content_type,
        "object_id": plan.object_id,
    }
    siblings = [
        row
        for row in store.named(plan.session, place.name)
        if row["collection"] == place.collection and row["object_id"] == plan.object_id
    ]
    if plan.default:
        for row in siblings:
            if row["default_dataset"]:
                store.save("datasets", {**row, "default_dataset": False, "auto_datetime": store.now()})
    same = [row["id"] for row in siblings if all(row[name] == value for name, value in key.items())]
    if len(same) > 1:
        raise Crash(f"get() returned more than one Dataset -- it returned {len(same)}!")
    there = dict(store.tables["datasets"][same[0]]) if same else None
    return there, {**new_dataset(store.now()), **_DATASET_DEFAULTS, **key}


_DATASET_DEFAULTS = {
    "file_size": None,
    "hash": "",
    "version": "",
    "default_dataset": INPUTS["datasets"]["default_dataset"].default,
    "qc": QC["NOT_SET"],
}


def _revision(store: Store, name: str) -> str | None:
    if not name:
        return None
    found = store.one("revisions", "name", name)
    if found is None:
        found = store.insert(
            "revisions", {"json": None, "name": name, "description": "", "created_datetime": store.now()}
        )
    return str(found["id"])


def _write(store: Store, plan: Plan, file: File, found: Row | None, fresh: Row) -> str:
    path = file.place.relative_path
    row: Row = found if found is not None else dict(store.insert("datasets", fresh))
    try:
        row["qc"] = QC["NOT_SET"] if file.qc in (None, "") else qc_of(file.qc)
    except ValueError:
        raise plain(400, "detail", f'Invalid QC value "{file.qc}" for dataset "{path}"') from None
    row["default_dataset"] = plan.default
    _save(store, row)
    tags = store.tables["tags"]
    if found is not None and any(tags[key]["protected"] for key in row["tags"]):
        raise plain(403, "detail", f"Dataset {row['id']} is protected, cannot patch")
    row["created_by"] = plan.user["id"] if plan.user is not None else None
    if file.version:
        row["version"] = str(file.version)
    patched = not (file.hash and row["hash"] and row["hash"] == file.hash)
    if file.hash:
        row["hash"] = str(file.hash)
    if file.size is not None:
        row["file_size"] = file.size
    _check_dataset(row, path)
    _save(store, row)
    for repository in plan.repositories:
        _write_record(store, row["id"], repository, path, patched, exists=repository["id"] in plan.exists_in)
    return str(row["id"])


def _save(store: Store, row: Row) -> None:
    row["auto_datetime"] = store.now()
    store.save("datasets", dict(row))


def _check_dataset(row: Row, path: str) -> None:
    errors = {}
    for name, longest in (("name", 255), ("hash", 64), ("version", 64), ("collection", 255)):
        length = len(row[name] or "")
        if length > longest:
            errors[name] = [f"Ensure this value has at most {longest} characters (it has {length})."]
    if errors:
        raise plain(400, "detail", f'Invalid dataset "{path}": {errors}')


def _write_record(
    store: Store, dataset: str, repository: Row, path: str, patched: bool, *, exists: bool
) -> None:
    there = store.file_at(repository["id"], path)
    if there is not None and there["dataset"] != dataset:
        where = f'A file record for "{path}" already exists on repository "{repository["name"]}"'
        raise plain(400, "detail", f"{where} for a different dataset.")
    if re.search(PATH_PATTERN, path) is None or len(path) > 1000:
        wrong = "Invalid path" if len(path) <= 1000 else _too_long(path)
        raise plain(400, "detail", f"Invalid file record \"{path}\": {{'relative_path': ['{wrong}']}}")
    if there is None:
        row = {"name": "", "json": None, "dataset": dataset, "data_repository": repository["id"]}
        store.insert("files", {**row, "relative_path": path, "exists": exists})
    elif patched:
        store.save("files", {**there, "exists": exists, "json": None})
    else:
        store.save("files", dict(there))
    touch_dataset(store, dataset)


def _too_long(path: str) -> str:
    return f"Ensure this value has at most 1000 characters (it has {len(path)})."


def touch_dataset(store: Store, key: str) -> None:
    """Save a dataset's row because one of its file records was saved."""
    store.save("datasets", {**store.tables["datasets"][key], "auto_datetime": store.now()})
