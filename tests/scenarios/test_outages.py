"""Alyx is away: bytes go on moving, nothing is published, announced or recorded unseen, and afterwards all is told.

A person may pause it, it may answer nothing, or refuse our login; a mover is asked all the same.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.client import Client, other_client
from tests.mover import FolderMover, Service
from tests.scripted import Faulty
from tests.stage import OtherTool
from tests.world import STORE, World, world
from transfer.errors import StoreDenied, StoreRefused
from transfer.ledger import endpoints
from transfer.ledger.finding import Target
from transfer.ledger.why import why
from transfer.planning import Limits
from transfer.progress import Owner
from transfer.recurrence import Interval
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.transports.local import LocalTransport

SESSION = "KS023/2019-12-10/001"
HOUR = 3600


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def other(box: World) -> Iterator[Client]:
    with other_client(box) as client:
        yield client


def planned(box: World, files: int, **changes: Any) -> Runner:
    """A session whose files are registered and stand in batches."""
    session = box.session()
    for number in range(files):
        box.write(session, f"alf/probe{number:03d}/spikes.times.npy", f"file {number}".encode())
    runner = box.runner(**changes)
    box.see(runner, session)
    assert runner.advance_session()
    assert runner.plan()
    return runner


def name(number: int) -> str:
    return f"{SESSION}/alf/probe{number:03d}/spikes.times.npy"


def takes_alyx_away(box: World) -> None:
    box.alyx.faults.add("*", ".*", times=1_000_000, drop=True)


def standing(box: World) -> Counter[str]:
    return Counter(row.status for row in box.rows("SELECT status FROM items WHERE open = 1"))


def after_a_while(box: World, runner: Runner) -> None:
    for _ in range(8):
        box.clock.advance(HOUR)
        box.settle(runner)


# ---- a whole run


def test_five_hundred_files_move_and_are_verified_while_alyx_is_away(box: World) -> None:
    """Then the outbox is told in order, and what Alyx says is what the store holds."""
    runner = planned(box, 500, limits=Limits(files=100))
    box.alyx.requests.reset()
    takes_alyx_away(box)

    box.settle(runner)

    # Every byte is there, proved, and nobody has seen it
    assert standing(box) == {"verified": 500}
    partials = [path.name for path in box.stored_files()]
    assert len(partials) == 500
    assert all(one.endswith(".part") for one in partials)
    assert box.rows("SELECT hold FROM items WHERE hold IS NOT NULL") == []

    box.alyx.faults.clear()
    box.alyx.requests.reset()
    box.clock.advance(2 * HOUR)
    box.settle(runner)

    assert standing(box) == {}
    assert box.lies() == []
    assert [box.record(name(number))["exists"] for number in (0, 250, 499)] == [True] * 3
    assert sum(record["exists"] for record in box.alyx.tables.file_records(STORE)) == 500
    assert len(box.stored_files()) == 500
    assert box.alyx.requests.count("PATCH", "/files/<id>") == 500
    # in order: batch after batch
    told = [row.batch for row in box.rows("SELECT batch FROM items ORDER BY since, id")]
    assert told == sorted(told)


def test_no_request_is_made_while_alyx_is_kept_back_and_no_batch_is_claimed_in_vain(box: World) -> None:
    runner = planned(box, 20, limits=Limits(files=10))
    endpoints.pause(runner.ledger, endpoints.ALYX, by="person:anne", reason="The server is moved.")
    box.alyx.requests.reset()

    claims = 0
    while runner.work():
        claims += 1

    assert claims == 2
    assert standing(box) == {"verified": 20}
    assert box.alyx.requests.all() == []
    assert runner.due_batches() == []

    endpoints.resume(runner.ledger, endpoints.ALYX)
    box.settle(runner)
    assert standing(box) == {}
    assert box.lies() == []


def test_alyx_is_asked_again_by_one_request_not_by_one_a_file(box: World) -> None:
    """Each time the wait is over one step finds that it is still away; its failures are counted."""
    runner = planned(box, 30, limits=Limits(files=10))
    takes_alyx_away(box)
    box.settle(runner)
    box.alyx.requests.reset()

    box.clock.advance(3 * HOUR)
    box.settle(runner)

    state = endpoints.state(runner.ledger, endpoints.ALYX)
    assert state is not None
    assert state.failures == 2
    assert len(box.alyx.requests.all()) < 10
    assert box.rows("SELECT tries FROM items WHERE tries > 0") == []
    assert box.rows("SELECT not_before FROM batches WHERE tries > 0") == []


def test_a_login_that_alyx_refuses_pauses_alyx_and_bytes_go_on(box: World) -> None:
    runner = planned(box, 5)
    box.alyx.faults.add("*", ".*", times=1_000_000, status=403, detail="Invalid token.")

    box.settle(runner)

    state = endpoints.state(runner.ledger, endpoints.ALYX)
    assert state is not None
    assert state.paused_by == endpoints.PROGRAM
    assert standing(box) == {"verified": 5}

    box.alyx.faults.clear()
    endpoints.resume(runner.ledger, endpoints.ALYX)
    box.settle(runner)
    assert standing(box) == {}
    assert box.lies() == []


def test_what_is_published_already_waits_and_what_is_not_yet_sent_goes_on_in_one_batch(box: World) -> None:
    """The furthest cannot be told: that does not keep the others."""
    runner = planned(box, 4)
    box.open_store = None
    rows = box.rows("SELECT id FROM items ORDER BY id")
    late = rows[-1].id
    with runner.ledger.writing() as connection:
        at = (box.clock.now.replace(year=2027)).strftime("%Y-%m-%d %H:%M:%S.%f")
        connection.execute(text(f"UPDATE items SET not_before = '{at}' WHERE id = {late}"))
    box.alyx.faults.add("PATCH", "/files", times=1_000_000, drop=True)
    box.settle(runner)
    assert standing(box) == {"published": 3, "planned": 1}

    with runner.ledger.writing() as connection:
        connection.execute(text(f"UPDATE items SET not_before = since WHERE id = {late}"))
    takes_alyx_away(box)
    box.settle(runner)

    assert standing(box) == {"published": 3, "verified": 1}
    box.alyx.faults.clear()
    after_a_while(box, runner)
    assert standing(box) == {}
    assert box.lies() == []


# ---- nothing unseen


def test_a_version_registered_by_others_meanwhile_is_not_published(box: World, other: Client) -> None:
    """The bytes went on without the look; the look before the rename finds the new hash."""
    runner = planned(box, 1)
    endpoints.pause(runner.ledger, endpoints.ALYX, by="person:anne", reason="x")
    tool = OtherTool(box)
    tool.replace(name(0), b"a better version")
    tool.register(name(0))
    (box.lab.root / name(0)).write_bytes(b"file 0")
    box.settle(runner)

    endpoints.resume(runner.ledger, endpoints.ALYX)
    assert runner.advance_batch()

    assert not any(not path.name.endswith(".part") for path in box.stored_files())
    assert not box.record(name(0))["exists"]


def test_what_somebody_announced_meanwhile_is_withdrawn_before_it_is_published(
    box: World, other: Client
) -> None:
    """Push could not withdraw it; a rename that fails must not leave it announced."""
    runner = planned(box, 1)
    endpoints.pause(runner.ledger, endpoints.ALYX, by="person:anne", reason="x")
    other.patch("files", box.record(name(0))["id"], exists=True)
    box.settle(runner)
    assert box.lies() == [name(0)]  # another tool's, and nobody could be asked

    endpoints.resume(runner.ledger, endpoints.ALYX)
    faulty = Faulty(LocalTransport(box.store, connections=1))
    faulty.script("publish", StoreRefused("the store said no", to="alf"))
    box.open_store = lambda: faulty
    assert runner.advance_batch()

    faulty.assert_all_played()
    assert box.lies() == []


def test_what_stands_at_the_store_is_adopted_and_announced_only_after_the_look(box: World) -> None:
    """An adopted copy is a fact about the store; Alyx is told when it was read again."""
    runner = planned(box, 1)
    target = box.stored(name(0))
    target.parent.mkdir(parents=True)
    target.write_bytes(b"file 0")
    takes_alyx_away(box)

    box.settle(runner)
    assert standing(box) == {"verified": 1}
    assert not box.record(name(0))["exists"]

    box.alyx.faults.clear()
    after_a_while(box, runner)
    assert box.record(name(0))["exists"]
    assert box.lies() == []


def test_a_file_that_cannot_be_sent_is_not_held_while_nobody_can_read_its_record(box: World) -> None:
    """It waits, and is held once Alyx answers; the worker does not spin meanwhile."""
    runner = planned(box, 1)

    def opened() -> Faulty:
        faulty = Faulty(LocalTransport(box.store, connections=1))
        faulty.script("put", StoreDenied("the store refused", to="alf"), times=100)
        return faulty

    box.open_store = opened
    box.alyx.faults.add("*", ".*", times=1_000_000, status=403, detail="Invalid token.")
    box.settle(runner)
    assert standing(box) == {"planned": 1}
    assert box.rows("SELECT hold FROM items WHERE hold IS NOT NULL") == []

    box.alyx.faults.clear()
    endpoints.resume(runner.ledger, endpoints.ALYX)
    after_a_while(box, runner)
    assert [row.hold for row in box.rows("SELECT hold FROM items")] == ["store-denied"]


# ---- where another tool moves files too


def test_beside_an_incumbent_nothing_is_sent_without_its_lock_and_nobody_spins(box: World) -> None:
    box.lab = replace(box.lab, incumbent=True)
    runner = planned(box, 2)
    takes_alyx_away(box)

    box.settle(runner)

    assert standing(box) == {"planned": 2}
    assert box.stored_files() == []
    box.alyx.faults.clear()
    after_a_while(box, runner)
    assert standing(box) == {}


# ---- a mover


def test_a_mover_is_asked_and_looked_at_while_alyx_is_away(box: World) -> None:
    service = Service(box.lab.root, box.store)
    runner = planned(box, 3, transports={STORE: "globus"}, open_transport=lambda _store: FolderMover(service))
    takes_alyx_away(box)
    box.settle(runner)
    assert service.submits.total() == 1

    service.work()
    box.clock.advance(60)
    box.settle(runner)
    assert standing(box) == {"verified": 3}
    assert not any(record["exists"] for record in box.alyx.tables.file_records(STORE))

    box.alyx.faults.clear()
    after_a_while(box, runner)
    assert standing(box) == {}
    assert box.lies() == []


# ---- what people are told


def test_why_names_alyx_only_where_it_is_waited_for(box: World) -> None:
    runner = planned(box, 1)
    endpoints.pause(runner.ledger, endpoints.ALYX, by="person:anne", reason="The server is moved.")
    file = Target(kind="file", name=name(0), id=1)
    assert why(runner.ledger, file).owner is Owner.PROGRAM

    box.settle(runner)

    told = why(runner.ledger, file)
    assert told.owner is Owner.PERSON
    assert "alyx is paused by anne: The server is moved." in told.sentence


# ---- the hourly round over the ledger's own rows


def test_the_sanity_round_mends_says_so_and_is_walked_once_an_hour(box: World) -> None:
    """A row that nobody would look at again goes on to its end."""
    runner = planned(box, 2)
    rounds = Rounds(runner=runner, version="1")
    hour = Interval(timedelta(hours=1))
    assert rounds.sanity(when=hour) == "rows without an owner: 0"
    with runner.ledger.writing() as connection:
        connection.execute(text("UPDATE items SET batch = NULL"))
    assert rounds.sanity(when=hour) is None

    box.clock.advance(HOUR)
    with capture_logs() as said:
        assert rounds.sanity(when=hour) == "rows without an owner: 3"

    assert sum(line["event"] == "row_mended" for line in said) == 3  # two files, and the batch without any
    box.settle(runner)
    assert standing(box) == {}
    assert box.lies() == []
