"""Names from hell from the lab's disk to the store: what Alyx can hold arrives, the rest is refused by name.

Which names are legal is decided before a byte moves, by the rules of Alyx and of names at the store; every file
of the session gets an end that a person can read.
"""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import names
from tests.world import DAY, SUBJECT, World, md5, world
from transfer.runner import Runner

_numbers = count(1)
quick = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[*HealthCheck],
    phases=(Phase.explicit, Phase.generate),
)
LONGEST = 255 - 37  # a dot and a uuid come into the name


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def runner(box: World) -> Runner:
    return box.runner()


def alf(middle: str) -> str:
    """A name that a dataset type of Alyx matches, whatever stands in its middle."""
    return f"spikes.times{middle}.npy"


@given(
    middles=st.lists(names.short, min_size=10, max_size=10, unique=True),
    bad=st.lists(
        names.illegal().filter(lambda name: "/" not in name and "\0" not in name), min_size=5, max_size=5
    ),
)
@quick
def test_every_file_of_a_session_arrives_or_is_refused_by_its_name(
    box: World, runner: Runner, middles: list[str], bad: list[str]
) -> None:
    number = next(_numbers)
    session = box.session(number)
    written: dict[str, bytes] = {}
    for name in dict.fromkeys([alf(one) for one in (*middles, *bad)]):
        if len(name.encode()) <= names.LONGEST:
            written[name] = f"content of {len(written)}".encode()
            box.write(session, f"alf/{name}", written[name])
    box.see(runner, session)
    box.settle(runner, 300)

    told = _told(box, number)
    legal = {name for name in written if _holds(name)}
    stored = {
        file.read_bytes()
        for file in (box.store / session.relative_to(box.lab.root)).rglob("*")
        if file.is_file()
    }
    assert stored == {written[name] for name in legal}
    for name in legal:
        path = f"{SUBJECT}/{DAY.isoformat()}/{number:03d}/alf/{name}"
        assert os.fsencode(box.stored(path)) in {os.fsencode(file) for file in box.stored_files()}
        assert md5(box.stored(path).read_bytes()) == md5(written[name])
        assert box.record(path)["exists"] is True
    for name in written.keys() - legal:
        reason = told[f"alf/{name}"]
        assert name in reason or repr(name)[1:-1] in reason or "more than 255 bytes" in reason
        assert any(word in reason for word in ("Rename", "rename"))
    assert box.lies() == []


def _holds(name: str) -> bool:
    """What docs/errors.md says of E-1009, written down here once more."""
    control = any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    return not control and ":" not in name and "\\" not in name and len(name.encode()) <= LONGEST


def _told(box: World, number: int) -> dict[str, str]:
    """What a person reads about each file that has no item."""
    rows = box.rows(
        "SELECT datasets.path, datasets.unregistrable AS text FROM datasets JOIN sessions ON "
        f"sessions.id = datasets.session WHERE sessions.number = {number} AND unregistrable IS NOT NULL"
    )
    return {row.path: row.text for row in rows}


def test_a_name_that_is_no_utf8_or_too_long_is_refused_with_the_remedy(box: World, runner: Runner) -> None:
    """They cannot even be written into the ledger as they are; the good file beside them arrives."""
    number = next(_numbers)
    session = box.session(number)
    box.write(session, alf(""), b"good")
    for name in (b"spikes.times\xff.npy", b"spikes.times" + b"x" * 210 + b".npy"):
        Path(os.fsdecode(os.fsencode(session) + b"/" + name)).write_bytes(b"bad")
    box.see(runner, session)
    box.settle(runner)

    reasons = sorted(_told(box, number).values())
    assert len(reasons) == 2
    assert "the name is no UTF-8" in "".join(reasons)
    assert "more than 255 bytes" in "".join(reasons)
    assert all("[E-1009]" in reason for reason in reasons)
    assert [file.read_bytes() for file in (box.store / session.relative_to(box.lab.root)).iterdir()] == [
        b"good"
    ]
