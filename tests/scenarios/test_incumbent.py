"""Living beside IBL's nightly crons: the lock they honour, and what is theirs in a record's json."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client, other_client
from tests.world import STORE, World, world
from transfer.abandonment import abandon
from transfer.runner import Runner
from transfer.steps.coexistence import OURS, PENDING

SESSION = "KS023/2019-12-10/001"
NAME = "alf/spikes.times.npy"
FILE = f"{SESSION}/{NAME}"
CONTENT, BETTER = b"the lab's bytes", b"a better version"
HOUR, DAY = 3600, 86400


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.lab = replace(made.lab, incumbent=True)
        yield made


@pytest.fixture
def other(box: World) -> Iterator[Client]:
    with other_client(box) as client:
        yield client


@pytest.fixture
def file(box: World) -> Path:
    return box.write(box.session(), NAME, CONTENT)


class Watched:
    """The catalogue, remembering every json it was asked to write, with the state of the store at that moment."""

    def __init__(self, box: World, behind: Any) -> None:
        self._box = box
        self._behind = behind
        self.written: list[Any] = []
        self.locked_over_a_copy = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def announce(self, record: Any, exists: bool, json: Any = ...) -> Any:
        if json is not ...:
            self.written.append(json)
            if PENDING in (json or {}):
                self.locked_over_a_copy += self._box.stored(FILE).exists()
        return self._behind.announce(record, exists, json=json)


def watched(box: World) -> tuple[Runner, Watched]:
    catalog = Watched(box, box.new_catalog())
    return box.runner(catalog=catalog), catalog


def registered(box: World, runner: Runner) -> None:
    box.see(runner, box.lab.root / SESSION)
    assert runner.advance_session()
    runner.plan()


def locked(box: World, runner: Runner) -> None:
    """Stop after the lock is set: the store refuses the bytes."""
    from tests.scripted import Faulty
    from transfer.errors import StoreRefused
    from transfer.transports.local import LocalTransport

    def faulty() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script("put", StoreRefused("the store is moody", to=NAME))
        return transport

    box.open_store = faulty
    registered(box, runner)
    assert runner.advance_batch()
    box.open_store = None


def json(box: World) -> Any:
    return box.record(FILE)["json"]


def test_the_lock_is_merged_beside_what_is_there_and_taken_back_at_the_end(
    box: World, file: Path, other: Client
) -> None:
    runner, catalog = watched(box)
    registered(box, runner)
    other.patch("files", box.record(FILE)["id"], json={"note": "by a person"})
    uuid, _ = runner.ledger.identity()
    box.settle(runner)
    assert catalog.written == [
        {"note": "by a person", PENDING: True, OURS: {"by": str(uuid)}},
        {"note": "by a person"},
    ]
    assert json(box) == {"note": "by a person"}
    assert box.record(FILE)["exists"]


def test_no_lock_is_set_while_a_copy_stands_at_the_final_name(box: World, file: Path) -> None:
    """The crons would announce the old bytes."""
    runner, catalog = watched(box)
    registered(box, runner)
    box.settle(runner)
    assert len(catalog.written) == 2
    file.write_bytes(BETTER)
    registered(box, runner)
    box.settle(runner)
    assert box.stored(FILE).read_bytes() == BETTER
    assert len(catalog.written) == 2
    assert catalog.locked_over_a_copy == 0


def test_the_lock_is_taken_back_when_the_item_is_held(box: World, file: Path) -> None:
    runner, _ = watched(box)
    locked(box, runner)
    assert json(box)[PENDING]
    file.unlink()
    for _ in range(3):
        box.clock.advance(HOUR)
        box.settle(runner)
    assert box.facts() == {NAME: "source-vanished"}
    assert json(box) is None


def test_the_lock_is_taken_back_when_the_item_is_abandoned(box: World, file: Path) -> None:
    runner, catalog = watched(box)
    locked(box, runner)
    (row,) = box.rows("SELECT id FROM datasets")
    abandon(runner.ledger, catalog, [box.lab], [row.id], why="not needed")
    assert box.ends() == [(NAME, "abandoned")]
    assert json(box) is None


def test_the_lock_is_gone_when_a_newer_version_replaced_the_item(box: World, file: Path) -> None:
    """Registering the new hash clears it in Alyx, and the newer item sets and clears its own."""
    runner, _ = watched(box)
    locked(box, runner)
    file.write_bytes(BETTER)
    box.see(runner, box.lab.root / SESSION)
    assert runner.advance_session()
    assert box.ends() == [(NAME, "superseded")]
    assert json(box) is None
    box.settle(runner)
    assert json(box) is None
    assert box.record(FILE)["exists"]


def test_the_lock_is_taken_back_when_another_tool_announced_the_copy_meanwhile(
    box: World, file: Path, other: Client
) -> None:
    runner, _ = watched(box)
    locked(box, runner)
    box.stored(FILE).parent.mkdir(parents=True, exist_ok=True)
    box.stored(FILE).write_bytes(CONTENT)
    other.patch("files", box.record(FILE)["id"], exists=True)
    assert json(box)[PENDING]
    box.clock.advance(HOUR)
    box.settle(runner)
    assert box.ends() == [(NAME, "recorded")]
    assert json(box) is None


def test_what_another_tool_is_moving_is_left_alone(box: World, file: Path, other: Client) -> None:
    """Nothing is sent and nobody is bothered; when the flag goes, the file goes."""
    runner, catalog = watched(box)
    registered(box, runner)
    flag(box, other)
    for _ in range(12):
        box.clock.advance(HOUR + 60)
        box.settle(runner)
    assert box.stored_files() == []
    assert box.facts() == {NAME: "planned"}
    assert catalog.written == []
    assert json(box) == {PENDING: True}

    other.patch("files", box.record(FILE)["id"], json=None)
    box.clock.advance(2 * HOUR)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def flag(box: World, other: Client) -> None:
    """Another tool's flag, set by the world's clock."""
    other.patch("files", box.record(FILE)["id"], json={PENDING: True})
    moved(box, box.clock.now)


def moved(box: World, at: datetime) -> None:
    """The dataset last moved at this moment, as Alyx writes it."""
    store = box.alyx._store
    row = store.tables["datasets"][box.dataset(FILE)["id"]]
    store.save("datasets", row | {"auto_datetime": at.astimezone(UTC).replace(tzinfo=None).isoformat()})


def test_a_flag_that_has_not_moved_for_a_week_is_taken_over(box: World, file: Path, other: Client) -> None:
    runner, _ = watched(box)
    registered(box, runner)
    flag(box, other)
    moved(box, box.clock.now - timedelta(days=7, hours=13))  # some zone's clock might say less than 7 days
    box.settle(runner)
    assert box.stored_files() == []
    box.clock.advance(2 * HOUR)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert json(box) is None


def test_in_a_lab_of_other_tools_what_they_move_is_looked_at_again_later(
    box: World, file: Path, other: Client
) -> None:
    """The list does not change while they move it, so no scan would ring again."""
    box.lab = replace(box.lab, work="alyx")
    assert other.register(SESSION, {NAME: CONTENT}).status_code == 201
    flag(box, other)
    runner, _ = watched(box)
    box.see(runner, box.lab.root / SESSION)
    box.settle(runner)
    assert box.rows("SELECT * FROM items") == []
    other.patch("files", box.record(FILE)["id"], json=None)
    box.clock.advance(HOUR)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_local_missing_is_never_written(box: World, file: Path) -> None:
    """A clean-up of theirs deletes such datasets."""
    runner, catalog = watched(box)
    locked(box, runner)
    file.unlink()
    for _ in range(3):
        box.clock.advance(HOUR)
        box.settle(runner)
    assert catalog.written
    assert all("local_missing" not in (one or {}) for one in catalog.written)


def test_a_lab_without_an_incumbent_gets_no_json_from_us(box: World, file: Path, other: Client) -> None:
    box.lab = replace(box.lab, incumbent=False)
    runner, catalog = watched(box)
    registered(box, runner)
    other.patch("files", box.record(FILE)["id"], json={"note": 1, PENDING: True})
    box.settle(runner)
    file.write_bytes(BETTER)
    registered(box, runner)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert catalog.written == []
    assert all(record["json"] is None for record in box.alyx.file_records(STORE))  # a new hash cleared it
