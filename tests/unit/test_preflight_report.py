"""The report before a push: what its parts say, all of them, and nothing besides."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from tests.mover import FolderMover, Service
from transfer.errors import CredentialEnds, MoverDenied, NameRefused, TransferError, UnsafeSource
from transfer.forecast import Forecast
from transfer.obstacles import too_long
from transfer.preflight import Report, of_session, of_store, together
from transfer.preflight.report import of_spellings
from transfer.transports.base import Capabilities
from transfer.transports.local import LocalTransport

P = PurePosixPath
SESSION = P("KS055/2026-03-04/001")

names = st.sampled_from(
    ["alf/a.npy", "alf/A.npy", "alf/é.npy", "alf/e\u0301.npy", "raw/b.npy", "Raw/b.npy", "c"]
)
errors = st.builds(
    lambda kind, name: kind("it cannot move as it is", to=name),
    st.sampled_from([NameRefused, UnsafeSource]),
    names,
)


def plan(
    moving: Sequence[str] = (),
    *,
    refused: Sequence[TransferError] = (),
    there: Sequence[str] = (),
    size: int = 10,
    seconds: float = 1.0,
    session: PurePosixPath = SESSION,
) -> Forecast:
    return Forecast(
        session=session,
        moving=tuple((P(name), size) for name in moving),
        arrived=0,
        staying=(),
        bytes=size * len(moving),
        seconds=seconds,
        measured=False,
        refused=tuple(refused),
        there=tuple(map(P, there)),
    )


def sentences(report: Report) -> set[str]:
    return {error.sentence for error in report.problems}


@given(st.lists(errors, max_size=8), st.integers(0, 8))
def test_the_report_of_a_plan_is_that_of_its_files_together(refused: list[TransferError], cut: int) -> None:
    whole = of_session(plan(refused=refused))
    parts = [of_session(plan(refused=refused[:cut])), of_session(plan(refused=refused[cut:]))]
    single = [of_session(plan(refused=[error])) for error in refused]
    assert sentences(together([whole])) == sentences(together(parts)) == sentences(together(single))
    assert len(together([whole, whole]).problems) == len(sentences(whole))


@given(st.lists(names, unique=True), st.lists(names, unique=True))
def test_what_collides_is_told_whoever_came_first(moving: list[str], there: list[str]) -> None:
    """In the plan, or of the plan against what stands at the store; of the latter alone nothing is said."""
    inside = of_spellings([plan([*moving, *there])], [])
    split = of_spellings([plan(moving, there=there)], [])
    assert set(split.notes) <= set(inside.notes)
    colliding = {("alf/a.npy", "alf/A.npy"), ("alf/é.npy", "alf/e\u0301.npy"), ("raw/b.npy", "Raw/b.npy")}
    expected = sum(
        {one, other} <= {*moving, *there} and bool({one, other} & {*moving}) for one, other in colliding
    )
    assert len(split.notes) == expected
    assert of_spellings([plan(there=[*moving, *there])], []).notes == ()
    assert of_spellings([plan(there + moving)], []) == inside


def test_a_subject_in_another_spelling_is_told_once_and_not_for_each_file() -> None:
    (note,) = of_spellings([plan(["a", "b", "c/d"])], [P("ks055"), P("KS055"), P("KS056")]).notes
    assert "'KS055' and 'ks055'" in note


def test_two_plans_of_one_report_are_looked_at_together() -> None:
    other = plan(["a"], session=P("Ks055/2026-03-04/001"))
    (note,) = of_spellings([plan(["a"]), other], []).notes
    assert "'KS055' and 'Ks055'" in note


# ---- lengths


def legal(part: str) -> bool:
    return part not in (".", "..")


parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=300).filter(
    legal
)


@given(st.lists(parts, min_size=1, max_size=6))
def test_what_is_not_too_long_can_be_opened_under_every_name_we_give_it(folders: list[str]) -> None:
    path = P(*folders)
    if too_long(path) is None:
        stored = path.with_name(f"{path.name}.{'0' * 36}")
        assert all(len(part.encode()) <= 255 for part in stored.parts)
        assert len(str(path)) <= 1000
        assert len(f"{'/' * 255}{stored}".encode()) <= 4095


def test_each_length_has_its_own_reason() -> None:
    assert too_long(P("a" * 218)) is None
    assert "uuid in it the name has more than 255 bytes" in (too_long(P("a" * 219)) or "")
    assert too_long(P("é" * 109)) is None
    assert "the name has more than 255" in (too_long(P("é" * 110)) or "")
    assert too_long(P("é" * 127, "a")) is None
    assert "a folder's name has more than 255" in (too_long(P("é" * 128, "a")) or "")
    assert "more than 1000 characters" in (too_long(P(*["a" * 200] * 5)) or "")
    assert "the path has more than" in (too_long(P(*["𝒂" * 63] * 15, "𝒂" * 25)) or "")
    assert "name has more than" in (too_long(P(b"\xff".decode(errors="surrogateescape") * 250)) or "")


# ---- the store


class Store(LocalTransport):
    """A disk with so much room, whose certificate ends at `until`."""

    room: int | None = None
    until: datetime | None = None

    def free_space(self) -> int | None:
        return self.room

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            replaces_atomically=True,
            remote_hash=False,
            hard_links=True,
            syncs=True,
            free_space=self.room is not None,
            credential_until=self.until,
        )


def asked(tmp_path: Path, *plans: Forecast, promised: int = 0, **told: object) -> Report:
    store = Store(tmp_path)
    for key, value in told.items():
        setattr(store, key, value)
    return of_store("central", plans, lambda: store, promised=promised)


def test_what_waits_already_needs_its_room_too(tmp_path: Path) -> None:
    two = plan(["a", "b"], size=50)
    assert asked(tmp_path, two, room=100).problems == ()
    assert asked(tmp_path, two, promised=20, room=120).problems == ()
    (error,) = asked(tmp_path, two, promised=21, room=120).problems
    assert "100 bytes are to be sent and 120 are free, 21 of them for files that wait" in error.sentence
    assert asked(tmp_path, plan(), promised=1000, room=1).problems == ()


def test_all_that_is_wrong_with_a_store_is_told_at_once(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    found = asked(tmp_path, plan(["a"], seconds=60), room=1, until=soon)
    assert [error.code for error in found.problems] == ["E-2006", CredentialEnds.code]


def test_a_store_that_does_not_tell_its_room_is_a_note(tmp_path: Path) -> None:
    assert asked(tmp_path, plan(["a"])) == Report(notes=("central does not say how much space is free",))


class Closed(FolderMover):
    """A mover that may neither look at the store nor at the lab."""

    @property
    def sources(self) -> Sequence[str]:
        return ["rig", "other"]

    def see_store(self) -> str:
        raise MoverDenied("not allowed", to="store")

    def see_source(self, source: str) -> str:
        raise MoverDenied("not allowed", to=source)


def test_a_mover_is_asked_for_the_store_and_for_each_lab(tmp_path: Path) -> None:
    """One that says no does not keep the others from being asked; a lab that is not pushed is not asked for."""

    closed = Closed(Service(tmp_path, tmp_path))
    found = of_store("central", [plan(["a"])], lambda: closed, sources=["rig", "unknown to the mover"])
    assert [error.sentence.partition(". ")[0] for error in found.problems] == [
        "not allowed: store",
        "not allowed: rig",
    ]
    assert of_store("central", [plan(["a"])], lambda: FolderMover(Service(tmp_path, tmp_path))) == Report()
