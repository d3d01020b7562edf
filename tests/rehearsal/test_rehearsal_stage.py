"""What a drill rests on: faults that must be met, an observer that sees lies, errors that do not go unseen."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import structlog

from config import logs
from config.sections import Logs
from rehearsal.around import turn_a_bit
from rehearsal.catalogue import DRILLS, Drill
from rehearsal.configuring import Scenery
from rehearsal.listening import Listening
from rehearsal.plan import Fault, Plan
from rehearsal.running import Played, rehearse
from rehearsal.stage import Stage
from rehearsal.watching import Watch
from sandbox import store
from sandbox.box import LAB, STORE, Box
from sandbox.inspection import inspect


def played(drill: Drill) -> Played:
    (one,) = rehearse([drill], begin=lambda _drill: None)
    return one


def named(name: str) -> Drill:
    return next(drill for drill in DRILLS if drill.name == name)


# ---- faults


def test_a_fault_that_is_never_reached_fails_the_drill_although_all_arrived() -> None:
    def too_late(stage: Stage) -> None:
        fault = stage.box.alyx.faults.add("PATCH", "/nowhere", 2, status=500)
        stage.plan.add("a 500 nowhere", 2, lambda: fault.met)
        with stage.working():
            stage.settle()

    one = played(
        Drill(name="x", group="x", staged="x", play=too_late, scenery=Scenery(store="local"), quick=False)
    )
    assert not one.passed
    assert one.wrong == ("the drill proves nothing: a 500 nowhere was met 0 of 2 times",)
    assert one.seen[-1] == "25 of 25 files stand at the store, byte for byte"


def test_a_drill_that_stages_nothing_proves_nothing() -> None:
    assert Plan().missed() == ["nothing was staged, so nothing was proved"]


def test_a_plan_tells_each_fault_that_was_not_met_often_enough() -> None:
    plan, fault = Plan(), Fault(2)
    plan.add("a cut", fault.times, lambda: fault.met)
    plan.add("a silence", 1, lambda: 1)
    assert fault.strike()
    assert plan.missed() == ["the drill proves nothing: a cut was met 1 of 2 times"]
    assert fault.strike()
    assert not fault.strike()
    assert plan.missed() == []
    assert plan.struck == 3


def test_where_there_is_no_sshd_the_embedded_server_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*_words: object, **_more: object) -> None:
        raise FileNotFoundError("no sshd here")

    monkeypatch.setattr(store, "Sshd", none_here)
    one = played(named("damage"))
    assert one.passed, one.wrong
    assert one.struck == 2


# ---- the observer


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    root = tmp_path_factory.mktemp("watched") / "box"
    with Box(root, sessions=1, seed=1, transport="local", large_bytes=0) as made:
        made.furnish()
        yield made


def announced(box: Box) -> Path:
    """A dataset whose copy stands at the store and is announced; answers the copy."""
    session = box.sessions[0]
    path = session.path.relative_to(box.lab_root)
    name = next(one for one in session.registrable if one.endswith("spikes.times.npy"))
    content = (session.path / name).read_bytes()
    with httpx2.Client(base_url=box.alyx.url) as client:
        secret = {"username": "demo_rig", "password": box.password_file.read_text()}
        token = client.post("/auth-token", json=secret).json()["token"]
        client.headers["Authorization"] = f"Token {token}"
        body = {
            "created_by": "demo_rig",
            "path": path.as_posix(),
            "filenames": [name],
            "hashes": [hashlib.md5(content).hexdigest()],
            "filesizes": [len(content)],
            "labs": [LAB],
            "name": "demolab_SR",
            "server_only": False,
        }
        assert client.post("/register-file", json=body).status_code == 201
        (record,) = box.alyx.file_records(STORE)
        assert client.patch(f"/files/{record['id']}", json={"exists": True}).status_code == 200
    relative = Path(record["relative_path"])
    copy = box.store_root / relative.with_name(f"{relative.stem}.{record['dataset']}{relative.suffix}")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    return copy


def test_the_observer_sees_a_lie_at_the_second_look(box: Box) -> None:
    """Once could be a look between two writes."""
    copy = announced(box)
    watch = Watch(box)
    watch.look()
    watch.look()
    assert watch.lies == {}
    turn_a_bit(copy)
    watch.look()
    assert watch.lies == {}
    watch.look()
    (lie,) = watch.lies.values()
    assert "Alyx announced it while the store did not hold those bytes" in lie
    copy.unlink()
    gone = Watch(box)
    gone.look()
    gone.look()
    assert len(gone.lies) == 1


def test_the_inspector_takes_a_kept_old_copy_for_what_its_name_says(box: Box) -> None:
    """And a file of such a name that holds other bytes for what it is: something that should not be there."""
    honest = box.store_root / ".0b7ee2b4-a4ac-4a55-b6c2-9f4ad0a2e5a1.900150983cd24fb0d6963f7d28e17f72.old"
    honest.write_bytes(b"abc")
    assert inspect(box).kept == 1
    honest.write_bytes(b"abd")
    found = inspect(box)
    assert found.kept == 0
    assert any("stands at the store, and should not" in sentence for sentence in found.differences)
    honest.unlink()


# ---- the log


def test_an_error_of_the_programs_own_is_a_defect_and_a_warning_is_counted() -> None:
    logs.configure(Logs(level="warning"))
    with Listening() as log:
        structlog.get_logger("transfer.aftermath").warning("file_failed", code="E-2011")
        structlog.get_logger("transfer.aftermath").warning("file_failed", code="E-2011")
        structlog.get_logger("transfer.runner").warning("lease_lost", because="slow")
        try:
            raise KeyError("spikes")
        except KeyError:
            logging.getLogger("celery.app.trace").exception("raised unexpectedly")
    assert log.told == "in the log: 2 x [E-2011] arrived-damaged, 1 x lease lost"
    assert log.defects == ["the program failed unexpectedly (KeyError: 'spikes')"]
    logging.getLogger("transfer").warning("not heard any more")
    assert "not heard" not in log.told
