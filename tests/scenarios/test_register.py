"""Registering, rule by rule of docs/architecture.md ("Alyx"), each against the sandbox Alyx."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.client import other_client
from tests.world import LAB, LAB_SERVER, STORE, World, md5, world
from transfer.catalog.base import Registered, Registration
from transfer.ledger import actions
from transfer.rounds import Rounds
from transfer.runner import Runner
from transfer.steps import discover as discovering
from transfer.steps.scan import scan

SESSION = "KS023/2019-12-10/001"
NAME = "alf/spikes.times.npy"
FILE = f"{SESSION}/{NAME}"
OURS, THEIRS = b"the lab's bytes", b"somebody else's bytes"
WRITES = {"POST", "PATCH", "PUT", "DELETE"}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def visit(box: World, runner: Runner, session: Path) -> int:
    """One visit, whatever is due; answers how many requests wrote in Alyx."""
    box.alyx.requests.reset()
    box.see(runner, session)
    assert runner.advance_session()
    return writes(box)


def writes(box: World) -> int:
    return sum(method in WRITES and path != "/auth-token" for method, path in box.alyx.requests.all())


def posts(box: World) -> int:
    return box.alyx.requests.count("POST", "/register-file")


class Around:
    """The real catalogue, with some of its calls replaced."""

    def __init__(self, behind: Any, **calls: Callable[..., Any]) -> None:
        self._behind = behind
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return self._calls.get(name) or getattr(self._behind, name)


# ---- three hashes decide


def test_what_alyx_does_not_know_is_registered(box: World) -> None:
    """Named: the lab's repository, which then has it; the store has not; hash, size and default are ours."""
    session = box.session()
    box.write(session, NAME, OURS)
    assert visit(box, box.runner(), session) == 1
    dataset = box.dataset(FILE)
    assert (dataset["hash"], dataset["file_size"]) == (md5(OURS), len(OURS))
    assert dataset["default_dataset"]
    assert dataset["created_by"] == "rig_user"
    assert box.record(FILE, LAB_SERVER)["exists"]
    assert not box.record(FILE)["exists"]
    assert box.facts() == {NAME: "registered"}


def test_what_alyx_has_by_the_same_hash_is_adopted_without_any_write(box: World) -> None:
    """A repeat would reset qc and take the default revision; the ids are taken and nothing is asked to change."""
    session = box.session()
    box.write(session, NAME, OURS)
    with other_client(box) as other:
        assert other.register(SESSION, {NAME: OURS}, qc=["PASS"], default=False).status_code == 201
    before = box.dataset(FILE)

    assert visit(box, box.runner(), session) == 0
    assert box.dataset(FILE) == before
    assert (before["qc"], before["default_dataset"]) == ("PASS", False)
    assert box.facts() == {NAME: "registered"}


def test_a_dataset_without_a_hash_gets_ours_by_one_patch_that_keeps_the_flags(box: World) -> None:
    """Registering would set the central record to not existing."""
    session = box.session()
    box.write(session, NAME, OURS)
    with other_client(box) as other:
        assert other.register(SESSION, {NAME: OURS}, hashes=[None], filesizes=[None]).status_code == 201
        other.patch("files", box.record(FILE)["id"], exists=True, json={"note": 1})

    assert visit(box, box.runner(), session) == 1
    assert box.alyx.requests.count("PATCH", "/datasets/<id>") == 1
    assert (box.dataset(FILE)["hash"], box.dataset(FILE)["file_size"]) == (md5(OURS), len(OURS))
    assert box.record(FILE)["exists"]
    assert box.record(FILE)["json"] == {"note": 1}


def test_what_the_lab_changed_since_we_registered_it_is_registered_again(box: World) -> None:
    """Alyx still has what this ledger registered, so the newer version is the lab's; qc and default are carried."""
    session = box.session()
    file = box.write(session, NAME, OURS)
    runner = box.runner()
    visit(box, runner, session)
    with other_client(box) as other:
        other.patch("datasets", box.dataset(FILE)["id"], qc="WARNING", default_dataset=False)

    file.write_bytes(b"a better version")
    assert visit(box, runner, session) == 1
    dataset = box.dataset(FILE)
    assert dataset["hash"] == md5(b"a better version")
    assert (dataset["qc"], dataset["default_dataset"]) == ("WARNING", False)


