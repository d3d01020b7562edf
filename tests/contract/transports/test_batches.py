"""Batches, on every transport: many files, large ones, files that change, and consumers that lose interest."""

import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from transfer.errors import SourceChanged, StoredFileMissing
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

PIECE = 1 << 20
MOST_AHEAD = 400  # uploads that may be pulled before the first of them is answered


def upload(lab: Path, scratch: PurePosixPath, key: int, content: bytes) -> Upload:
    source = lab / str(key)
    source.write_bytes(content)
    return Upload(
        key=key, source=source, partial=scratch / f"{key % 7}/{key}", size=len(content), mtime_ns=10**18
    )


def ignore(_moved: int) -> None: ...


def hands() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "transport-hand"]


def test_five_hundred_small_files_arrive_and_are_published(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    contents = {key: os.urandom(key % 97) for key in range(500)}
    uploads = {key: upload(lab, scratch, key, content) for key, content in contents.items()}
    sent = {outcome.key: outcome for outcome in transport.put(iter(uploads.values()), ignore)}
    assert sent == {
        key: Sent(key=key, size=len(content), md5=hashlib.md5(content).hexdigest())
        for key, content in contents.items()
    }
    renames = [Rename(key=key, partial=u.partial, final=scratch / f"{key}.npy") for key, u in uploads.items()]
    assert set(transport.publish(iter(renames))) == {Published(key=key) for key in uploads}
    got = transport.get((Download(key=r.key, path=r.final) for r in renames), ignore)
    assert {outcome.key: outcome.md5 for outcome in got if isinstance(outcome, Got)} == {
        key: hashlib.md5(content).hexdigest() for key, content in contents.items()
    }


def test_a_large_file_arrives_and_comes_back(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    content = os.urandom(20_000_003)
    moved: list[int] = []
    (sent,) = transport.put([upload(lab, scratch, 0, content)], moved.append)
    assert sent == Sent(key=0, size=len(content), md5=hashlib.md5(content).hexdigest())
    assert sum(moved) == len(content)
    assert len(moved) >= 20
    (got,) = transport.get([Download(key=0, path=scratch / "0/0", into=lab / "back")], ignore)
    assert isinstance(got, Got)
    assert (lab / "back").read_bytes() == content


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten"])
def test_a_source_that_changes_while_it_is_sent_fails_alone_and_leaves_nothing(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path, change: str
) -> None:
    uploads = [upload(lab, scratch, key, b"z" * 3 * PIECE) for key in range(3)]
    moments = itertools.count(10**18, 10**9)

    def meddle(_moved: int) -> None:
        source = uploads[1].source
        if change == "grows":
            with source.open("ab") as file:
                file.write(b"more")
        elif change == "shrinks":
            os.truncate(source, PIECE // 2)
        else:
            os.utime(source, ns=(5, next(moments)))

    outcomes = {outcome.key: outcome for outcome in transport.put(uploads, meddle)}
    assert isinstance(outcomes[0], Sent)
    assert isinstance(outcomes[2], Sent)
    failed = outcomes[1]
    assert isinstance(failed, Failed)
    assert type(failed.error) is SourceChanged
    assert list(transport.stat([uploads[1].partial])) == [None]


def test_uploads_are_pulled_only_by_the_iterating_thread_and_only_as_they_go(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    """Pulling an upload may commit intent: never in another thread, never far ahead."""
    pulled: list[int] = []
    finished = 0
    ahead = 0

    def lazily() -> Iterator[Upload]:
        nonlocal ahead
        for key in range(500):
            assert threading.current_thread() is threading.main_thread()
            pulled.append(key)
            ahead = max(ahead, len(pulled) - finished)
            yield upload(lab, scratch, key, b"x")

    for outcome in transport.put(lazily(), ignore):
        assert isinstance(outcome, Sent)
        finished += 1
    assert finished == 500
    assert ahead <= MOST_AHEAD


def test_a_consumer_that_stops_leaves_no_thread_and_a_usable_transport(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    uploads = [upload(lab, scratch, key, b"y" * PIECE) for key in range(20)]
    outcomes = transport.put(uploads, ignore)
    assert isinstance(next(outcomes), Sent)
    outcomes.close()  # type: ignore[attr-defined]
    assert hands() == []
    (again,) = transport.put([upload(lab, scratch / "again", 99, b"after")], ignore)
    assert isinstance(again, Sent)


class Stop(Exception):
    """What a heartbeat raises when the lease is gone."""


def test_an_error_of_the_caller_goes_through_and_leaves_no_thread(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    uploads = [upload(lab, scratch, key, b"y" * PIECE) for key in range(8)]

    def lose_the_lease(_moved: int) -> None:
        raise Stop

    def dies_in_the_middle() -> Iterator[Upload]:
        yield upload(lab, scratch / "other", 50, b"y" * PIECE)
        raise Stop

    with pytest.raises(Stop):
        list(transport.put(uploads, lose_the_lease))
    with pytest.raises(Stop):
        list(transport.put(dies_in_the_middle(), ignore))
    assert hands() == []
    (missing,) = transport.get([Download(key=0, path=scratch / "never")], ignore)
    assert isinstance(missing, Failed)
    assert type(missing.error) is StoredFileMissing
    assert missing.error.__cause__ is not None


def test_a_batch_may_be_begun_in_the_middle_of_another(
    transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    uploads = [upload(lab, scratch, key, b"inner" * 1000) for key in range(30)]
    for outcome in transport.put(uploads, ignore):
        assert isinstance(outcome, Sent)
        (found,) = transport.stat([uploads[outcome.key].partial])
        assert found is not None
        assert found.size == 5000
        (got,) = transport.get([Download(key=1, path=found.path)], ignore)
        assert isinstance(got, Got)
