"""The promises of `transports.base`, each as a sentence and a function that tries it.

A check uses an empty folder of the store and one of this machine, and cleans up neither.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import uuid4

from transfer.conformance.single import (
    WHEN_NS,
    PromiseBroken,
    ignore,
    md5,
    publish,
    put_bytes,
    read_md5,
    require,
    require_failed,
    upload_of,
)
from transfer.errors import (
    PartialExists,
    RenameDoesNotReplace,
    SourceChanged,
    SourceVanished,
    StoredFileMissing,
    UnsafeSource,
    UntrustedPath,
)
from transfer.paths import partial_name
from transfer.transports.base import Download, Got, Published, Rename, Sent, StreamingTransport

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


@dataclass(frozen=True, slots=True)
class Check:
    """One promise.  `run(transport, scratch, lab)` uses an empty folder of the store and one of this machine."""

    name: str
    run: Callable[[StreamingTransport, PurePosixPath, Path], None]


def sends_every_byte(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    contents = [b"", b"x", os.urandom(300_001)]
    uploads = [upload_of(lab, scratch / f"made/{key}", content, key) for key, content in enumerate(contents)]
    moved: list[int] = []
    sent = {outcome.key: outcome for outcome in transport.put(iter(uploads), moved.append)}
    for upload, content in zip(uploads, contents, strict=True):
        expected = Sent(key=upload.key, size=len(content), md5=md5(content))
        require(sent.get(upload.key) == expected, f"put gave {sent.get(upload.key)}, not {expected}")
    require(sum(moved) == sum(map(len, contents)), f"moved() counted {sum(moved)} bytes")
    for stored, content in zip(transport.stat([u.partial for u in uploads]), contents, strict=True):
        require(stored is not None and stored.size == len(content), f"stat found {stored}")
        require(stored is not None and stored.mtime_ns // 10**9 == WHEN_NS // 10**9, "the time was not kept")


def opens_partials_exclusively(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    put_bytes(transport, lab, scratch / "one", b"mine")
    (outcome,) = transport.put([upload_of(lab, scratch / "one", b"other", 0)], ignore)
    require_failed(outcome, PartialExists)
    require(read_md5(transport, scratch / "one") == md5(b"mine"), "a refused put changed the file")


def fails_one_file_alone(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    uploads = [upload_of(lab, scratch / str(key), b"abc", key) for key in range(5)]
    uploads[1].source.unlink()
    uploads[2].source.unlink()
    uploads[2].source.mkdir()
    uploads[3].source.write_bytes(b"grown since")
    outcomes = {outcome.key: outcome for outcome in transport.put(uploads, ignore)}
    for key, kind in ((1, SourceVanished), (2, UnsafeSource), (3, SourceChanged)):
        require_failed(outcomes.get(key), kind)
    for key in (0, 4):
        require(
            isinstance(outcomes.get(key), Sent), f"file {key} failed with its neighbours: {outcomes.get(key)}"
        )
    stored = list(transport.stat([upload.partial for upload in uploads[1:4]]))
    require(stored == [None, None, None], f"failed files left something behind: {stored}")


def replaces_on_publish(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    old, new, final = scratch / "old", scratch / "new", scratch / "final"
    put_bytes(transport, lab, old, b"old")
    put_bytes(transport, lab, new, b"new")
    publish(transport, old, final)
    (outcome,) = transport.publish([Rename(key=7, partial=new, final=final)])
    if transport.capabilities.replaces_atomically:
        require(outcome == Published(key=7), f"publish gave {outcome}")
        require(list(transport.stat([old, new])) == [None, None], "a partial still stands after its rename")
        require(read_md5(transport, final) == md5(b"new"), "the old bytes are still there")
    else:
        require_failed(outcome, RenameDoesNotReplace)
        require(read_md5(transport, final) == md5(b"old"), "a refused rename changed the file")


def misses_partials_that_are_gone(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    put_bytes(transport, lab, scratch / "final", b"stays")
    gone = Rename(key=3, partial=scratch / "gone", final=scratch / "final")
    (outcome,) = transport.publish([gone])
    require_failed(outcome, StoredFileMissing)
    require(read_md5(transport, scratch / "final") == md5(b"stays"), "a rename of nothing changed the file")


def reads_whole_files(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    content = os.urandom(200_000)
    put_bytes(transport, lab, scratch / "file", content)
    downloads = [
        Download(key=0, path=scratch / "file", into=lab / "deep" / "copy"),
        Download(key=1, path=scratch / "file"),
        Download(key=2, path=scratch / "missing", into=lab / "never"),
    ]
    outcomes = {outcome.key: outcome for outcome in transport.get(downloads, ignore)}
    for key in (0, 1):
        expected = Got(key=key, size=len(content), md5=md5(content))
        require(outcomes.get(key) == expected, f"get gave {outcomes.get(key)}, not {expected}")
    require((lab / "deep" / "copy").read_bytes() == content, "the copy differs")
    require_failed(outcomes.get(2), StoredFileMissing)
    require(not (lab / "never").exists(), "a failed get left a file behind")


def finds_partials(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    name = partial_name(uuid4(), "0123abcd")
    for other in (name, "data.npy", f"{name}.old"):
        put_bytes(transport, lab, scratch / other, b"12345")
    found = [(file.path, file.size) for file in transport.list_leftovers([scratch, scratch / "missing"])]
    require(found == [(scratch / name, 5)], f"list_leftovers found {found}")


def removes_what_stands(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    put_bytes(transport, lab, scratch / "file", b"x")
    for _ in range(2):
        failed = list(transport.remove([scratch / "file", scratch / "never", scratch / "no" / "folder"]))
        require(not failed, f"remove gave {failed}")
    require(list(transport.stat([scratch / "file"])) == [None], "a removed file still stands")


def looks_in_order(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    paths = [scratch / str(number) for number in range(300)]
    uploads = [upload_of(lab, path, b"y" * key, key) for key, path in enumerate(paths) if key % 3]
    require(all(isinstance(outcome, Sent) for outcome in transport.put(uploads, ignore)), "put failed")
    sizes = [None if found is None else found.size for found in transport.stat([*paths, scratch])]
    require(sizes == [key if key % 3 else None for key in range(300)] + [None], f"stat gave {sizes}")


def takes_names_as_they_are(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    paths = [scratch / name / name for name in ODD_NAMES]
    for key, path in enumerate(paths):
        put_bytes(transport, lab, path, str(key).encode())
        require(read_md5(transport, path) == md5(str(key).encode()), f"other bytes are in {path}")
    if transport.capabilities.remote_hash:
        given = {found.path: found.digest for found in transport.digests([*paths, scratch / "missing"])}
        expected = {path: md5(str(key).encode()) for key, path in enumerate(paths)}
        require(given == {**expected, scratch / "missing": None}, f"digests gave {given}")
    require(not list(transport.remove(paths)), "a file of an odd name cannot be removed")


def refuses_to_leave_the_root(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    for path in UNSAFE:
        (sent,) = transport.put([upload_of(lab, path, b"x", 0)], ignore)
        require_failed(sent, UntrustedPath)
        (published,) = transport.publish([Rename(key=0, partial=scratch / "a", final=path)])
        require_failed(published, UntrustedPath)
        (got,) = transport.get([Download(key=0, path=path)], ignore)
        require_failed(got, UntrustedPath)
        (removed,) = transport.remove([path])
        require_failed(removed, UntrustedPath)
        try:
            list(transport.stat([path]))
        except UntrustedPath:
            continue
        raise PromiseBroken(f"stat looked at {path!r}")


def links_what_stands(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:
    if not transport.capabilities.hard_links:
        require(not transport.link(scratch / "file", scratch / "kept"), "a link where there are none")
        return
    put_bytes(transport, lab, scratch / "file", b"x")
    require(not transport.link(scratch / "missing", scratch / "kept"), "a link to nothing was made")
    for _ in range(2):
        require(transport.link(scratch / "file", scratch / "kept"), "no link was made, or not twice")
    list(transport.remove([scratch / "file"]))
    require(read_md5(transport, scratch / "kept") == md5(b"x"), "the link went with the file")


def tells_its_space(transport: StreamingTransport, scratch: PurePosixPath, lab: Path) -> None:  # noqa: ARG001
    free = transport.free_space()
    require((free is not None) == transport.capabilities.free_space, f"free space is {free}")


CHECKS: Sequence[Check] = (
    Check("put sends every byte, keeps the time and counts", sends_every_byte),
    Check("put never touches a partial that stands", opens_partials_exclusively),
    Check("one failed file never fails its batch", fails_one_file_alone),
    Check("publish replaces in one step or says that it cannot", replaces_on_publish),
    Check("publish of a missing partial changes nothing", misses_partials_that_are_gone),
    Check("get reads whole files and names missing ones", reads_whole_files),
    Check("list_leftovers finds partials and nothing else", finds_partials),
    Check("remove may be said twice", removes_what_stands),
    Check("stat answers in the order asked", looks_in_order),
    Check("names are taken as they are", takes_names_as_they_are),
    Check("no path leads out of the root", refuses_to_leave_the_root),
    Check("a hard link keeps a replaced version", links_what_stands),
    Check("free space is told where it is promised", tells_its_space),
)