def test_what_was_changed_elsewhere_is_held_and_neither_registered_nor_pushed(box: World) -> None:
    """A stale lab copy must not overwrite newer data."""
    session = box.session()
    file = box.write(session, NAME, OURS)
    runner = box.runner()
    visit(box, runner, session)
    with other_client(box) as other:
        assert other.register(SESSION, {NAME: THEIRS}).status_code == 201

    file.write_bytes(b"a third version")
    assert visit(box, runner, session) == 0
    box.settle(runner)
    assert box.facts() == {NAME: "changed-elsewhere"}
    assert "Decide which version is right" in box.reason(NAME)
    assert box.dataset(FILE)["hash"] == md5(THEIRS)
    assert box.stored_files() == []


def test_a_late_registration_of_our_own_older_version_waits_for_nobody(box: World) -> None:
    """A worker that was paused before its request may send it when a newer version has arrived long ago."""
    session = box.session()
    file = box.write(session, NAME, OURS)
    runner = box.runner()
    visit(box, runner, session)
    file.write_bytes(b"a better version")
    visit(box, runner, session)
    box.settle(runner)
    with other_client(box) as other:  # the late worker's request, word for word
        assert other.register(SESSION, {NAME: OURS}).status_code == 201

    Rounds(runner=runner, version="test").reconcile(box.lab)
    box.settle(runner)
    assert box.facts() == {}
    assert box.dataset(FILE)["hash"] == md5(b"a better version")
    assert box.record(FILE)["exists"]
    assert box.lies() == []


def test_an_old_sha1_in_alyx_is_not_overwritten(box: World) -> None:
    """It says nothing about our md5: a person decides."""
    session = box.session()
    box.write(session, NAME, OURS)
    with other_client(box) as other:
        assert other.register(SESSION, {NAME: THEIRS}, hashes=["a" * 40]).status_code == 201
    assert visit(box, box.runner(), session) == 0
    assert box.facts() == {NAME: "changed-elsewhere"}


# ---- look first, in chunks, one at a time


def test_the_session_is_listed_before_every_registration(box: World) -> None:
    session = box.session()
    box.write(session, NAME, OURS)
    visit(box, box.runner(), session)
    asked = box.alyx.requests.all()
    assert asked.index(("GET", "/datasets")) < asked.index(("POST", "/register-file"))


def test_at_most_fifty_files_are_registered_by_one_request(box: World) -> None:
    session = box.session()
    sizes: list[int] = []
    behind = box.new_catalog()

    def register(registration: Registration) -> list[Registered]:
        sizes.append(len(registration.files))
        return behind.register(registration)

    for number in range(120):
        box.write(session, f"alf/probe{number:03d}/spikes.times.npy", b"%d" % number)
    visit(box, box.runner(catalog=Around(behind, register=register)), session)
    assert sizes == [50, 50, 20]
    assert len(box.alyx.file_records(STORE)) == 120


def test_two_workers_never_register_one_session_at_once(box: World) -> None:
    """The second finds nothing to claim while the first one's request is on its way."""
    session = box.session()
    for number in range(60):
        box.write(session, f"alf/probe{number:03d}/spikes.times.npy", b"%d" % number)
    first, second = box.runner(), box.runner()
    box.see(first, session)
    with box.alyx.hazards.pause("POST", "/register-file") as pause:
        working = threading.Thread(target=first.advance_session)
        working.start()
        pause.wait_reached()
        assert not second.advance_session()
        assert posts(box) == 1
        pause.release()
        working.join()
    assert not second.advance_session()
    assert posts(box) == 2
    assert len(box.alyx.datasets()) == 60


# ---- a lost answer


def test_after_a_lost_answer_two_looks_agree_before_anything_is_repeated(box: World) -> None:
    """The work was done: it is found by the looks, 30 seconds apart; no second request, no doubled row."""
    session = box.session()
    box.write(session, NAME, OURS)
    runner = box.runner()
    box.alyx.faults.add("POST", "/register-file", drop=True, after_work=True)
    began = box.clock.monotonic()
    visit(box, runner, session)
    box.settle(runner)
    box.alyx.faults.assert_all_reached()
    assert box.clock.monotonic() - began >= 30
    assert posts(box) == 1
    assert box.alyx.requests.count("GET", "/datasets") >= 3
    assert len(box.alyx.datasets()) == 1
    assert box.record(FILE)["exists"]


