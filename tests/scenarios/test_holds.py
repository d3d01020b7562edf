"""What waits for a person: never before its central record was read, and never over a wrong announcement."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client, other_client
from tests.scripted import Faulty
from tests.world import LAB_SERVER, STORE, World, md5, world
from transfer.abandonment import abandon
from transfer.errors import (
    CatalogUnreachable,
    LoginRefused,
    PathTooLong,
    SourceUnreadable,
    StoreDenied,
    StoreFull,
    StoreRefused,
    TransferError,
)
from transfer.ledger import actions, endpoints
from transfer.runner import Runner
from transfer.transports.local import LocalTransport

NAME, OTHER = "alf/spikes.times.npy", "alf/spikes.amps.npy"
SESSION = "KS023/2019-12-10/001"
FILE = f"{SESSION}/{NAME}"
CONTENT, BETTER = b"the lab's bytes", b"a better version"
HOUR = 3600


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def other(box: World) -> Iterator[Client]:
    with other_client(box) as client:
        yield client


class Log:
    """The catalogue, writing down in which order records were read and patched and items were held."""

    def __init__(self, box: World, behind: Any) -> None:
        self._box = box
        self._behind = behind
        self.lines: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._behind, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            held = sum(row.hold is not None for row in self._box.rows("SELECT hold FROM items"))
            self.lines.append(f"{name} with {held} held")
            return call(*args, **kwargs)

        return noted


def prepared(box: World, *names: str) -> tuple[Runner, Log]:
    """Files that are planned, and a catalogue whose calls are logged."""
    session = box.session()
    for name in names or (NAME,):
        box.write(session, name, CONTENT)
    catalog = Log(box, box.new_catalog())
    runner = box.runner(catalog=catalog)
    box.see(runner, session)
    runner.advance_session()
    runner.plan()
    catalog.lines.clear()
    return runner, catalog


def store_that_fails(
    box: World, fault: TransferError | Callable[[object], TransferError | None], *, operation: Any = "put"
) -> Callable[[], Faulty]:
    """A store that fails each connection's requests."""

    def opened() -> Faulty:
        transport = Faulty(LocalTransport(box.store, connections=1))
        transport.script(operation, fault, times=100)
        return transport

    return opened


def refusals(error: type[TransferError]) -> TransferError:
    return error("as scripted", to=NAME)


# ---- rule 6


def test_an_item_is_held_only_after_its_central_record_was_read(box: World) -> None:
    runner, catalog = prepared(box)
    box.open_store = store_that_fails(box, refusals(PathTooLong))
    assert runner.advance_batch()
    assert box.facts() == {NAME: "path-too-long"}
    assert catalog.lines[-1] == "datasets with 0 held"
    assert catalog.lines.count("datasets with 0 held") >= 2  # before sending, and before holding


def test_a_wrong_announcement_is_withdrawn_before_the_item_is_held(box: World, other: Client) -> None:
    """Another tool announced it while the bytes failed to arrive."""
    runner, catalog = prepared(box)
    record = box.record(FILE)["id"]

    def announce(_subject: object) -> TransferError:
        other.patch("files", record, exists=True)
        return refusals(PathTooLong)

    box.open_store = store_that_fails(box, announce)
    assert runner.advance_batch()
    assert box.facts() == {NAME: "path-too-long"}
    assert box.lies() == []
    assert catalog.lines[-2:] == ["datasets with 0 held", "announce with 0 held"]


def test_a_right_announcement_of_the_standing_copy_stays(box: World, other: Client) -> None:
    """The older version is what Alyx names, and it stands proved at the store."""
    runner, _ = prepared(box)
    box.settle(runner)
    (box.lab.root / FILE).write_bytes(BETTER)
    box.see(runner, box.lab.root / SESSION)
    runner.advance_session()
    runner.plan()
    box.open_store = store_that_fails(box, refusals(PathTooLong))
    # a person puts the old version back in Alyx, whose copy stands
    dataset = box.dataset(FILE)["id"]

    def back(_subject: object) -> TransferError:
        other.patch("datasets", dataset, hash=md5(CONTENT), file_size=len(CONTENT))
        other.patch("files", box.record(FILE)["id"], exists=True)
        return refusals(PathTooLong)

    box.open_store = store_that_fails(box, back)
    runner.advance_batch()
    assert box.facts() == {NAME: "path-too-long"}
    assert box.record(FILE)["exists"]
    assert box.lies() == []


def test_what_others_announced_and_we_never_looked_at_is_left_alone(box: World, other: Client) -> None:
    """A good copy that another tool brought stays announced when our file is held before we saw the store."""
    runner, _ = prepared(box)
    copy = box.stored(FILE)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(CONTENT)
    other.patch("files", box.record(FILE)["id"], exists=True)
    (box.lab.root / FILE).unlink()
    box.see(runner, box.lab.root / SESSION)
    assert runner.advance_session()
    assert box.facts() == {NAME: "source-vanished"}
    assert box.record(FILE)["exists"]


