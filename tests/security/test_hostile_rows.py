"""Rows of Alyx that lie about where things are: nothing is read, written or planned outside the configured roots."""

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import names
from tests.world import LAB, LAB_SERVER, STORE, World, world
from transfer.catalog.base import CatalogDataset, FileRecord
from transfer.errors import TransferError
from transfer.model import Lab
from transfer.paths import is_leftover, old_name, partial_name, refuse_unsafe, with_uuid
from transfer.retrieval import Folder, plan
from transfer.steps.scan import _session_of, scan
from transfer.transports.base import Rename, Upload
from transfer.transports.local import LocalTransport

P = PurePosixPath
ID = UUID("2622b17c-9408-4910-99cb-abf16d9225b9")
SESSION = "KS023/2019-12-10/001"
PARTS = [
    *(
        "..",
        ".",
        "",
        "a",
        "alf",
        "#v1#",
        ".alyx-transfer",
        "C:",
        "c:x",
        "\\",
        "..\\..",
        "\0",
        "\n",
        "~",
        "/etc",
        "NUL",
    ),
    *(partial_name(ID, "0123abcd"), old_name(ID, "a" * 32), "2019-12-10", "001", "KS023", "spikes.times.npy"),
]
hostile = st.lists(st.sampled_from(PARTS) | names.illegal() | names.short, min_size=1, max_size=7).map(
    "/".join
)
below_session = st.lists(st.sampled_from(PARTS) | names.short, min_size=1, max_size=4).map(
    lambda some: "/".join([SESSION, *some])
)
quick = settings(deadline=None, suppress_health_check=[*HealthCheck], max_examples=80)


def dataset(path: str, collection: str, name: str) -> CatalogDataset:
    record = FileRecord(id=uuid4(), dataset=ID, repository=STORE, path=P(path), exists=True)
    then = datetime(2026, 1, 1)
    return CatalogDataset(
        id=ID, session=uuid4(), name=name, collection=collection, revision="", md5="0" * 32, size=4,
        qc="NOT_SET", default=True, tags=(), created_at=then, changed_at=then, records=(record,),
    )  # fmt: skip


def census(folder: Path) -> set[str]:
    return {os.path.relpath(path, folder) for path in folder.rglob("*")}


@given(path=hostile | below_session, agrees=st.booleans())
@example(path=f"{SESSION}/../../../../outside", agrees=True)
@example(path=f"{SESSION}/alf/{partial_name(ID, '0123abcd')}", agrees=True)
@quick
def test_a_pull_writes_below_its_folder_or_refuses(
    tmp_path_factory: pytest.TempPathFactory, path: str, agrees: bool
) -> None:
    """The plan, the partial and the step into place, with rows whose dataset agrees with their path and others."""
    top = tmp_path_factory.mktemp("pull")
    root = top / "deep" / "folder"
    below = "/".join(path.split("/")[3:]) if agrees else "alf/spikes.times.npy"
    collection, _, name = below.rpartition("/")
    made = plan([dataset(path, collection, name)], stores=[STORE])
    assert len(made.wanted) + len(made.unavailable) == 1
    with Folder(root) as folder:
        for one in made.wanted:
            assert not is_leftover(one.path.name)
            partial, _ = folder.partial(one)
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(b"1234")
            final = folder.put(partial, one.path, replace=False)
            assert final.is_relative_to(root)
            assert Path(os.path.realpath(final)).is_relative_to(root)
    for refused in made.unavailable:
        assert refused.error.do
    assert all(one.startswith("deep") for one in census(top))


