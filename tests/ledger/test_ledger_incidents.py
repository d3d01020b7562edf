"""Incidents in the ledger: one row for one cause, counted by what waits, ended once, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tests.ledger.lab import LAB, NOON, World, on_both
from transfer.errors import EndpointUnreachable, HashCommandLies, LoginRefused, StoreDenied
from transfer.ledger import endpoints, incidents, reports
from transfer.status import Status

AWAY = EndpointUnreachable("no answer", to="sftp://flatiron")
DENIED = StoreDenied("permission denied", to="alf")
REFUSED = LoginRefused("login refused", to="sftp://flatiron")


def failing(world: World, *contents: str) -> int:
    """A batch whose files carry the failure, unheld."""
    batch = world.planned(*contents)
    lease = world.claim(batch)
    with world.ledger.guarded(lease) as tx:
        failures = [(item, DENIED) for item in world.ledger.due_items(batch)]
        tx.postpone(failures, at=NOON + timedelta(hours=1), burn=0)
    world.ledger.release(lease)
    return batch


@on_both
def test_eight_workers_that_fail_at_once_open_one_incident(world: World) -> None:
    failing(world, "a", "b", "c")
    with ThreadPoolExecutor(8) as pool:
        noted = list(pool.map(lambda _: incidents.note(world.ledger, DENIED, LAB.store), range(8)))
    assert len({incident.id for incident in noted}) == 1
    (incident,) = incidents.current(world.ledger)
    assert (incident.code, incident.endpoint, incident.files) == ("E-2007", LAB.store, 3)


@on_both
def test_the_first_file_that_goes_on_makes_the_others_due(world: World) -> None:
    batch = failing(world, "a", "b", "c")
    incidents.note(world.ledger, DENIED, LAB.store)
    incidents.heard_from(world.ledger, LAB.store)
    assert world.ledger.due_items(batch) == [], "nothing has gone on yet"

    world.clock.passes(hours=1)
    lease = world.claim(batch)
    incidents.let_wait(
        world.ledger,
        incidents.current(world.ledger)[0],
        until=NOON + timedelta(hours=3),
        but=[world.items()[0].id],
    )
    assert len(world.ledger.due_items(batch)) == 1
    assert len(world.advance(lease, Status.SENT)) == 1
    incidents.heard_from(world.ledger, LAB.store)
    assert len(world.ledger.due_items(batch)) == 3
    (incident,) = incidents.current(world.ledger)
    assert incident.files == 2

    world.advance(lease, Status.SENT)
    incidents.heard_from(world.ledger, LAB.store)
    assert incidents.current(world.ledger) == []


def test_an_incident_that_comes_again_is_another_one(world: World) -> None:
    endpoints.ensure(world.ledger, [LAB.store])
    first = incidents.note(world.ledger, AWAY, LAB.store)
    endpoints.went_well(world.ledger, LAB.store)
    second = incidents.note(world.ledger, AWAY, LAB.store)
    assert first.id != second.id
    assert [one.id for one in incidents.recent(world.ledger, since=NOON)] == [second.id, first.id]


def test_what_a_person_must_cure_lasts_until_they_resume_it(world: World) -> None:
    """A batch that was still under way may end well; that says nothing about the login."""
    world.planned("a", "b")
    endpoints.ensure(world.ledger, [LAB.store])
    incident = incidents.note(world.ledger, REFUSED, LAB.store)
    assert incident.files == 2
    endpoints.went_well(world.ledger, LAB.store)
    assert [one.code for one in incidents.current(world.ledger)] == ["E-2003"]
    assert reports.check(world.ledger).incidents == (f"E-2003 at {LAB.store}",)
    assert not reports.check(world.ledger).fine
    endpoints.resume(world.ledger, LAB.store)
    assert incidents.current(world.ledger) == []
    assert reports.check(world.ledger).fine


def test_an_endpoint_that_is_away_for_a_while_needs_nobody(world: World) -> None:
    incidents.note(world.ledger, AWAY, LAB.store)
    assert reports.check(world.ledger).incidents == ()


def test_files_that_a_person_took_away_end_an_incident_too(world: World) -> None:
    incidents.note(world.ledger, DENIED, LAB.store)
    incidents.look_at_all(world.ledger)
    assert incidents.current(world.ledger) == []


def test_a_hash_command_that_lies_is_an_incident_and_resuming_puts_it_to_the_test(world: World) -> None:
    endpoints.ensure(world.ledger, [LAB.store])
    endpoints.learnt(world.ledger, LAB.store, remote_hash=True, canary_at=NOON.isoformat(), syncs=True)
    for _ in range(2):
        endpoints.learnt(world.ledger, LAB.store, remote_hash=False, demoted=True)
    (incident,) = incidents.current(world.ledger)
    assert incident.code == HashCommandLies.code
    endpoints.went_well(world.ledger, LAB.store)
    assert incidents.current(world.ledger) == [incident]
    endpoints.resume(world.ledger, LAB.store)
    assert incidents.current(world.ledger) == []
    state = endpoints.state(world.ledger, LAB.store)
    assert state is not None
    assert dict(state.capabilities) == {"syncs": True}