def test_a_copy_that_cannot_be_read_just_now_is_not_withdrawn(box: World, other: Client) -> None:
    """A failed look proves nothing: what another tool announced stays until the stored bytes were read."""
    runner, _ = prepared(box)
    copy = box.stored(FILE)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(CONTENT)
    other.patch("files", box.record(FILE)["id"], exists=True)

    def denied() -> Faulty:
        store = Faulty(LocalTransport(box.store, connections=1))
        store.script("get", StoreDenied("the store denied it", to=NAME))
        return store

    box.open_store = denied
    runner.advance_batch()
    assert box.record(FILE)["exists"]
    assert not [path for path in box.stored_files() if path != copy]


def test_what_cannot_be_read_is_not_held_yet(box: World) -> None:
    """Alyx is away when the item would be held: it waits, and is held once Alyx has answered."""
    runner, catalog = prepared(box)
    behind = catalog._behind
    away: list[bool] = []

    class Away(Log):
        def datasets(self, ids: Any) -> Any:
            if away:
                raise CatalogUnreachable("away", to="alyx")
            return behind.datasets(ids)

    def gone(_subject: object) -> TransferError:
        away.append(True)
        return refusals(PathTooLong)

    runner = box.runner(catalog=Away(box, behind))
    box.open_store = store_that_fails(box, gone)
    assert runner.advance_batch()
    assert box.facts() == {NAME: "planned"}

    away.clear()
    box.open_store = store_that_fails(box, refusals(PathTooLong))
    box.clock.advance(3 * HOUR)
    box.settle(runner)
    assert box.facts() == {NAME: "path-too-long"}


def test_an_item_is_abandoned_only_after_a_wrong_announcement_was_withdrawn(
    box: World, other: Client
) -> None:
    runner, catalog = prepared(box)
    box.open_store = store_that_fails(box, refusals(PathTooLong))
    runner.advance_batch()
    other.patch("files", box.record(FILE)["id"], exists=True)
    (row,) = box.rows("SELECT id FROM datasets")
    abandon(runner.ledger, catalog, [box.lab], [row.id], why="not needed")
    assert box.ends() == [(NAME, "abandoned")]
    assert box.lies() == []


# ---- whom a failure concerns


def test_one_held_file_stops_no_other(box: World) -> None:
    runner, _ = prepared(box, NAME, OTHER)

    def one(subject: object) -> TransferError | None:
        return refusals(SourceUnreadable) if "times" in str(subject) else None

    box.open_store = store_that_fails(box, one)
    runner.advance_batch()
    assert box.facts() == {NAME: "source-unreadable"}
    assert box.ends() == [(OTHER, "recorded")]


def test_a_file_that_fails_again_and_again_is_held_after_its_tries(box: World) -> None:
    """With growing waits, and with the last reason."""
    runner, _ = prepared(box)
    box.open_store = store_that_fails(box, refusals(StoreRefused))
    tries = 0
    for _ in range(20):
        tries += runner.work()
        if box.facts()[NAME] == "store-refused":
            break
        assert not runner.work()  # not at once
        box.clock.advance(3 * HOUR)
    assert tries == 8
    assert box.facts() == {NAME: "store-refused"}
    assert "gave up after 8 tries" in box.reason(NAME)


def test_a_full_store_is_never_given_up(box: World) -> None:
    """It concerns the endpoint: everything waits, nothing is held, and it goes on by itself."""
    runner, _ = prepared(box)
    box.open_store = store_that_fails(box, refusals(StoreFull))
    for _ in range(15):
        box.settle(runner)
        box.clock.advance(3 * HOUR)
    assert box.facts() == {NAME: "planned"}
    box.open_store = None
    box.settle(runner)
    assert box.record(FILE)["exists"]


def test_a_refused_login_pauses_the_store_and_holds_no_file(box: World) -> None:
    """A person resumes it; then everything goes on."""
    runner, _ = prepared(box, NAME, OTHER)

    box.open_store = store_that_fails(box, refusals(LoginRefused), operation="connect")
    box.settle(runner)
    state = endpoints.state(runner.ledger, STORE)
    assert state is not None
    assert "Install the public key" in str(state.pause_reason)
    assert set(box.facts().values()) == {"planned"}
    box.clock.advance(24 * HOUR)
    assert not runner.work()

    box.open_store = None
    endpoints.resume(runner.ledger, STORE)
    box.settle(runner)
    assert box.facts() == {}


# ---- release


def test_releasing_a_hold_skips_no_proof(box: World) -> None:
    """The item goes on from the fact it stood at."""
    runner, _ = prepared(box)
    box.open_store = store_that_fails(box, refusals(PathTooLong))
    runner.advance_batch()
    box.open_store = None
    (box.lab.root / FILE).write_bytes(BETTER)
    actions.release_all(runner.ledger)
    for _ in range(3):
        box.settle(runner)
        box.clock.advance(61)
    assert box.stored(FILE).read_bytes() == BETTER
    assert box.dataset(FILE)["hash"] == md5(BETTER)
    assert box.lies() == []
    assert box.record(FILE, LAB_SERVER)["exists"]


def test_a_defect_of_ours_is_held_with_its_name(box: World) -> None:
    """It is no loop: a person sees it, and reads that it is ours."""
    runner, _ = prepared(box)

    def broken(_subject: object) -> TransferError:
        raise ZeroDivisionError("division by zero")

    box.open_store = store_that_fails(box, broken)
    box.settle(runner)
    assert box.facts() == {NAME: "unexpected"}
    assert "ZeroDivisionError" in box.reason(NAME)
    assert "report it" in box.reason(NAME)
