"""What may be tried on a store that is in use: small files with names of our own, removed again."""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transfer.conformance.single import (
    PromiseBroken,
    md5,
    own_names,
    publish,
    put_bytes,
    read_md5,
    require,
)
from transfer.errors import RenameDoesNotReplace, StoreDenied, StoreRefused, TransferError
from transfer.transports.base import Sent, StreamingTransport


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a doctor's report."""

    name: str
    ok: bool
    sentence: str


def believe_remote_hash(transport: StreamingTransport, where: PurePosixPath) -> bool:
    """Whether the far side's hash command reads the bytes: a file altered in place must change its digest.

    Both versions have the same name, size and time, so that a cache which goes by those is found out.  Uses one
    name in the folder `where` and removes it.  Raises `TransferError` if the file cannot be written at all.
    """
    if not transport.capabilities.remote_hash:
        return False
    place, other = own_names(where, 2)
    with tempfile.TemporaryDirectory() as lab:
        try:
            first = put_bytes(transport, Path(lab), place, os.urandom(4096))
            if _remote_md5(transport, place) != first.md5:
                return False
            second = _put_over(transport, Path(lab), place, other, os.urandom(4096))
            return _remote_md5(transport, place) == second.md5
        finally:
            list(transport.remove([place, other]))


def _remote_md5(transport: StreamingTransport, path: PurePosixPath) -> str | None:
    try:
        (found,) = transport.digests([path])
    except (StoreRefused, ValueError):
        return None
    return found.digest


def _put_over(
    transport: StreamingTransport, lab: Path, place: PurePosixPath, other: PurePosixPath, content: bytes
) -> Sent:
    if not transport.capabilities.replaces_atomically:
        list(transport.remove([place]))
        return put_bytes(transport, lab, place, content)
    sent = put_bytes(transport, lab, other, content)
    publish(transport, other, place)
    return sent


def probe(transport: StreamingTransport, where: PurePosixPath) -> list[Finding]:
    """Write, read back, hash, rename, replace and delete small files in the folder `where`; remove them again.

    Their names are those of partials of no dataset: what a killed probe leaves behind, `tidy` removes.  A step
    that fails is a finding, and the later ones that need it are not tried.
    """
    with tempfile.TemporaryDirectory() as lab:
        partial, final, spare = own_names(where, 3)
        steps: list[tuple[str, Callable[[], str]]] = [
            ("free space", lambda: _say_space(transport)),
            ("write", lambda: _say_written(put_bytes(transport, Path(lab), partial, b"first" * 1000))),
            ("read back", lambda: _say_read(transport, partial, b"first" * 1000)),
            ("remote hash", lambda: _say_hash(transport, where)),
            ("rename", lambda: _say_renamed(transport, partial, final)),
            ("replace", lambda: _say_replaced(transport, Path(lab), partial, final)),
            ("hard link", lambda: _say_linked(transport, final, spare)),
            ("delete", lambda: _say_deleted(transport, [partial, final, spare])),
        ]
        findings: list[Finding] = []
        try:
            for name, step in steps:
                findings.append(_try(name, step))
                if not findings[-1].ok and name in ("write", "rename"):
                    break
        finally:
            _forget(transport, [partial, final, spare])
        return findings


def _try(name: str, step: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, step())
    except TransferError as error:
        return Finding(name, False, error.sentence)
    except PromiseBroken as broken:
        return Finding(name, False, f"{broken}.")


def _say_space(transport: StreamingTransport) -> str:
    free = transport.free_space()
    return (
        "The store does not say how much space is free." if free is None else f"{free / 1e9:.1f} GB are free."
    )


def _say_written(sent: Sent) -> str:
    return f"{sent.size} bytes were written to a new file."


def _say_read(transport: StreamingTransport, path: PurePosixPath, content: bytes) -> str:
    require(read_md5(transport, path) == md5(content), "other bytes were read back than were written")
    return "The same bytes were read back."


def _say_hash(transport: StreamingTransport, where: PurePosixPath) -> str:
    if not transport.capabilities.remote_hash:
        return "The store does not hash by itself: stored files are read back."
    require(
        believe_remote_hash(transport, where),
        "the store's hash command does not tell the truth; read files back",
    )
    return "The store hashes by itself, and rightly."


def _say_renamed(transport: StreamingTransport, partial: PurePosixPath, final: PurePosixPath) -> str:
    publish(transport, partial, final)
    return "A file was renamed."


def _say_replaced(
    transport: StreamingTransport, lab: Path, partial: PurePosixPath, final: PurePosixPath
) -> str:
    if not transport.capabilities.replaces_atomically:
        raise RenameDoesNotReplace("the store does not rename onto a file that stands")
    put_bytes(transport, lab, partial, b"second")
    publish(transport, partial, final)
    require(read_md5(transport, final) == md5(b"second"), "a rename left the old bytes in place")
    return "A file was replaced in one step."


def _say_linked(transport: StreamingTransport, final: PurePosixPath, spare: PurePosixPath) -> str:
    made = transport.capabilities.hard_links and transport.link(final, spare)
    return "Hard links can be made." if made else "There are no hard links: replaced versions are not kept."


def _say_deleted(transport: StreamingTransport, paths: Sequence[PurePosixPath]) -> str:
    for failed in transport.remove(paths):
        raise failed.error
    require(not any(transport.stat(paths)), "a removed file still stands")
    return "The files were removed."


def _forget(transport: StreamingTransport, paths: Sequence[PurePosixPath]) -> None:
    """Remove what is left; if that fails too, the finding before has said why."""
    try:
        list(transport.remove(paths))
    except TransferError:
        return


class Unwritable(Exception):
    """Not even the first small file could be written: says nothing of the other rights."""


def try_rights(transport: StreamingTransport, where: PurePosixPath, lab: Path) -> None:
    """Write, rename, replace and delete small files in the folder `where`; `lab` is an empty folder of this machine.

    Raises `Unwritable`, and what the store says of the rest.
    """
    partial, final = own_names(where, 2)
    try:
        try:
            put_bytes(transport, lab, partial, b"first")
        except (StoreDenied, StoreRefused) as error:
            raise Unwritable from error
        publish(transport, partial, final)
        if transport.capabilities.replaces_atomically:
            put_bytes(transport, lab, partial, b"second")
            publish(transport, partial, final)
        for failed in transport.remove([final]):
            raise failed.error
    finally:
        _forget(transport, [partial, final])
