"""What SFTP allows and OpenSSH does not do: answers out of order, short reads, late refusals, a full disk."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_server import FULL, TinyServer

from transfer.errors import (
    ConnectionLost,
    PartialExists,
    StoreDenied,
    StoredFileMissing,
    StoreFull,
    StoreRefused,
    TransferError,
)
from transfer.transports.base import Download, Failed, Got, Sent, Upload
from transfer.transports.sftp import protocol
from transfer.transports.sftp.hashing import read_output
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Conversation
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
OPTIONS = SftpOptions(host="tiny", user="nobody", root=P("/root"), agent=True)
CONTENT = os.urandom(1_000_003)

Order = Callable[[list[bytes]], list[bytes]]
ORDERS: dict[str, Order] = {"as asked": list, "reversed": lambda answers: answers[::-1]}


def ignore(_moved: int) -> None: ...


def over(server: TinyServer) -> SftpTransport:
    return SftpTransport(OPTIONS, connect=lambda options: server)


def upload(lab: Path, content: bytes = CONTENT, name: str = "folder/file") -> Upload:
    source = lab / "source"
    source.write_bytes(content)
    return Upload(key=0, source=source, partial=P(name), size=len(content), mtime_ns=0)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("short", [1 << 20, 10_000])
def test_the_order_and_size_of_answers_do_not_matter(lab: Path, order: Order, short: int) -> None:
    server = TinyServer(order=order, short=short)
    with over(server) as transport:
        (sent,) = transport.put([upload(lab)], ignore)
        assert isinstance(sent, Sent)
        assert server.files == {b"/root/folder/file": CONTENT}
        (got,) = transport.get([Download(key=0, path=P("folder/file"), into=lab / "back")], ignore)
        assert got == Got(key=0, size=len(CONTENT), md5=hashlib.md5(CONTENT).hexdigest())
        assert (lab / "back").read_bytes() == CONTENT
        assert [found and found.size for found in transport.stat([P("f1"), P("folder/file"), P("f2")])] == [
            None,
            len(CONTENT),
            None,
        ]


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (FULL, StoreFull),
        ({"free": 1 << 40, "names": 0, "flags": 0}, StoreFull),
        ({"free": 1 << 40, "names": 5, "flags": 1}, StoreDenied),
        ({"free": 1 << 40, "names": 5, "flags": 0}, StoreRefused),
    ],
)
@pytest.mark.parametrize("refused", [protocol.OPEN, protocol.WRITE, protocol.FSETSTAT, protocol.CLOSE])
def test_a_plain_failure_is_explained_by_the_space_that_is_left(
    lab: Path, space: dict[str, int], kind: type[TransferError], refused: int
) -> None:
    """However late the refusal comes: a write that fails is never reported as sent."""
    server = TinyServer(space=space, fails={refused: protocol.FAILURE})
    with over(server) as transport:
        (failed,) = transport.put([upload(lab)], ignore)
        assert isinstance(failed, Failed)
        assert type(failed.error) is kind
        assert failed.error.__cause__ is not None
        assert server.files == {}
        del server.fails[refused]
        (again,) = transport.put([upload(lab)], ignore)
        assert isinstance(again, Sent)


def test_a_name_that_stands_is_told_from_a_full_disk(lab: Path) -> None:
    server = TinyServer(files={b"/root/file": b"x"}, space=FULL, fails={protocol.OPEN: protocol.FAILURE})
    with over(server) as transport:
        (failed,) = transport.put([upload(lab, name="file")], ignore)
    assert isinstance(failed, Failed)
    assert type(failed.error) is PartialExists


def test_a_server_that_keeps_less_than_it_took_is_found_out(lab: Path) -> None:
    class Forgetful(TinyServer):
        def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
            if kind == protocol.CLOSE:
                self.files = {name: content[:10] for name, content in self.files.items()}
            return super().answer(kind, body)

    with over(Forgetful()) as transport:
        (failed,) = transport.put([upload(lab)], ignore)
    assert isinstance(failed, Failed)
    assert type(failed.error) is StoreRefused
    assert "10 of 1000003" in failed.error.what


def test_a_file_that_ends_early_is_no_shorter_file(lab: Path) -> None:
    class Shrinking(TinyServer):
        def answer(self, kind: int, body: protocol.Fields) -> tuple[int, bytes]:
            answer = super().answer(kind, body)
            if kind == protocol.FSTAT:
                self.files = {name: content[:50_000] for name, content in self.files.items()}
            return answer

    with over(Shrinking(files={b"/root/file": CONTENT})) as transport:
        (failed,) = transport.get([Download(key=0, path=P("file"), into=lab / "into")], ignore)
        assert isinstance(failed, Failed)
        assert not (lab / "into").exists()
        (missing,) = transport.get([Download(key=0, path=P("f-missing"))], ignore)
        assert isinstance(missing, Failed)
        assert type(missing.error) is StoredFileMissing


@pytest.mark.parametrize("noise", [b"Welcome to the lab!\r\n", b"\0\0\0\0", b"\xff" * 9])
def test_what_is_not_sftp_is_a_lost_connection_and_not_a_hang(noise: bytes) -> None:
    with pytest.raises(ConnectionLost), over(TinyServer(noise=noise)):
        pass


def test_a_server_without_extensions_is_enough(lab: Path) -> None:
    with over(TinyServer(extensions=())) as transport:
        assert transport.capabilities.syncs is False
        assert transport.free_space() is None
        assert transport.link(P("a"), P("b")) is False
        (sent,) = transport.put([upload(lab)], ignore)
        assert isinstance(sent, Sent)


class Silent:
    """A stream that takes everything and never says a word."""

    def __init__(self) -> None:
        self.closed = False

    def send(self, s: bytes, /) -> int:
        return len(s)

    def recv(self, nbytes: int, /) -> bytes:
        raise TimeoutError

    def settimeout(self, timeout: float | None, /) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_silence_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match="unanswered"):
        Conversation(Silent(), address="sftp://tiny:22", timeout=0.0)


# ---- what hash commands say -------------------------------------------------------------------------------

names = st.binary(min_size=0, max_size=40).map(lambda raw: b"/" + raw.replace(b"\0", b""))
digests = st.binary(min_size=16, max_size=16).map(bytes.hex)


@given(st.dictionaries(names, digests))
def test_output_ended_by_nul_is_read_back_whatever_the_names(said: dict[bytes, str]) -> None:
    # With -z nothing is escaped; only then may a backslash stand before the digest of no name at all.
    out = b"".join(digest.encode() + b"  " + name + b"\0" for name, digest in said.items())
    assert dict(read_output(out, b"\0")) == said


@given(st.dictionaries(names, digests))
def test_escaped_output_is_read_back_whatever_the_names(said: dict[bytes, str]) -> None:
    out = b""
    for name, digest in said.items():
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        out += (b"\\" if escaped != name else b"") + digest.encode() + b"  " + escaped + b"\n"
    assert dict(read_output(out, b"\n")) == said


@pytest.mark.parametrize(
    "out",
    [
        b"d41d8cd98f00b204e9800998ecf8427e  /a",
        b"Last login: today\n",
        b"d41d8cd98f00b204e9800998ecf8427e  relative\n",
        b"d41d8cd98f00b204e9800998ecf842  /a\n",
        b"D41D8CD98F00B204E9800998ECF8427E  /a\n",
    ],
)
def test_anything_else_is_no_digest(out: bytes) -> None:
    with pytest.raises(ValueError):
        list(read_output(out, b"\n"))
