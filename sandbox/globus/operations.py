"""The views that touch a collection at once: ls, stat, mkdir, rename; and collections themselves.

Errors are worded as the real service words them where that is known (see `errors`): a missing folder is 404
`ClientError.NotFound`, a missing file of `stat` 404 `NotFound`, a folder that exists 502
`ExternalError.MkdirFailed.Exists`, a path that is not allowed 403 `EndpointPermissionDenied`, a personal
computer that is off 502 `ExternalError.<operation>.GCDisconnected`, a pause 409 `OperationPaused`.

Whether a rename replaces what stands at the new name is a switch of the collection.  The POSIX storage module of
the Globus Toolkit's server calls rename(2), which replaces; other storage may refuse, and how the service then
words it is not known: `ExternalError.RenameFailed.Exists` is a guess by analogy with mkdir.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sandbox.globus.choosing import chosen, offset_page, ordered
from sandbox.globus.collection import ENTITY_TYPES, Collection
from sandbox.globus.documents import file_document
from sandbox.globus.endpoint import endpoint_document
from sandbox.globus.errors import Refused, Trouble
from sandbox.globus.requesting import Document, Request
from sandbox.globus.state import State
from sandbox.globus.tokens import Tokens

T = TypeVar("T")
_WORDS = {"DirListingFailed": "list", "StatFailed": "list", "MkdirFailed": "mkdir", "RenameFailed": "rename"}
_FILE_KEYS = ("name", "type", "size", "last_modified", "permissions", "user", "group")


class Operations:
    """Each view looks at the collection's switches first, then does its work."""

    def __init__(self, state: State, tokens: Tokens) -> None:
        self._state, self._tokens = state, tokens

    def ls(self, request: Request) -> Document:
        """A folder's content."""
        place = self._open(request, "DirListingFailed")
        path = request.query("path", "/")
        rows = _attempt(place, path, "DirListingFailed", lambda: _listing(place, path, request))
        rows = ordered(chosen(rows, request, _FILE_KEYS), request, _FILE_KEYS, "type,name")
        normal = place.normal(path)
        return {
            "DATA_TYPE": "file_list",
            "endpoint": place.id,
            "path": normal if normal == "/" else normal + "/",
            "absolute_path": normal if normal == "/" else normal + "/",
            "rename_supported": True,
            "symlink_supported": False,
            **offset_page(rows, request, usual=100_000, most=100_000),
        }

    def stat(self, request: Request) -> Document:
        """One file or folder."""
        place = self._open(request, "StatFailed")
        path = request.query("path", "/")
        name = place.normal(path).rpartition("/")[2]
        return _attempt(
            place, path, "StatFailed", lambda: file_document(place.local(path, follow=False), name)
        )

    def mkdir(self, request: Request) -> Document:
        """Make a folder; its parent must exist."""
        place = self._open(request, "MkdirFailed")
        path = _path(request.document(), "path")
        _attempt(place, path, "MkdirFailed", lambda: place.local(path).mkdir())
        return _done("mkdir_result", "DirectoryCreated", "The directory was created successfully")

    def rename(self, request: Request) -> Document:
        """Give a file or folder another name; the new parent must exist."""
        place = self._open(request, "RenameFailed")
        wanted = request.document()
        old, new = _path(wanted, "old_path"), _path(wanted, "new_path")
        _attempt(place, old, "RenameFailed", lambda: _rename(place, old, new))
        return _done("result", "FileRenamed", "File or directory renamed successfully")

    def endpoint(self, request: Request) -> Document:
        """A collection's document."""
        with self._state.changed:
            place = self._state.collection(request.args["endpoint"])
            return self._document(place, request)

    def search(self, request: Request) -> Document:
        """Collections by words in their name, id, organization, description or keywords."""
        words, scope = request.query("filter_fulltext").lower(), request.query("filter_scope", "all")
        if scope == "all" and not words:
            raise Refused(400, "BadRequest", "filter_fulltext is required when filter_scope is 'all'")
        wanted, kind = words.split(), request.query("filter_entity_type")
        with self._state.changed:
            places = [
                place
                for place in self._state.collections.values()
                if all(word in _searched(place) for word in wanted)
                and kind in ("", ENTITY_TYPES[place.kind])
                and (scope != "my-endpoints" or place.owner_id == request.caller)
            ]
            rows = [self._document(place, request) for place in places]
        page = offset_page(rows, request, usual=100, most=100)
        more = page["offset"] + page["length"] < page.pop("total")
        return {"DATA_TYPE": "endpoint_list", **page, "has_next_page": more}

    def _document(self, place: Collection, request: Request) -> Document:
        used = any(place in self._state.places(task) for task in self._state.open_tasks(request.caller))
        return endpoint_document(place, in_use=used)

    def _open(self, request: Request, operation: str) -> Collection:
        """The collection, if it may be used now."""
        with self._state.changed:
            place = self._state.collection(request.args["endpoint"])
        self._tokens.require_data_access(request.caller, place)
        if place.paused is not None:
            raise Refused(409, "OperationPaused", f"Operations on this collection are paused: {place.paused}")
        if not place.connected:
            code = f"ExternalError.{operation}.GCDisconnected"
            raise Refused(502, code, f"The Globus Connect Personal endpoint '{place.name}' is not connected")
        return place


