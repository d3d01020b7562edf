"""Alyx has other writers: what they do to rows we closed is found and mended."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client, other_client
from tests.scripted import Faulty
from tests.world import LAB_SERVER, STORE, World, md5, world
from transfer.abandonment import abandon
from transfer.errors import ConnectionLost
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.steps.reconcile import Fixes, reconcile
from transfer.transports.local import LocalTransport

SESSION = "KS023/2019-12-10/001"
NAME, OTHER = "alf/spikes.times.npy", "alf/spikes.amps.npy"
FILE, BESIDE = f"{SESSION}/{NAME}", f"{SESSION}/{OTHER}"
CONTENT, BETTER = b"the lab's bytes", b"a better version"
WRITES = {"POST", "PATCH", "PUT", "DELETE"}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def other(box: World) -> Iterator[Client]:
    with other_client(box) as client:
        yield client


@pytest.fixture
def runner(box: World) -> Runner:
    """Two files have arrived; everything is closed."""
    session = box.session()
    box.write(session, NAME, CONTENT)
    box.write(session, OTHER, CONTENT + b"2")
    made = box.runner()
    box.see(made, session)
    box.settle(made)
    assert box.facts() == {}
    mend(box, made)
    box.alyx.requests.reset()
    return made


def mend(box: World, runner: Runner, *, everything: bool = False) -> Fixes:
    return reconcile(
        runner.ledger,
        runner.catalog,
        box.lab,
        open_store=lambda: runner.open_transport(STORE),
        everything=everything,
    )


def writes(box: World) -> int:
    return sum(method in WRITES and path != "/auth-token" for method, path in box.alyx.requests.all())


def inode(box: World, path: str = FILE) -> int:
    return box.stored(path).stat().st_ino


def test_where_nothing_differs_nothing_is_written(box: World, runner: Runner) -> None:
    """Neither by the watermark nor when everything is read."""
    assert mend(box, runner) == mend(box, runner, everything=True) == {}
    assert writes(box) == 0


# ---- the hash differs


def announced_with_another_hash(box: World, other: Client) -> None:
    """Another tool registers a version of its own and says that the store has it."""
    assert other.register(SESSION, {NAME: BETTER}).status_code == 201
    other.patch("files", box.record(FILE)["id"], exists=True)
    assert box.lies()


def test_another_hash_that_is_announced_is_withdrawn_at_once(
    box: World, runner: Runner, other: Client
) -> None:
    announced_with_another_hash(box, other)
    assert mend(box, runner) == {"set exists false": 1}
    assert box.lies() == []
    assert not box.record(FILE)["exists"]


def test_after_that_an_old_lab_file_is_a_persons_case(box: World, runner: Runner, other: Client) -> None:
    """Nobody has the bytes Alyx names: the file may not be forgotten."""
    announced_with_another_hash(box, other)
    mend(box, runner)
    box.settle(runner)
    assert box.facts() == {NAME: "changed-elsewhere"}
    assert mend(box, runner) == {}
    assert box.stored(FILE).read_bytes() == CONTENT


def test_and_a_lab_file_that_has_that_hash_is_sent(box: World, runner: Runner, other: Client) -> None:
    (box.lab.root / FILE).write_bytes(BETTER)
    announced_with_another_hash(box, other)
    mend(box, runner)
    box.settle(runner)
    assert box.facts() == {}
    assert box.stored(FILE).read_bytes() == BETTER
    assert box.record(FILE)["exists"]


def test_another_hash_that_is_not_announced_is_sent_or_held_too(
    box: World, runner: Runner, other: Client
) -> None:
    assert other.register(SESSION, {NAME: BETTER}).status_code == 201
    assert mend(box, runner) == {"send again": 1}
    box.settle(runner)
    assert box.facts() == {NAME: "changed-elsewhere"}


def test_another_hash_is_a_persons_case_where_the_labs_file_was_removed(
    box: World, runner: Runner, other: Client
) -> None:
    (box.lab.root / FILE).unlink()
    assert other.register(SESSION, {NAME: BETTER}).status_code == 201
    mend(box, runner)
    box.settle(runner)
    assert box.facts() == {NAME: "source-vanished"}


def test_in_a_lab_of_other_tools_it_is_a_persons_case_as_well(
    box: World, runner: Runner, other: Client
) -> None:
    box.lab = replace(box.lab, work="alyx")
    runner = box.runner()
    announced_with_another_hash(box, other)
    mend(box, runner)
    box.settle(runner)
    assert box.facts() == {NAME: "registered-hash-differs"}


def test_what_a_person_abandoned_is_withdrawn_but_not_opened_again(
    box: World, runner: Runner, other: Client
) -> None:
    assert other.register(SESSION, {NAME: BETTER}).status_code == 201
    mend(box, runner)
    box.settle(runner)
    (row,) = box.rows(f"SELECT id FROM datasets WHERE path = '{NAME}'")
    abandon(runner.ledger, runner.catalog, [box.lab], [row.id], why="theirs is right")
    mend(box, runner, everything=True)
    box.settle(runner)
    assert box.facts() == {}

    other.patch("files", box.record(FILE)["id"], exists=True)
    mend(box, runner)
    assert not box.record(FILE)["exists"]
    assert box.facts() == {}


# ---- the hash is equal


def test_what_is_no_longer_announced_is_proved_and_announced_without_sending(
    box: World, runner: Runner, other: Client
) -> None:
    before = inode(box)
    other.patch("files", box.record(FILE)["id"], exists=False)
    assert mend(box, runner) == {"prove the stored copy": 1}
    assert not box.record(FILE)["exists"]  # not before it was hashed
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert inode(box) == before


def test_what_is_no_longer_announced_and_gone_is_sent_again(
    box: World, runner: Runner, other: Client
) -> None:
    box.stored(FILE).unlink()
    other.patch("files", box.record(FILE)["id"], exists=False)
    mend(box, runner)
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.record(FILE)["exists"]


def test_a_size_the_incumbents_listing_wrote_is_put_right(box: World, runner: Runner, other: Client) -> None:
    """`bulk_sync` overwrites it with whatever it saw; nothing else is touched."""
    other.patch("datasets", box.dataset(FILE)["id"], file_size=7)
    box.alyx.requests.reset()
    assert mend(box, runner) == {"patch the size": 1}
    assert box.dataset(FILE)["file_size"] == len(CONTENT)
    assert writes(box) == 1
    assert box.record(FILE)["exists"]
    assert mend(box, runner) == {}


# ---- a reader's flag


def flagged(box: World, other: Client, path: str = FILE) -> None:
    """As ONE flags it, keeping what else is in the json."""
    other.patch("files", box.record(path)["id"], json={"mismatch_hash": True, "note": 1})


def test_a_flag_on_a_right_copy_is_cleared(box: World, runner: Runner, other: Client) -> None:
    flagged(box, other)
    before = inode(box)
    assert mend(box, runner) == {"flag cleared": 1}
    assert box.record(FILE)["json"] == {"note": 1}
    assert box.record(FILE)["exists"]
    box.settle(runner)
    assert inode(box) == before


@pytest.mark.parametrize("stored", [b"the lab's bytez", b"cut", None])
def test_a_flag_on_a_wrong_copy_withdraws_it_at_once_and_sends_it_again(
    box: World, runner: Runner, other: Client, stored: bytes | None
) -> None:
    flagged(box, other)
    if stored is None:
        box.stored(FILE).unlink()
    else:
        box.stored(FILE).write_bytes(stored)
    assert mend(box, runner) == {"damaged copy sent again": 1}
    assert not box.record(FILE)["exists"]
    assert box.record(FILE)["json"] == {"note": 1}
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == CONTENT
    assert box.record(FILE)["exists"]


def test_a_flag_is_not_believed_because_the_store_does_not_answer(
    box: World, runner: Runner, other: Client
) -> None:
    """The copy stays announced and the flag stays for the next pass."""
    flagged(box, other)

    def faulty() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("get", ConnectionLost("line dropped", to=STORE))
        return transport

    box.open_store = faulty
    assert mend(box, runner) == {"flagged copy not readable now": 1}
    assert box.record(FILE)["exists"]
    assert box.record(FILE)["json"] == {"mismatch_hash": True, "note": 1}
    box.open_store = None
    assert mend(box, runner) == {"flag cleared": 1}


# ---- whose rows


def test_rows_we_never_proved_are_not_ours_to_judge(box: World, runner: Runner, other: Client) -> None:
    """Another tool's dataset, announced over nothing, flagged or not, with any size."""
    assert other.register(SESSION, {"alf/spikes.depths.npy": b"theirs"}).status_code == 201
    theirs = f"{SESSION}/alf/spikes.depths.npy"
    other.patch("files", box.record(theirs)["id"], exists=True, json={"mismatch_hash": True})
    before = (box.record(theirs), box.dataset(theirs))
    box.alyx.requests.reset()
    assert mend(box, runner) == mend(box, runner, everything=True) == {}
    assert writes(box) == 0
    assert (box.record(theirs), box.dataset(theirs)) == before


