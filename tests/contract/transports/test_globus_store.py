"""The files at the store's collection: looked at, published, set aside."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pytest
from globus_lab import Place, place

from transfer.conformance.delegated import probe
from transfer.errors import (
    ConfigProblems,
    MoverDenied,
    MoverOffline,
    MoverPaused,
    MoverUnavailable,
    RenameDoesNotReplace,
    StoredFileMissing,
    UntrustedPath,
)
from transfer.model import STAGING, staged_path
from transfer.transports.base import Failed, Published, RemoteFile, Rename
from transfer.transports.delegated import DelegatedTransport
from transfer.transports.globus.shelf import Shelf
from transfer.transports.globus.transport import ASIDE, GlobusTransport

P = PurePosixPath
KEY = "0c9a5a0e-6a3f-4e0a-9d0b-0d9b1f2c7a11"
FINAL = P("KS055/2026-03-04/001/alf/spikes.times.4d2bd7f1-9a77-4b3c-8a8e-3a3b3c3d3e3f.npy")


@pytest.fixture(params=[False, True], ids=["refuses", "replaces"])
def replaces(request: pytest.FixtureRequest) -> bool:
    """Whether the store's collection renames onto a name that stands."""
    return bool(request.param)


@pytest.fixture
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    replacing = "replaces" in request.fixturenames and bool(request.getfixturevalue("replaces"))
    with place(tmp_path, rename_replaces=replacing) as made:
        yield made
        made.globus.faults.assert_all_reached()


@pytest.fixture
def mover(box: Place) -> Iterator[GlobusTransport]:
    with box.transport() as opened:
        yield opened


def stage(
    box: Place, content: bytes = b"spikes", key: str = KEY, mtime: int = 1_700_000_000
) -> PurePosixPath:
    path = staged_path(key, uuid4())
    return put(box, path, content, mtime)


def put(box: Place, path: PurePosixPath, content: bytes, mtime: int = 1_600_000_000) -> PurePosixPath:
    file = box.stored(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (mtime, mtime))
    return path


def publish(mover: GlobusTransport, *pairs: tuple[PurePosixPath, PurePosixPath]) -> list[Published | Failed]:
    renames = [Rename(key=n, partial=old, final=new) for n, (old, new) in enumerate(pairs)]
    return sorted(mover.publish(renames), key=lambda outcome: outcome.key)


def error_of(outcome: Published | Failed) -> Any:
    assert isinstance(outcome, Failed)
    return outcome.error


def test_it_is_a_delegated_transport(mover: GlobusTransport) -> None:
    assert isinstance(mover, DelegatedTransport)


# ---- stat


def test_stat_answers_in_the_order_asked_and_none_for_what_is_not_there(
    box: Place, mover: GlobusTransport
) -> None:
    a, b = put(box, P("s/a.npy"), b"1"), put(box, P("s/b.npy"), b"22")
    (box.store / "s" / "folder").mkdir()

    found = list(mover.stat([b, P("s/none"), a, P("other/none"), P("s/folder"), b]))

    seconds = 1_600_000_000 * 10**9
    first, second = RemoteFile(path=a, size=1, mtime_ns=seconds), RemoteFile(path=b, size=2, mtime_ns=seconds)
    assert found == [second, None, first, None, None, second]


def test_stat_of_a_whole_folder_is_one_request(box: Place, mover: GlobusTransport) -> None:
    paths = [stage(box) for _ in range(30)]
    before = _asked(box, "GET")

    *there, none = mover.stat([*paths, STAGING / KEY / "none"])

    assert all(there)
    assert none is None
    assert _asked(box, "GET") - before == 1


def test_a_folder_of_more_files_than_are_listed_is_still_answered(
    box: Place, mover: GlobusTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.transports.globus.shelf._LIMIT", 3)
    paths = [put(box, P(f"s/{n}.npy"), b"1") for n in range(6)]

    assert [file.path if file else None for file in mover.stat([*paths, P("s/none")])] == [*paths, None]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]], ids=["one", "several"])
def test_a_look_that_was_not_answered_raises_and_is_never_a_missing_file(
    box: Place, mover: GlobusTransport, names: list[str]
) -> None:
    box.globus.pause(box.store_id)

    with pytest.raises(MoverPaused):
        list(mover.stat([P("s") / name for name in names]))


def test_a_collection_that_is_not_known_is_no_missing_file(box: Place) -> None:
    with (
        box.transport(collection=uuid4()) as lost,
        pytest.raises(MoverDenied, match="Correct the collection"),
    ):
        list(lost.stat([P("s/a")]))
    with box.transport(collection=uuid4()) as lost, pytest.raises(MoverDenied):
        list(lost.staged())