def test_looks_that_differ_are_repeated_until_they_agree(box: World) -> None:
    """A server that still works on the lost request is waited for."""
    session = box.session()
    box.write(session, NAME, OURS)
    slept: list[float] = []
    with other_client(box) as other:

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            box.clock.advance(seconds)
            if len(slept) == 1:
                assert other.register(SESSION, {NAME: OURS}).status_code == 201

        runner = box.runner(sleep=sleep, lease_seconds=600)
        box.alyx.faults.add("POST", "/register-file", drop=True)
        visit(box, runner, session)
    assert slept == [30, 30]
    assert posts(box) == 2  # ours, which was lost, and the late work
    assert box.facts() == {NAME: "registered"}


def test_a_request_that_never_arrived_is_made_at_the_next_visit(box: World) -> None:
    session = box.session()
    box.write(session, NAME, OURS)
    runner = box.runner()
    box.alyx.faults.add("POST", "/register-file", drop=True)
    visit(box, runner, session)
    assert box.facts() == {NAME: "discovered"}
    assert not runner.work()  # not at once

    box.clock.advance(60)
    box.settle(runner)
    assert len(box.alyx.datasets()) == 1
    assert box.record(FILE)["exists"]


def test_a_lost_answer_of_one_chunk_does_not_stop_the_others(box: World) -> None:
    session = box.session()
    for number in range(70):
        box.write(session, f"alf/probe{number:03d}/spikes.times.npy", b"%d" % number)
    runner = box.runner(lease_seconds=600)
    box.alyx.faults.add("POST", "/register-file", drop=True)
    visit(box, runner, session)
    assert sorted(box.facts().values()) == ["discovered"] * 50 + ["registered"] * 20


def test_repeats_of_a_500_are_bounded_and_one_bad_file_does_not_take_its_neighbours_along(box: World) -> None:
    """What failed before is sent alone: the others arrive, the bad one is held after its tries."""
    session = box.session()
    names = [f"alf/probe{number:03d}/spikes.times.npy" for number in range(20)]
    for name in names:
        box.write(session, name, name.encode())
    behind = box.new_catalog()
    bad = PurePosixPath(names[7])

    def register(registration: Registration) -> list[Registered]:
        if bad in [file.path for file in registration.files]:
            box.alyx.faults.add("POST", "/register-file", status=500, detail="nobody knows why")
        return behind.register(registration)

    runner = box.runner(catalog=Around(behind, register=register), lease_seconds=600)
    box.see(runner, session)
    for _ in range(30):
        box.settle(runner)
        box.clock.advance(3 * 3600)
    assert box.facts() == {str(bad): "alyx-unknown-outcome"}
    assert "gave up after 8 tries" in box.reason(str(bad))
    assert posts(box) <= 1 + 19 + 8


# ---- one refused file stops no other


def many(box: World, session: Path, count: int = 120) -> list[str]:
    names = [f"alf/probe{number:03d}/spikes.times.npy" for number in range(count)]
    for name in names:
        box.write(session, name, name.encode())
    return names


def test_a_type_alyx_forgot_stops_only_its_own_file(box: World) -> None:
    """Our table of types is ten minutes old; Alyx refuses the file, the 119 others are registered."""
    session = box.session()
    many(box, session, 119)
    box.alyx.add_dataset_type("novel.thing", "novel.thing*.npy")
    box.write(session, "alf/novel.thing.npy", OURS)
    runner = box.runner()
    runner.types()  # we know it
    with other_client(box) as other:
        other.patch("dataset-types", "novel.thing", filename_pattern="gone*.npy")
        visit(box, runner, session)
    facts = box.facts()
    assert facts.pop("alf/novel.thing.npy") == "alyx-refused"
    assert "No dataset type found" in box.reason("alf/novel.thing.npy")
    assert list(facts.values()) == ["registered"] * 119
    assert len(box.alyx.file_records(STORE)) == 119


def test_a_protected_dataset_is_held_and_nothing_of_it_is_written(box: World) -> None:
    """qc and default stay; its 119 neighbours are registered."""
    session = box.session()
    names = many(box, session)
    protected = names[60]
    box.alyx.add_tag("paper", protected=True)
    runner = box.runner()
    with other_client(box) as other:
        visit(box, runner, session)
        dataset = box.dataset(f"{SESSION}/{protected}")["id"]
        other.patch("datasets", dataset, qc="PASS", tags=["paper"])
    before = box.dataset(f"{SESSION}/{protected}")
    for name in names:
        (session / name).write_bytes(b"new " + name.encode())
    visit(box, runner, session)

    facts = box.facts()
    assert facts.pop(protected) == "dataset-protected"
    assert "#revision#" in box.reason(protected)
    assert list(facts.values()) == ["registered"] * 119
    assert box.dataset(f"{SESSION}/{protected}") == before


