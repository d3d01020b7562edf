"""Before a batch's first byte moves: what does not fit is not begun, and what could not be published is not sent."""

import importlib.util
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest

from sandbox.ftp_servers import FtpStore
from tests.scripted import Faulty
from tests.world import STORE, World, world
from transfer.errors import StoreDenied
from transfer.ledger import endpoints
from transfer.paths import is_partial
from transfer.transports.base import Failed
from transfer.transports.ftp.options import CLEAR_TEXT, FtpOptions
from transfer.transports.ftp.transport import FtpTransport
from transfer.transports.local import LocalTransport

MIB = 1 << 20
HOUR = 3600


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, rights_known=False) as made:
        yield made


class Written(LocalTransport):
    """A local store that notes which partials were put into it, and may have little room."""

    names: list[str]
    room: int | None = None

    def free_space(self) -> int | None:
        return super().free_space() if self.room is None else self.room

    def put(self, uploads, moved):  # type: ignore[no-untyped-def]
        def noted():  # type: ignore[no-untyped-def]
            for upload in uploads:
                self.names.append(upload.partial.name)
                yield upload

        return super().put(noted(), moved)


def store_of(box: World, *, room: int | None = None) -> Written:
    opened = Written(box.store, connections=1)
    opened.names, opened.room = [], room
    box.open_store = lambda: opened
    return opened


def small_and_large(box: World) -> Path:
    session = box.session()
    for name, size in {
        "alf/spikes.amps.npy": 10,
        "alf/spikes.clusters.npy": 5000,
        "alf/spikes.depths.npy": 20,
    }.items():
        box.write(session, name, bytes([65 + size % 26]) * size)
    return session


def told(box: World) -> str:
    """What is written down of the files that wait."""
    return " ".join(
        row.error_text for row in box.rows("SELECT error_text FROM items WHERE error IS NOT NULL")
    )


def test_what_does_not_fit_is_not_begun_and_goes_when_there_is_room(box: World) -> None:
    """No byte of it is written, it costs no try, and the small ones behind it go."""
    opened = store_of(box, room=1000)
    runner = box.runner()
    box.see(runner, small_and_large(box))
    while runner.work():
        pass
    assert sorted(box.rows("SELECT status, tries FROM items")) == [
        ("planned", 0),
        ("recorded", 0),
        ("recorded", 0),
    ]
    held_back = endpoints.state(runner.ledger, STORE)
    assert held_back is not None
    assert held_back.retry_at is not None
    assert "5000 bytes are to be sent and 1000 are free" in told(box)
    begun = len(opened.names)

    opened.room = None
    box.clock.advance(3 * HOUR)
    box.settle(runner)
    assert len(opened.names) == begun + 1
    assert {row.status for row in box.rows("SELECT status FROM items")} == {"recorded"}
    assert not box.lies()


def test_a_really_small_disk_is_noticed_before_it_is_full(box: World) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(box.store)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        opened = store_of(box)
        session = box.session()
        box.write(session, "alf/spikes.times.npy", os.urandom(2 * MIB))
        runner = box.runner()
        box.see(runner, session)
        while runner.work():
            pass
        assert len(opened.names) == 2  # the small files that are tried first
        assert [path for path in box.store.rglob("*") if path.is_file()] == []
        assert "2097152 bytes are to be sent" in told(box)
    finally:
        subprocess.run(["umount", "-l", str(box.store)], check=True)


@pytest.mark.parametrize("operation", ["publish", "remove"])
def test_where_nothing_could_be_published_nothing_is_sent(box: World, operation: str) -> None:
    """The store is paused with what to do; when the right is given and somebody resumes, all goes."""
    opened = Denying(box.store, operation)
    box.open_store = lambda: opened
    runner = box.runner()
    box.see(runner, small_and_large(box))
    while runner.work():
        pass
    paused = endpoints.state(runner.ledger, STORE)
    assert paused is not None
    assert paused.paused_by == endpoints.PROGRAM
    assert "rename, replace and delete" in (paused.pause_reason or "")
    assert opened.denied > 0
    assert opened.sizes <= {5, 6}  # bytes: the canary's own files
    assert {row.status for row in box.rows("SELECT status FROM items")} == {"planned"}

    opened.operation = ""
    endpoints.resume(runner.ledger, STORE)
    box.clock.advance(HOUR)
    box.settle(runner)
    assert {row.status for row in box.rows("SELECT status FROM items")} == {"recorded"}


