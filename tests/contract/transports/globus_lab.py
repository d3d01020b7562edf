"""A lab, a store and a Globus between them, for tests of the transport."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID, uuid4

from sandbox.globus import Limits, SandboxGlobus
from transfer.model import staged_path
from transfer.transports.delegated import Document, Piece
from transfer.transports.globus.options import GlobusOptions, GlobusSource
from transfer.transports.globus.transport import GlobusTransport

REPOSITORY = "cortexlab_SR"
P = PurePosixPath


@dataclass(frozen=True)
class Place:
    """`lab` and `store` are the folders, `lab_id` and `store_id` the collections that show their parents."""

    globus: SandboxGlobus
    lab: Path
    store: Path
    lab_id: str
    store_id: str

    def options(self, **changed: Any) -> GlobusOptions:
        asked: dict[str, Any] = {
            "client_id": self.globus.client_id,
            "client_secret": self.globus.client_secret,
            "collection": UUID(self.store_id),
            "root": P("/central/Subjects"),
            "sources": {REPOSITORY: GlobusSource(collection=UUID(self.lab_id), root=P("/Data/Subjects"))},
            "service_url": self.globus.url,
            "auth_url": self.globus.url,
        }
        return GlobusOptions.model_validate({**asked, **changed})

    def transport(self, **changed: Any) -> GlobusTransport:
        return GlobusTransport(self.options(**changed))

    def write(self, name: str, content: bytes, mtime: int = 1_700_000_000) -> Path:
        file = self.lab / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (mtime, mtime))
        return file

    def piece(self, key: str, name: str, content: bytes = b"spikes") -> Piece:
        """A file written at the lab, to be asked for under submission `key`."""
        self.write(name, content)
        md5 = hashlib.md5(content).hexdigest()
        return Piece(source=P(name), staged=staged_path(key, uuid4()), size=len(content), md5=md5)

    def stored(self, path: PurePosixPath) -> Path:
        return self.store / path


@contextmanager
def place(folder: Path, *, kind: Any = "personal", **store: Any) -> Iterator[Place]:
    """The lab is a personal collection, the store a guest one that asks for no consent, if not said otherwise."""
    lab, central = folder / "lab" / "Data" / "Subjects", folder / "far" / "central" / "Subjects"
    lab.mkdir(parents=True)
    central.mkdir(parents=True)
    with SandboxGlobus(limits=Limits(retry_pause=0.01)) as globus:
        lab_id = globus.add_collection("lab", folder / "lab", kind)
        store_id = globus.add_collection("store", folder / "far", **{"kind": "guest", **store})
        yield Place(globus, lab, central, lab_id, store_id)
        globus.faults.assert_all_reached()


def soon(hours: float = 24) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def frozen(transport: GlobusTransport, key: str, pieces: list[Piece], hours: float = 24) -> Document:
    return transport.freeze(key, REPOSITORY, pieces, deadline=soon(hours))
