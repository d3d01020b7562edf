"""What arrived although its answer was lost is not sent again, and no file is given up that stands at the store."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox.sftp_files import CutConnection
from sandbox.store import SftpStore
from tests.scripted import Faulty
from tests.world import World, world
from transfer.errors import ConnectionLost, StoreRefused
from transfer.retries import Patience
from transfer.runner import Runner
from transfer.transports.base import StreamingTransport
from transfer.transports.local import LocalTransport
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.transport import SftpTransport
from transfer.transports.wrappers import Reconnecting

NAME = "alf/spikes.times.npy"
FILE = f"KS023/2019-12-10/001/{NAME}"
CONTENT = bytes(range(256)) * 900  # several writes
HOUR = 3600


@dataclass
class Script:
    """Drops the session at the first request of a kind, and remembers what was written to which partial."""

    drops: list[str]
    writes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __call__(self, operation: str, path: str) -> None:
        if operation == "write":
            self.writes.append(path)
        if self.drops and operation == self.drops[0] and path.endswith(".part"):
            self.dropped.append(self.drops.pop(0))
            raise CutConnection


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def over_sftp(server: SftpStore) -> StreamingTransport:
    known = {"host": server.host, "port": server.port, "user": server.user, "root": str(server.root)}
    login = {"key": server.key, "known_hosts": server.known_hosts, "timeout": 20.0, "connections": 1}
    return Reconnecting(lambda: SftpTransport(SftpOptions.model_validate(known | login)))


def planned(box: World, **changes: object) -> Runner:
    session = box.session()
    box.write(session, NAME, CONTENT)
    runner = box.runner(**changes)
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    return runner


@pytest.mark.parametrize("request_of", ["chattr", "close"])
def test_a_session_dropped_after_the_last_write_costs_no_byte(
    box: World, tmp_path: Path, request_of: str
) -> None:
    """The partial is whole: its hash is asked on a fresh connection, and it goes on as it is."""
    script = Script(drops=[request_of])
    with SftpStore(box.store, home=tmp_path / "home", before=script) as server:
        box.open_store = lambda: over_sftp(server)
        box.settle(planned(box))
    assert script.dropped == [request_of]
    assert len(set(script.writes)) == 1, "it was sent again"
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.stored_files() == [box.stored(FILE)]
    assert box.lies() == []


def test_a_session_dropped_in_the_middle_is_sent_again(box: World, tmp_path: Path) -> None:
    """The control: a partial that is not whole is believed by nobody."""
    script = Script(drops=["write"])
    with SftpStore(box.store, home=tmp_path / "home", before=script) as server:
        box.open_store = lambda: over_sftp(server)
        box.settle(planned(box))
    assert len(set(script.writes)) == 2
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored(FILE).read_bytes() == CONTENT


def lost(_subject: object) -> ConnectionLost:
    return ConnectionLost("reset", to="store")


def test_a_whole_partial_with_other_bytes_is_not_believed(box: World) -> None:
    """Size is no proof: the hash decides, and the file is sent anew."""
    struck: list[Path] = []

    def damage(_subject: object) -> ConnectionLost:
        (partial,) = [path for path in box.stored_files() if path.name.endswith(".part")]
        partial.write_bytes(bytes(len(CONTENT)))
        struck.append(partial)
        return lost(_subject)

    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("put", damage, after=True)
        return transport

    box.open_store = opened
    box.settle(planned(box))
    assert struck, "the answer was never lost"
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.lies() == []


def test_a_file_that_changed_meanwhile_is_not_taken_for_arrived(box: World) -> None:
    """What the dead connection may still write would be other bytes."""

    def change(_subject: object) -> ConnectionLost:
        (box.lab.root / FILE).write_bytes(CONTENT[::-1])
        return lost(_subject)

    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("put", change, after=True)
        return transport

    box.open_store = opened
    runner = planned(box)
    runner.advance_batch()
    assert box.facts() == {NAME: "discovered"}


def test_a_rename_whose_answer_is_lost_at_every_try_is_found_before_it_is_given_up(box: World) -> None:
    """The last try's failure is not declared before the final name was hashed."""
    opened_once: list[Faulty] = []

    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("publish", StoreRefused("no answer", to="store"), after=True)
        opened_once.append(transport)
        return transport

    box.open_store = opened
    runner = planned(box, patience=Patience(tries=1))
    box.settle(runner)
    assert sum(transport.played for transport in opened_once) >= 1, "the answer was never lost"
    assert box.facts() == {}
    assert box.ends() == [(NAME, "recorded")]
    assert box.record(FILE)["exists"]
    assert box.lies() == []


def test_what_is_not_there_is_given_up_with_its_reason(box: World) -> None:
    """The control: the store is asked, has nothing, and the item is held."""

    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("publish", StoreRefused("no answer", to="store"), times=9)
        return transport

    box.open_store = opened
    runner = planned(box, patience=Patience(tries=1))
    box.settle(runner)
    assert box.facts() == {NAME: "store-refused"}
    assert "gave up after 1 tries" in box.reason(NAME)
