"""Many failures with one cause are one incident: no try spent, no file held, one goes first, and it ends by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scripted import Faulty
from tests.world import LAB_SERVER, STORE, World, world
from transfer.errors import (
    ArrivedDamaged,
    EndpointUnreachable,
    HostKeyChanged,
    PathTooLong,
    StoreDenied,
    TransferError,
)
from transfer.ledger import actions, endpoints, incidents
from transfer.ledger.finding import Target
from transfer.runner import Runner
from transfer.transports.base import Upload
from transfer.transports.local import LocalTransport

MANY = 12
NAMES = [f"alf/probe_{number:02d}/spikes.times.npy" for number in range(MANY)]
HOUR = 3600


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


class Rights:
    """A store that denies what `denied` says, and counts how many files it was asked for."""

    def __init__(self, box: World, error: TransferError) -> None:
        self._box = box
        self._error = error
        self.denied: Callable[[str], bool] = lambda _name: True
        self.asked: list[str] = []

    def open(self) -> Faulty:
        transport = Faulty(LocalTransport(self._box.store, connections=1))
        transport.script("put", self._put, times=10_000)
        return transport

    def _put(self, upload: object) -> TransferError | None:
        assert isinstance(upload, Upload)
        name = str(upload.source)
        self.asked.append(name)
        return self._error if self.denied(name) else None


def planned(box: World, *names: str) -> Runner:
    """Files of several sizes in one batch."""
    session = box.session()
    for number, name in enumerate(names or NAMES):
        box.write(session, name, bytes([number]) * (100 - number))
    runner = box.runner()
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    return runner


def tries(box: World) -> set[int]:
    return {row.tries for row in box.rows("SELECT tries FROM items")}


DENIED = StoreDenied("permission denied", to="alf")


def test_a_folder_whose_rights_are_wrong_is_one_incident_and_no_file_is_held(box: World) -> None:
    runner = planned(box)
    rights = Rights(box, DENIED)
    box.open_store = rights.open
    box.settle(runner)
    (incident,) = incidents.current(runner.ledger)
    assert (incident.code, incident.endpoint, incident.files) == ("E-2007", STORE, MANY)
    assert "permission denied" in incident.text
    assert set(box.facts().values()) == {"planned"}
    assert tries(box) == {0}


def test_only_one_file_goes_first_however_long_it_lasts(box: World) -> None:
    """The smallest; and the waits grow to two hours and no further."""
    runner = planned(box)
    rights = Rights(box, DENIED)
    box.open_store = rights.open
    box.settle(runner)
    rights.asked.clear()
    for _ in range(60):
        box.clock.advance(HOUR / 12)
        box.settle(runner)
    assert {Path(name).parent.name for name in rights.asked} == {"probe_11"}
    assert 4 <= len(rights.asked) <= 10
    (incident,) = incidents.current(runner.ledger)
    assert incident.files == MANY
    assert tries(box) == {0}


def test_it_ends_by_itself_once_the_cause_is_cured(box: World) -> None:
    """The one that goes first brings all the others with it, and the incident is closed."""
    runner = planned(box)
    rights = Rights(box, DENIED)
    box.open_store = rights.open
    box.settle(runner)
    rights.denied = lambda _name: False
    box.clock.advance(61)
    box.settle(runner)
    assert box.facts() == {}
    assert incidents.current(runner.ledger) == []
    (row,) = box.rows("SELECT first_at, closed_at FROM incidents")
    assert row.closed_at > row.first_at
    assert box.lies() == []


def test_one_folder_does_not_stop_the_others(box: World) -> None:
    """A second session's files arrive although the first one's folder is closed."""
    runner = planned(box)
    rights = Rights(box, DENIED)
    rights.denied = lambda name: "/001/" in name
    box.open_store = rights.open
    box.settle(runner)
    other = box.session(2)
    box.write(other, NAMES[0], b"another session")
    box.see(runner, other)
    box.clock.advance(61)
    box.settle(runner)
    box.clock.advance(61)
    box.settle(runner)
    assert [end for end in box.ends() if end[1] == "recorded"] == [(NAMES[0], "recorded")]
    assert len(box.facts()) == MANY
    assert len(incidents.current(runner.ledger)) == 1


def test_a_few_files_are_held_each_with_its_reason(box: World) -> None:
    runner = planned(box, *NAMES[:3])
    box.open_store = Rights(box, DENIED).open
    box.settle(runner)
    assert set(box.facts().values()) == {"store-denied"}
    assert incidents.current(runner.ledger) == []


def test_long_names_are_each_files_own_affair(box: World) -> None:
    runner = planned(box)
    box.open_store = Rights(box, PathTooLong("too long", to="a.npy")).open
    box.settle(runner)
    assert set(box.facts().values()) == {"path-too-long"}
    assert incidents.current(runner.ledger) == []


def test_a_disk_that_damages_everything_is_one_incident(box: World) -> None:
    """Each file arrives wrong: they wait together, and nothing is announced."""
    runner = planned(box)

    def damaging() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("get", ArrivedDamaged("other bytes", to="a.npy"), times=1000)
        return transport

    box.open_store = damaging
    box.settle(runner)
    (incident,) = incidents.current(runner.ledger)
    assert (incident.name, incident.files) == ("arrived-damaged", MANY)
    assert tries(box) == {0}
    assert box.lies() == []
    box.open_store = None
    box.clock.advance(HOUR)
    box.settle(runner)
    assert incidents.current(runner.ledger) == []
    assert box.facts() == {}


# ---- what concerns the whole endpoint


def connecting_fails(box: World, error: TransferError) -> Callable[[], Faulty]:
    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("connect", error, times=1000)
        return transport

    return opened


def test_an_endpoint_that_is_away_is_one_incident_that_ends_with_its_return(box: World) -> None:
    runner = planned(box)
    box.open_store = connecting_fails(box, EndpointUnreachable("no answer", to="sftp://store"))
    box.settle(runner)
    box.clock.advance(HOUR)
    box.settle(runner)
    (incident,) = incidents.current(runner.ledger)
    assert (incident.name, incident.endpoint, incident.files) == ("endpoint-unreachable", STORE, MANY)
    box.open_store = None
    box.clock.advance(HOUR)
    box.settle(runner)
    assert incidents.current(runner.ledger) == []
    assert box.facts() == {}


def test_a_changed_host_key_is_one_incident_until_a_person_resumes_the_store(box: World) -> None:
    runner = planned(box)
    box.open_store = connecting_fails(box, HostKeyChanged("another key", to="sftp://store"))
    box.settle(runner)
    box.clock.advance(24 * HOUR)
    box.settle(runner)
    (incident,) = incidents.current(runner.ledger)
    assert (incident.name, incident.files) == ("host-key-changed", MANY)
    assert set(box.facts().values()) == {"planned"}

    box.open_store = None
    actions.release(runner.ledger, Target(kind="endpoint", name=STORE))
    assert incidents.current(runner.ledger) == []
    box.settle(runner)
    assert box.facts() == {}


def test_a_person_may_end_an_incident_before_its_time(box: World) -> None:
    """Resuming the endpoint makes its files due at once."""
    runner = planned(box)
    rights = Rights(box, DENIED)
    box.open_store = rights.open
    box.settle(runner)
    rights.denied = lambda _name: False
    actions.release(runner.ledger, Target(kind="endpoint", name=STORE))
    assert incidents.current(runner.ledger) == []
    box.settle(runner)
    assert box.facts() == {}


def test_a_lab_that_failed_goes_on_as_before_after_one_visit(box: World) -> None:
    """One piece of work proves it; its breaker does not stay half open."""
    runner = planned(box)
    endpoints.failed(runner.ledger, LAB_SERVER, DENIED, retry_at=box.clock.now)
    box.settle(runner)
    state = endpoints.state(runner.ledger, LAB_SERVER)
    assert state is not None
    assert (state.breaker, state.failures) == ("closed", 0)