def test_a_row_with_an_open_item_is_left_to_it(box: World, runner: Runner, other: Client) -> None:
    (box.lab.root / FILE).write_bytes(BETTER)
    box.see(runner, box.lab.root / SESSION)
    runner.advance_session()
    box.alyx.requests.reset()
    assert mend(box, runner) == {}
    assert writes(box) == 0


def test_the_labs_own_records_are_not_touched(box: World, runner: Runner, other: Client) -> None:
    other.patch("files", box.record(FILE, LAB_SERVER)["id"], exists=False)
    assert mend(box, runner) == {}
    assert not box.record(FILE, LAB_SERVER)["exists"]


def test_a_row_alyx_refuses_to_have_mended_stops_no_other(box: World, runner: Runner, other: Client) -> None:
    """And the watermark stays, so that it is tried again."""
    for path in (FILE, BESIDE):
        other.patch("datasets", box.dataset(path)["id"], file_size=7)
    box.alyx.faults.add("PATCH", f"/datasets/{box.dataset(FILE)['id']}", status=400)
    box.alyx.faults.add("PATCH", f"/datasets/{box.dataset(FILE)['id']}", status=400)
    for _ in range(2):
        fixes = mend(box, runner)
        assert fixes["refused by Alyx"] == 1
    assert box.dataset(BESIDE)["file_size"] == len(CONTENT) + 1
    box.clock.advance(1)
    assert mend(box, runner) == {"patch the size": 1}


