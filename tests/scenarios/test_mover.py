"""The journey through a mover that is only asked: one look at a time, never a lie, never two tasks for one document."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from tests.mover import FolderMover, Service
from tests.stage import Died
from tests.world import STORE, World, world
from transfer.errors import ArrivedDamaged, MoverOffline, MoverPaused
from transfer.ledger import actions, endpoints, submissions
from transfer.ledger.finding import Target
from transfer.model import STAGING
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.status import Status
from transfer.transports.delegated import Standing
from transfer.transports.local import LocalTransport

SESSION = "KS023/2019-12-10/001"
NAMES = [f"alf/probe{number:02d}/spikes.times.npy" for number in range(8)]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def service(box: World) -> Service:
    return Service(lab=box.lab.root, store=box.store)


def worker(box: World, service: Service, **changes: object) -> Runner:
    return box.runner(
        open_transport=lambda _store: FolderMover(service), transports={STORE: "globus"}, **changes
    )


def begin(box: World, runner: Runner, names: list[str] = NAMES) -> int:
    """A session of small files, registered and planned."""
    session = box.session()
    for name in names:
        box.write(session, name, name.encode() * 10)
    number = box.see(runner, session)
    assert runner.advance_session()
    runner.plan()
    return number


def look(box: World, runner: Runner, times: int = 40) -> None:
    """Let the workers look until nothing is open, with time passing and the mover working in between."""
    for _ in range(times):
        while runner.work():
            pass
        if not box.facts() or set(box.facts().values()) - set(Status):
            return
        box.clock.advance(31)


def all_arrived(box: World, names: list[str] = NAMES) -> None:
    for name in names:
        path = f"{SESSION}/{name}"
        assert box.stored(path).read_bytes() == (box.lab.root / path).read_bytes()
        assert box.record(path)["exists"]
    assert box.lies() == []


def test_files_arrive_by_a_task_and_are_renamed_from_staging(box: World, service: Service) -> None:
    """Submit, look, look, rename, announce; nothing is announced or under a final name while the task works."""
    runner = worker(box, service)
    begin(box, runner)

    assert runner.advance_batch()
    assert len(service.tasks) == 1
    assert not runner.advance_batch(), "nobody waits for the mover"
    box.clock.advance(31)
    assert runner.advance_batch()
    assert box.stored_files() == []
    (note,) = box.rows("SELECT note FROM batches")
    assert note.note == "VERIFY_CHECKSUM"

    service.work()
    box.clock.advance(31)
    assert runner.advance_batch()

    all_arrived(box)
    assert box.facts() == {}
    assert {row.proof for row in box.rows("SELECT proof FROM receipts")} == {"mover"}


def test_the_document_is_frozen_with_its_key_before_it_is_sent(box: World, service: Service) -> None:
    runner = worker(box, service)
    begin(box, runner)
    service.stop = dying_at("submitting")
    with pytest.raises(Died):
        runner.advance_batch()
    (row,) = box.rows("SELECT submission_key, document, task FROM batches")
    assert row.submission_key
    assert row.submission_key in row.document
    assert row.task is None
    assert service.tasks == {}


@pytest.mark.parametrize("moment", ["submitting", "submitted"])
def test_a_death_around_the_submit_makes_no_second_task(box: World, service: Service, moment: str) -> None:
    """The next worker sends the same document under the same key."""
    first = worker(box, service)
    begin(box, first)
    service.stop = dying_at(moment)
    with pytest.raises(Died):
        first.advance_batch()
    service.stop = lambda _name: None
    box.clock.advance(61)

    second = worker(box, service)
    second.advance_batch()
    assert len(service.tasks) == 1
    assert len({str(task.document) for task in service.tasks.values()}) == 1
    service.work()
    look(box, second)
    all_arrived(box)
    assert sum(service.submits.values()) == (1 if moment == "submitting" else 2)


@pytest.mark.parametrize("moment", ["renaming", "renamed"])
@pytest.mark.parametrize("nth", [1, 4, 8])
def test_a_death_around_a_rename_loses_and_repeats_nothing(
    box: World, service: Service, moment: str, nth: int
) -> None:
    first = worker(box, service)
    begin(box, first)
    first.advance_batch()
    service.work()
    box.clock.advance(31)
    service.stop = dying_at(moment, nth)
    with pytest.raises(Died):
        first.advance_batch()
    service.stop = lambda _name: None
    assert box.lies() == []
    box.clock.advance(61)

    second = worker(box, service)
    look(box, second)
    all_arrived(box)
    assert sum(service.submits.values()) == 1, "what was renamed already is recognised, not sent again"


@pytest.mark.parametrize("says_why", [True, False])
def test_a_poisoned_file_is_found_and_the_others_go_on(box: World, service: Service, says_why: bool) -> None:
    """One file that never arrives is held in the end; the seven others are recorded."""
    service.says_why = says_why
    poison = f"{SESSION}/{NAMES[5]}"
    service.poisoned = {poison}
    runner = worker(box, service)
    begin(box, runner)
    for _ in range(40):
        while runner.work():
            service.work()
        box.clock.advance(7201)
        if list(box.facts().values()) == ["mover-refused"]:
            break
    assert list(box.facts()) == [NAMES[5]]
    all_arrived(box, [name for name in NAMES if name != NAMES[5]])
    tries = {
        row.path: row.tries
        for row in box.rows(
            "SELECT datasets.path, items.tries FROM items JOIN copies ON copies.id = items.copy "
            "JOIN datasets ON datasets.id = copies.dataset"
        )
    }
    assert all(count == 0 for path, count in tries.items() if path != NAMES[5]), "the others paid nothing"


def test_a_source_that_changed_after_it_was_asked_for_goes_back_and_does_not_poison_its_batch(
    box: World, service: Service
) -> None:
    """The wrong external checksum fails the task; the sources are hashed again before anything is halved."""
    runner = worker(box, service)
    begin(box, runner)
    runner.advance_batch()
    changed = box.lab.root / SESSION / NAMES[2]
    changed.write_bytes(b"other bytes")
    service.work()
    for _ in range(30):
        box.clock.advance(700)
        while runner.work():
            service.work()
    all_arrived(box)
    assert box.facts() == {}
    assert len(box.rows("SELECT id FROM batches")) <= 3
    assert not box.rows("SELECT id FROM events WHERE what = 'split'")


def test_a_task_that_is_gone_is_asked_for_anew_in_a_folder_of_its_own(box: World, service: Service) -> None:
    runner = worker(box, service)
    begin(box, runner)
    runner.advance_batch()
    (key,) = service.tasks
    service.forget()
    look_at(box, runner, service)
    all_arrived(box)
    (second,) = service.tasks
    assert second != key
    # the lost task may still write: its folder is left alone until a day after its deadline
    assert key not in submissions.to_clean(runner.ledger, STORE)
    box.clock.advance(timedelta(hours=49).total_seconds())
    assert key in submissions.to_clean(runner.ledger, STORE)


def test_an_endpoint_that_is_away_costs_no_tries(box: World, service: Service) -> None:
    service.error = MoverOffline("the lab's machine is not connected", to="collection lab")
    service.poisoned = {f"{SESSION}/{name}" for name in NAMES}
    runner = worker(box, service)
    begin(box, runner)
    for _ in range(12):
        while runner.work():
            service.work()
        box.clock.advance(7201)
    assert {row.tries for row in box.rows("SELECT tries FROM items")} == {0}
    state = endpoints.state(runner.ledger, STORE)
    assert state is not None
    assert state.retry_at is not None
    service.error, service.poisoned = None, set()
    for _ in range(6):
        box.clock.advance(9001)
        while runner.work():
            service.work()
    all_arrived(box)


def test_a_submit_that_fails_keeps_the_document(box: World, service: Service) -> None:
    """A paused collection: the same words are said again later."""
    runner = worker(box, service)
    begin(box, runner)

    def paused(name: str) -> None:
        if name == "submitting":
            raise MoverPaused("the collection is paused", to="collection store")

    service.stop = paused
    runner.advance_batch()
    (before,) = box.rows("SELECT submission_key FROM batches")
    service.stop = lambda _name: None
    look_at(box, runner, service)
    all_arrived(box)
    assert list(service.submits) == [before.submission_key]


def test_no_more_is_asked_than_the_mover_takes(box: World, service: Service) -> None:
    """Three submissions may be pending; the others wait without a failure."""
    from transfer.planning import Limits

    runner = worker(box, service, limits=Limits(files=1))
    begin(box, runner)
    while runner.work():
        pass
    assert len(service.tasks) == 3
    look_at(box, runner, service)
    all_arrived(box)
    assert {row.tries for row in box.rows("SELECT tries FROM items")} == {0}


def test_small_files_never_wait_behind_large_ones(box: World, service: Service) -> None:
    """Of three tasks that the mover works on at a time at most two are of large files."""
    from transfer.planning import Limits

    runner = worker(box, service, limits=Limits(files=1))
    session = box.session()
    for number, name in enumerate(NAMES[:4]):
        box.write(session, name, b"%d" % number * (2000 if number < 3 else 10))
    box.see(runner, session)
    while runner.work():
        pass
    sizes = [(box.lab.root / task.document["pieces"][0][0]).stat().st_size for task in service.tasks.values()]
    assert sorted(sizes) == [10, 2000, 2000]
    look_at(box, runner, service)
    all_arrived(box, NAMES[:4])


def test_a_named_file_that_changed_unseen_is_registered_again(box: World, service: Service) -> None:
    """Same size and time, other bytes: the mover says damaged, the lab's file says why."""
    runner = worker(box, service)
    begin(box, runner)
    runner.advance_batch()
    changed = box.lab.root / SESSION / NAMES[2]
    before = changed.stat()
    changed.write_bytes(bytes(before.st_size))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    service.says_why = True
    service.poisoned = {f"{SESSION}/{NAMES[2]}"}
    service.reason = ArrivedDamaged("the checksum differs", to=NAMES[2])
    service.work()
    box.clock.advance(31)
    runner.advance_batch()
    assert box.facts() == {NAMES[2]: "discovered"}
    service.poisoned = set()
    box.see(runner, box.lab.root / SESSION)
    look_at(box, runner, service)
    all_arrived(box)


