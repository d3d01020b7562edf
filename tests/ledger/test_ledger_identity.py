"""Who the ledger is, what it remembers by name, and the places it knows."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import func, select

from tests.ledger.lab import NOON, World, on_both
from transfer.errors import EndpointUnreachable
from transfer.ledger import Ledger, endpoints
from transfer.ledger.jobs import claim_job, job_ran
from transfer.ledger.tables import ledger as identity_row
from transfer.ledger.tables import sessions
from transfer.recurrence import Interval

OFFLINE = EndpointUnreachable("no answer", to="sftp://flatiron")


@on_both
def test_a_ledger_is_the_same_for_everybody_from_the_first_question_on(ledger: Ledger) -> None:
    """Eight ask at once; one uuid is drawn."""
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: ledger.identity(), range(8)))
    assert len(set(seen)) == 1
    assert seen[0][1] == 1
    with ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(identity_row)) == 1


@on_both
def test_two_that_find_no_identity_draw_one(world: World) -> None:
    """Both have looked and found none before either writes."""
    seen = []

    def ask() -> None:
        seen.append(world.ledger.identity())

    world.beside(ask, ask, after="ledger")
    assert seen[0] == seen[1]
    with world.ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(identity_row)) == 1


@on_both
def test_two_that_find_no_session_make_one(world: World) -> None:
    seen = []

    def see() -> None:
        seen.append(world.session())

    world.beside(see, see, after="sessions")
    assert seen[0] == seen[1]


@on_both
def test_watermarks_are_kept_by_name_and_forgotten_by_none(ledger: Ledger) -> None:
    assert ledger.watermark("reconcile") is None
    ledger.set_watermark("reconcile", "2026-03-04T12:00:00")
    ledger.set_watermark("scan", "x")
    assert ledger.watermark("reconcile") == "2026-03-04T12:00:00"
    ledger.set_watermark("reconcile", None)
    ledger.set_watermark("never set", None)
    assert (ledger.watermark("reconcile"), ledger.watermark("scan")) == (None, "x")


def test_the_last_event_is_counted_from_nothing(world: World) -> None:
    assert world.ledger.last_event() == 0
    world.planned("a")
    assert len(world.moves()) == 2
    assert world.ledger.last_event() == 3  # and the claim of the session


def test_now_is_the_ledgers_clock(world: World) -> None:
    assert world.ledger.moment() == NOON
    world.clock.passes(seconds=1)
    assert world.ledger.moment() == NOON + timedelta(seconds=1)


@on_both
def test_eight_scanners_that_see_one_session_make_one_row(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(lambda _: world.session(), range(8)))
    assert len(seen) == 1
    with world.ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(sessions)) == 1


# ---- endpoints


@on_both
def test_eight_workers_that_start_at_once_make_one_row_an_endpoint(ledger: Ledger) -> None:
    names = ["alyx", "rig_7", "flatiron", "flatiron"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: endpoints.ensure(ledger, names), range(8)))
    endpoints.ensure(ledger, [])
    assert {name for name in names if endpoints.state(ledger, name)} == set(names)
    assert endpoints.state(ledger, "elsewhere") is None


@on_both
def test_failures_add_up_until_it_goes_well(ledger: Ledger) -> None:
    endpoints.ensure(ledger, ["flatiron"])
    for minutes in (1, 2):
        endpoints.failed(ledger, "flatiron", OFFLINE, retry_at=NOON + timedelta(minutes=minutes))
    kept_back = endpoints.state(ledger, "flatiron")
    assert kept_back is not None
    assert (kept_back.failures, kept_back.retry_at) == (2, NOON + timedelta(minutes=2))
    endpoints.went_well(ledger, "flatiron")
    before = ledger.last_event()
    endpoints.went_well(ledger, "flatiron")
    assert ledger.last_event() == before
    well = endpoints.state(ledger, "flatiron")
    assert well is not None
    assert (well.failures, well.retry_at) == (0, None)


def test_ensuring_an_endpoint_again_forgets_nothing(ledger: Ledger) -> None:
    endpoints.ensure(ledger, ["flatiron"])
    endpoints.pause(ledger, "flatiron", by="anna", reason="maintenance")
    endpoints.ensure(ledger, ["flatiron"])
    state = endpoints.state(ledger, "flatiron")
    assert state is not None
    assert (state.paused_by, state.pause_reason) == ("anna", "maintenance")
    assert not endpoints.resume(ledger, "elsewhere")


def test_what_is_learnt_is_added_to_what_was_known(ledger: Ledger) -> None:
    endpoints.ensure(ledger, ["flatiron"])
    endpoints.learnt(ledger, "flatiron", free_bytes=5, remote_hash=True)
    endpoints.learnt(ledger, "flatiron", demoted=True)
    endpoints.learnt(ledger, "elsewhere", demoted=True)
    state = endpoints.state(ledger, "flatiron")
    assert state is not None
    assert state.capabilities == {"remote_hash": True, "demoted": True}
    assert (state.free_bytes, state.probed_at) == (5, NOON)


# ---- jobs


@on_both
def test_a_job_is_taken_by_one_of_many_and_again_when_its_time_has_come(world: World) -> None:
    hour = Interval(timedelta(hours=1))
    with ThreadPoolExecutor(8) as pool:
        taken = [
            one
            for one in pool.map(lambda _: claim_job(world.ledger, "scan", when=hour, seconds=60), range(8))
            if one
        ]
    (lease,) = taken
    lease._monotonic = world.clock.monotonic
    lease.renewed(0.0)
    job_ran(world.ledger, lease, "3 sessions")
    assert claim_job(world.ledger, "scan", when=hour, seconds=60) is None
    world.clock.passes(hours=1)
    assert claim_job(world.ledger, "scan", when=hour, seconds=60) is not None