def test_a_path_out_of_the_root_is_refused_before_anything_is_asked(
    box: Place, mover: GlobusTransport
) -> None:
    before = _asked(box, "GET")
    for path in (P("../secret"), P("/etc/passwd"), P("s/../../x")):
        with pytest.raises(UntrustedPath):
            list(mover.stat([path]))
    assert _asked(box, "GET") == before


def _asked(box: Place, method: str) -> int:
    return box.globus.requests.count(method)


# ---- publish


def test_publish_makes_the_folders_and_renames(box: Place, mover: GlobusTransport, replaces: bool) -> None:
    staged = stage(box, b"new")

    assert publish(mover, (staged, FINAL)) == [Published(key=0)]

    assert box.stored(FINAL).read_bytes() == b"new"
    assert not box.stored(staged).exists()


def test_publish_of_many_is_done_by_several_hands_and_each_is_answered_once(
    box: Place, mover: GlobusTransport
) -> None:
    content = {P(f"KS055/2026-03-0{n % 5 + 1}/001/alf/{n}.npy"): os.urandom(20) for n in range(60)}
    pairs = [(stage(box, data), final) for final, data in content.items()]

    assert publish(mover, *pairs) == [Published(key=n) for n in range(60)]
    assert {final: box.stored(final).read_bytes() for final in content} == content


def test_a_staged_file_that_is_gone_fails_alone(box: Place, mover: GlobusTransport) -> None:
    staged = stage(box)

    gone, done = publish(mover, (STAGING / KEY / "gone", P("s/gone.npy")), (staged, FINAL))

    assert isinstance(error_of(gone), StoredFileMissing)
    assert done == Published(key=1)


def test_a_submission_without_a_folder_has_no_files(mover: GlobusTransport) -> None:
    (gone,) = publish(mover, (staged_path(KEY, uuid4()), FINAL))

    assert isinstance(error_of(gone), StoredFileMissing)


def test_what_stands_under_the_final_name_is_replaced_or_said_to_be_in_the_way(
    box: Place, mover: GlobusTransport, replaces: bool
) -> None:
    staged = stage(box, b"new")
    put(box, FINAL, b"old")

    (outcome,) = publish(mover, (staged, FINAL))

    if replaces:
        assert outcome == Published(key=0)
        assert box.stored(FINAL).read_bytes() == b"new"
    else:
        assert isinstance(error_of(outcome), RenameDoesNotReplace)
        assert box.stored(FINAL).read_bytes() == b"old"
        assert mover.set_aside(FINAL)
        assert publish(mover, (staged, FINAL)) == [Published(key=0)]
        assert box.stored(FINAL).read_bytes() == b"new"
        assert [file.read_bytes() for file in box.stored(ASIDE).iterdir()] == [b"old"]


def test_a_rename_whose_answer_was_lost_is_found_to_be_done(
    box: Place, mover: GlobusTransport, replaces: bool
) -> None:
    """The SDK says it again, and the second time there is nothing to rename."""
    staged = stage(box, b"new")
    box.globus.faults.request("POST", "/rename$", status=504, after_work=True)

    assert publish(mover, (staged, FINAL)) == [Published(key=0)]
    assert box.stored(FINAL).read_bytes() == b"new"


def test_a_rename_that_never_gets_an_answer_is_looked_after_too(box: Place, mover: GlobusTransport) -> None:
    staged = stage(box, b"new")
    box.globus.faults.request("POST", "/rename$", times=3, drop=True, after_work=True)

    assert publish(mover, (staged, FINAL)) == [Published(key=0)]


def test_a_rename_that_was_not_done_waits_for_better_times(
    box: Place, mover: GlobusTransport, replaces: bool
) -> None:
    """Whatever stands there: without an answer of the collection nothing is in the way."""
    staged = stage(box, b"new")
    put(box, FINAL, b"old")
    box.globus.faults.request("POST", "/rename$", times=3, status=503)

    (outcome,) = publish(mover, (staged, FINAL))

    assert isinstance(error_of(outcome), MoverUnavailable)
    assert box.stored(staged).exists()
    assert box.stored(FINAL).read_bytes() == b"old"


