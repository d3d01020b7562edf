"""Bringing files back: what is chosen, and that a wrong or half file never gets a file's name."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.web_store import Fault, WebStore
from tests.world import md5
from transfer.catalog.base import CatalogDataset, FileRecord
from transfer.errors import ConnectionLost, LocalFileDiffers, StoredFileMissing, UntrustedPath
from transfer.paths import partial_name
from transfer.retrieval import Folder, Outcome, Plan, Result, fetch, look, plan
from transfer.transports.http.transport import HttpTransport
from transfer.transports.local import LocalTransport

P = PurePosixPath
STORE, SESSION = "flatiron_cortexlab", "KS023/2019-12-10/001"
CONTENT = bytes(range(250)) * 8


def dataset(
    path: str = "alf/spikes.times.npy",
    *,
    content: bytes = CONTENT,
    record: str | None = None,
    store: str = STORE,
    exists: bool = True,
) -> CatalogDataset:
    """A dataset with one central record."""
    id_ = uuid4()
    *folders, name = path.split("/")
    revision = folders.pop().strip("#") if folders and folders[-1].startswith("#") else ""
    there = FileRecord(
        id=uuid4(), dataset=id_, repository=store, path=P(record or f"{SESSION}/{path}"), exists=exists
    )
    return CatalogDataset(
        id=id_,
        session=uuid4(),
        name=name,
        collection="/".join(folders),
        revision=revision,
        md5=md5(content),
        size=len(content),
        qc="NOT_SET",
        default=True,
        tags=(),
        created_at=datetime(2026, 1, 1),
        changed_at=datetime(2026, 1, 1),
        records=(there,),
    )


def planned(*datasets: CatalogDataset) -> Plan:
    return plan(datasets, stores=[STORE])


def bring(
    chosen: Plan,
    root: Path,
    reader: Callable[[str], HttpTransport | LocalTransport],
    *,
    replace: bool = False,
) -> list[Result]:
    """The whole way: look, then fetch what is missing."""
    found = look(chosen.wanted, root, replace=replace, moved=lambda _count: None)
    with Folder(root) as folder:
        fetched = fetch(found.missing, folder, open_reader=reader, replace=replace, moved=lambda _count: None)
        return [*found.ended, *fetched]


def store_file(store: Path, one: CatalogDataset, content: bytes = CONTENT) -> Path:
    """The stored copy, by rules written down here once more."""
    path = P(SESSION) / one.path
    file = store / path.with_name(f"{path.stem}.{one.id}{path.suffix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def over_http(web: WebStore, connections: int = 1) -> Callable[[str], HttpTransport]:
    return lambda _store: HttpTransport(web.url, connections=connections, sleep=lambda _seconds: None)


# ---- what is chosen


def test_a_file_goes_where_the_lab_has_it_and_comes_from_where_the_store_has_it() -> None:
    one = dataset("alf/probe00/#2024-05-06#/spikes.times.npy")
    (wanted,) = planned(one).wanted
    assert wanted.path == P(f"{SESSION}/alf/probe00/#2024-05-06#/spikes.times.npy")
    assert wanted.stored == P(f"{SESSION}/alf/probe00/#2024-05-06#/spikes.times.{one.id}.npy")


def test_only_an_announced_copy_of_a_store_of_ours_is_read() -> None:
    for one in (dataset(exists=False), dataset(store="aws_cortexlab"), replace(dataset(), records=())):
        (gone,) = planned(one).unavailable
        assert isinstance(gone.error, StoredFileMissing)


@pytest.mark.parametrize(
    "record",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "alf/spikes.times.npy",
        f"{SESSION}/alf/../../../../spikes.times.npy",
        f"{SESSION}/raw/spikes.times.npy",
        "KS023/2019-12-32/001/alf/spikes.times.npy",
        f"{SESSION}/alf\\spikes.times.npy",
        f"C:/{SESSION}/alf/spikes.times.npy",
    ],
)
def test_a_record_that_names_another_place_is_not_followed(record: str) -> None:
    (gone,) = planned(dataset(record=record)).unavailable
    assert isinstance(gone.error, UntrustedPath)


@pytest.mark.parametrize("name", [partial_name(UUID(int=4), "0" * 8), "a:b.npy"])
def test_a_name_that_would_disturb_us_or_the_disk_is_not_brought(name: str) -> None:
    (gone,) = planned(dataset(f"alf/{name}")).unavailable
    assert isinstance(gone.error, UntrustedPath)


@pytest.mark.parametrize("other", ["alf/spikes.times.npy", "alf/Spikes.Times.npy"])
def test_two_files_are_never_brought_to_one_place(other: str) -> None:
    chosen = planned(dataset(), dataset(other))
    assert len(chosen.wanted) == 1
    assert isinstance(chosen.unavailable[0].error, UntrustedPath)


@pytest.mark.parametrize("md5", ["", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "nonsense"])
def test_what_is_no_md5_is_no_proof(md5: str) -> None:
    (wanted,) = planned(replace(dataset(), md5=md5)).wanted
    assert wanted.md5 is None


# ---- never a wrong file, never half a file


FAULTS = st.one_of(
    st.none(),
    st.builds(Fault, cut_after=st.integers(0, 2500), ignore_range=st.booleans()),
    st.builds(
        Fault, change=st.sampled_from([bytes.upper, lambda body: body[::-1], lambda body: b"x" * len(body)])
    ),
    st.builds(Fault, shift_range=st.integers(-50, 50)),
    st.builds(Fault, status=st.sampled_from([200, 206, 403, 404, 416, 500, 503])),
    st.builds(Fault, said_length=st.sampled_from([-1, 0, 1, 1999, 2001, 9999])),
    st.builds(
        Fault,
        cut_after=st.integers(0, 2500),
        headers=st.sampled_from(
            [
                (("ETag", ""), ("Last-Modified", "")),
                (("ETag", 'W/"weak"'),),
                (("ETag", '"other"'),),
                (("Content-Range", "bytes 0-1999/2000"),),
                (("Content-Range", "bytes */2000"),),
            ]
        ),
    ),
)


@settings(max_examples=100, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=8),
    earlier=st.none() | st.binary(max_size=50) | st.integers(0, 2200),
    mine=st.none() | st.just(CONTENT) | st.binary(max_size=10),
    may_replace=st.booleans(),
    stored=st.just(CONTENT) | st.binary(max_size=20),
)
def test_under_the_files_name_stands_what_is_registered_or_what_stood_there(
    faults: list[Fault | None],
    earlier: bytes | int | None,
    mine: bytes | None,
    may_replace: bool,
    stored: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever the server does, whatever an earlier pull left, whatever the store holds."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "store").mkdir()
    one = dataset()
    store_file(folder / "store", one, stored)
    root = folder / "here"
    file = root / SESSION / one.path
    file.parent.mkdir(parents=True)
    if mine is not None:
        file.write_bytes(mine)
    if earlier is not None:
        leave_behind(root, one, CONTENT[:earlier] if isinstance(earlier, int) else earlier)
    left = list(faults)

    with WebStore(folder / "store") as web:
        web.fault = lambda _asked: left.pop(0) if left else None
        (result,) = bring(planned(one), root, over_http(web), replace=may_replace)

    now = file.read_bytes() if file.exists() else None
    assert now in ((CONTENT, mine) if mine is not None else (CONTENT, None))
    assert (result.outcome is not Outcome.FAILED) == (now == CONTENT)
    assert (result.error is not None) == (result.outcome is Outcome.FAILED)
    if mine is not None and not may_replace:
        assert now == mine
    shutil.rmtree(folder)


def leave_behind(root: Path, one: CatalogDataset, content: bytes, attempt: str = "0badcafe") -> Path:
    """What a pull leaves that was killed."""
    partial = (root / SESSION / one.path).with_name(partial_name(one.id, attempt))
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    (root / f".alyx-transfer.{attempt}.lock").write_text(f"{partial.relative_to(root)}\n")
    return partial


def test_many_files_over_several_lines(tmp_path: Path) -> None:
    datasets = [dataset(f"alf/probe{number:02}/spikes.times.npy") for number in range(30)]
    for one in datasets:
        store_file(tmp_path / "store", one)
    with WebStore(tmp_path / "store") as web:
        web.fault = lambda asked: Fault(status=404) if "probe07" in asked.path else None
        results = bring(planned(*datasets), tmp_path / "here", over_http(web, connections=4))
    assert [one.outcome for one in results].count(Outcome.PULLED) == 29
    assert len([file for file in (tmp_path / "here").rglob("*") if file.is_file()]) == 29


def test_a_store_that_cannot_be_opened_fails_its_own_files_only(tmp_path: Path) -> None:
    here, there = dataset(), replace(dataset("alf/b.c.npy"), records=())
    there = replace(
        there,
        records=(
            replace(here.records[0], dataset=there.id, repository="far", path=P(f"{SESSION}/alf/b.c.npy")),
        ),
    )
    store_file(tmp_path / "store", here)

    def open_reader(store: str) -> LocalTransport:
        return LocalTransport(tmp_path / ("store" if store == STORE else "nowhere"))

    results = bring(plan([there, here], stores=["far", STORE]), tmp_path / "here", open_reader)
    assert [(one.wanted.store, one.outcome) for one in results] == [
        ("far", Outcome.FAILED),
        (STORE, Outcome.PULLED),
    ]


# ---- what a pull that died leaves


def test_a_second_name_of_a_whole_file_is_never_written_to(tmp_path: Path) -> None:
    """It died between the two halves of putting the file in place: both names are one file."""
    one = dataset()
    store_file(tmp_path / "store", one)
    root = tmp_path / "here"
    partial = leave_behind(root, one, b"an older version")
    os.link(partial, root / SESSION / one.path)
    with WebStore(tmp_path / "store") as web:
        seen: list[bytes] = []

        def watch(_asked: object) -> None:
            seen.append((root / SESSION / one.path).read_bytes())

        web.fault = watch
        (result,) = bring(planned(one), root, over_http(web), replace=True)
    assert seen == [b"an older version"]
    assert result.outcome is Outcome.PULLED
    assert [file.name for file in root.rglob("*") if file.is_file()] == ["spikes.times.npy"]


def test_a_partial_of_a_pull_that_lives_is_left_to_it(tmp_path: Path) -> None:
    one = dataset()
    store_file(tmp_path / "store", one)
    root = tmp_path / "here"
    (wanted,) = planned(one).wanted
    with Folder(root) as alive:
        partial, _ = alive.partial(wanted)
        partial.parent.mkdir(parents=True)
        partial.write_bytes(CONTENT[:500])
        with WebStore(tmp_path / "store") as web:
            bring(planned(one), root, over_http(web))
            assert "range" not in web.asked[0].headers
        assert partial.read_bytes() == CONTENT[:500]
        with pytest.raises(LocalFileDiffers):
            alive.put(partial, wanted.path, replace=False)


@pytest.mark.parametrize("line", ["../outside", "/etc/passwd", "a/../../outside", "not-a-partial"])
def test_a_journal_that_was_tampered_with_leads_nowhere(tmp_path: Path, line: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    root = tmp_path / "here"
    root.mkdir()
    (root / "not-a-partial").write_bytes(b"mine")
    (root / ".alyx-transfer.0badcafe.lock").write_text(f"{line}\n")
    with Folder(root):
        pass
    assert outside.read_bytes() == b"mine"
    assert (root / "not-a-partial").read_bytes() == b"mine"


def test_a_disk_without_hard_links_overwrites_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_names: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    one = dataset()
    (wanted,) = planned(one).wanted
    with Folder(tmp_path) as folder:
        for content, fails in ((b"first", False), (b"second", True)):
            partial, _ = folder.partial(wanted)
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            if fails:
                with pytest.raises(LocalFileDiffers):
                    folder.put(partial, wanted.path, replace=False)
                folder.drop(partial)
            else:
                folder.put(partial, wanted.path, replace=False)
    assert (tmp_path / wanted.path).read_bytes() == b"first"


def test_a_lost_line_leaves_its_bytes_for_the_next_pull(tmp_path: Path) -> None:
    one = dataset()
    store_file(tmp_path / "store", one)
    with WebStore(tmp_path / "store") as web:
        web.fault = lambda _asked: Fault(cut_after=100)
        (result,) = bring(planned(one), tmp_path / "here", over_http(web))
        assert isinstance(result.error, ConnectionLost)
        web.fault = None
        (result,) = bring(planned(one), tmp_path / "here", over_http(web))
        assert web.asked[-1].headers["range"] == "bytes=400-"
    assert result.outcome is Outcome.PULLED
    assert [file.name for file in (tmp_path / "here").rglob("*") if file.is_file()] == ["spikes.times.npy"]
