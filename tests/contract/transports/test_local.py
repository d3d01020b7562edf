"""A mounted disk: what only a folder of this machine can show."""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from transfer.errors import (
    EndpointUnreachable,
    PathTooLong,
    QuotaExceeded,
    StoreDenied,
    StoreFull,
    StoreRefused,
    TransferError,
    UntrustedPath,
)
from transfer.transports.base import Download, Failed, Rename, Sent, Upload
from transfer.transports.local import LocalTransport

P = PurePosixPath


def upload(lab: Path, partial: str, content: bytes = b"abc") -> Upload:
    source = lab / "source"
    source.write_bytes(content)
    return Upload(key=0, source=source, partial=P(partial), size=len(content), mtime_ns=1_234_567_890_123)


def ignore(_moved: int) -> None: ...


def error_of(outcomes: Iterator[object]) -> TransferError:
    (outcome,) = outcomes
    assert isinstance(outcome, Failed)
    return outcome.error


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_missing_root_is_unreachable_and_never_made(tmp_path: Path, lab: Path) -> None:
    transport = LocalTransport(tmp_path / "unmounted")
    with pytest.raises(EndpointUnreachable), transport:
        pass
    assert isinstance(error_of(transport.put([upload(lab, "a/b")], ignore)), EndpointUnreachable)
    assert isinstance(error_of(transport.get([Download(key=0, path=P("a"))], ignore)), EndpointUnreachable)
    with pytest.raises(EndpointUnreachable):
        transport.free_space()
    assert not (tmp_path / "unmounted").exists()


def test_no_link_inside_the_store_leads_out_of_it(tmp_path: Path, lab: Path) -> None:
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    store.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (store / "door").symlink_to(outside)
    (store / "leaf").symlink_to(outside / "secret")
    (store / "file").write_bytes(b"inside")
    transport = LocalTransport(store)
    assert isinstance(error_of(transport.put([upload(lab, "door/new")], ignore)), UntrustedPath)
    rename = Rename(key=0, partial=P("file"), final=P("door/file"))
    assert isinstance(error_of(transport.publish([rename])), UntrustedPath)
    assert isinstance(error_of(transport.remove([P("door/secret")])), UntrustedPath)
    for path in ("door/secret", "leaf"):
        assert isinstance(error_of(transport.get([Download(key=0, path=P(path))], ignore)), UntrustedPath)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    # The link itself may be replaced: nothing is written through it.
    assert not isinstance(
        next(transport.publish([Rename(key=0, partial=P("file"), final=P("leaf"))])), Failed
    )
    assert (outside / "secret").read_bytes() == b"secret"
    assert (store / "leaf").read_bytes() == b"inside"


def test_modes_are_set_whatever_the_umask(tmp_path: Path, lab: Path) -> None:
    with umask(0o077), LocalTransport(tmp_path, file_mode=0o664, folder_mode=0o775) as transport:
        (sent,) = transport.put([upload(lab, "a/b/c")], ignore)
    assert isinstance(sent, Sent)
    modes = [(tmp_path / path).stat().st_mode & 0o777 for path in ("a", "a/b", "a/b/c")]
    assert modes == [0o775, 0o775, 0o664]
    assert (tmp_path / "a/b/c").stat().st_mtime_ns == 1_234_567_890_123


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EROFS, StoreDenied),
        (errno.EACCES, StoreDenied),
        (errno.ESTALE, EndpointUnreachable),
        (errno.EIO, StoreRefused),
    ],
)
def test_what_the_disk_says_becomes_a_kind_and_the_partial_is_removed(
    tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[TransferError]
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    store = tmp_path / "store"
    store.mkdir()
    error = error_of(LocalTransport(store).put([upload(lab, "part")], ignore))
    assert type(error) is kind
    assert isinstance(error.__cause__, OSError)
    assert list(store.iterdir()) == []


def test_a_name_that_is_too_long_says_so(tmp_path: Path, lab: Path) -> None:
    error = error_of(LocalTransport(tmp_path).put([upload(lab, "n" * 300)], ignore))
    assert isinstance(error, PathTooLong)


class Died(BaseException):
    """The process dies here."""


@pytest.mark.parametrize(
    "moment", ["partial-opened", "chunk-written", "file-synced", "renaming", "renamed", "folder-synced"]
)
def test_a_death_at_any_moment_leaves_the_whole_file_or_none(tmp_path: Path, lab: Path, moment: str) -> None:
    store = tmp_path / "store"
    store.mkdir()

    def die(effect: str, _path: PurePosixPath) -> None:
        if effect == moment:
            raise Died

    transport = LocalTransport(store, connections=1, chunk=2, observe=die)
    with contextlib.suppress(Died):
        list(transport.put([upload(lab, "part", b"12345")], ignore))
        list(transport.publish([Rename(key=0, partial=P("part"), final=P("final"))]))
        pytest.fail("it lived on")
    if (store / "final").exists():
        assert (store / "final").read_bytes() == b"12345"


def test_every_effect_is_told_before_and_after(tmp_path: Path, lab: Path) -> None:
    told: list[str] = []
    transport = LocalTransport(
        tmp_path / "lab" / "..", connections=1, chunk=2, observe=lambda effect, _path: told.append(effect)
    )
    list(transport.put([upload(lab, "folder/part", b"123")], ignore))
    list(transport.publish([Rename(key=0, partial=P("folder/part"), final=P("folder/final"))]))
    list(transport.remove([P("folder/final")]))
    assert told == [
        *("making-folder", "folder-made", "syncing-folder", "folder-synced"),
        *("opening-partial", "partial-opened"),
        *("writing-chunk", "chunk-written") * 2,
        *("syncing-file", "file-synced"),
        *("renaming", "renamed", "syncing-folder", "folder-synced"),
        *("removing", "removed"),
    ]


def test_a_disk_does_not_pretend_to_hash(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path)
    assert transport.capabilities.remote_hash is False
    with pytest.raises(StoreRefused):
        list(transport.digests([P("a")]))
