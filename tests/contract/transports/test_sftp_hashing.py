"""Asking a server to hash: which command is found, what is believed of its output, and Windows' dialect.

No Windows server takes part: its output is written here as PowerShell's documentation says it is.
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import ConnectionLost, StoreRefused
from transfer.transports.sftp import powershell
from transfer.transports.sftp.carrier import Outcome
from transfer.transports.sftp.hashing import SLOWEST, HashCommand, commands, find_command, hash_files
from transfer.transports.sftp.protocol import Stream

FILES = {b"/lab/%d \n\\ \xff" % number: b"content %d" % number for number in range(5)}
Speaks = Callable[[str, bytes], tuple[bytes, int | None]]


def md5(content: bytes) -> bytes:
    return hashlib.md5(content).hexdigest().encode()


def gnu(command: str, given: bytes) -> tuple[bytes, int]:
    if "md5sum -z --" not in command:
        return b"", 1
    known = {**FILES, b"/dev/null": b""}
    names = given.split(b"\0")[:-1]
    lines = [md5(known[name]) + b"  " + name + b"\0" for name in names if name in known]
    return b"".join(lines), 0 if len(lines) == len(names) else 123


def bsd(command: str, given: bytes) -> tuple[bytes, int]:
    if not command.endswith("xargs -0 md5 -r"):
        return b"env: md5sum: No such file or directory\n" if "-z" in command else b"", 127
    known = {b"/Users/a b": b"x", b"/dev/null": b""}
    return b"".join(
        md5(known[name]) + b" " + name + b"\n" for name in given.split(b"\0")[:-1] if name in known
    ), 0


def windows(command: str, given: bytes) -> tuple[bytes, int]:
    program, *_options, encoded = shlex.split(command)
    if program != "powershell":
        return b"'env' is not recognized as an internal or external command,\r\n", 1
    script = base64.b64decode(encoded).decode("utf-16-le")
    assert set(re.findall(r"-Algorithm (\w+)", script)) == {"MD5"}
    lines = []
    for line in given.split(b"\n")[:-1]:
        if line == b"-":
            lines.append(md5(b"") + b"  -\r\n")
        elif base64.b64decode(line) == "C:/lab/Zoë's $(x)".encode():
            lines.append(md5(b"spikes") + b"  " + line + b"\r\n")
    return b"".join(lines), 0


@dataclass
class Server:
    """Runs commands as `speaks` says, and remembers them."""

    speaks: Speaks
    ran: list[tuple[str, bytes, float]] = field(default_factory=list)

    def run(self, command: str, given: bytes, *, timeout: float) -> Outcome:
        self.ran.append((command, given, timeout))
        out, status = self.speaks(command, given)
        return Outcome(out=out, err=b"", status=status)

    def stream(self) -> Stream:
        raise NotImplementedError

    def begin(self, command: str) -> Stream:
        raise NotImplementedError

    def close(self) -> None: ...


def ask(server: Server, command: HashCommand, places: list[bytes], size: int = 0) -> dict[bytes, str]:
    return dict(hash_files(server, command, places, address="sftp://far", timeout=60, size=size))


def found(server: Server) -> HashCommand:
    command = find_command(server, "md5")
    assert command is not None
    return command


@pytest.mark.parametrize(
    ("speaks", "known", "content"),
    [
        (gnu, next(iter(FILES)), next(iter(FILES.values()))),
        (bsd, b"/Users/a b", b"x"),
        (windows, "/C:/lab/Zoë's $(x)".encode(), b"spikes"),
    ],
)
def test_each_kind_of_server_is_asked_in_its_own_way(speaks: Speaks, known: bytes, content: bytes) -> None:
    server = Server(speaks)
    command = found(server)
    assert ask(server, command, [known, b"/not/there"]) == {known: md5(content).decode()}
    assert not any(known in ran.encode() for ran, _given, _timeout in server.ran)


@pytest.mark.parametrize("status", [None, 255])
def test_a_server_that_runs_no_commands_is_asked_once(status: int | None) -> None:
    server = Server(lambda command, given: (b"", status))
    assert find_command(server, "md5") is None
    assert len(server.ran) == 1


@pytest.mark.parametrize(
    "out", [b"", b"Welcome!\n", b"0" * 32 + b"  /dev/null\0", md5(b"") + b"  /dev/zero\0"]
)
def test_a_command_that_does_not_hash_an_empty_file_right_is_none(out: bytes) -> None:
    assert find_command(Server(lambda command, given: (out, 0)), "md5") is None


def test_a_lost_connection_is_no_missing_command() -> None:
    def lost(command: str, given: bytes) -> tuple[bytes, int]:
        raise ConnectionLost("the connection was lost", to="sftp://far")

    with pytest.raises(ConnectionLost):
        find_command(Server(lost), "md5")


@pytest.mark.parametrize(
    ("out", "status"),
    [
        (md5(b"") + b"  /another\0", 0),
        (md5(b"") + b"  /asked\n", 0),
        (md5(b"") + b"  /asked", 0),
        (b"no digest  /asked\0", 0),
        (md5(b"") + b"  /asked\0", 1),
        (md5(b"") + b"  /asked\0", 255),
        (md5(b"") + b"  /asked\0", None),
    ],
)
def test_anything_but_the_answer_to_the_question_fails(out: bytes, status: int | None) -> None:
    with pytest.raises(StoreRefused):
        ask(Server(lambda command, given: (out, status)), commands("md5")[0], [b"/asked"])


def test_many_names_are_asked_in_several_commands_and_each_once() -> None:
    names = [b"/" + b"n" * 4000 + b"%d" % number for number in range(3000)]

    def all_of_them(command: str, given: bytes) -> tuple[bytes, int]:
        return b"".join(md5(name) + b"  " + name + b"\0" for name in given.split(b"\0")[:-1]), 0

    server = Server(all_of_them)
    assert set(ask(server, commands("md5")[0], names)) == set(names)
    assert 2 <= len(server.ran) <= 4


def test_patience_grows_with_what_there_is_to_read() -> None:
    server = Server(gnu)
    ask(server, commands("md5")[0], [b"/dev/null"], size=100 * SLOWEST)
    assert server.ran[-1][2] == 160


# ---- Windows ----------------------------------------------------------------------------------------------

places = st.one_of(
    st.text(min_size=1, max_size=30).map(lambda name: b"/C:/" + name.encode("utf-8", "surrogateescape")),
    st.binary(max_size=30).map(lambda raw: b"/" + raw),
)


@given(st.dictionaries(places, st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=20))
def test_every_name_comes_back_as_it_was_asked_for(said: dict[bytes, str]) -> None:
    asked = powershell.ask(list(said))
    assert asked.isascii()
    words = asked.split(b"\n")[:-1]
    out = b"".join(
        digest.encode() + b"  " + word + b"\r\n" for word, digest in zip(words, said.values(), strict=True)
    )
    assert dict(powershell.read(out)) == said


@given(st.binary(max_size=40))
def test_nothing_else_is_read_as_a_digest(out: bytes) -> None:
    try:
        assert list(powershell.read(out)) == []
    except ValueError:
        return
    assert out == b""


def test_the_command_line_is_one_that_every_shell_takes_as_it_is() -> None:
    """cmd.exe takes at most 8191 characters; nothing in it means anything to a shell."""
    for algorithm in ("md5", "sha256"):
        line = powershell.command_line(algorithm)
        assert len(line) < 8000
        assert re.fullmatch(r"[A-Za-z0-9+/=\- ]+", line)


def test_windows_drives_lose_and_regain_the_slash() -> None:
    assert base64.b64decode(powershell.ask([b"/D:/x"])) == b"D:/x"
    assert base64.b64decode(powershell.ask([b"/data/x"])) == b"/data/x"
