"""Leases: one holder at a time, and one that was overtaken writes nothing."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from tests.ledger.lab import NOON, Clock, World, claim_all, on_both, step
from transfer.errors import LostRace
from transfer.ledger import Lease, Ledger, leases
from transfer.ledger.tables import batches, events, items, sessions
from transfer.status import Status

EVERY_TABLE = (batches, events, items, sessions)


def contents(engine: Engine) -> list[object]:
    with engine.connect().execution_options(sqlite_begin="DEFERRED") as connection:
        return [connection.execute(select(table).order_by(table.c.id)).all() for table in EVERY_TABLE]


# ---- one of many claims


@on_both
def test_one_of_many_threads_gets_the_batch(world: World) -> None:
    batch = world.planned("a")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: world.ledger.claim_batch(60, only=[batch]), range(8)))
    assert len([claim for claim in claims if claim]) == 1


@on_both
def test_every_session_is_claimed_once_by_four_processes(
    world: World, database_url: str, four_processes: ProcessPoolExecutor
) -> None:
    """Each of 40 sessions is got by exactly one of four processes that claim until nothing is left."""
    wanted = {world.session(number) for number in range(1, 41)}
    world.ledger.engine.dispose()
    got = [one for some in four_processes.map(claim_all, [database_url] * 4) for one in some]
    assert sorted(got) == sorted(wanted)


@on_both
def test_a_held_row_is_not_taken_even_by_one_that_did_not_look(world: World) -> None:
    """`take` is right by itself, whatever its caller found before."""
    batch = world.planned("a")
    world.claim(batch)
    late = Lease("batch", batch, seconds=60)
    with world.ledger.writing() as connection:
        assert not leases.take(connection, late, NOON)
        assert leases.take(connection, late, NOON + timedelta(seconds=60))


def test_every_claim_draws_a_token_of_its_own(world: World) -> None:
    batch = world.planned("a")
    tokens = set()
    for _ in range(20):
        lease = world.claim(batch)
        assert len(lease.token) == 8
        assert int(lease.token, 16) >= 0
        tokens.add(lease.token)
        world.ledger.release(lease)
    assert len(tokens) == 20


def test_the_holder_is_named(world: World) -> None:
    batch = world.planned("a")
    assert world.ledger.busy("batch", [batch]) == []
    lease = world.claim(batch)
    assert world.ledger.busy("batch", [batch]) == [leases.holder_name()]
    with world.ledger.reading() as connection:
        assert leases.held_by(connection, "batch", batch, NOON) == leases.holder_name()
        assert leases.held_by(connection, "batch", batch, NOON + timedelta(seconds=60)) is None
    world.ledger.release(lease)
    assert world.ledger.busy("batch", [batch]) == []


# ---- lapsing


@on_both
def test_a_held_lease_is_not_given_away_and_a_lapsed_one_is(world: World) -> None:
    batch = world.planned("a")
    world.claim(batch)
    world.clock.passes(seconds=59)
    assert world.ledger.claim_batch(60) is None
    world.clock.passes(seconds=1)
    assert world.ledger.claim_batch(60) is not None


@on_both
def test_a_renewed_lease_lives_on(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    for _ in range(5):
        world.clock.passes(seconds=40)
        world.ledger.heartbeat(lease)
        lease.ensure()
        assert world.ledger.claim_batch(60) is None


def test_a_heartbeat_counts_bytes(world: World) -> None:
    lease = world.claim(world.planned("a"))
    world.ledger.heartbeat(lease, 1000)
    world.ledger.heartbeat(lease)
    world.ledger.heartbeat(lease, 24)
    with world.ledger.reading() as connection:
        assert connection.scalar(select(batches.c.bytes_moved)) == 1024


def test_a_guarded_transaction_is_a_heartbeat_too(world: World) -> None:
    lease = world.claim(world.planned("a"))
    world.clock.passes(seconds=40)
    with world.ledger.guarded(lease):
        pass
    world.clock.passes(seconds=47)
    lease.ensure()
    world.clock.passes(seconds=1)
    with pytest.raises(LostRace):
        lease.ensure()


def test_a_failed_transaction_does_not_count_as_a_renewal(world: World) -> None:
    """What was rolled back has not renewed the row, so the holder must not believe that it has."""
    lease = world.claim(world.planned("a"))
    world.clock.passes(seconds=40)
    with pytest.raises(ZeroDivisionError), world.ledger.guarded(lease):
        _ = 1 / 0
    world.clock.passes(seconds=8)
    with pytest.raises(LostRace):
        lease.ensure()


@given(
    seconds=st.floats(1, 3600),
    beats=st.lists(st.floats(0, 0.79), max_size=5),
    late=st.floats(0.8, 5),
)
def test_the_holder_stops_before_the_row_is_free(seconds: float, beats: list[float], late: float) -> None:
    """However the beats fall, a fifth of the lease lies between the holder's last act and its end."""
    clock = Clock()
    lease = Lease("batch", 1, seconds=seconds, monotonic=clock.monotonic)
    for share in beats:
        clock.passes(seconds=seconds * share)
        lease.ensure()
        lease.renewed(lease.begin_renewal())
    clock.passes(seconds=seconds * late)
    if late > 0.8001:
        with pytest.raises(LostRace, match="too slow"):
            lease.ensure()


