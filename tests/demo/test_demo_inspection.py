"""The inspector sees every way in which a store can be wrong."""

import json
import urllib.request
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.box import STORE, USER, Box
from sandbox.inspection import inspect


def stored(box: Box) -> list[Path]:
    return sorted(path for path in box.store_root.rglob("*") if path.is_file() and path.stat().st_size)


def small(box: Box) -> Path:
    return next(path for path in stored(box) if path.name.startswith("licks.times"))


def patch(box: Box, path: str, **values: object) -> None:
    """Write to Alyx as another tool does."""
    request = urllib.request.Request(
        box.alyx.url + path,
        method="PATCH",
        data=json.dumps(values).encode(),
        headers={"Authorization": f"Token {box.alyx.token_for(USER)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request):
        pass


def record(box: Box, name: str) -> dict[str, str]:
    return next(row for row in box.alyx.tables.file_records(STORE) if row["relative_path"].endswith(name))


def test_a_finished_demo_has_no_difference(box: Box) -> None:
    found = inspect(box)
    assert (found.files, found.identical, found.leftovers, found.differences) == (25, 25, 0, ())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_is_overlooked(box: Box, data: st.DataObject) -> None:
    """Any byte of any stored file, changed in place, is a difference that names the file."""
    victim = data.draw(st.sampled_from(stored(box)))
    place = data.draw(st.integers(0, victim.stat().st_size - 1))
    with victim.open("r+b") as file:
        file.seek(place)
        (before,) = file.read(1)
        file.seek(place)
        file.write(bytes([before ^ 0x40]))
    try:
        found = inspect(box)
        assert found.identical == 24
        assert [victim.name in sentence for sentence in found.differences] == [True]
    finally:
        with victim.open("r+b") as file:
            file.seek(place)
            file.write(bytes([before]))


def test_a_shorter_copy_is_different(box: Box) -> None:
    small(box).write_bytes(small(box).read_bytes()[:-1])
    assert "has other bytes" in inspect(box).differences[0]


def test_a_copy_that_is_gone_while_alyx_announces_it(box: Box) -> None:
    name = small(box).name
    small(box).unlink()
    assert inspect(box).differences[0].endswith(f"is announced, but {name} is not at the store")


def test_a_copy_that_alyx_does_not_announce(box: Box) -> None:
    patch(box, f"/files/{record(box, 'licks.times.npy')['id']}", exists=False)
    assert inspect(box).differences[0].endswith("has arrived, but Alyx does not announce it")


def test_a_hash_in_alyx_that_is_not_the_files(box: Box) -> None:
    patch(box, f"/datasets/{record(box, 'licks.times.npy')['dataset']}", hash="0" * 32)
    assert inspect(box).differences[0].endswith("Alyx has another hash or size")


def test_what_should_not_stand_at_the_store(box: Box) -> None:
    small(box).with_name("stray.npy").write_bytes(b"x")
    assert inspect(box).differences[0].endswith("stray.npy: stands at the store, and should not")


def test_a_dead_attempts_partial_is_counted_and_is_no_difference(box: Box) -> None:
    uuid = record(box, "licks.times.npy")["dataset"]
    small(box).with_name(f".{uuid}.0a1b2c3d.part").write_bytes(b"half")
    found = inspect(box)
    assert (found.leftovers, found.differences) == (1, ())
