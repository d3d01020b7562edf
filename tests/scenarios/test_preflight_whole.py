"""The whole of a pre-flight, on real disks: what it lets pass moves, and what it refuses is never opened."""

import itertools
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.world import DAY, LAB_SERVER, STORE, SUBJECT, World, world
from transfer import preflight
from transfer.catalog.types import KnownTypes
from transfer.conformance import habits, names
from transfer.forecast import Forecast, forecast
from transfer.model import SessionKey
from transfer.paths import is_leftover
from transfer.runner import Runner
from transfer.steps.tidy import tidy
from transfer.transports.local import LocalTransport

_numbers = itertools.count(1)

LEGAL = [
    "spikes.times.npy",
    "Spikes.times.npy",
    "spikes.times.é.npy",
    "spikes.times.e\u0301.npy",
    "naïve.txt",
]
ILLEGAL = ["spikes.times.a:b.npy", "spikes.times.a\\b.npy", "spikes.times.\n.npy", "spikes.times" + "x" * 215]
FOLDERS = ["", "alf", "alf/probe00", "alf/Probe00", "alf/#2024-01-01#", "alf/not this", "alf/#a#/b", "raw\n"]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("preflight"), rights_known=False) as made:
        yield made


class Noting(LocalTransport):
    """A local store that notes which files of the lab were opened for it."""

    opened: set[Path]

    def put(self, uploads, moved):  # type: ignore[no-untyped-def]
        def noted():  # type: ignore[no-untyped-def]
            for upload in uploads:
                self.opened.add(upload.source)
                yield upload

        return super().put(noted(), moved)


@pytest.fixture(scope="module")
def opened(box: World) -> set[Path]:
    seen: set[Path] = set()

    def store() -> Noting:
        made = Noting(box.store, connections=1)
        made.opened = seen
        return made

    box.open_store = store
    return seen


@pytest.fixture(scope="module")
def runner(box: World, opened: set[Path]) -> Runner:
    return box.runner()


def ask(box: World, runner: Runner, session: Path) -> tuple[Forecast, preflight.Report]:
    """The plan of one session, and all that is said of it."""
    key = SessionKey(source=LAB_SERVER, subject=SUBJECT, date=DAY, number=int(session.name))
    plan = forecast(runner.ledger, runner.catalog, KnownTypes(runner.catalog)(), box.lab, key)
    report = preflight.together(
        [
            preflight.of_session(plan),
            preflight.of_names(runner.ledger, [plan]),
            preflight.of_store(STORE, [plan], lambda: LocalTransport(box.store)),
        ]
    )
    return plan, report


files = st.tuples(st.sampled_from(FOLDERS), st.sampled_from([*LEGAL, *ILLEGAL])).map("/".join)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=st.sets(files, min_size=1, max_size=6))
@example(paths={"alf/spikes.times.npy", "alf/spikes.times.a:b.npy"})
def test_what_is_planned_moves_and_what_is_refused_is_never_opened(
    box: World, runner: Runner, opened: set[Path], paths: set[str]
) -> None:
    """The plan is kept to the file: nothing of it is held back later, and nothing else is ever begun."""
    # Given a session with such files
    session = box.session(next(_numbers))
    for path in paths:
        box.write(session, path.lstrip("/"), os.urandom(20))

    # When it is looked at, and then pushed
    plan, report = ask(box, runner, session)
    assert plan.bytes == 20 * len(plan.moving)
    assert plan.seconds >= 0
    box.see(runner, session)
    box.settle(runner, 300)

    # Then exactly what was to move has moved
    moving = {path for path, _ in plan.moving}
    assert {path for path in opened if path.is_relative_to(session)} == {session / path for path in moving}
    for path in moving:
        stored = box.stored(str(session.relative_to(box.lab.root) / path))
        assert stored.read_bytes() == (session / path).read_bytes()
    staying = {path for path, reason in plan.staying if reason}
    assert moving | staying == {PurePosixPath(path.lstrip("/")) for path in paths}
    assert not moving & staying
    assert len(report.problems) == len(plan.refused) <= len(staying)
    assert box.lies() == []


def test_a_link_and_a_name_that_is_too_long_are_problems_by_name(box: World, runner: Runner) -> None:
    session = box.session(next(_numbers))
    box.write(session, "alf/spikes.times.npy", b"good")
    box.write(session, f"alf/spikes.times.{'x' * 205}.npy", b"long")
    (session / "alf/spikes.amps.npy").symlink_to("spikes.times.npy")
    plan, report = ask(box, runner, session)
    assert sorted(error.code for error in report.problems) == ["E-1007", "E-1009"]
    assert [str(path) for path, _ in plan.moving] == ["alf/spikes.times.npy"]


def test_what_stands_at_the_store_in_another_spelling_is_told(box: World, runner: Runner) -> None:
    """Alyx says what stands there, though the lab's file is gone."""
    session = box.session(next(_numbers))
    first = box.write(session, "alf/probe00/spikes.times.npy", b"first")
    box.see(runner, session)
    box.settle(runner)
    first.unlink()
    first.parent.rmdir()
    box.write(session, "alf/Probe00/spikes.times.npy", b"second")

    _, report = ask(box, runner, session)

    (note,) = report.notes
    assert "alf/Probe00' and " in note
    assert "alf/probe00'" in note


def test_what_a_killed_try_leaves_at_a_store_is_tidied(box: World, runner: Runner, tmp_path: Path) -> None:
    """It is killed where it would remove its files."""

    class Killed(LocalTransport):
        def remove(self, paths):  # type: ignore[no-untyped-def]
            raise KeyboardInterrupt

    with Killed(box.store) as store, pytest.raises(KeyboardInterrupt):
        names(store, tmp_path)
    left = [path for path in box.stored_files() if is_leftover(path.name)]
    assert {path.parent.relative_to(box.store) for path in left} == set(map(Path, habits.FOLDERS))

    with LocalTransport(box.store) as store:
        tidy(runner.ledger, STORE, store, now=box.clock.now, older_than=timedelta(days=1))
    assert [path for path in box.stored_files() if is_leftover(path.name)] == []