def test_what_a_refused_request_did_before_its_end_is_adopted_and_not_repeated(box: World) -> None:
    """Alyx is not atomic: the files before the bad one stay registered."""
    session = box.session()
    names = many(box, session, 10)
    box.alyx.add_dataset_type("zebra.stripes", "zebra.stripes*.npy")
    box.write(session, "zebra.stripes.npy", OURS)  # comes last
    runner = box.runner()
    runner.types()
    with other_client(box) as other:
        other.patch("dataset-types", "zebra.stripes", filename_pattern="gone*.npy")
        visit(box, runner, session)
    assert box.facts() == {"zebra.stripes.npy": "alyx-refused"} | dict.fromkeys(names, "registered")
    assert posts(box) == 2  # all together, and the bad one alone


# ---- every answer is compared with what was sent


def changed(behind: Any, change: Callable[[list[Registered]], list[Registered]]) -> Around:
    return Around(behind, register=lambda registration: change(behind.register(registration)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: replace(one, path=PurePosixPath("spikes.times.npy")), "Alyx registered"),
        (lambda one: replace(one, size=1), "Alyx took 1 bytes"),
        (
            lambda one: replace(
                one,
                records=tuple(
                    replace(record, path=PurePosixPath("KS023/2019-12-10/1", NAME)) for record in one.records
                ),
            ),
            "Alyx made the record",
        ),
    ],
    ids=["path", "size", "record"],
)
def test_an_answer_that_differs_from_what_was_sent_is_held(
    box: World, change: Callable[[Registered], Registered], says: str
) -> None:
    session = box.session()
    box.write(session, NAME, OURS)
    other = box.write(session, "alf/spikes.amps.npy", OURS)

    def first(answers: list[Registered]) -> list[Registered]:
        return [change(one) if one.path.name == "spikes.times.npy" else one for one in answers]

    visit(box, box.runner(catalog=changed(box.new_catalog(), first)), session)
    assert box.facts() == {NAME: "alyx-answer-differs", f"alf/{other.name}": "registered"}
    assert says in box.reason(NAME)


def test_a_truncated_answer_is_held(box: World) -> None:
    """Fewer entries than files: nobody knows which is missing, so all of them are a person's case."""
    session = box.session()
    box.write(session, NAME, OURS)
    box.write(session, "alf/spikes.amps.npy", OURS)
    catalog = box.new_catalog()
    posted = catalog._http.post_once
    catalog._http.post_once = lambda path, body: posted(path, body)[:1]  # type: ignore[method-assign]
    runner = box.runner(catalog=catalog)
    visit(box, runner, session)
    assert set(box.facts().values()) == {"alyx-answer-differs"}
    assert "2 files were registered and Alyx answered with 1" in box.reason(NAME)
    assert posts(box) == 1


def test_a_lab_without_the_store_is_held_with_what_to_do(box: World) -> None:
    """The files go on once somebody attached the repository and released them."""
    session = box.session()
    box.write(session, NAME, OURS)
    with other_client(box) as other:
        other.patch("labs", LAB, repositories=[LAB_SERVER])
        runner = box.runner()
        visit(box, runner, session)
        assert box.facts() == {NAME: "alyx-refused"}
        assert f"Attach the repository {STORE} to the lab {LAB}" in box.reason(NAME)

        other.patch("labs", LAB, repositories=[LAB_SERVER, STORE])
    release(box, runner)
    box.settle(runner)
    assert box.record(FILE)["exists"]


def release(box: World, runner: Runner) -> None:
    assert actions.release_all(runner.ledger)


# ---- the session itself


@pytest.mark.parametrize("number", ["1", "12"])
def test_an_unpadded_session_number_is_held_before_anything_is_registered(box: World, number: str) -> None:
    """Alyx would make a second record of each dataset under the other name."""
    folder = box.lab.root / "KS023/2019-12-10" / number
    box.alyx.add_session("KS023", "2019-12-10", int(number))
    box.write(folder, NAME, OURS)
    runner = box.runner()
    for _ in range(2):
        scan(runner.ledger, runner.catalog, box.lab)
    box.settle(runner)
    hold, text = box.session_hold()
    assert hold == "session-number-not-padded"
    assert "three digits" in str(text)
    assert posts(box) == 0


