"""The doubled dataset: two registrations at once leave two rows, and then every registration of the file fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.client import Client, other_client
from tests.world import LAB, LAB_SERVER, STORE, World, md5, world
from transfer.runner import Runner

SESSION = "KS023/2019-12-10/001"
NAME = "alf/spikes.times.npy"
FILE = f"{SESSION}/{NAME}"
OURS = b"the lab's bytes"
MINUTE = 60


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def other(box: World) -> Iterator[Client]:
    with other_client(box) as client:
        yield client


def double(box: World, other: Client, **more: object) -> None:
    """Two other tools register the file in the same moment."""
    with box.alyx.hazards.pause("POST", "/register-file", times=2) as pause, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(other.register, SESSION, {NAME: OURS}, **more) for _ in range(2)]
        pause.wait_reached(2)
        pause.release()
        codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [201, 400]
    assert len(box.alyx.datasets()) == 2


def look(box: World, runner: Runner, *, later: float) -> None:
    box.clock.advance(later)
    box.settle(runner)


def deletions(box: World) -> int:
    return box.alyx.requests.count("DELETE", "/datasets/<id>")


def surplus(box: World) -> dict[str, Any]:
    """The row that no file record points at."""
    used = {record["dataset"] for record in box.alyx.file_records()}
    (found,) = [row for row in box.alyx.datasets() if row["id"] not in used]
    return found


def started(box: World) -> Runner:
    session = box.session()
    box.write(session, NAME, OURS)
    runner = box.runner()
    box.see(runner, session)
    return runner


def test_the_surplus_row_is_deleted_after_ten_minutes_and_the_file_goes_on(box: World, other: Client) -> None:
    """Only the row without file records; the one that stays is adopted as it is."""
    runner = started(box)
    double(box, other, qc=["PASS"])
    empty = surplus(box)["id"]
    box.settle(runner)
    assert box.facts() == {NAME: "discovered"}  # nothing is wrong with it yet: time helps
    look(box, runner, later=9 * MINUTE)
    assert deletions(box) == 0

    look(box, runner, later=2 * MINUTE)
    look(box, runner, later=10 * MINUTE)
    assert deletions(box) == 1
    (left,) = box.alyx.datasets()
    assert left["id"] != empty
    assert (left["hash"], left["qc"]) == (md5(OURS), "PASS")
    assert box.record(FILE)["exists"]


def test_after_the_repair_a_new_version_is_registered_with_its_qc(box: World, other: Client) -> None:
    """The lab's file changed: the row that stays, not the deleted one, says which qc to carry."""
    runner = started(box)
    with box.alyx.hazards.pause("POST", "/register-file", times=2) as pause, ThreadPoolExecutor(2) as pool:
        ours = pool.submit(runner.advance_session)
        pause.wait_reached(1)
        theirs = pool.submit(other.register, SESSION, {NAME: OURS})
        pause.wait_reached(2)
        pause.release()
        assert ours.result()
        theirs.result()
    kept = next(row for row in box.alyx.datasets() if row["id"] != surplus(box)["id"])
    other.patch("datasets", kept["id"], qc="WARNING")
    for _ in range(3):
        look(box, runner, later=11 * MINUTE)

    (box.lab.root / FILE).write_bytes(b"a better version")
    box.see(runner, box.lab.root / SESSION)
    for _ in range(3):
        look(box, runner, later=11 * MINUTE)
    (left,) = box.alyx.datasets()
    assert (left["id"], left["hash"], left["qc"]) == (kept["id"], md5(b"a better version"), "WARNING")
    assert box.record(FILE)["exists"]
    assert box.lies() == []


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_double_that_our_own_registration_took_part_in_is_repaired_too(
    box: World, other: Client, first: str
) -> None:
    """Whoever of the two is refused: the file arrives, and one row is left."""
    runner = started(box)

    def register() -> None:
        other.register(SESSION, {NAME: OURS})

    racers = [runner.advance_session, register] if first == "ours" else [register, runner.advance_session]
    with box.alyx.hazards.pause("POST", "/register-file", times=2) as pause:
        running = []
        for number, racer in enumerate(racers, start=1):
            running.append(threading.Thread(target=racer))
            running[-1].start()
            pause.wait_reached(number)
        pause.release()
        for thread in running:
            thread.join()
    assert len(box.alyx.datasets()) == 2

    for _ in range(3):
        box.see(runner, box.lab.root / SESSION)
        look(box, runner, later=11 * MINUTE)
    assert box.record(FILE)["exists"]
    assert "alyx-refused" not in box.facts().values()


def test_a_row_somebody_tagged_meanwhile_is_not_deleted(box: World, other: Client) -> None:
    """The second look: nothing may hang on the row.  With a tag on it a person must choose."""
    runner = started(box)
    double(box, other)
    box.settle(runner)
    box.alyx.add_tag("figure")
    other.patch("datasets", surplus(box)["id"], tags=["figure"])
    look(box, runner, later=11 * MINUTE)
    assert deletions(box) == 0
    assert box.facts() == {NAME: "dataset-doubled"}
    assert "Delete the surplus dataset row in Alyx" in box.reason(NAME)
    assert len(box.alyx.datasets()) == 2


def test_a_row_that_gets_a_record_between_the_looks_is_not_deleted(box: World, other: Client) -> None:
    runner = started(box)
    double(box, other)
    box.settle(runner)
    empty = surplus(box)["id"]
    behind = runner.catalog
    looks = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(behind, name)

        def datasets_of_session(self, eid: Any) -> Any:
            found = behind.datasets_of_session(eid)
            looks.append(len(found))
            if len(looks) == 2:  # after the first of the repair's looks
                body = {
                    "dataset": f"{box.alyx.url}/datasets/{empty}",
                    "data_repository": LAB_SERVER,
                    "relative_path": f"{SESSION}/x/{NAME}",
                    "exists": False,
                }
                assert other.http.post("/files", json=body).status_code == 201
            return found

    runner.catalog = Watched()
    look(box, runner, later=11 * MINUTE)
    assert len(looks) >= 3
    assert deletions(box) == 0
    assert empty in {row["id"] for row in box.alyx.datasets()}


def test_two_rows_with_records_are_a_persons_case(box: World, other: Client) -> None:
    """We cannot know which of them is the file."""
    runner = started(box)
    double(box, other)
    body = {
        "dataset": f"{box.alyx.url}/datasets/{surplus(box)['id']}",
        "data_repository": STORE,
        "relative_path": "x/y.npy",
    }
    assert other.http.post("/files", json=body | {"exists": False}).status_code == 201
    box.settle(runner)
    assert box.facts() == {NAME: "dataset-doubled"}
    assert deletions(box) == 0


def test_when_no_row_has_a_record_one_of_them_stays_and_is_registered(box: World, other: Client) -> None:
    """A lab without repositories leaves rows without records: all but one are surplus, and ours completes it."""
    runner = started(box)
    other.patch("labs", LAB, repositories=[])
    with box.alyx.hazards.pause("POST", "/register-file", times=2) as pause, ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(other.register, SESSION, {NAME: OURS}, name=None) for _ in range(2)]
        pause.wait_reached(2)
        pause.release()
        assert [answer.result().status_code for answer in answers] == [201, 201]
    assert box.alyx.file_records() == []
    other.patch("labs", LAB, repositories=[LAB_SERVER, STORE])
    for _ in range(3):
        look(box, runner, later=11 * MINUTE)
    assert len(box.alyx.datasets()) == 1
    assert box.record(FILE)["exists"]