def _searched(place: Collection) -> str:
    parts = (place.id, place.name, place.organization, place.description, place.keywords)
    return " ".join(part for part in parts if part).lower()


def _listing(place: Collection, path: str, request: Request) -> list[Document]:
    folder = place.local(path)
    hidden = request.query("show_hidden", "1") not in ("0", "false")
    rows = []
    for entry in sorted(folder.iterdir()):
        if hidden or not entry.name.startswith("."):
            try:
                rows.append(file_document(entry, entry.name))
            except FileNotFoundError:
                continue  # Somebody removed it while we looked.
    return rows


def _rename(place: Collection, old: str, new: str) -> None:
    here, there = place.local(old, follow=False), place.local(new, follow=False)
    if place.rename_replaces:
        here.replace(there)
    else:
        here.lstat()
        _rename_unless_there(here, there)


def _rename_unless_there(here: Path, there: Path) -> None:
    if os.path.lexists(there):
        raise FileExistsError(17, "File exists")
    here.rename(there)


def _attempt(place: Collection, path: str, operation: str, work: Callable[[], T]) -> T:
    """Do file work and word its failure as the service does."""
    try:
        return work()
    except FileExistsError as error:
        text = place.details(path, "Path already exists")
        raise Refused(502, f"ExternalError.{operation}.Exists", text) from error
    except OSError as error:
        raise _refusal(place.trouble(error, path), operation) from error
    except Trouble as error:
        raise _refusal(error, operation) from error


def _refusal(trouble: Trouble, operation: str) -> Refused:
    word = _WORDS[operation]
    if trouble.code == "FILE_NOT_FOUND":
        code = "NotFound" if operation == "StatFailed" else "ClientError.NotFound"
        return Refused(404, code, f"Path not found, Error ({word})\n{trouble.details}")
    if trouble.code == "PERMISSION_DENIED":
        text = f"Denied by endpoint, Error ({word})\n{trouble.details}"
        return Refused(403, "EndpointPermissionDenied", text)
    if trouble.code == "NOT_A_DIRECTORY":
        return Refused(502, f"ExternalError.{operation}.NotDirectory", trouble.details)
    if trouble.code == "INVALID_PATH_NAME":
        return Refused(400, "InvalidPath", trouble.details)
    return Refused(502, "EndpointError", trouble.details)


def _path(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, "ClientError.BadRequest", f"Missing or invalid field '{name}'")
    return value


def _done(data_type: str, code: str, message: str) -> Document:
    return {"DATA_TYPE": data_type, "code": code, "message": message}
