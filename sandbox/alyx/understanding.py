"""What a registration asks for: its body checked, and everything it names looked up.

Nothing of a file is written here, but the session's users and parent are (the real server does it first).
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.alyx import alf
from sandbox.alyx.errors import Crash, plain
from sandbox.alyx.model import Row
from sandbox.alyx.protection import protection
from sandbox.alyx.sessions import find_session, find_subject
from sandbox.alyx.store import Store


@dataclass(frozen=True, slots=True)
class File:
    """One file of a request, with what was said about it."""

    place: alf.Place
    hash: Any
    size: int | None
    version: Any
    qc: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, understood."""

    files: list[File]
    user: Row | None
    repositories: list[Row]
    exists_in: frozenset[str]
    default: bool
    session: str | None = None
    content_type: str | None = None
    object_id: str | None = None


def creator(store: Store, body: Any, user: Row | None) -> Row | None:
    """The user named in the request, else the one who sent it."""
    name = body.get("created_by")
    if not name:
        return user
    found = store.one("users", "username", name)
    if found is None:
        raise Crash("LabMember matching query does not exist.")
    return found


def tidy_path(body: Any) -> str:
    """The `path` of a request with its slashes put right."""
    path = body.get("path", "")
    if not path:
        raise Crash("The path argument is required.")
    return str(path).replace("\\", "/").replace("//", "/").strip("/")


def listed(value: Any) -> Any:
    """A list, also from a comma-separated string."""
    return value.split(",") if isinstance(value, str) else value


def _truth(body: Any, key: str, default: bool) -> bool:
    value = body.get(key, default)
    return value == "True" if isinstance(value, str) else bool(value)


def _repository(store: Store, body: Any) -> Row | None:
    name, hostname = body.get("name"), body.get("hostname")
    if not name and not hostname:
        return None
    field, value = ("name", name) if name else ("hostname", hostname)
    found = [row for row in store.tables["data-repository"].values() if row[field] == value]
    if not found:
        raise plain(400, "detail", "The specified repository does not exist.")
    if len(found) > 1:
        raise Crash(f"get() returned more than one DataRepository -- it returned {len(found)}!")
    return found[0]


def owner(store: Store, body: Any) -> tuple[str, str] | None:
    """Content type and id of the object an aggregate dataset belongs to; None for a session's dataset."""
    kind, key = body.get("content_type"), body.get("object_id")
    if not kind and not key:
        return None
    if not kind or not key:
        raise plain(400, "error", "Both content_type and object_id should be provided together.")
    table = {"subject": "subjects", "session": "sessions", "project": "projects", "lab": "labs"}.get(
        kind.split(".")[-1]
    )
    full = {"subjects": "subjects.subject", "sessions": "actions.session", "projects": "subjects.project"}
    full["labs"] = "misc.lab"
    if table is None or ("." in kind and kind != full[table]):
        raise plain(400, "detail", f"Invalid content type: {kind}")
    try:
        row = store.get(table, str(uuid.UUID(str(key))))
    except ValueError:
        row = None
    if row is None:
        raise plain(400, "detail", f"Invalid object ID: {key}")
    return full[table], row["id"]


def _labs(store: Store, body: Any) -> list[Row]:
    names = [name for key in ("projects", "labs") for name in listed(body.get(key) or []) if name]
    found = [store.one("labs", "name", name) for name in names]
    if None in found:
        raise plain(400, "detail", "One or more of the specified labs do not exist.")
    return [row for row in found if row is not None]


def _in_server_order(store: Store, keys: set[str]) -> list[Row]:
    rows = store.tables["data-repository"]
    ranks = {key: rank for rank, key in enumerate(store.repository_order)}
    return sorted(
        (rows[key] for key in keys), key=lambda row: (ranks.get(row["id"], len(ranks)), row["name"])
    )


def _per_file(body: Any, key: str, count: int, *, spread: bool) -> Any:
    """A list with one value per file; a single string may stand for all of them."""
    value = body.get(key, [None] * count)
    if isinstance(value, str):
        parts = value.split(",")
        return parts * count if spread and len(parts) == 1 else parts
    return value


def _sizes(body: Any, count: int) -> list[int | None]:
    sizes = _per_file(body, "filesizes", count, spread=False)
    if not isinstance(sizes, list):
        sizes = [sizes]
    try:
        return [None if size is None else int(size) for size in sizes]
    except (TypeError, ValueError) as error:
        raise Crash(str(error)) from None


def understand(store: Store, body: Any, user: Row | None) -> Plan:
    """Check a request and look up everything it names; nothing of a file is written yet."""
    user = creator(store, body, user)
    repository = _repository(store, body)
    path = tidy_path(body)
    belongs = owner(store, body)
    if belongs is not None and repository is None:
        text = "A valid repository name or hostname must be provided for non-session datasets."
        raise plain(400, "detail", text)
    names = [name for name in listed(body.get("filenames", ())) if name]
    labs = _labs(store, body)
    columns = (
        _per_file(body, "hashes", len(names), spread=False),
        _sizes(body, len(names)),
        _per_file(body, "versions", len(names), spread=True),
        _per_file(body, "qc", len(names), spread=True) or [None] * len(names),
    )
    server_only = _truth(body, "server_only", False)
    if belongs is None:
        session, keys = _session_and_repositories(store, path, labs, user, server_only)
        places = [alf.place_in_session(path, name) for name in names]
    else:
        session, keys = None, set()
        places = [alf.place_of_aggregate(path, name) for name in names]
    named = {repository["id"]} if repository is not None else set()
    keys |= named
    exists_in = keys if server_only and belongs is None else named
    if not _truth(body, "exists", True):
        exists_in = set()
    if _truth(body, "check_protected", False):
        _refuse_protected(store, session, belongs, places)
    try:
        files = [File(*values) for values in zip(places, *columns)]  # noqa: B905
    except TypeError as error:
        raise Crash(str(error)) from None
    return Plan(
        files,
        user,
        _in_server_order(store, keys),
        frozenset(exists_in),
        _truth(body, "default", True),
        session,
        *(belongs or (None, None)),
    )


def _session_and_repositories(
    store: Store, path: str, labs: Sequence[Row], user: Row | None, server_only: bool
) -> tuple[str, set[str]]:
    try:
        nickname, day, number = alf.session_of(path)
        subject = find_subject(store, nickname)
    except ValueError as error:
        raise plain(400, "error", str(error)) from None
    lab = store.get("labs", subject["lab"])
    chosen = labs or ([lab] if lab is not None else [])
    keys = {key for row in chosen for key in row["repositories"]}
    if server_only:
        keys = {key for key in keys if store.tables["data-repository"][key]["globus_is_personal"] is False}
    try:
        return find_session(store, subject, day, number, user)["id"], keys
    except ValueError as error:
        raise plain(400, "error", str(error)) from None


def _refuse_protected(
    store: Store, session: str | None, belongs: tuple[str, str] | None, places: Sequence[alf.Place]
) -> None:
    refused, details = protection(store, session, belongs, places)
    if refused:
        raise plain(403, "error", "One or more datasets is protected", details=details)
