"""The whole pipeline against a real sshd: SQLite, worker and beat in this process, a store behind SSH."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.sections import Settings
from sandbox.store import SftpStore
from tests.integration.lab import Place, place, until, working
from tests.world import LAB_SERVER, STORE
from transfer.ledger import endpoints


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        made.furnish()
        yield made


def sshd(lab: Place) -> SftpStore:
    lab.sftp = SftpStore(lab.store_root, home=lab.root / "home", server="sshd")
    return lab.sftp


def same_port_or_skip(store: SftpStore, settings: Settings) -> None:
    """A server comes back where it was; a stranger that took its port meanwhile would make the test a lie."""
    if store.port != settings.stores[STORE].options.port:
        pytest.skip("another process took the server's port")


def nothing_moved(lab: Place) -> bool:
    found = lab.outcome()
    return not (found.stored or found.strays or found.announced or found.receipts)


def test_sessions_found_on_disk_arrive_behind_ssh(lab: Place, sshd_path: str) -> None:
    """Nobody calls anything: beat rings, workers find, register, push, verify, publish and record."""
    with sshd(lab), working(lab.settings()):
        until(lab.done, "every file has its receipt")

    assert lab.outcome() == lab.calm()
    assert lab.lies() == []


def test_a_changed_host_key_pauses_the_store_until_a_person_resumes_it(lab: Place, sshd_path: str) -> None:
    """A server with another key is not written to, and the row says why; the person's answer is enough."""
    # Given a store whose key we know, and which comes back with another
    with sshd(lab):
        settings = lab.settings()
    (lab.root / "home" / "host_key").unlink()
    with sshd(lab) as store, working(settings) as (ledger, _):
        same_port_or_skip(store, settings)

        # When the first batch meets it, then the store is paused with the sentence and nothing moves
        until(lambda: lab.endpoint(STORE).paused_by, "the store is paused")
        told = lab.endpoint(STORE)
        assert told.paused_by == "alyx-transfer"
        assert "Ask the server's administrator whether the key was changed" in told.pause_reason
        until(lambda: not lab.outcome().leases, "the workers have let go")
        assert nothing_moved(lab)
        assert lab.number("SELECT count(*) FROM items WHERE hold IS NOT NULL") == 0

        # When the administrator has confirmed the key and a person resumes, then all arrives
        lab.known_hosts.write_bytes(store.known_hosts.read_bytes())
        endpoints.resume(ledger, STORE)
        until(lab.done, "every file has its receipt")

    assert lab.outcome() == lab.calm()


def test_a_store_that_is_away_is_cured_by_time_and_others_go_on(lab: Place, sshd_path: str) -> None:
    """One lab's store is unreachable: another lab's files arrive meanwhile, and its own when it is back."""
    # Given two labs, and the first one's store down
    other = Place(
        root=lab.root, alyx=lab.alyx, lab="hoferlab", repository="hoferlab_SR", store="flatiron_hoferlab"
    )
    lab.neighbours.append(other)
    other.furnish_as_a_rig_does()
    with sshd(lab):
        settings = lab.settings()
    with working(settings):
        until(lambda: other.arrived() == len(other.files), "the other lab's files arrive")
        until(lambda: lab.endpoint(STORE).retry_at, "the store is tried again later")
        assert lab.endpoint(STORE).paused_by is None
        assert nothing_moved(lab)

        # When it is back, then time is enough
        with sshd(lab) as store:
            same_port_or_skip(store, settings)
            until(lab.done, "every file has its receipt")

    assert lab.outcome() == lab.calm()
    assert other.outcome().stored == other.files


def test_a_lab_root_that_is_not_mounted_is_waited_for(lab: Place, sshd_path: str) -> None:
    """The share unmounts before the files were read: none is called vanished, and it goes on by itself."""
    # Given files that are registered and planned, and wait for a store that is down
    with sshd(lab):
        settings = lab.settings()
    away = lab.root / "unmounted"
    with working(settings):
        planned = "SELECT count(*) FROM items WHERE status = 'planned'"
        until(lambda: lab.number(planned) == len(lab.files), "everything is planned")
        until(lambda: not lab.outcome().leases, "nobody works")
        shutil.move(lab.lab_root, away)

        # When the store is back but the lab's root is gone, then the lab's endpoint waits for time
        with sshd(lab) as store:
            same_port_or_skip(store, settings)
            until(lambda: lab.endpoint(LAB_SERVER).retry_at, "the lab's side is kept back")
            assert lab.number("SELECT count(*) FROM items WHERE hold IS NOT NULL") == 0
            assert lab.number("SELECT count(*) FROM sessions WHERE hold IS NOT NULL") == 0
            assert nothing_moved(lab)

            # When it is mounted again, then all arrives
            shutil.move(away, lab.lab_root)
            until(lab.done, "every file has its receipt")

    assert lab.outcome() == lab.calm()
