"""Names and replies: what FTP can say, what it cannot, and what is read out of a server's words."""

import os
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd
from hypothesis import given
from hypothesis import strategies as st

from sandbox.ftp_servers import FtpStore
from transfer.errors import (
    ConnectionLost,
    EncryptionRefused,
    NameRefused,
    PathTooLong,
    QuotaExceeded,
    StoreDenied,
    StoredFileMissing,
    StoreFull,
    StoreRefused,
    TransferError,
    UntrustedPath,
)
from transfer.paths import partial_name
from transfer.transports.base import Digested, Download, Failed, Got, Published, Rename, Sent, Upload
from transfer.transports.ftp.errands import _file
from transfer.transports.ftp.hashing import HashCommand, _digest_in, find_command
from transfer.transports.ftp.line import Line, Refusal
from transfer.transports.ftp.store import Store
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.ftp.wire import Ftp

P = PurePosixPath
ODD = [
    "trailing space ",
    "  two  leading",
    "tab-less",
    "-a",
    "--help",
    "$(touch x)",
    "`x`",
    "a;b|c&d>e",
    "'\"",
    "%0d%0aDELE x",
    "*",
    "[a-z]?",
    "{a,b}",
    "~root",
    "file name (123 bytes)",
    "226 Transfer complete.",
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "数据-Ω-🧠",
    "\u2028line separator",
    "\x85next line",
]


def upload(lab: Path, key: int, partial: P) -> Upload:
    source = lab / str(key)
    source.write_bytes(f"content {key}".encode())
    return Upload(key=key, source=source, partial=partial, size=source.stat().st_size, mtime_ns=0)


def ignore(_moved: int) -> None: ...


@pytest.fixture(scope="module", params=["vsftpd", "pyftpdlib"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpStore]:
    require_vsftpd() if request.param == "vsftpd" else require_pyftpdlib()
    with FtpStore(tmp_path_factory.mktemp(request.param), server=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def transport(store: FtpStore) -> Iterator[FtpTransport]:
    with FtpTransport(ftp_options_of(store)) as opened:
        yield opened


def test_odd_names_stand_exactly_as_they_are(store: FtpStore, transport: FtpTransport, lab: Path) -> None:
    """As files and as folders; each with its own bytes, renamed, read, listed and removed."""
    uploads = [upload(lab, key, P("odd") / name / f".{name}") for key, name in enumerate(ODD)]
    assert all(isinstance(outcome, Sent) for outcome in transport.put(uploads, ignore))
    renames = [
        Rename(key=u.key, partial=u.partial, final=u.partial.with_name(u.partial.parent.name))
        for u in uploads
    ]
    assert all(isinstance(outcome, Published) for outcome in transport.publish(renames))
    assert {entry.name for entry in (store.root / "odd").iterdir()} == set(ODD)
    for one in uploads:
        final = store.root / one.partial.parent / one.partial.parent.name
        assert final.read_bytes() == one.source.read_bytes()
    got = list(transport.get([Download(key=r.key, path=r.final) for r in renames], ignore))
    assert all(isinstance(outcome, Got) for outcome in got)
    assert all(transport.stat([r.final for r in renames]))
    assert list(transport.remove([r.final for r in renames])) == []
    assert not any(transport.stat([r.final for r in renames]))


def test_partials_are_found_in_folders_of_odd_names(
    store: FtpStore, transport: FtpTransport, lab: Path
) -> None:
    from uuid import uuid4

    partials = [P("left") / name / partial_name(uuid4(), "0123abcd") for name in ODD]
    list(transport.put([upload(lab, key, path) for key, path in enumerate(partials)], ignore))
    found = {file.path for file in transport.list_leftovers([path.parent for path in partials])}
    assert found == set(partials)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\0"])
def test_a_name_with_a_line_break_never_becomes_a_command(
    store: FtpStore, transport: FtpTransport, lab: Path, end: str
) -> None:
    victim = store.root / "victim"
    victim.write_bytes(b"stands")
    path = P(f"x{end}DELE {store.remote_root}/victim")
    (sent,) = transport.put([upload(lab, 0, path)], ignore)
    (published,) = transport.publish([Rename(key=0, partial=P("a"), final=path)])
    (got,) = transport.get([Download(key=0, path=path)], ignore)
    (removed,) = transport.remove([path])
    for outcome in (sent, published, got, removed):
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is UntrustedPath
    assert victim.exists()
    victim.unlink()


@given(before=st.text(), end=st.sampled_from(["\r", "\n", "\0", "\r\n"]), after=st.text())
def test_no_line_break_is_ever_sent(before: str, end: str, after: str) -> None:
    """Not even by a caller that forgot to look: the connection itself refuses."""
    here, there = socket.socketpair()
    with here, there:
        ftp = Ftp(None, timeout=1.0)
        ftp.sock = here
        with pytest.raises(NameRefused):
            ftp.putline(f"STOR {before}{end}{after}")
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)


def test_names_that_are_not_utf8(store: FtpStore, transport: FtpTransport, lab: Path) -> None:
    """A server that takes bytes gets them; one that takes UTF-8 would change the name, so we refuse."""
    name = os.fsdecode(b"caf\xe9")
    outcomes = list(transport.put([upload(lab, 0, P("bytes") / name), upload(lab, 1, P("bytes/ok"))], ignore))
    kinds = {o.key: type(o.error) if isinstance(o, Failed) else Sent for o in outcomes}
    assert kinds[1] is Sent
    if "UTF8" in transport._features:
        assert kinds[0] is NameRefused
        assert [path.name for path in (store.root / "bytes").iterdir()] == ["ok"]
    else:
        assert kinds[0] is Sent
        assert (store.root / "bytes" / name).exists()
        assert all(transport.stat([P("bytes") / name]))


def test_the_one_byte_that_is_ftps_own_is_refused(transport: FtpTransport, lab: Path) -> None:
    (failed,) = transport.put([upload(lab, 0, P(os.fsdecode(b"a\xffb")))], ignore)
    assert isinstance(failed, Failed)
    assert type(failed.error) is NameRefused
    str(failed.error).encode()


def test_an_empty_batch_asks_nothing(transport: FtpTransport) -> None:
    assert list(transport.put([], ignore)) == []
    assert list(transport.get([], ignore)) == []
    assert list(transport.publish([])) == []
    assert list(transport.stat([])) == []
    assert list(transport.remove([])) == []


# ---- replies ------------------------------------------------------------------------------------------------

BY_REPLY: dict[tuple[int, str], type[TransferError]] = {
    (450, "Requested file action not taken: no such file"): StoredFileMissing,
    (550, "/x: No such file or directory"): StoredFileMissing,
    (550, "The system cannot find the file specified."): StoredFileMissing,
    (550, "Permission denied."): StoreDenied,
    (550, "Not enough privileges."): StoreDenied,
    (553, "Could not create file: Read-only file system"): StoreDenied,
    (532, "Need account for storing files."): StoreDenied,
    (452, "Insufficient storage space in system."): StoreFull,
    (451, "write: No space left on device"): StoreFull,
    (552, "Exceeded storage allocation."): QuotaExceeded,
    (451, "Disk quota exceeded"): QuotaExceeded,
    (550, "File name too long"): PathTooLong,
    (425, "Can't open data connection."): ConnectionLost,
    (426, "Connection closed; transfer aborted."): ConnectionLost,
    (522, "SSL connection failed; session reuse required"): EncryptionRefused,
    (500, "Unknown command."): StoreRefused,
    (502, "Command not implemented."): StoreRefused,
}


@pytest.mark.parametrize(("reply", "kind"), BY_REPLY.items(), ids=str)
def test_plain_replies_need_no_second_look(reply: tuple[int, str], kind: type[TransferError]) -> None:
    here, there = socket.socketpair()
    with here, there:
        ftp = Ftp(None, timeout=0.1)
        ftp.sock = here
        line = Line(ftp, "ftp://h:21", "")
        error = Store(P("/root"), "ftp://h:21").explain(line, Refusal(*reply), P("a"))
        assert type(error) is kind
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)