def test_a_newer_version_takes_the_place_of_an_old_copy_that_is_first_withdrawn(
    box: World, service: Service
) -> None:
    """Where a rename does not replace, nothing is announced while the final name is empty."""
    runner = worker(box, service)
    begin(box, runner)
    look_at(box, runner, service)
    all_arrived(box)

    changed = box.lab.root / SESSION / NAMES[0]
    changed.write_bytes(b"a newer version")
    seen: list[list[str]] = []
    service.stop = lambda _name: seen.append(box.lies())
    box.see(runner, box.lab.root / SESSION)
    look_at(box, runner, service)

    all_arrived(box)
    assert "set-aside" not in seen
    assert seen
    assert not any(seen)


def test_an_announcement_made_meanwhile_is_withdrawn_before_the_old_copy_is_moved_aside(
    box: World, service: Service
) -> None:
    """Another tool announces the file between our look and our rename; it never points at nothing."""
    runner = worker(box, service)
    begin(box, runner, NAMES[:1])
    look_at(box, runner, service)
    path = f"{SESSION}/{NAMES[0]}"
    (box.lab.root / path).write_bytes(b"a newer version")
    announced: list[bool] = []

    def other_tool(name: str) -> None:
        if name == "renaming" and not announced:
            box.new_catalog().announce(UUID(box.record(path)["id"]), True)
        if name in ("setting-aside", "set-aside"):
            announced.append(box.record(path)["exists"])

    service.stop = other_tool
    box.see(runner, box.lab.root / SESSION)
    look_at(box, runner, service)

    assert announced == [False, False]
    all_arrived(box, NAMES[:1])


