"""Every transport keeps every promise of `transports.base`, and a store that lies is found out."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest

from tests.scripted import Faulty
from transfer.conformance import CHECKS, Check, believe_remote_hash, probe
from transfer.digests import Algorithm
from transfer.errors import StoreDenied, StoreRefused
from transfer.transports.base import Capabilities, Digested, StreamingTransport
from transfer.transports.local import LocalTransport


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_keeps_the_promise(
    check: Check, transport: StreamingTransport, scratch: PurePosixPath, lab: Path
) -> None:
    check.run(transport, scratch, lab)


def test_a_probe_finds_a_healthy_store_healthy_and_leaves_nothing(transport: StreamingTransport) -> None:
    before = list(transport.list_leftovers([PurePosixPath(".")]))
    findings = probe(transport, PurePosixPath("."))
    assert [finding for finding in findings if not finding.ok] == []
    assert {"write", "read back", "replace", "delete"} <= {finding.name for finding in findings}
    assert list(transport.list_leftovers([PurePosixPath(".")])) == before


def test_an_honest_hash_command_is_believed(transport: StreamingTransport) -> None:
    believed = believe_remote_hash(transport, PurePosixPath("."))
    assert believed is transport.capabilities.remote_hash


class Hashing(LocalTransport):
    """A disk that hashes by itself; `remembered` answers with what it hashed first under a name."""

    remembered: dict[PurePosixPath, str]

    def __init__(self, root: Path, *, remembers: bool) -> None:
        super().__init__(root)
        self._at = root
        self._remembers = remembers
        self.remembered = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=True, remote_hash=True, hard_links=True, syncs=True, free_space=True
        )

    def digests(self, paths: Sequence[PurePosixPath], algorithm: Algorithm = "md5") -> Iterator[Digested]:
        for path in paths:
            digest = hashlib.new(algorithm, (self._at / path).read_bytes()).hexdigest()
            known = self.remembered.setdefault(path, digest)
            yield Digested(path=path, digest=known if self._remembers else digest)


@pytest.mark.parametrize("remembers", [False, True])
def test_a_hash_that_does_not_see_a_change_is_not_believed(tmp_path: Path, remembers: bool) -> None:
    with Hashing(tmp_path, remembers=remembers) as transport:
        assert believe_remote_hash(transport, PurePosixPath(".")) is not remembers
    assert list(tmp_path.iterdir()) == []


def test_a_hash_command_that_breaks_is_not_believed(tmp_path: Path) -> None:
    faulty = Faulty(Hashing(tmp_path, remembers=False))
    faulty.script("digests", StoreRefused("the hash command ended with 1"))
    assert believe_remote_hash(faulty, PurePosixPath(".")) is False
    faulty.assert_all_played()
    assert list(tmp_path.iterdir()) == []


def test_a_probe_of_a_store_that_denies_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    faulty = Faulty(LocalTransport(tmp_path))
    faulty.script("publish", StoreDenied("the store denied it", to="the archive"))
    findings = probe(faulty, PurePosixPath("."))
    assert [finding.name for finding in findings if not finding.ok] == ["rename"]
    assert "the archive" in findings[-1].sentence
    assert list(tmp_path.iterdir()) == []