FACTS = {
    "type=file;size=3;modify=20240102030405; name": (3, 1_704_164_645),
    "Type=FILE;Size=3;Modify=20240102030405.123;Perm=adfr; name": (3, 1_704_164_645),
    "size=3;type=file; name with; odd=things": (3, 0),
    "type=dir;size=4096;modify=20240102030405; name": None,
    "type=OS.unix=symlink;size=3; name": None,
    "type=file; no size": None,
    "": None,
}


@pytest.mark.parametrize(("entry", "expected"), FACTS.items())
def test_facts_are_read_as_rfc_3659_writes_them(entry: str, expected: tuple[int, int] | None) -> None:
    found = _file(P("x"), entry)
    assert (None if found is None else (found.size, found.mtime_ns // 10**9)) == expected


MD5 = "0123456789abcdef0123456789ABCDEF"


@pytest.mark.parametrize(
    ("said", "digest"),
    [
        (f"MD5 0-499 {MD5} /a/b", MD5.lower()),
        (MD5, MD5.lower()),
        (f'"{MD5}"', MD5.lower()),
        (f"File .x.{MD5}.old is broken", None),
        (f"MD5 0-499 nothing .x.{MD5}.old", None),
        (f"{MD5}00", None),
        ("", None),
    ],
)
def test_a_digest_is_never_read_out_of_a_name(said: str, digest: str | None) -> None:
    command = HashCommand("HASH", None, "md5")
    if digest is None:
        with pytest.raises(StoreRefused):
            _digest_in(said, command, "x")
    else:
        assert _digest_in(said, command, "x") == digest


def test_hash_commands_are_used_only_where_they_are_offered() -> None:
    assert find_command({}, "md5") is None
    assert find_command({"HASH": "SHA-1;SHA-256*"}, "md5") is None
    assert find_command({"HASH": "SHA-1;MD5;SHA-256*"}, "md5") == HashCommand("HASH", "OPTS HASH MD5", "md5")
    assert find_command({"HASH": "CRC32", "XMD5": ""}, "md5") == HashCommand("XMD5", None, "md5")


@pytest.mark.parametrize("extras", [["XMD5", "XSHA256"], ["HASH"]])
def test_servers_that_hash_are_asked(tmp_path: Path, extras: list[str]) -> None:
    import hashlib

    require_pyftpdlib()
    with FtpStore(tmp_path / "home", server="pyftpdlib", extras=extras) as store:
        (store.root / "known").write_bytes(b"abc")
        with FtpTransport(ftp_options_of(store)) as transport:
            for algorithm in ("md5", "sha256"):
                asked = list(transport.digests([P("known"), P("gone"), P("known")], algorithm))  # type: ignore[arg-type]
                right = hashlib.new(algorithm, b"abc").hexdigest()
                assert asked == [
                    Digested(path=P("known"), digest=right),
                    Digested(path=P("gone"), digest=None),
                ]
        with FtpTransport(ftp_options_of(store, hash_command=False)) as transport:
            assert transport.capabilities.remote_hash is False
            with pytest.raises(StoreRefused):
                list(transport.digests([P("known")]))