@pytest.mark.parametrize("right", ["f", "d"], ids=["rename", "delete"])
def test_a_server_that_lets_write_only_gets_no_file(box: World, right: str) -> None:
    """A real FTP server; what stays of the small files has names that `tidy` knows."""
    if not all(map(importlib.util.find_spec, ("pyftpdlib", "OpenSSL"))):
        missing = "no pyftpdlib: pip install pyftpdlib pyOpenSSL"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    letters = "elradfmwMT".replace(right, "")
    with FtpStore(box.root / "home", server="pyftpdlib", tls="none", permissions=letters) as server:
        reached = {"host": server.host, "port": server.port, "root": server.remote_root}
        login = {"user": server.user, "password": server.password, "tls": CLEAR_TEXT}
        box.open_store = lambda: FtpTransport(FtpOptions.model_validate(reached | login))
        runner = box.runner()
        box.see(runner, small_and_large(box))
        while runner.work():
            pass
        paused = endpoints.state(runner.ledger, STORE)
        assert paused is not None
        assert paused.paused_by == endpoints.PROGRAM
        assert endpoints.last_failure(runner.ledger, STORE)[0] == "E-2018"
        assert {row.status for row in box.rows("SELECT status FROM items")} == {"planned"}
        assert all(is_partial(path.name) for path in server.root.rglob("*") if path.is_file())


class Denying(LocalTransport):
    """A local store that lets write, and denies one operation on files that look like partials of nobody."""

    def __init__(self, root: Path, operation: str) -> None:
        super().__init__(root, connections=1)
        self.operation = operation
        self.denied = 0
        self.sizes: set[int] = set()

    def put(self, uploads, moved):  # type: ignore[no-untyped-def]
        def noted():  # type: ignore[no-untyped-def]
            for upload in uploads:
                self.sizes.add(upload.size)
                yield upload

        return super().put(noted(), moved)

    def publish(self, renames):  # type: ignore[no-untyped-def]
        if self.operation != "publish":
            yield from super().publish(renames)
            return
        for rename in renames:
            self.denied += 1
            yield Failed(key=rename.key, error=StoreDenied("the store denied it", to=rename.final))

    def remove(self, paths: Sequence[PurePosixPath]) -> Iterator[Failed]:
        if self.operation != "remove":
            yield from super().remove(paths)
            return
        for index, path in enumerate(paths):
            self.denied += 1
            yield Failed(key=index, error=StoreDenied("the store denied it", to=path))


def test_the_canary_leaves_nothing_and_is_remembered_for_a_day(box: World) -> None:
    opened = store_of(box)
    runner = box.runner()
    session = small_and_large(box)
    box.see(runner, session)
    box.settle(runner)
    assert not [path for path in box.store.rglob("*") if is_partial(path.name)]
    tried = len(opened.names) - 3
    assert tried == 2

    box.write(session, "alf/spikes.times.npy", b"more")
    box.see(runner, session)
    box.settle(runner)
    assert len(opened.names) == tried + 4


def test_a_folder_that_may_not_be_written_says_nothing_of_the_others(box: World) -> None:
    """The canary's write fails where the first file's would: that is told of the files, and no store is paused."""
    faulty: list[Faulty] = []

    def opened() -> Faulty:
        faulty.append(Faulty(LocalTransport(box.store, connections=1)))
        faulty[-1].script("put", StoreDenied("the store denied it", to="alf"), times=100)
        return faulty[-1]

    box.open_store = opened
    runner = box.runner()
    box.see(runner, small_and_large(box))
    while runner.work():
        pass
    state = endpoints.state(runner.ledger, STORE)
    assert state is not None
    assert state.paused_by is None
    assert sum(one.played for one in faulty) > 1


def test_what_is_free_at_the_store_is_remembered_for_who_looks(box: World) -> None:
    """With every batch, not only after a failure; a certificate's end as well, where there is one."""
    store_of(box, room=10**9)
    runner = box.runner()
    box.see(runner, small_and_large(box))
    box.settle(runner)
    seen = endpoints.state(runner.ledger, STORE)
    assert seen is not None
    assert seen.free_bytes == 10**9
    assert seen.probed_at is not None
