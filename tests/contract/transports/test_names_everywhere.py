"""Names from hell through every transport: what is taken stands byte for byte, what is not is refused by name.

One server for the module and one connection for a batch: each example of Hypothesis is a batch of about twenty
names, every one of them a folder and a file in it.  No folder is removed while its server runs: pyftpdlib makes a
folder that it enters the whole process's own for a moment, and would be lost without it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest
from ftp_stores import ftp_options_of, require_pyftpdlib, require_vsftpd
from globus_lab import frozen, place
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sftp_stores import options_of, require_ssh, require_sshd

from sandbox.ftp_servers import FtpStore
from sandbox.store import SftpStore
from sandbox.web_store import WebStore
from tests import names
from transfer.errors import UntrustedPath
from transfer.model import staged_path
from transfer.paths import partial_name
from transfer.transports.base import (
    Download,
    Failed,
    Got,
    Published,
    Readable,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)
from transfer.transports.delegated import Piece
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.http.transport import HttpTransport
from transfer.transports.local import LocalTransport
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
EXAMPLES = 5
_scratch = count()
# A failure names its file; to shrink twenty names over a network would take longer than to read one.
quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[*HealthCheck],
    phases=(Phase.explicit, Phase.generate),
)


def ignore(_moved: int) -> None: ...


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Road:
    """A transport that is open, the folder of the disk behind it, and a folder of ours."""

    transport: StreamingTransport
    store: Path
    lab: Path

    def upload(self, key: int, partial: P) -> Upload:
        source = self.lab / str(key)
        source.write_bytes(content := f"content of {key}".encode())
        return Upload(key=key, source=source, partial=partial, size=len(content), mtime_ns=0, below=self.lab)


def _sftp(tmp: Path, running: ExitStack, *, carrier: str, server: str) -> tuple[StreamingTransport, Path]:
    if server == "sshd":
        require_sshd()
    if carrier == "ssh":
        require_ssh()
    store = running.enter_context(SftpStore(tmp / "store", home=tmp / "home", server=server))  # type: ignore[arg-type]
    return SftpTransport(options_of(store, carrier=carrier)), store.root


def _ftp(tmp: Path, running: ExitStack, *, server: str) -> tuple[StreamingTransport, Path]:
    require_vsftpd() if server == "vsftpd" else require_pyftpdlib()
    store = running.enter_context(FtpStore(tmp / "home", server=server))  # type: ignore[arg-type]
    return FtpTransport(ftp_options_of(store)), store.root


def _local(tmp: Path, _running: ExitStack) -> tuple[StreamingTransport, Path]:
    (tmp / "store").mkdir()
    return LocalTransport(tmp / "store"), tmp / "store"


ROADS: dict[str, Callable[[Path, ExitStack], tuple[StreamingTransport, Path]]] = {
    "local": _local,
    "sftp-paramiko": lambda tmp, running: _sftp(tmp, running, carrier="paramiko", server="sshd"),
    "sftp-ssh": lambda tmp, running: _sftp(tmp, running, carrier="ssh", server="sshd"),
    "sftp-embedded": lambda tmp, running: _sftp(tmp, running, carrier="paramiko", server="embedded"),
    "ftp-vsftpd": lambda tmp, running: _ftp(tmp, running, server="vsftpd"),
    "ftp-pyftpdlib": lambda tmp, running: _ftp(tmp, running, server="pyftpdlib"),
}


@pytest.fixture(scope="module", params=ROADS)
def road(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    tmp = tmp_path_factory.mktemp("names")
    (tmp / "lab").mkdir()
    with ExitStack() as running:
        transport, store = ROADS[request.param](tmp, running)
        yield Road(running.enter_context(transport), store, tmp / "lab")


# ---- what is legal arrives


@given(some=names.batches())
@quick
def test_whatever_is_taken_stands_under_exactly_its_name_with_its_bytes(road: Road, some: list[str]) -> None:
    """Sent, published, listed, looked at, read, hashed and removed: the disk behind the server is the judge."""
    here = P(f"scratch-{next(_scratch)}")
    uploads = [
        road.upload(key, here / name / partial_name(UUID(int=key), f"{key:08x}"))
        for key, name in enumerate(some)
    ]
    sent = {outcome.key: outcome for outcome in road.transport.put(uploads, ignore)}
    taken = {key: some[key] for key, outcome in sent.items() if isinstance(outcome, Sent)}
    assert {some[key]: outcome for key, outcome in sent.items() if isinstance(outcome, Failed)} == {}
    assert sent.keys() == set(range(len(some)))

    renames = [
        Rename(key=key, partial=uploads[key].partial, final=here / name / name) for key, name in taken.items()
    ]
    assert set(road.transport.publish(renames)) == {Published(key=key) for key in taken}

    assert _on_disk(road.store / here) == {
        (os.fsencode(name), os.fsencode(name), uploads[key].source.read_bytes())
        for key, name in taken.items()
    }
    _reads_back(road.transport, road.lab / "back", {r.key: (r.final, uploads[r.key]) for r in renames})
    if road.transport.capabilities.remote_hash:
        told = {one.path: one.digest for one in road.transport.digests([r.final for r in renames])}
        assert told == {r.final: md5(uploads[r.key].source.read_bytes()) for r in renames}
    assert list(road.transport.remove([rename.final for rename in renames])) == []
    assert not any(road.transport.stat([rename.final for rename in renames]))


def _on_disk(folder: Path) -> set[tuple[bytes, bytes, bytes]]:
    """Folder, name and bytes of each file, as the disk has them."""
    return {
        (inner, name, Path(os.fsdecode(os.path.join(os.fsencode(folder), inner, name))).read_bytes())
        for inner in os.listdir(os.fsencode(folder))
        for name in os.listdir(os.path.join(os.fsencode(folder), inner))
    }


def _reads_back(reader: Readable, into: Path, files: dict[int, tuple[P, Upload]]) -> None:
    """Every file is found and read under its own name."""
    wanted = {key: source.source.read_bytes() for key, (_, source) in files.items()}
    paths = [path for path, _ in files.values()]
    found = list(reader.stat(paths))
    assert [one.path if one else None for one in found] == paths
    got = reader.get(
        [Download(key=key, path=path, into=into / str(key)) for key, (path, _) in files.items()], ignore
    )
    assert set(got) == {Got(key=key, size=len(one), md5=md5(one)) for key, one in wanted.items()}
    assert {key: (into / str(key)).read_bytes() for key in wanted} == wanted


# ---- what is illegal is refused


@given(bad=st.lists(names.illegal(), min_size=10, max_size=10, unique=True))
@quick
def test_what_is_illegal_is_refused_before_a_byte_moves(road: Road, bad: list[str]) -> None:
    """As a folder and as a file, by every verb; the good file in the same batch arrives."""
    road.lab.joinpath("good").write_bytes(b"good")
    here = P(f"scratch-{next(_scratch)}")
    before = _everything(road.store)
    paths = [P(f"{here}/{name}") if key % 2 else P(f"{here}/{name}/file") for key, name in enumerate(bad)]
    refused = {key for key, path in enumerate(paths) if not _harmless(path, here)}
    uploads = [road.upload(key, path) for key, path in enumerate(paths) if key in refused]
    outcomes = list(road.transport.put([*uploads, road.upload(99, here / "good")], ignore))

    assert {outcome.key for outcome in outcomes if isinstance(outcome, Sent)} == {99}
    moves = [Rename(key=key, partial=here / "good", final=paths[key]) for key in refused]
    outcomes += list(road.transport.publish(moves))
    outcomes += list(road.transport.get([Download(key=key, path=paths[key]) for key in refused], ignore))
    outcomes += list(road.transport.remove([paths[key] for key in sorted(refused)]))
    for outcome in outcomes:
        assert isinstance(outcome, Failed) or outcome.key == 99
        if isinstance(outcome, Failed):
            assert type(outcome.error) is UntrustedPath
            assert outcome.error.to
            assert outcome.error.do
    assert _everything(road.store) - before == {str(here), f"{here}/good"}


def _harmless(path: P, here: P) -> bool:
    """Whether the text, read as a path, is only a folder deeper: a slash in a name makes two names of it."""
    bad = set(map(chr, range(32))) | {"\x7f", "\\"}
    return path.is_relative_to(here) and ".." not in path.parts and not bad & set(str(path))


def _everything(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*")}


# ---- the two other ways: read over HTTP, carried by a mover


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WebStore, HttpTransport]]:
    root = tmp_path_factory.mktemp("web")
    with WebStore(root, prefix="lab/Subjects/") as server, HttpTransport(server.url, connections=2) as reader:
        yield server, reader


@given(some=names.batches())
@quick
def test_every_name_is_read_over_http_as_it_stands(
    web: tuple[WebStore, HttpTransport], tmp_path_factory: pytest.TempPathFactory, some: list[str]
) -> None:
    server, reader = web
    here, back = P(f"scratch-{next(_scratch)}"), tmp_path_factory.mktemp("back")
    files: dict[int, tuple[P, Upload]] = {}
    for key, name in enumerate(some):
        file = server.root / here / name / name
        file.parent.mkdir(parents=True)
        file.write_bytes(f"content of {key}".encode())
        files[key] = here / name / name, Upload(key=key, source=file, partial=P("x"), size=0, mtime_ns=0)

    _reads_back(reader, back, files)


@pytest.fixture(scope="module")
def globus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AbstractContextManager[object]]:
    with place(tmp_path_factory.mktemp("globus")) as box:
        yield box  # type: ignore[misc]


@given(some=names.batches(12))
@settings(quick, max_examples=3)
def test_a_mover_takes_every_name_from_the_lab_and_to_the_store(globus, some: list[str]) -> None:  # type: ignore[no-untyped-def]
    """Its document is JSON and its rename a request: no name is read as anything but a name."""
    here = f"scratch-{next(_scratch)}"
    contents = {name: f"content of {key}".encode() for key, name in enumerate(some)}
    with globus.transport() as mover:
        key = mover.reserve()
        pieces: dict[str, Piece] = {}
        for number, (name, content) in enumerate(contents.items()):
            globus.write(f"{here}/{name}/{name}", content)
            staged = staged_path(key, UUID(int=number))
            source = P(here) / name / name
            pieces[name] = Piece(source=source, staged=staged, size=len(content), md5=md5(content))
        document = frozen(mover, key, list(pieces.values()))
        globus.globus.wait(task := mover.submit(document))
        report = mover.poll(task, document)
        assert (report.arrived, report.failed) == ({piece.staged for piece in pieces.values()}, {})
        finals = {name: P(here) / "there" / name / name for name in some}
        renames = [
            Rename(key=number, partial=pieces[name].staged, final=finals[name])
            for number, name in enumerate(some)
        ]
        assert all(isinstance(outcome, Published) for outcome in mover.publish(renames))
        assert all(mover.stat(list(finals.values())))
    for name, final in finals.items():
        assert globus.stored(final).read_bytes() == contents[name]