@given(path=hostile | below_session)
@quick
def test_the_stores_target_of_a_row_lies_below_its_root_or_the_row_is_refused(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    """By name, and by what a mounted disk really does with it."""
    top = tmp_path_factory.mktemp("store")
    (top / "store").mkdir()
    (top / "source").write_bytes(b"1234")
    try:
        target = with_uuid(refuse_unsafe(path), ID)
    except TransferError:
        target = P(path.replace("\0", "%"))  # what a transport would make of it all the same
    partial = target.with_name(partial_name(ID, "0123abcd")) if target.name else target
    transport = LocalTransport(top / "store", connections=1)
    upload = Upload(key=0, source=top / "source", partial=partial, size=4, mtime_ns=0)
    list(transport.put([upload], lambda _count: None))
    list(transport.publish([Rename(key=0, partial=partial, final=target)]))
    list(transport.remove([target]))
    assert {one for one in census(top) if not one.startswith("store")} == {"source"}


@given(path=hostile | below_session)
@quick
def test_a_row_names_a_session_of_the_lab_or_none(path: str) -> None:
    lab = Lab(name=LAB, repository=LAB_SERVER, root=Path("/rigs/lab"), store=STORE, work="alyx")
    try:
        key = _session_of(P(path), lab)
    except TransferError:
        return
    if key is not None:
        assert len(key.path.parts) == 3
        assert not {"..", ""} & set(key.path.parts)
        assert P("/rigs/lab") / key.path in (P("/rigs/lab") / path).parents


# ---- the whole way, with a lab whose files Alyx lists


@pytest.fixture
def box(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.lab = Lab(name=LAB, repository=LAB_SERVER, root=made.lab.root, store=STORE, work="alyx")
        yield made


HOSTILE = [
    *(
        "../../../outside/spikes.times.npy",
        "/etc/passwd",
        "alf/../../../../outside/spikes.times.npy",
        "alf//x.npy",
    ),
    *(
        "alf\\..\\x.npy",
        "C:/x.npy",
        ".alyx-transfer/x",
        f"alf/{partial_name(ID, '0123abcd')}",
        "alf/./x.npy",
        "\n",
    ),
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_row_among_good_ones_moves_nothing_and_stops_nobody(
    box: World, tmp_path: Path, path: str
) -> None:
    """Scan, visit, register, plan and push: the good file arrives, of the other not a byte is read."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "spikes.times.npy").write_bytes(b"not for the store")
    session = box.session()
    good = box.write(session, "alf/spikes.times.npy", b"good")
    bad = box.write(session, "alf/spikes.clusters.npy", b"bad")
    made = {one.name: row for one, row in zip((good, bad), _listed(box, session, good, bad), strict=True)}
    _poison(box, made[bad.name], path if path.startswith("/") else f"{SESSION}/{path}")
    runner = box.runner()
    for _ in range(2):
        scan(runner.ledger, runner.catalog, box.lab)
        box.settle(runner)
        box.clock.advance(120)

    stored = [file.read_bytes() for file in box.stored_files()]
    assert stored == [b"good"]
    assert census(tmp_path / "outside") == {"spikes.times.npy"}
    assert [row["relative_path"] for row in box.alyx.tables.file_records(STORE) if row["exists"]] == [
        f"{SESSION}/alf/spikes.times.npy"
    ]


def _listed(box: World, session: Path, *files: Path) -> list[str]:
    """Registered as the lab's pipeline does; the ids of the central records."""
    catalog = box.new_catalog()
    answer = catalog._http.post_once(
        "/register-file",
        {
            "path": SESSION, "filenames": [str(file.relative_to(session)) for file in files],
            "name": LAB_SERVER, "labs": LAB, "server_only": False, "exists": True, "created_by": "rig_user",
            "hashes": [hashlib.md5(file.read_bytes()).hexdigest() for file in files],
            "filesizes": [file.stat().st_size for file in files],
        },
    )  # fmt: skip
    return [one["id"] for row in answer for one in row["file_records"] if one["data_repository"] == STORE]


def _poison(box: World, record: str, path: str) -> None:
    """Somebody writes this path into the row."""
    with box.alyx._store.lock:
        row = box.alyx._store.tables["files"][record]
        box.alyx._store.save("files", {**row, "relative_path": path})
