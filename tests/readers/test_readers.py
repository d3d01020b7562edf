"""The real ONE client loads what we pushed, and nothing that we have not proved.

The files were pushed by our own journey; Alyx is the sandbox's; the store is read through a web server that asks for a
login, as the real one does.
"""

from typing import Any
from uuid import UUID

import pytest

from sandbox.web_store import Asked, Fault
from tests.readers.conftest import Readers
from tests.stage import Died
from tests.world import DAY, LAB, STORE, SUBJECT, md5

TIMES, DEPTHS = "alf/probe00/spikes.times.npy", "alf/probe00/spikes.depths.npy"
REVISED = "alf/probe00/#2026-01-01#/spikes.times.npy"
PROBE = "alf/probe00"


@pytest.fixture
def pushed(readers: Readers) -> Readers:
    """Three arrays that have arrived, one of them a revision."""
    readers.array(TIMES, [1.0, 2.0, 3.0])
    readers.array(DEPTHS, [4.0, 5.0, 6.0])
    readers.array(REVISED, [7.0, 8.0, 9.0])
    readers.push()
    assert len(readers.box.ends()) == 3
    return readers


def bytes_of(pushed: Readers, path: str) -> str:
    return md5((pushed.session / path).read_bytes())


# ---- from Alyx's answers


def test_a_session_is_found_and_its_datasets_are_listed(pushed: Readers) -> None:
    one = pushed.client()

    assert pushed.reader.ask("search", client=one, subject=SUBJECT) == [pushed.eid]
    assert pushed.reader.ask("search", client=one, lab=LAB, date_range=[str(DAY)] * 2) == [pushed.eid]
    assert pushed.reader.ask("search", client=one, datasets="spikes.times.npy") == [pushed.eid]
    assert pushed.listed(one) == sorted([TIMES, DEPTHS, REVISED])


def test_a_dataset_is_loaded_byte_for_byte_and_a_revision_when_it_is_asked_for(pushed: Readers) -> None:
    one = pushed.client()

    times = pushed.load(one, "spikes.times.npy", collection=PROBE)
    revised = pushed.load(one, "spikes.times.npy", collection=PROBE, revision="2026-01-01")

    assert (times["md5"], times["array"]) == (bytes_of(pushed, TIMES), [1.0, 2.0, 3.0])
    assert (revised["md5"], revised["array"]) == (bytes_of(pushed, REVISED), [7.0, 8.0, 9.0])


def test_an_object_is_loaded_whole(pushed: Readers) -> None:
    loaded = pushed.reader.ask(
        "load_object", client=pushed.client(), eid=pushed.eid, object="spikes", collection=PROBE
    )

    assert loaded == {"times": [1.0, 2.0, 3.0], "depths": [4.0, 5.0, 6.0]}


def test_a_patched_file_is_loaded_anew_by_who_has_the_old_one_and_by_who_has_none(pushed: Readers) -> None:
    """The lab analysed again: the same dataset with other bytes."""
    old = pushed.client("old")
    assert pushed.load(old, "spikes.times.npy", collection=PROBE)["array"] == [1.0, 2.0, 3.0]

    pushed.array(TIMES, [1.5, 2.5, 3.5, 4.5])
    pushed.push()
    assert pushed.box.lies() == []

    for client in (pushed.client("old"), pushed.client("new")):
        found = pushed.load(client, "spikes.times.npy", collection=PROBE)
        assert found["array"] == [1.5, 2.5, 3.5, 4.5]
        assert found["md5"] == bytes_of(pushed, TIMES)


# ---- what is half-way


def die(_count: int) -> None:
    """The worker's process ends after the first bytes that it wrote."""
    raise Died


def stopped_at(readers: Readers, path: str, when: str) -> None:
    """Another file whose journey has come this far, and no further."""
    readers.array(path, [10.0, 11.0])
    readers.box.see(readers.runner, readers.session)
    assert readers.runner.advance_session()
    if when == "registered":
        return
    (batch,) = readers.runner.plan()
    if when == "on its way":
        readers.runner.on_moved = die
        with pytest.raises(Died):
            readers.runner.advance_batch(only=[batch])
        uuid = readers.box.record(f"{SUBJECT}/{DAY.isoformat()}/001/{path}")["dataset"]
        (partial,) = readers.stored(path).parent.glob(f".{uuid}.*.part")
        assert partial.stat().st_size > 0
        return
    faults = readers.box.alyx.faults
    if when == "published":
        faults.add("PATCH", "/files/", times=1_000, status=503)
    readers.runner.advance_batch(only=[batch])
    faults.clear()
    assert readers.stored(path).is_file()
    if when == "withdrawn":
        readers.stored(path).write_bytes(b"x" * readers.stored(path).stat().st_size)
        record = readers.box.record(f"{SUBJECT}/{DAY.isoformat()}/001/{path}")["id"]
        readers.runner.catalog.announce(UUID(record), False)


