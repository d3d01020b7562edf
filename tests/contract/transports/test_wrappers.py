"""Connecting again: what is repeated, how often, and what is not."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from pydantic import ValidationError

from tests.scripted import Effects, Faulty, Operation
from transfer.errors import ConnectionLost, EndpointUnreachable, StoredFileMissing, TransferError
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
from transfer.transports.local import LocalOptions, LocalTransport
from transfer.transports.registry import KINDS, open_transport, options_model
from transfer.transports.wrappers import RETRIES, Reconnecting

P = PurePosixPath
DROPPED = ConnectionLost("line dropped", to="archive")


def ignore(_moved: int) -> None: ...


def upload(lab: Path, key: int) -> Upload:
    source = lab / f"source-{key}"
    source.write_bytes(b"abc")
    return Upload(key=key, source=source, partial=P(f"part-{key}"), size=3, mtime_ns=0)


class Line:
    """A store behind connections that we can count, all playing one script."""

    def __init__(self, root: Path) -> None:
        self.faulty = Faulty(LocalTransport(root))
        self.opened = 0
        self.waited: list[float] = []

    def open(self) -> StreamingTransport:
        self.opened += 1
        return self.faulty

    def connected(self) -> Reconnecting:
        return Reconnecting(self.open, sleep=self.waited.append)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    store = tmp_path / "store"
    store.mkdir()
    (store / "file").write_bytes(b"abc")
    return Line(store)


READS: dict[Operation, Callable[[Reconnecting], object]] = {
    "stat": lambda transport: [found and found.size for found in transport.stat([P("file")])],
    "list_leftovers": lambda transport: list(transport.list_leftovers([P(".")])),
    "remove": lambda transport: list(transport.remove([P("gone")])),
    "free_space": lambda transport: bool(transport.free_space()),
    "get": lambda transport: list(transport.get([Download(key=4, path=P("file"))], ignore)),
}


@pytest.mark.parametrize("operation", READS)
def test_reads_and_removes_are_repeated_on_a_fresh_connection(line: Line, operation: Operation) -> None:
    with line.connected() as transport:
        expected = READS[operation](transport)
        line.faulty.script(operation, DROPPED, times=RETRIES)
        assert READS[operation](transport) == expected
    line.faulty.assert_all_played()
    assert line.opened == 1 + RETRIES
    assert len(line.waited) == RETRIES


@pytest.mark.parametrize("operation", [name for name in READS if name != "get"])
def test_they_are_not_repeated_for_ever(line: Line, operation: Operation) -> None:
    with line.connected() as transport:
        line.faulty.script(operation, DROPPED, times=1 + RETRIES)
        with pytest.raises(ConnectionLost):
            READS[operation](transport)
    line.faulty.assert_all_played()


def test_a_get_that_stays_lost_fails_each_file(line: Line) -> None:
    with line.connected() as transport:
        line.faulty.script("get", DROPPED, times=1 + RETRIES, key=1)
        downloads = [Download(key=key, path=P("file")) for key in range(2)]
        outcomes = {outcome.key: outcome for outcome in transport.get(downloads, ignore)}
    assert isinstance(outcomes[0], Got)
    assert isinstance(outcomes[1], Failed)
    assert outcomes[1].error is DROPPED


def test_connecting_is_repeated_too(line: Line) -> None:
    line.faulty.script("connect", DROPPED, times=RETRIES)
    with line.connected() as transport:
        assert transport.capabilities.syncs
    assert line.opened == 1 + RETRIES


def test_what_another_connection_would_not_help_is_not_repeated(line: Line) -> None:
    line.faulty.script("connect", EndpointUnreachable("no answer", to="archive"))
    with pytest.raises(EndpointUnreachable), line.connected():
        pass
    assert line.opened == 1


@pytest.mark.parametrize("after", [False, True])
def test_put_and_publish_pass_through_and_the_next_call_connects_anew(
    line: Line, tmp_path: Path, after: bool
) -> None:
    with line.connected() as transport:
        line.faulty.script("put", DROPPED, after=after)
        outcomes = list(transport.put([upload(tmp_path, 0), upload(tmp_path, 1)], ignore))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Failed", "Sent"]
        assert line.opened == 1
        (sent,) = transport.put([upload(tmp_path, 2)], ignore)
        assert isinstance(sent, Sent)
        assert line.opened == 2
        line.faulty.script("publish", DROPPED, after=after)
        (lost,) = transport.publish([Rename(key=2, partial=P("part-2"), final=P("final"))])
        assert isinstance(lost, Failed)
        (found,) = transport.stat([P("final")])
        assert (found is not None) is after
        assert line.opened == 3
    line.faulty.assert_all_played()
    assert line.waited == []


def test_a_lost_link_passes_through(line: Line) -> None:
    with line.connected() as transport:
        line.faulty.script("link", DROPPED, after=True)
        with pytest.raises(ConnectionLost):
            transport.link(P("file"), P("kept"))
        assert transport.link(P("file"), P("kept")) is True
    assert line.opened == 2


def test_a_script_that_is_not_reached_is_told(tmp_path: Path) -> None:
    faulty = Faulty(LocalTransport(tmp_path))
    faulty.script("publish", DROPPED, key=5)
    (missing,) = faulty.publish([Rename(key=4, partial=P("a"), final=P("b"))])
    assert isinstance(missing, Failed)
    assert isinstance(missing.error, StoredFileMissing)
    with pytest.raises(AssertionError, match="publish"):
        faulty.assert_all_played()


def test_a_fault_may_act_and_let_things_go_on(tmp_path: Path) -> None:
    """Damage in flight: the file is altered after it was sent, and the sender is told that all is well."""
    lab = tmp_path / "lab"
    lab.mkdir()
    faulty = Faulty(LocalTransport(tmp_path))

    def damage(_sent: object) -> TransferError | None:
        (tmp_path / "part-1").write_bytes(b"abX")
        return None

    faulty.script("put", damage, after=True)
    (sent,) = faulty.put([upload(lab, 1)], ignore)
    assert isinstance(sent, Sent)
    assert (tmp_path / "part-1").read_bytes() == b"abX"
    faulty.assert_all_played()


def test_effects_are_told_before_and_after(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    told: list[str] = []
    transport = Effects(
        LocalTransport(tmp_path, connections=1),
        before=lambda operation, _subject: told.append(f"before {operation}"),
        after=lambda operation, _subject: told.append(f"after {operation}"),
    )
    with transport:
        list(transport.put([upload(lab, 1)], ignore))
        assert list(transport.publish([Rename(key=1, partial=P("part-1"), final=P("f"))])) == [
            Published(key=1)
        ]
        list(transport.remove([P("f"), P("g")]))
    operations = ("connect", "put", "publish", "remove", "remove")
    assert told == [f"{when} {operation}" for operation in operations for when in ("before", "after")]


def test_each_kind_is_opened_by_its_name_and_its_options(tmp_path: Path) -> None:
    assert set(KINDS) >= {"local", "sftp"}
    options = options_model("local")(root=tmp_path)
    with open_transport("local", options) as transport:
        assert list(transport.stat([P("missing")])) == [None]
    with pytest.raises(TypeError, match="SftpOptions"):
        open_transport("sftp", options)
    with pytest.raises(ValueError, match="local"):
        options_model("carrier-pigeon")
    with pytest.raises(ValidationError):
        LocalOptions.model_validate({"root": tmp_path, "rooot": "x"})