def test_two_sessions_in_alyx_for_one_folder_are_held(box: World) -> None:
    session = box.session()
    box.alyx.add_session("KS023", "2019-12-10", 1)
    box.write(session, NAME, OURS)
    assert visit(box, box.runner(), session) == 0
    hold, text = box.session_hold()
    assert hold == "session-ambiguous-in-alyx"
    assert "Remove the doubled session" in str(text)


def test_a_session_made_anew_in_alyx_is_found_again_after_release(box: World) -> None:
    """The old session's id is forgotten when Alyx does not know it any more."""
    session = box.session()
    box.write(session, NAME, OURS)
    runner = box.runner()
    visit(box, runner, session)
    (eid,) = [row["id"] for row in box.alyx.tables.sessions()]
    with other_client(box) as other:
        other.delete("sessions", eid)
    box.write(session, "alf/spikes.amps.npy", OURS)
    visit(box, runner, session)
    assert box.session_hold()[0] == "session-unknown-to-alyx"

    box.alyx.add_session("KS023", "2019-12-10", 1)
    release(box, runner)
    box.settle(runner)
    assert box.session_hold()[0] is None
    assert box.record(f"{SESSION}/alf/spikes.amps.npy")["exists"]


def test_the_record_with_the_lab_files_own_path_is_the_one_that_counts(box: World) -> None:
    """A tool that wrote the session number unpadded left a second record in each repository."""
    session = box.session()
    box.write(session, NAME, OURS)
    with other_client(box) as other:
        assert other.register("KS023/2019-12-10/1", {NAME: OURS}).status_code == 201
        assert other.register(SESSION, {NAME: OURS}).status_code == 201
    runner = box.runner()
    visit(box, runner, session)
    box.settle(runner)
    assert box.record(FILE)["exists"]
    assert not box.record(f"KS023/2019-12-10/1/{NAME}")["exists"]


# ---- the line


def test_a_throttled_client_is_only_slower(box: World) -> None:
    """Retry-After is waited for; nothing is repeated that was done."""
    sessions = [box.session(number) for number in range(1, 4)]
    for session in sessions:
        box.write(session, NAME, OURS)
    box.alyx.throttle = 12
    catalog = box.new_catalog()

    def passes(seconds: float) -> None:
        box.waits.append(seconds)
        box.alyx.throttle = 12  # forgets what was asked: the minute is over

    catalog._http._retrying.sleep = passes
    runner = box.runner(catalog=catalog)
    for session in sessions:
        box.see(runner, session)
    for _ in range(30):
        box.settle(runner)
        box.clock.advance(60)
        box.alyx.throttle = 12
    assert box.waits
    assert [row["exists"] for row in box.alyx.file_records(STORE)] == [True] * 3
    assert len(box.alyx.datasets()) == 3


