"""The frozen submission: what is asked of Globus, as the JSON that is committed to the ledger and sent.

Promises: the same pieces give the same document; every option whose default is not ours is said aloud; each item
carries the registered md5, so that a task can only succeed for files whose bytes are the registered ones.

Nothing here asks the service.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from globus_sdk import MISSING, DeleteData, TransferData

from transfer.errors import ConfigProblems, UntrustedPath
from transfer.model import STAGING
from transfer.transports.delegated import Document, Piece
from transfer.transports.globus.options import GlobusOptions

_CHECKSUM = 3  # sync level: what is not the same by checksum is transferred
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9 _,-]")
_LABEL_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Asked:
    """One file of a document: where it was to be read and where it was to arrive."""

    source: str  # absolute, as the lab's collection writes it
    staged: PurePosixPath  # relative to the store's root
    md5: str


def transfer(
    options: GlobusOptions, key: str, source: str, pieces: Sequence[Piece], *, deadline: datetime
) -> Document:
    """The document that asks for `pieces` of lab repository `source`.

    Raises `ConfigProblems` when the config does not say where Globus sees the repository, and `UntrustedPath`.
    """
    lab = options.sources.get(source)
    if lab is None:
        raise ConfigProblems([f"Globus was not told where {source} is: add sources.{source} to the store"])
    fresh = all(piece.staged.parent == STAGING / key for piece in pieces)
    data = TransferData(
        source_endpoint=str(lab.collection),
        destination_endpoint=str(options.collection),
        label=label(f"{source} {len(pieces)} files"),
        submission_id=key,
        # A task that failed may have left half a file: over what stands already only the checksum decides.
        sync_level=MISSING if fresh else _CHECKSUM,
        verify_checksum=True,
        preserve_timestamp=True,
        encrypt_data=options.encrypt,
        deadline=deadline.astimezone(UTC).isoformat(timespec="seconds"),
        # One file that cannot be read would keep the whole task waiting until its deadline.
        skip_source_errors=True,
        fail_on_quota_errors=True,
        delete_destination_extra=False,
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
    )
    for piece in pieces:
        data.add_item(
            str(below(lab.root, piece.source)),
            str(below(options.root, _staged(piece.staged))),
            recursive=False,
            external_checksum=piece.md5,
            checksum_algorithm="MD5",
        )
    return plain(data)


def deletion(options: GlobusOptions, submission: str, folders: Sequence[PurePosixPath]) -> Document:
    """The document that asks for the removal of whole folders below the staging folder; those gone are no failure."""
    data = DeleteData(
        endpoint=str(options.collection),
        label=label(f"staging, {len(folders)} folders"),
        submission_id=submission,
        recursive=True,
        ignore_missing=True,
        interpret_globs=False,
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
    )
    for folder in folders:
        data.add_item(f"{below(options.root, _staged(folder))}/")
    return plain(data)


def asked(document: Document) -> dict[PurePosixPath, Asked]:
    """What a document asked for, by staged path."""
    files = (
        Asked(
            source=str(item["source_path"]),
            staged=staged_of(str(item["destination_path"])),
            md5=str(item["external_checksum"]),
        )
        for item in document["DATA"]
    )
    return {file.staged: file for file in files}


def staged_of(destination: str) -> PurePosixPath:
    """The staged path in an absolute one, whatever the store's root was, and however the collection writes it."""
    parts = PurePosixPath(destination).parts
    if STAGING.name not in parts:
        return PurePosixPath(destination)
    last = len(parts) - 1 - parts[::-1].index(STAGING.name)
    return PurePosixPath(*parts[last:])


def folder_of(key: str) -> PurePosixPath:
    """The staging folder of a submission.  Raises `UntrustedPath` for what is no submission key."""
    try:
        if str(UUID(key)) == key:
            return STAGING / key
    except ValueError:
        pass
    raise UntrustedPath("this is no submission key", to=repr(key))


def below(root: PurePosixPath, path: PurePosixPath) -> PurePosixPath:
    """The absolute path.  Raises `UntrustedPath` for one that leads out of the root."""
    if path.is_absolute() or ".." in path.parts:
        raise UntrustedPath("a path leads out of the root", to=path)
    return root / path


def _staged(path: PurePosixPath) -> PurePosixPath:
    if len(path.parts) < 2 or path.parts[: len(STAGING.parts)] != STAGING.parts:
        raise UntrustedPath("a path leads out of the staging folder", to=path)
    return path


def label(about: str) -> str:
    """A task's label for people: letters, digits, space, '_', '-' and ',' only, as Globus takes them."""
    return _NOT_IN_LABELS.sub("-", f"alyx-transfer {about}")[:_LABEL_LENGTH]


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The document as JSON has it: options that were not set are not there."""
    said = {key: value for key, value in data.items() if value is not MISSING}
    said["DATA"] = [
        {key: value for key, value in item.items() if value is not MISSING} for item in data["DATA"]
    ]
    return said