@pytest.mark.parametrize("when", ["registered", "on its way", "published", "withdrawn"])
def test_a_file_half_way_is_invisible(pushed: Readers, when: str) -> None:
    """Registered only; a partial; at the store and not yet told; told once and withdrawn: neither listed nor loaded."""
    amps = "alf/probe00/spikes.amps.npy"
    stopped_at(pushed, amps, when)
    one = pushed.client()

    assert pushed.listed(one) == sorted([TIMES, DEPTHS, REVISED])
    refused = pushed.load(one, "spikes.amps.npy", collection=PROBE)
    assert refused["error"] == "ALFObjectNotFound", refused
    loaded = pushed.reader.ask("load_object", client=one, eid=pushed.eid, object="spikes", collection=PROBE)
    assert sorted(loaded) == ["depths", "times"], "the others load as if it were not there"
    assert not any("spikes.amps" in asked.path for asked in pushed.web.asked)


def test_a_file_is_whole_or_not_there_while_a_newer_one_takes_its_place(pushed: Readers) -> None:
    """While the new version is sent and verified, readers have the old one; then the new one; never a mixture."""
    one = pushed.client()
    pushed.array(TIMES, [1.5, 2.5, 3.5])
    pushed.box.see(pushed.runner, pushed.session)
    pushed.runner.advance_session()
    (batch,) = pushed.runner.plan()
    seen: list[Any] = []

    def look(_count: int) -> None:
        if not seen:
            seen.append(pushed.stored(TIMES).read_bytes())

    pushed.runner.on_moved = look
    old = pushed.stored(TIMES).read_bytes()
    pushed.runner.advance_batch(only=[batch])

    assert seen == [old]
    assert pushed.load(one, "spikes.times.npy", collection=PROBE)["array"] == [1.5, 2.5, 3.5]


def test_a_line_that_breaks_is_an_error_of_the_reader_and_no_file(pushed: Readers) -> None:
    """What is cut on its way to the reader is not what was registered, and ONE's own check of the hash says so."""

    def cut(asked: Asked) -> Fault | None:
        return Fault(cut_after=60) if "spikes.times" in asked.path else None

    pushed.web.fault = cut
    found = pushed.load(pushed.client(), "spikes.times.npy", collection=PROBE)
    assert "error" in found
    pushed.web.fault = None
    again = pushed.load(pushed.client("again"), "spikes.times.npy", collection=PROBE)
    assert again["array"] == [1.0, 2.0, 3.0]


# ---- from cache tables


def tables(pushed: Readers, name: str) -> str:
    """Cache tables made of what Alyx has now, in the cache of a client; it is asked with `query_type="local"`."""
    cache = pushed.box.root / "caches" / name
    cache.mkdir(parents=True)
    alyx = pushed.box.alyx.tables
    records = {row["dataset"]: row for row in alyx.file_records(STORE)}
    session = f"{SUBJECT}/{DAY.isoformat()}/001/"
    datasets = [
        [
            pushed.eid,
            row["id"],
            records[row["id"]]["relative_path"].removeprefix(session),
            row["file_size"],
            row["hash"],
            records[row["id"]]["exists"],
            "NOT_SET",
            row["default_dataset"],
        ]
        for row in alyx.datasets()
    ]
    sessions = [[pushed.eid, LAB, SUBJECT, str(DAY), 1, "", ""]]
    made = pushed.reader.ask("make_tables", folder=str(cache), sessions=sessions, datasets=datasets)
    assert made == ["datasets.pqt", "sessions.pqt"], made
    return pushed.client(name, tables=str(cache))


def test_from_cache_tables_the_same_is_found_and_loaded(pushed: Readers) -> None:
    one = tables(pushed, "tables")
    pushed.box.alyx.requests.reset()

    assert pushed.reader.ask("search", client=one, subject=SUBJECT, query_type="local") == [pushed.eid]
    assert pushed.listed(one, query_type="local") == sorted([TIMES, DEPTHS, REVISED])
    found = pushed.load(one, "spikes.times.npy", collection=PROBE, query_type="local")
    assert (found["md5"], found["array"]) == (bytes_of(pushed, TIMES), [1.0, 2.0, 3.0])
    revised = pushed.load(
        one, "spikes.times.npy", collection=PROBE, revision="2026-01-01", query_type="local"
    )
    assert revised["array"] == [7.0, 8.0, 9.0]
    asked = pushed.box.alyx.requests.counter()
    assert not [what for what in asked if what[1] in ("/sessions", "/datasets")], (
        "the tables were asked, not Alyx"
    )


def test_from_cache_tables_a_file_that_has_not_arrived_is_not_loaded(pushed: Readers) -> None:
    """ONE asks the store for it, because it does not look at `exists` of a table; nothing stands there."""
    stopped_at(pushed, "alf/probe00/spikes.amps.npy", "registered")
    one = tables(pushed, "tables")

    assert "error" in pushed.load(one, "spikes.amps.npy", collection=PROBE, query_type="local")


def test_from_cache_tables_a_file_that_alyx_was_not_told_of_has_its_proved_bytes(pushed: Readers) -> None:
    """A final name is given to nothing that was not hashed at the store, so that early readers read right, too."""
    amps = "alf/probe00/spikes.amps.npy"
    stopped_at(pushed, amps, "published")
    one = tables(pushed, "tables")

    found = pushed.load(one, "spikes.amps.npy", collection=PROBE, query_type="local")
    assert found["md5"] == bytes_of(pushed, amps)