def test_what_another_put_under_the_final_name_is_not_taken_for_ours(
    box: Place, mover: GlobusTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staged file went away after we saw it, and what stands under the final name is not it."""
    staged = stage(box, b"new")
    put(box, FINAL, b"other")
    make = Shelf.make

    def set_aside_meanwhile(shelf: Shelf, client: Any, folder: PurePosixPath) -> None:
        make(shelf, client, folder)
        box.stored(staged).unlink()

    monkeypatch.setattr(Shelf, "make", set_aside_meanwhile)

    (outcome,) = publish(mover, (staged, FINAL))

    assert isinstance(error_of(outcome), StoredFileMissing)


def test_a_folder_that_was_removed_after_we_made_it_is_made_again_next_time(
    box: Place, mover: GlobusTransport
) -> None:
    assert publish(mover, (stage(box), FINAL)) == [Published(key=0)]
    box.stored(FINAL).unlink()
    for folder in (FINAL.parent, FINAL.parent.parent):
        box.stored(folder).rmdir()
    second = stage(box)

    publish(mover, (second, FINAL))

    assert publish(mover, (second, FINAL)) == [Published(key=0)]


def test_folders_that_may_not_be_made_fail_each_file_with_the_reason(
    box: Place, mover: GlobusTransport
) -> None:
    box.globus.collection(box.store_id).denied.add("/central/Subjects/KS055")

    (outcome,) = publish(mover, (stage(box), FINAL))

    assert isinstance(error_of(outcome), MoverDenied)


# ---- staged, set aside


def test_staged_are_the_folders_of_submissions_and_none_where_there_is_no_staging_folder(
    box: Place, mover: GlobusTransport
) -> None:
    assert list(mover.staged()) == []
    stage(box)
    put(box, ASIDE / "old", b"")
    put(box, STAGING / "a-file", b"")

    assert list(mover.staged()) == [KEY]


def test_a_staged_file_that_is_set_aside_can_no_longer_be_published(
    box: Place, mover: GlobusTransport
) -> None:
    staged = stage(box, b"other")

    assert mover.set_aside(staged)
    assert not mover.set_aside(staged)

    (outcome,) = publish(mover, (staged, FINAL))
    assert isinstance(error_of(outcome), StoredFileMissing)
    (kept,) = box.stored(STAGING / KEY).iterdir()
    assert kept.name.startswith(staged.name)
    assert kept.suffix == ".aside"
    assert hashlib.md5(kept.read_bytes()).hexdigest() == hashlib.md5(b"other").hexdigest()


def test_to_set_aside_counts_as_done_when_only_its_answer_was_lost(
    box: Place, mover: GlobusTransport
) -> None:
    staged = stage(box)
    box.globus.faults.request("POST", "/rename$", status=504, after_work=True)

    assert mover.set_aside(staged)
    assert not box.stored(staged).exists()


def test_an_old_copy_that_was_set_aside_goes_with_the_next_cleaning(
    box: Place, mover: GlobusTransport
) -> None:
    put(box, FINAL, b"old")
    stage(box)

    assert mover.set_aside(FINAL)
    mover.clean([KEY])
    box.globus.settle()

    assert list(box.stored(STAGING).iterdir()) == []
    assert box.stored(FINAL.parent).exists()


@pytest.mark.parametrize(
    "key", ["", ".", "..", "aside", "../KS055", f"{KEY}/..", "/", f"{{{KEY}}}", KEY.upper()]
)
def test_only_submission_keys_are_cleaned(box: Place, mover: GlobusTransport, key: str) -> None:
    with pytest.raises(UntrustedPath):
        mover.clean([key])
    assert box.globus.tasks() == []


# ---- the doctor's look


def test_a_doctor_finds_everything_in_order_and_leaves_nothing(box: Place, mover: GlobusTransport) -> None:
    findings = probe(mover)

    assert [(finding.name, finding.ok) for finding in findings] == [
        ("store", True),
        ("staging folder", True),
        ("lab repository cortexlab_SR", True),
    ]
    box.globus.settle()
    assert list(box.stored(STAGING).iterdir()) == []


def test_a_doctor_says_what_is_wrong_with_each_place_by_itself(box: Place) -> None:
    box.globus.disconnect(box.lab_id)
    with box.transport(root=P("/wrong")) as mover:
        store, lab = probe(mover)

    assert not store.ok
    assert ConfigProblems.remedy in store.sentence
    assert "correct root" in store.sentence
    assert not lab.ok
    assert MoverOffline.remedy in lab.sentence


def test_a_doctor_sees_a_lab_whose_root_is_wrong(box: Place) -> None:
    wrong = {"cortexlab_SR": {"collection": box.lab_id, "root": "/Data/Wrong"}}
    with box.transport(sources=wrong) as mover:
        *_, lab = probe(mover)

    assert not lab.ok
    assert "sources.cortexlab_SR.root" in lab.sentence