def test_a_file_that_is_changing_is_not_registered_by_its_old_hash(
    box: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its item waits from an earlier visit; now it is not quiet, so the visit leaves it."""
    session = box.session()
    file = box.write(session, NAME, OURS)
    runner = box.runner()
    box.alyx.faults.add("POST", "/register-file", drop=True)
    visit(box, runner, session)
    assert box.facts() == {NAME: "discovered"}

    file.write_bytes(OURS + b" and")
    hash_file = discovering.digest_file

    def growing(path: Path, **options: Any) -> Any:
        seen = hash_file(path, **options)
        path.write_bytes(path.read_bytes() + b" more")
        return seen

    monkeypatch.setattr(discovering, "digest_file", growing)
    assert visit(box, runner, session) == 0
    assert box.facts() == {NAME: "discovered"}


# ---- a lab whose files other tools register


@pytest.fixture
def listed(box: World) -> World:
    box.lab = replace(box.lab, work="alyx")
    return box


def registered_elsewhere(box: World, **files: bytes) -> None:
    with other_client(box) as other:
        paths = {f"alf/spikes.{name}.npy": content for name, content in files.items()}
        assert other.register(SESSION, paths, qc=["PASS"] * len(paths)).status_code == 201


def test_in_a_lab_of_other_tools_nothing_is_ever_registered(listed: World) -> None:
    """Only what Alyx lists is pushed, as it is; what else lies in the folder is left alone."""
    session = listed.session()
    listed.write(session, NAME, OURS)
    listed.write(session, "alf/spikes.amps.npy", OURS)
    registered_elsewhere(listed, times=OURS)
    runner = listed.runner()
    visit(listed, runner, session)
    listed.settle(runner)
    assert posts(listed) == 0
    assert listed.alyx.requests.count("PATCH", "/files/<id>") == 1
    assert listed.record(FILE)["exists"]
    assert listed.dataset(FILE)["qc"] == "PASS"
    assert [row.path for row in listed.rows("SELECT path FROM datasets")] == [NAME]
    assert len(listed.stored_files()) == 1


def test_in_such_a_lab_an_empty_hash_is_set(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    with other_client(listed) as other:
        assert other.register(SESSION, {NAME: OURS}, hashes=[None]).status_code == 201
    runner = listed.runner()
    visit(listed, runner, session)
    listed.settle(runner)
    assert listed.dataset(FILE)["hash"] == md5(OURS)
    assert listed.record(FILE)["exists"]
    assert posts(listed) == 0


def test_in_such_a_lab_a_file_that_is_not_alyxs_version_is_held(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    listed.write(session, "alf/spikes.amps.npy", OURS)
    registered_elsewhere(listed, times=THEIRS, amps=OURS)
    runner = listed.runner()
    visit(listed, runner, session)
    listed.settle(runner)
    assert listed.facts() == {NAME: "registered-hash-differs"}
    assert "register the lab's version or restore the registered one" in listed.reason(NAME)
    assert listed.record(f"{SESSION}/alf/spikes.amps.npy")["exists"]
    assert posts(listed) == 0


def test_in_such_a_lab_a_missing_file_is_shown_as_a_trouble(listed: World) -> None:
    session = listed.session()
    listed.write(session, NAME, OURS)
    registered_elsewhere(listed, times=OURS, amps=OURS)
    runner = listed.runner()
    visit(listed, runner, session)
    listed.settle(runner)
    assert listed.record(FILE)["exists"]
    assert listed.facts() == {}
    assert "[E-1002]" in listed.reason("alf/spikes.amps.npy")


def test_a_path_from_alyx_that_is_not_the_datasets_own_is_never_followed(
    listed: World, tmp_path: Path
) -> None:
    """It is shown with its reason; the file it points at is not read, let alone published."""
    session = listed.session()
    secret = listed.lab.root / "KS023" / "secret.spikes.npy"
    listed.write(session, NAME, OURS)
    listed.write(secret.parent, secret.name, b"not of this session")
    registered_elsewhere(listed, times=OURS)
    record = listed.record(FILE)["id"]
    for wrong in ("KS023/secret.spikes.npy", f"{SESSION}/alf/../../../secret.spikes.npy"):
        with other_client(listed) as other:
            other.patch("files", record, relative_path=wrong)
        runner = listed.runner()
        visit(listed, runner, session)
        listed.settle(runner)
        assert "[E-3015]" in listed.reason(NAME)
        assert listed.facts() == {}
        assert listed.stored_files() == []


def test_a_dotdot_dataset_from_alyx_is_never_followed(listed: World) -> None:
    session = listed.session()
    listed.write(listed.lab.root / "KS023", "spikes.times.npy", OURS)
    listed.write(session, "alf/spikes.amps.npy", OURS)
    path = "alf/../../../spikes.times.npy"
    with other_client(listed) as other:
        assert other.register(SESSION, {path: OURS, "alf/spikes.amps.npy": OURS}).status_code == 201
    runner = listed.runner()
    visit(listed, runner, session)
    listed.settle(runner)
    assert "[E-3015]" in listed.reason(path)
    assert [file.name[:11] for file in listed.stored_files()] == ["spikes.amps"]


def test_a_session_whose_only_files_changed_after_they_were_registered_elsewhere_goes_on_with_the_new_hash(
    listed: World,
) -> None:
    """ibllib patched a file and registered it anew while ours was on its way: the new version arrives, once."""
    session = listed.session()
    file = listed.write(session, NAME, OURS)
    registered_elsewhere(listed, times=OURS)
    runner = listed.runner()
    visit(listed, runner, session)
    runner.plan()
    file.write_bytes(THEIRS)
    registered_elsewhere(listed, times=THEIRS)
    for _ in range(3):
        listed.settle(runner)
        listed.clock.advance(61)
    assert listed.stored(FILE).read_bytes() == THEIRS
    assert listed.record(FILE)["exists"]
    assert listed.lies() == []
    assert posts(listed) == 1  # theirs
