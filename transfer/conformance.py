"""A transport's promises, as checks: run on every kind in the tests and by `doctor` on a live endpoint.

`CHECKS` are the promises of `transports.base`, each one sentence and one function.  `probe` is what may be done
to a store that is in use: a few small files with names of our own beside the data, removed again.
`believe_remote_hash` is the canary that a store's hash command must pass before any of its digests counts.

A check raises `PromiseBroken`; a `TransferError` that it did not expect flies.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

from transfer.errors import (
    PartialExists,
    RenameDoesNotReplace,
    SourceChanged,
    SourceVanished,
    StoredFileMissing,
    StoreRefused,
    TransferError,
    UnsafeSource,
    UntrustedPath,
)
from transfer.paths import partial_name
from transfer.transports.base import (
    Download,
    Failed,
    Got,
    Published,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)

WHEN_NS = 1_700_000_000 * 1_000_000_000
ODD_NAMES = (
    "#2024-01-01#",
    "a b",
    "it's",
    '"quoted"',
    "-rf",
    "naïve-Ω",
    "$(id)",
    "`id`",
    "a;b&c|d",
    "*?[a]",
    "%s",
)
UNSAFE = (PurePosixPath("/etc/x"), PurePosixPath("../x"), PurePosixPath("a/../../x"), PurePosixPath("a\0b"))


class PromiseBroken(Exception):
    """A transport does not do what `transports.base` says."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise.  `run(transport, scratch, lab)` uses an empty folder of the store and one of this machine."""

    name: str
    run: Callable[[StreamingTransport, PurePosixPath, Path], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a doctor's report."""

    name: str
    ok: bool
    sentence: str


# ---- the canary -------------------------------------------------------------------------------------------


def believe_remote_hash(transport: StreamingTransport, where: PurePosixPath) -> bool:
    """Whether the far side's hash command reads the bytes: a file altered in place must change its digest.

    Both versions have the same name, size and time, so that a cache which goes by those is found out.  Uses one
    name in the folder `where` and removes it.  Raises `TransferError` if the file cannot be written at all.
    """
    if not transport.capabilities.remote_hash:
        return False
    place, other = _own_names(where, 2)
    with tempfile.TemporaryDirectory() as lab:
        try:
            first = _put_bytes(transport, Path(lab), place, os.urandom(4096))
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
        return _put_bytes(transport, lab, place, content)
    sent = _put_bytes(transport, lab, other, content)
    _publish(transport, other, place)
    return sent


# ---- what may be tried on a live store --------------------------------------------------------------------


def probe(transport: StreamingTransport, where: PurePosixPath) -> list[Finding]:
    """Write, read back, hash, rename, replace and delete small files in the folder `where`; remove them again.

    Their names are those of partials of no dataset: what a killed probe leaves behind, `tidy` removes.  A step
    that fails is a finding, and the later ones that need it are not tried.
    """
    with tempfile.TemporaryDirectory() as lab:
        partial, final, spare = _own_names(where, 3)
        steps: list[tuple[str, Callable[[], str]]] = [
            ("free space", lambda: _say_space(transport)),
            ("write", lambda: _say_written(_put_bytes(transport, Path(lab), partial, b"first" * 1000))),
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
    _require(_read(transport, path) == _md5(content), "other bytes were read back than were written")
    return "The same bytes were read back."


def _say_hash(transport: StreamingTransport, where: PurePosixPath) -> str:
    if not transport.capabilities.remote_hash:
        return "The store does not hash by itself: stored files are read back."
    _require(
        believe_remote_hash(transport, where),
        "the store's hash command does not tell the truth; read files back",
    )
    return "The store hashes by itself, and rightly."


def _say_renamed(transport: StreamingTransport, partial: PurePosixPath, final: PurePosixPath) -> str:
    _publish(transport, partial, final)
    return "A file was renamed."


def _say_replaced(
    transport: StreamingTransport, lab: Path, partial: PurePosixPath, final: PurePosixPath
) -> str:
    if not transport.capabilities.replaces_atomically:
        raise RenameDoesNotReplace("the store does not rename onto a file that stands")
    _put_bytes(transport, lab, partial, b"second")
    _publish(transport, partial, final)
    _require(_read(transport, final) == _md5(b"second"), "a rename left the old bytes in place")
    return "A file was replaced in one step."


def _say_linked(transport: StreamingTransport, final: PurePosixPath, spare: PurePosixPath) -> str:
    made = transport.capabilities.hard_links and transport.link(final, spare)
    return "Hard links can be made." if made else "There are no hard links: replaced versions are not kept."


def _say_deleted(transport: StreamingTransport, paths: Sequence[PurePosixPath]) -> str:
    for failed in transport.remove(paths):
        raise failed.error
    _require(not any(transport.stat(paths)), "a removed file still stands")
    return "The files were removed."


def _forget(transport: StreamingTransport, paths: Sequence[PurePosixPath]) -> None:
    """Remove what is left; if that fails too, the finding before has said why."""
    try:
        list(transport.remove(paths))
    except TransferError:
        return


# ---- the promises -----------------------------------------------------------------------------------------


def sends_every_byte(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    contents = [b"", b"x", os.urandom(300_001)]
    uploads = [_upload(lab, scratch / f"made/{key}", content, key) for key, content in enumerate(contents)]
    moved: list[int] = []
    sent = {outcome.key: outcome for outcome in transport.put(iter(uploads), moved.append)}
    for upload, content in zip(uploads, contents, strict=True):
        expected = Sent(key=upload.key, size=len(content), md5=_md5(content))
        _require(sent.get(upload.key) == expected, f"put gave {sent.get(upload.key)}, not {expected}")
    _require(sum(moved) == sum(map(len, contents)), f"moved() counted {sum(moved)} bytes")
    for stored, content in zip(transport.stat([u.partial for u in uploads]), contents, strict=True):
        _require(stored is not None and stored.size == len(content), f"stat found {stored}")
        _require(stored is not None and stored.mtime_ns // 10**9 == WHEN_NS // 10**9, "the time was not kept")


def opens_partials_exclusively(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    _put_bytes(transport, lab, scratch / "one", b"mine")
    (outcome,) = transport.put([_upload(lab, scratch / "one", b"other", 0)], _ignore)
    _require_failed(outcome, PartialExists)
    _require(_read(transport, scratch / "one") == _md5(b"mine"), "a refused put changed the file")


def fails_one_file_alone(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    uploads = [_upload(lab, scratch / str(key), b"abc", key) for key in range(5)]
    uploads[1].source.unlink()
    uploads[2].source.unlink()
    uploads[2].source.mkdir()
    uploads[3].source.write_bytes(b"grown since")
    outcomes = {outcome.key: outcome for outcome in transport.put(uploads, _ignore)}
    for key, kind in ((1, SourceVanished), (2, UnsafeSource), (3, SourceChanged)):
        _require_failed(outcomes.get(key), kind)
    for key in (0, 4):
        _require(
            isinstance(outcomes.get(key), Sent), f"file {key} failed with its neighbours: {outcomes.get(key)}"
        )
    stored = list(transport.stat([upload.partial for upload in uploads[1:4]]))
    _require(stored == [None, None, None], f"failed files left something behind: {stored}")


def replaces_on_publish(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    old, new, final = scratch / "old", scratch / "new", scratch / "final"
    _put_bytes(transport, lab, old, b"old")
    _put_bytes(transport, lab, new, b"new")
    _publish(transport, old, final)
    (outcome,) = transport.publish([Rename(key=7, partial=new, final=final)])
    if transport.capabilities.replaces_atomically:
        _require(outcome == Published(key=7), f"publish gave {outcome}")
        _require(list(transport.stat([old, new])) == [None, None], "a partial still stands after its rename")
        _require(_read(transport, final) == _md5(b"new"), "the old bytes are still there")
    else:
        _require_failed(outcome, RenameDoesNotReplace)
        _require(_read(transport, final) == _md5(b"old"), "a refused rename changed the file")


def misses_partials_that_are_gone(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    _put_bytes(transport, lab, scratch / "final", b"stays")
    gone = Rename(key=3, partial=scratch / "gone", final=scratch / "final")
    (outcome,) = transport.publish([gone])
    _require_failed(outcome, StoredFileMissing)
    _require(_read(transport, scratch / "final") == _md5(b"stays"), "a rename of nothing changed the file")


def reads_whole_files(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    content = os.urandom(200_000)
    _put_bytes(transport, lab, scratch / "file", content)
    downloads = [
        Download(key=0, path=scratch / "file", into=lab / "deep" / "copy"),
        Download(key=1, path=scratch / "file"),
        Download(key=2, path=scratch / "missing", into=lab / "never"),
    ]
    outcomes = {outcome.key: outcome for outcome in transport.get(downloads, _ignore)}
    for key in (0, 1):
        expected = Got(key=key, size=len(content), md5=_md5(content))
        _require(outcomes.get(key) == expected, f"get gave {outcomes.get(key)}, not {expected}")
    _require((lab / "deep" / "copy").read_bytes() == content, "the copy differs")
    _require_failed(outcomes.get(2), StoredFileMissing)
    _require(not (lab / "never").exists(), "a failed get left a file behind")


def finds_partials(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    name = partial_name(uuid4(), "0123abcd")
    for other in (name, "data.npy", f"{name}.old"):
        _put_bytes(transport, lab, scratch / other, b"12345")
    found = [(file.path, file.size) for file in transport.list_partials([scratch, scratch / "missing"])]
    _require(found == [(scratch / name, 5)], f"list_partials found {found}")


def removes_what_stands(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    _put_bytes(transport, lab, scratch / "file", b"x")
    for _ in range(2):
        failed = list(transport.remove([scratch / "file", scratch / "never", scratch / "no" / "folder"]))
        _require(not failed, f"remove gave {failed}")
    _require(list(transport.stat([scratch / "file"])) == [None], "a removed file still stands")


def looks_in_order(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    paths = [scratch / str(number) for number in range(300)]
    uploads = [_upload(lab, path, b"y" * key, key) for key, path in enumerate(paths) if key % 3]
    _require(all(isinstance(outcome, Sent) for outcome in transport.put(uploads, _ignore)), "put failed")
    sizes = [None if found is None else found.size for found in transport.stat([*paths, scratch])]
    _require(sizes == [key if key % 3 else None for key in range(300)] + [None], f"stat gave {sizes}")


def takes_names_as_they_are(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    paths = [scratch / name / name for name in ODD_NAMES]
    for key, path in enumerate(paths):
        _put_bytes(transport, lab, path, str(key).encode())
        _require(_read(transport, path) == _md5(str(key).encode()), f"other bytes are in {path}")
    if transport.capabilities.remote_hash:
        given = {found.path: found.digest for found in transport.digests([*paths, scratch / "missing"])}
        expected = {path: _md5(str(key).encode()) for key, path in enumerate(paths)}
        _require(given == {**expected, scratch / "missing": None}, f"digests gave {given}")
    _require(not list(transport.remove(paths)), "a file of an odd name cannot be removed")


def refuses_to_leave_the_root(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    for path in UNSAFE:
        (sent,) = transport.put([_upload(lab, path, b"x", 0)], _ignore)
        _require_failed(sent, UntrustedPath)
        (published,) = transport.publish([Rename(key=0, partial=scratch / "a", final=path)])
        _require_failed(published, UntrustedPath)
        (got,) = transport.get([Download(key=0, path=path)], _ignore)
        _require_failed(got, UntrustedPath)
        (removed,) = transport.remove([path])
        _require_failed(removed, UntrustedPath)
        try:
            list(transport.stat([path]))
        except UntrustedPath:
            continue
        raise PromiseBroken(f"stat looked at {path!r}")


def links_what_stands(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    if not transport.capabilities.hard_links:
        _require(not transport.link(scratch / "file", scratch / "kept"), "a link where there are none")
        return
    _put_bytes(transport, lab, scratch / "file", b"x")
    _require(not transport.link(scratch / "missing", scratch / "kept"), "a link to nothing was made")
    for _ in range(2):
        _require(transport.link(scratch / "file", scratch / "kept"), "no link was made, or not twice")
    list(transport.remove([scratch / "file"]))
    _require(_read(transport, scratch / "kept") == _md5(b"x"), "the link went with the file")


def tells_its_space(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:  # noqa: ARG001
    free = transport.free_space()
    _require((free is not None) == transport.capabilities.free_space, f"free space is {free}")


CHECKS: Sequence[Check] = (
    Check("put sends every byte, keeps the time and counts", sends_every_byte),
    Check("put never touches a partial that stands", opens_partials_exclusively),
    Check("one failed file never fails its batch", fails_one_file_alone),
    Check("publish replaces in one step or says that it cannot", replaces_on_publish),
    Check("publish of a missing partial changes nothing", misses_partials_that_are_gone),
    Check("get reads whole files and names missing ones", reads_whole_files),
    Check("list_partials finds partials and nothing else", finds_partials),
    Check("remove may be said twice", removes_what_stands),
    Check("stat answers in the order asked", looks_in_order),
    Check("names are taken as they are", takes_names_as_they_are),
    Check("no path leads out of the root", refuses_to_leave_the_root),
    Check("a hard link keeps a replaced version", links_what_stands),
    Check("free space is told where it is promised", tells_its_space),
)


# ---- one file ---------------------------------------------------------------------------------------------


def _upload(lab: Path, partial: PurePosixPath, content: bytes, key: int) -> Upload:
    source = lab / uuid4().hex
    source.write_bytes(content)
    return Upload(key=key, source=source, partial=partial, size=len(content), mtime_ns=WHEN_NS)


def _put_bytes(transport: StreamingTransport, lab: Path, partial: PurePosixPath, content: bytes) -> Sent:
    (outcome,) = transport.put([_upload(lab, partial, content, 0)], _ignore)
    if isinstance(outcome, Failed):
        raise outcome.error
    _require(outcome.md5 == _md5(content), "put reports another digest than that of the source")
    return outcome


def _publish(transport: StreamingTransport, partial: PurePosixPath, final: PurePosixPath) -> None:
    (outcome,) = transport.publish([Rename(key=0, partial=partial, final=final)])
    if isinstance(outcome, Failed):
        raise outcome.error


def _read(transport: StreamingTransport, path: PurePosixPath) -> str:
    (outcome,) = transport.get([Download(key=0, path=path)], _ignore)
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome.md5


def _own_names(where: PurePosixPath, count: int) -> list[PurePosixPath]:
    """Names that no dataset has and that look like partials, for `tidy`."""
    nobody = uuid4()
    return [where / partial_name(nobody, os.urandom(4).hex()) for _ in range(count)]


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _ignore(_moved: int) -> None:
    """For batches whose progress nobody follows."""


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise PromiseBroken(otherwise)


def _require_failed(outcome: object, kind: type[TransferError]) -> None:
    if not isinstance(outcome, Failed) or type(outcome.error) is not kind:
        raise PromiseBroken(f"{outcome} where {kind.__name__} was promised") from getattr(
            outcome, "error", None
        )