def test_a_late_worker_cannot_publish_an_older_staged_copy(box: World, service: Service) -> None:
    """The fence: it renames nothing, because the staged copy of the old version was moved away."""
    slow = worker(box, service)
    begin(box, slow, NAMES[:1])
    slow.advance_batch()
    service.work()
    box.clock.advance(31)
    service.stop = dying_at("renaming")  # stands for a worker that is paused right here
    with pytest.raises(Died):
        slow.advance_batch()
    service.stop = lambda _name: None
    old = [path for path in box.stored_files() if STAGING.name in path.parts]
    assert len(old) == 1

    path = f"{SESSION}/{NAMES[0]}"
    (box.lab.root / path).write_bytes(b"the newer version")
    box.clock.advance(61)
    fast = worker(box, service)
    box.see(fast, box.lab.root / SESSION)
    assert fast.advance_session()
    look_at(box, fast, service)
    assert box.stored(path).read_bytes() == b"the newer version"

    # the paused worker goes on with its rename
    with suppress(FileNotFoundError):
        os.rename(old[0], box.stored(path))
    assert box.stored(path).read_bytes() == b"the newer version"
    assert box.lies() == []


def test_a_cancelled_batch_has_its_task_stopped_and_can_be_released(box: World, service: Service) -> None:
    runner = worker(box, service)
    number = begin(box, runner)
    runner.advance_batch()
    (task,) = service.tasks.values()
    actions.cancel(runner.ledger, Target(kind="session", name=SESSION, id=number))
    box.clock.advance(31)
    assert runner.advance_batch()
    assert task.standing is Standing.FAILED
    assert not runner.advance_batch()
    assert not [row for row in box.rows("SELECT submission_key FROM batches") if row.submission_key]

    actions.release(runner.ledger, Target(kind="session", name=SESSION, id=number))
    look_at(box, runner, service)
    all_arrived(box)
    assert len(service.tasks) == 2