# ---- what is read


def changed_on(box: World, path: str, days: float) -> None:
    """Move the dataset's time of change, as if it had been changed so long before the others."""
    from datetime import datetime

    store = box.alyx._store
    row = store.tables["datasets"][box.dataset(path)["id"]]
    at = datetime.fromisoformat(row["auto_datetime"]) - timedelta(days=days)
    store.save("datasets", row | {"auto_datetime": at.isoformat()})


def test_a_pass_reads_what_changed_since_the_last_and_overlaps_generously(
    box: World, runner: Runner, other: Client
) -> None:
    other.patch("datasets", box.dataset(FILE)["id"], file_size=7)
    changed_on(box, FILE, days=2 / 24)
    assert mend(box, runner) == {"patch the size": 1}


def test_what_slipped_past_the_watermark_is_found_when_everything_is_read(
    box: World, runner: Runner, other: Client
) -> None:
    """Once a week by the rounds."""
    rounds = Rounds(runner=runner, version="0")
    assert rounds.reconcile(box.lab) == "nothing to mend"
    other.patch("datasets", box.dataset(FILE)["id"], file_size=7)
    changed_on(box, FILE, days=2)
    box.clock.advance(timedelta(days=6).total_seconds())
    assert rounds.reconcile(box.lab) == "nothing to mend"
    box.clock.advance(timedelta(days=1).total_seconds())
    assert rounds.reconcile(box.lab) == "patch the size: 1"


def test_rows_are_not_missed_because_we_write_while_we_read(
    box: World, runner: Runner, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row we mend moves to the list's end: the pages drift under us."""
    from transfer.catalog import alyx_lists

    monkeypatch.setattr(alyx_lists, "_PAGE", 10)
    session = box.lab.root / SESSION
    names = [f"alf/clusters.amps.{number:03d}.npy" for number in range(60)]
    for name in names:
        box.write(session, name, name.encode())
    box.see(runner, session)
    box.settle(runner)
    mend(box, runner)
    for name in names:
        other.patch("datasets", box.dataset(f"{SESSION}/{name}")["id"], file_size=1)
    fixes: Any = mend(box, runner)
    assert fixes == {"patch the size": 60}
    assert {box.dataset(f"{SESSION}/{name}")["file_size"] for name in names} == {len(names[0])}


def test_a_copy_another_tool_announced_over_wrong_bytes_after_a_patch_is_withdrawn(
    box: World, runner: Runner, other: Client
) -> None:
    """The lab's file was patched and registered by ibllib; the cron then finds the old copy by its name."""
    (box.lab.root / FILE).write_bytes(BETTER)
    assert other.register(SESSION, {NAME: BETTER}).status_code == 201
    other.patch("files", box.record(FILE)["id"], exists=True, json=None)
    other.patch("datasets", box.dataset(FILE)["id"], file_size=len(CONTENT))
    mend(box, runner)
    assert box.lies() == []
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == BETTER
    assert (box.dataset(FILE)["hash"], box.dataset(FILE)["file_size"]) == (md5(BETTER), len(BETTER))
    assert box.record(FILE)["exists"]
