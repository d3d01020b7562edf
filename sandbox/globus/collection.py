"""A collection: a folder of this machine under an id, and the paths inside it.

Promises that no path leaves the folder, however many dots or symbolic links it is made of.
"""

import errno
import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sandbox.globus.errors import Trouble

Kind = Literal["mapped", "guest", "personal"]
ENTITY_TYPES: dict[Kind, str] = {
    "mapped": "GCSv5_mapped_collection",
    "guest": "GCSv5_guest_collection",
    "personal": "GCP_mapped_collection",
}
HOST = "127.0.0.1:443"


@dataclass
class Collection:
    """One collection.  Everything but id, root and kind may be changed while the service runs."""

    id: str
    name: str
    root: Path
    kind: Kind
    owner_id: str
    needs_consent: bool
    """Ask for a data_access consent, as mapped collections do that are not high assurance."""
    connected: bool = True
    """False: a personal collection whose computer is off."""
    paused: str | None = None
    """The message of a pause rule, or None."""
    quota: int | None = None
    """Bytes that may be stored below the root, or None."""
    rename_replaces: bool = False
    organization: str | None = None
    description: str | None = None
    keywords: str | None = None
    contact_email: str | None = None
    denied: set[str] = field(default_factory=set)
    """Paths (with all below them) that may be neither read nor written."""

    def normal(self, path: str) -> str:
        """`path` as this collection writes it: absolute, the home folder being the root."""
        if "\r\n" in path or "\0" in path:
            raise Trouble("INVALID_PATH_NAME", f"Invalid path name: {path!r}")
        inside = path.removeprefix("/")
        if inside == "~" or inside.startswith("~/"):
            inside = inside[1:]
        return posixpath.normpath("/" + inside.lstrip("/"))

    def local(self, path: str, *, follow: bool = True) -> Path:
        """The file of this machine behind `path`; with `follow=False` the last name may be a link.

        Raises `Trouble` for a path that is denied or leads out of the collection.
        """
        normal = self.normal(path)
        if any(normal == denied or normal.startswith(denied.rstrip("/") + "/") for denied in self.denied):
            raise self.denial(path)
        local = self.root / normal[1:] if normal != "/" else self.root
        base = os.path.realpath(self.root)
        real = os.path.realpath(local if follow or normal == "/" else local.parent)
        if real != base and not real.startswith(base + os.sep):
            raise self.denial(path)
        return local

    def denial(self, path: str) -> Trouble:
        """The refusal of a path that may not be touched."""
        return Trouble("PERMISSION_DENIED", self.details(path, "500 Command failed : Path not allowed."))

    def trouble(self, error: OSError, path: str) -> Trouble:
        """What the collection says of an error of its file system."""
        codes = {
            errno.ENOENT: "FILE_NOT_FOUND",
            errno.EACCES: "PERMISSION_DENIED",
            errno.EPERM: "PERMISSION_DENIED",
            errno.EISDIR: "IS_A_DIRECTORY",
            errno.ENOTDIR: "NOT_A_DIRECTORY",
            errno.ENOSPC: "NO_SPACE_LEFT",
            errno.EDQUOT: "QUOTA_EXCEEDED",
            errno.ENAMETOOLONG: "INVALID_PATH_NAME",
        }
        return Trouble(codes.get(error.errno or 0, "ENDPOINT_ERROR"), self.details(path, _gridftp(error)))

    def details(self, path: str, text: str) -> str:
        """The text that the service shows people about a failed operation."""
        return f"Endpoint: {self.name} ({self.id})\nServer: {HOST}\nFile: {path}\nMessage: {text}\n"

    def used(self) -> int:
        """Bytes stored below the root."""
        return sum(
            (Path(folder) / name).lstat().st_size
            for folder, _, names in os.walk(self.root)
            for name in names
            if (Path(folder) / name).exists()
        )


def _gridftp(error: OSError) -> str:
    cause = "PATH_NOT_FOUND" if error.errno == errno.ENOENT else "INTERNAL_ERROR"
    return (
        f"{error.strerror}\n---\nDetails: 550-GlobusError: v=1 c={cause}\\r\\n"
        f"550-GridFTP-Errno: {error.errno}\\r\\n550-GridFTP-Error-String: {error.strerror}\\r\\n550 End.\\r\\n"
    )