def test_a_batch_of_abandoned_files_leaves_no_task_behind(box: World, service: Service) -> None:
    runner = worker(box, service)
    number = begin(box, runner)
    runner.advance_batch()
    (task,) = service.tasks.values()
    with runner.ledger.unguarded() as tx:
        from transfer.ledger.guarded import Move

        tx.move(
            [
                Move(item=item, became=Status.ABANDONED)
                for item in runner.ledger.session_items(number, *Status)
            ]
        )
    runner.ledger.close_empty_batches()
    box.clock.advance(31)
    assert runner.advance_batch()
    assert task.standing is Standing.FAILED
    assert submissions.outstanding(runner.ledger, STORE) == 0


def test_what_another_road_shows_to_stand_there_is_adopted(box: World, service: Service) -> None:
    """Zero bytes are asked for when the store can be read by HTTP and holds the right bytes."""
    runner = worker(box, service, open_reader=lambda _store: LocalTransport(box.store, connections=1))
    begin(box, runner)
    for name in NAMES:
        place = box.stored(f"{SESSION}/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name.encode() * 10)
    look_at(box, runner, service)
    all_arrived(box)
    assert service.submits.total() == 0


def test_staging_folders_are_cleaned_when_nothing_in_them_is_needed(box: World, service: Service) -> None:
    runner = worker(box, service)
    begin(box, runner)
    runner.advance_batch()
    rounds = Rounds(runner=runner, version="test")
    service.work()
    assert rounds.tidy(STORE) == "0 staging folders removed"
    look_at(box, runner, service)
    assert rounds.tidy(STORE) == "1 staging folders removed"
    assert rounds.tidy(STORE) == "0 staging folders removed"
    assert not [path for path in (box.store / STAGING).rglob("*") if path.is_file()]


# ---- what the tests share


def dying_at(moment: str, nth: int = 1) -> Callable[[str], None]:
    """A worker that dies at the `nth` such moment."""
    left = [nth]

    def stop(name: str) -> None:
        if name == moment:
            left[0] -= 1
            if left[0] == 0:
                raise Died

    return stop


def look_at(box: World, runner: Runner, service: Service) -> None:
    """Work, with the mover working and time passing, until nothing is open."""
    for _ in range(60):
        while runner.work():
            service.work()
        if not box.facts():
            return
        box.clock.advance(61)
    raise AssertionError(box.facts())
