"""One file put, published or read, and what is required of it: the steps that checks and probes are made of."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from uuid import uuid4

from transfer.errors import TransferError
from transfer.paths import partial_name
from transfer.transports.base import Download, Failed, Rename, Sent, StreamingTransport, Upload

WHEN_NS = 1_700_000_000 * 1_000_000_000


class PromiseBroken(Exception):
    """A transport does not do what `transports.base` says."""


def upload_of(lab: Path, partial: PurePosixPath, content: bytes, key: int) -> Upload:
    source = lab / uuid4().hex
    source.write_bytes(content)
    return Upload(key=key, source=source, partial=partial, size=len(content), mtime_ns=WHEN_NS)


def put_bytes(transport: StreamingTransport, lab: Path, partial: PurePosixPath, content: bytes) -> Sent:
    (outcome,) = transport.put([upload_of(lab, partial, content, 0)], ignore)
    if isinstance(outcome, Failed):
        raise outcome.error
    require(outcome.md5 == md5(content), "put reports another digest than that of the source")
    return outcome


def publish(transport: StreamingTransport, partial: PurePosixPath, final: PurePosixPath) -> None:
    (outcome,) = transport.publish([Rename(key=0, partial=partial, final=final)])
    if isinstance(outcome, Failed):
        raise outcome.error


def read_md5(transport: StreamingTransport, path: PurePosixPath) -> str:
    (outcome,) = transport.get([Download(key=0, path=path)], ignore)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome.md5


def own_names(where: PurePosixPath, count: int) -> list[PurePosixPath]:
    """Names that no dataset has and that look like partials, for `tidy`."""
    nobody = uuid4()
    return [where / partial_name(nobody, os.urandom(4).hex()) for _ in range(count)]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def ignore(_moved: int) -> None:
    """For batches whose progress nobody follows."""


def require(true: bool, otherwise: str) -> None:
    if not true:
        raise PromiseBroken(otherwise)


def require_failed(outcome: object, kind: type[TransferError]) -> None:
    if not isinstance(outcome, Failed) or type(outcome.error) is not kind:
        raise PromiseBroken(f"{outcome} where {kind.__name__} was promised") from getattr(
            outcome, "error", None
        )