def test_a_renewal_counts_from_when_it_was_sent(world: World) -> None:
    """The answer may have taken long; the row's end was computed before."""
    lease = world.claim(world.planned("a"))
    begun = lease.begin_renewal()
    world.clock.passes(seconds=48)
    lease.renewed(begun)
    with pytest.raises(LostRace):
        lease.ensure()


# ---- zombies


class Stopped:
    """The zombie's own clock: it was paused with the process, so `ensure` lets it through."""

    def __call__(self) -> float:
        return 0.0


def zombie_of(world: World, batch: int) -> Lease:
    """A holder that was paused until after its lease; its own clock has not noticed."""
    sleepy = Ledger(world.ledger.engine, actor="worker:zombie", clock=world.clock, monotonic=Stopped())
    claimed = sleepy.claim_batch(60, only=[batch])
    assert claimed is not None
    return claimed[0]


@on_both
@pytest.mark.parametrize("overtaken", [False, True], ids=["lapsed", "overtaken"])
def test_a_zombie_writes_nothing(world: World, overtaken: bool) -> None:
    """Whatever it tries under its old lease, LostRace, and not one row is another."""
    batch = world.planned("a")
    zombie = zombie_of(world, batch)
    (item,) = world.ledger.due_items(batch)
    world.clock.passes(seconds=60)
    if overtaken:
        world.claim(batch)
    before = contents(world.ledger.engine)
    ledger = world.ledger
    reached = []

    def move() -> None:
        with ledger.guarded(zombie) as tx:
            reached.append("inside")
            tx.move([step(item, Status.SENT)])

    for attempt in (
        move,
        lambda: ledger.heartbeat(zombie, 5),
        lambda: ledger.postpone(zombie, at=NOON, error=LostRace("x")),
        lambda: ledger.went_well(zombie),
    ):
        with pytest.raises(LostRace, match="another worker holds the batch now: batch"):
            attempt()
    assert reached == []
    assert contents(ledger.engine) == before


@on_both
def test_a_zombies_release_does_not_free_the_row(world: World) -> None:
    batch = world.planned("a")
    zombie = zombie_of(world, batch)
    world.clock.passes(seconds=60)
    owner = world.claim(batch)
    world.ledger.release(zombie)
    assert world.ledger.claim_batch(60) is None
    with world.ledger.guarded(owner):
        pass


def test_a_holder_that_is_late_by_its_own_clock_does_not_even_ask(world: World) -> None:
    batch = world.planned("a")
    lease = world.claim(batch)
    world.clock.passes(seconds=48)
    with pytest.raises(LostRace, match="this worker was too slow and no longer holds the batch: batch 1"):
        world.ledger.guarded(lease).__enter__()


@on_both
def test_an_exception_undoes_the_whole_transaction(world: World) -> None:
    batch = world.planned("a", "b")
    lease = world.claim(batch)
    standing = world.ledger.due_items(batch)
    before = contents(world.ledger.engine)

    def fail_late() -> None:
        with world.ledger.guarded(lease) as tx:
            tx.move([step(item, Status.SENT) for item in standing])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    assert contents(world.ledger.engine) == before
