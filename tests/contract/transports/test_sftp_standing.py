"""The hash command that stays: what it is asked, what is believed of it, and what happens when it ends."""

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sftp_stores import options_of, require_ssh, require_sshd
from tiny_server import TinyServer

from sandbox.store import SftpStore
from transfer.errors import StoreRefused
from transfer.transports.base import Digested
from transfer.transports.sftp.carrier import Carrier, Outcome, connect
from transfer.transports.sftp.channels import Channels
from transfer.transports.sftp.options import SftpOptions
from transfer.transports.sftp.protocol import Stream
from transfer.transports.sftp.standing import StandingCommand
from transfer.transports.sftp.transport import SftpTransport

P = PurePosixPath
EMPTY = hashlib.md5(b"").hexdigest().encode()


# ---- the loop itself, run by this machine's sh --------------------------------------------------------------


@dataclass
class Here:
    """A carrier whose commands run on this machine."""

    begun: list[tuple[subprocess.Popen[bytes], socket.socket]] = field(default_factory=list)

    def begin(self, command: str) -> Stream:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        self.begun.append((process, ours))
        return ours

    def stream(self) -> Stream:
        raise NotImplementedError

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        raise NotImplementedError

    def close(self) -> None:
        for process, line in self.begun:
            line.close()
            process.wait(10)


@pytest.fixture
def here() -> Iterator[Here]:
    carrier = Here()
    try:
        yield carrier
    finally:
        carrier.close()


@pytest.fixture
def standing(here: Here) -> Iterator[StandingCommand]:
    command = StandingCommand(here, "md5", timeout=20)
    if not command.start():
        pytest.skip("needs GNU coreutils on this machine")
    yield command
    command.close()


names = st.binary(min_size=1, max_size=60).filter(
    lambda name: not {b"\0", b"/"} & {bytes([byte]) for byte in name} and name not in (b".", b"..")
)
hard = st.sampled_from([b"= 0\n", b"\n", b"-z", b"$(id)", b"`id`", b"'", b'"', b"\\", b" x ", b"12\n"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    asked=st.dictionaries(names | hard, st.binary(max_size=100), max_size=8),
    missing=st.sets(names, max_size=3),
)
def test_every_name_is_answered_by_its_own_digest(
    standing: StandingCommand, tmp_path: Path, asked: dict[bytes, bytes], missing: set[bytes]
) -> None:
    """Whatever bytes a name has, and however often it is asked: one loop answers, and what is missing is left out."""
    folder = tmp_path / "f"
    folder.mkdir(exist_ok=True)
    below = os.fsencode(folder) + b"/"
    try:
        for name, content in asked.items():
            Path(os.fsdecode(below + name)).write_bytes(content)
        wanted = [below + name for name in {**asked, **dict.fromkeys(missing)}]
        expected = {below + name: hashlib.md5(content).hexdigest() for name, content in asked.items()}
        assert standing.ask(wanted, size=0) == expected
    finally:
        shutil.rmtree(folder)


def test_many_names_are_asked_in_turns_of_one_loop(
    here: Here, standing: StandingCommand, tmp_path: Path
) -> None:
    place = os.fsencode(tmp_path) + b"/./"
    (tmp_path / "x").write_bytes(b"x")
    many = [place + b"./" * number + b"x" for number in range(700)]
    assert standing.ask(many, size=0) == dict.fromkeys(many, hashlib.md5(b"x").hexdigest())
    assert len(here.begun) == 1


def test_a_loop_that_ended_is_not_asked_again(here: Here, standing: StandingCommand) -> None:
    here.begun[0][0].kill()
    here.begun[0][0].wait()
    assert standing.ask([b"/dev/null"], size=0) is None
    assert standing.ask([b"/dev/null"], size=0) is None
    assert len(here.begun) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"Welcome!\n",
        b"0" * 32 + b"  /dev/null\0= 0\n",
        EMPTY + b"  /dev/zero\0= 0\n",
        EMPTY + b"  /dev/null\0= 127\n",
        EMPTY + b"  /dev/null\n= 0\n",
        b"= 0\n",
    ],
)
def test_anything_but_the_digest_of_an_empty_file_is_no_command(said: bytes) -> None:
    ours, theirs = socket.socketpair()

    class Says(Here):
        def begin(self, command: str) -> Stream:
            return ours

    with ours, theirs:
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        assert StandingCommand(Says(), "md5", timeout=1).start() is False


# ---- beside a real server -----------------------------------------------------------------------------------


@dataclass
class Counted:
    """A carrier whose logins for commands are counted."""

    carrier: Carrier
    streams: list[Stream] = field(default_factory=list)
    commands: int = 0

    def stream(self) -> Stream:
        return self.carrier.stream()

    def begin(self, command: str) -> Stream:
        self.streams.append(self.carrier.begin(command))
        return self.streams[-1]

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        self.commands += 1
        return self.carrier.run(command, given, timeout=timeout)

    def close(self) -> None:
        self.carrier.close()


@pytest.fixture(params=["ssh", "paramiko"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SftpTransport, Counted]]:
    require_sshd()
    require_ssh()
    made: list[Counted] = []

    def counting(options: SftpOptions) -> Counted:
        made.append(Counted(connect(options)))
        return made[-1]

    with SftpStore(tmp_path / "store", home=tmp_path / "home", server="sshd") as store:
        for number in range(3):
            (store.root / f"file {number}").write_bytes(b"%d" % number)
        with SftpTransport(options_of(store, carrier=request.param), connect=counting) as transport:
            yield transport, made[0]


def expected(number: int) -> Digested:
    return Digested(path=P(f"file {number}"), digest=hashlib.md5(b"%d" % number).hexdigest())


def ask(transport: SftpTransport, *numbers: int) -> list[Digested]:
    return list(transport.digests([P(f"file {number}") for number in numbers]))


def test_all_batches_of_a_connection_take_one_login_for_hashing(
    counted: tuple[SftpTransport, Counted],
) -> None:
    transport, carrier = counted
    assert ask(transport, 0, 1) == [expected(0), expected(1)]
    assert ask(transport, 2, 7) == [expected(2), Digested(path=P("file 7"), digest=None)]
    assert (len(carrier.streams), carrier.commands) == (1, 0)


def test_when_it_ends_the_ordinary_command_answers(counted: tuple[SftpTransport, Counted]) -> None:
    """A server may end what is idle for long: nothing is lost by it but the login that it saved."""
    transport, carrier = counted
    assert ask(transport, 0) == [expected(0)]
    carrier.streams[0].close()
    assert ask(transport, 1) == [expected(1)]
    assert ask(transport, 2) == [expected(2)]
    assert (len(carrier.streams), carrier.commands) == (1, 2)


def test_a_server_that_is_short_of_connections_is_not_asked_for_one_that_stays() -> None:
    options = SftpOptions(host="tiny", user="nobody", root=P("/root"), agent=True)
    channels = Channels(TinyServer(), options)
    channels._cap = 2
    with pytest.raises(StoreRefused, match="no room"):
        channels.carrier.begin("anything")
