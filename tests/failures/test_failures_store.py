"""What a store may do to bytes: damage them, lie about them, lose their end, keep others in their place."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from tests.stage import Actor
from tests.world import STORE, World, md5, world
from transfer.digests import Algorithm
from transfer.ledger import endpoints
from transfer.runner import Runner
from transfer.transports.base import Capabilities, Digested, Failed, Moved, Sent, Upload
from transfer.transports.local import LocalTransport

NAME = "alf/spikes.times.npy"
SESSION = "KS023/2019-12-10/001"
FILE = f"{SESSION}/{NAME}"
CONTENT = bytes(range(256)) * 40
LAPSE = 61


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def planned(box: World, contents: dict[str, bytes]) -> Runner:
    session = box.session()
    for name, content in contents.items():
        box.write(session, name, content)
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    return runner


def turn_a_bit(file: Path) -> None:
    """One bit of the last byte; size and time stay as they were."""
    seen = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


class Damaging(LocalTransport):
    """A real disk on which the first arrivals that `strikes` names have one bit turned over."""

    def __init__(self, root: Path, strikes: Callable[[Upload], bool], struck: list[int]) -> None:
        super().__init__(root, connections=1)
        self._place = root
        self._strikes = strikes
        self.struck = struck

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        known: dict[int, Upload] = {}

        def noted() -> Iterator[Upload]:
            for upload in uploads:
                known[upload.key] = upload
                yield upload

        for outcome in super().put(noted(), moved):
            upload = known[outcome.key]
            if upload.key and upload.key not in self.struck and self._strikes(upload):  # a probe's key is 0
                turn_a_bit(self._place / upload.partial)
                self.struck.append(upload.key)
            yield outcome


class Hashing(Damaging):
    """The same, with a hash command that repeats what it heard when a file was written, and looks at nothing.

    One that is honest to probes looks where the canary asks, in the root, and nowhere else.
    """

    def __init__(
        self, root: Path, strikes: Callable[[Upload], bool], struck: list[int], *, honest_to_probes: bool
    ) -> None:
        super().__init__(root, strikes, struck)
        self._memory: dict[PurePosixPath, str] = {}
        self._honest_to_probes = honest_to_probes

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, remote_hash=True)

    def put(self, uploads: Iterable[Upload], moved: Moved) -> Iterator[Sent | Failed]:
        places: dict[int, PurePosixPath] = {}

        def noted() -> Iterator[Upload]:
            for upload in uploads:
                places[upload.key] = upload.partial
                yield upload

        for outcome in super().put(noted(), moved):
            if isinstance(outcome, Sent):
                self._memory.setdefault(places[outcome.key], outcome.md5)
            yield outcome

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        for path in paths:
            told = self._memory.get(path)
            if told is None or (self._honest_to_probes and len(path.parts) == 1):
                yield Digested(path=path, digest=hash_of(self._place / path))
            else:
                yield Digested(path=path, digest=told)


def hash_of(file: Path) -> str | None:
    return md5(file.read_bytes()) if file.is_file() else None


# ---- bytes that arrive as others


def test_a_bit_turned_on_the_way_is_found_and_sent_again(box: World) -> None:
    """The file looks as it should, by name, size and time: only its bytes tell."""
    struck: list[int] = []
    box.open_store = lambda: Damaging(box.store, lambda _upload: True, struck)
    runner = planned(box, {NAME: CONTENT})
    assert runner.advance_batch()
    assert len(struck) == 1, "the bit was never turned"
    assert not box.record(FILE)["exists"]
    box.clock.advance(3600)
    box.settle(runner)
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.lies() == []


def test_a_store_that_hashes_from_memory_is_not_believed(box: World) -> None:
    """Its command repeats what it heard when the file was written: the canary finds out, the file is read back."""
    struck: list[int] = []
    box.open_store = lambda: Hashing(box.store, lambda _upload: True, struck, honest_to_probes=False)
    runner = planned(box, {NAME: CONTENT})
    box.settle(runner)
    box.clock.advance(3600)
    box.settle(runner)
    assert len(struck) == 1, "the bit was never turned"
    assert box.lies() == []
    assert box.stored(FILE).read_bytes() == CONTENT
    assert [row.proof for row in box.rows("SELECT proof FROM receipts")] == ["read back"]


def test_one_file_in_a_hundred_is_read_back_and_a_lie_demotes_the_store(box: World) -> None:
    """A command that deceives the canary: the sample of every hundredth file contradicts it, and then nothing it says
    is believed any more."""
    names = {f"alf/probe{number:02d}/spikes.times.npy": CONTENT[number:] for number in range(100)}
    struck: list[int] = []
    box.open_store = lambda: Hashing(
        box.store, lambda upload: upload.key % 100 == 0, struck, honest_to_probes=True
    )
    runner = planned(box, names)
    box.settle(runner)
    box.clock.advance(3600)
    box.settle(runner)
    assert struck == [100], "the sampled file was never damaged"
    assert box.lies() == []
    assert len(box.ends()) == 100
    state = endpoints.state(runner.ledger, STORE)
    assert state is not None
    assert state.capabilities["demoted"] is True


# ---- what stands under the final name already


@pytest.mark.parametrize("standing", [CONTENT[:-1], b"", bytes(len(CONTENT))], ids=["cut", "empty", "other"])
def test_what_stands_with_other_bytes_is_never_announced_and_is_replaced(box: World, standing: bytes) -> None:
    """The name being there says nothing: neither a shorter file nor one of the right size is taken for a copy."""
    runner = planned(box, {NAME: CONTENT})
    place = box.stored(FILE)
    place.parent.mkdir(parents=True)
    place.write_bytes(standing)
    dataset = box.dataset(FILE)
    box.settle(runner)
    assert place.read_bytes() == CONTENT
    assert box.lies() == []
    assert (box.dataset(FILE)["hash"], box.dataset(FILE)["file_size"]) == (dataset["hash"], len(CONTENT))
    assert box.ends() == [(NAME, "recorded")]


# ---- a death between two facts


def test_a_death_between_the_rename_and_its_record_sends_nothing_again(box: World) -> None:
    """The next worker finds the partial gone, hashes the final name and goes on from there."""
    planned(box, {NAME: b"a few bytes"})
    first, second = Actor(box, "first"), Actor(box, "second")
    first.until("renamed")
    first.die()
    assert box.stored(FILE).read_bytes() == b"a few bytes"
    assert not box.record(FILE)["exists"]
    box.clock.advance(LAPSE)
    second.finish()
    assert "writing-chunk" not in second.passed, "bytes were sent again"
    assert box.record(FILE)["exists"]
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored_files() == [box.stored(FILE)]


def test_a_sparse_file_arrives_with_its_content(box: World) -> None:
    """Holes are read as zeros and written out: the content is the same, the space it takes may not be."""
    session = box.session()
    file = box.write(session, NAME, b"")
    with file.open("wb") as sparse:
        sparse.seek(20_000_000)
        sparse.write(b"end")
    assert file.stat().st_blocks * 512 < 20_000_000, "the file has no hole here"
    runner = box.runner()
    box.see(runner, session)
    box.settle(runner)
    assert box.ends() == [(NAME, "recorded")]
    assert box.stored(FILE).read_bytes() == file.read_bytes()
