"""The frozen submission: always the same, always inside its folders, and always with the registered md5."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transfer.errors import UntrustedPath
from transfer.model import STAGING, staged_path
from transfer.transports.delegated import Piece
from transfer.transports.globus import document
from transfer.transports.globus.options import GlobusOptions

P = PurePosixPath
KEY = "0c9a5a0e-6a3f-4e0a-9d0b-0d9b1f2c7a11"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
OPTIONS = GlobusOptions.model_validate(
    {
        "client_id": UUID(int=1),
        "client_secret": "s",
        "collection": UUID(int=2),
        "root": "/central/Subjects",
        "sources": {"cortexlab_SR": {"collection": UUID(int=3), "root": "/E/Data"}},
    }
)
names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."})
sources = st.lists(names, min_size=1, max_size=4).map(lambda parts: P(*parts)).filter(lambda path: path.parts)
pieces = st.builds(
    Piece,
    source=sources,
    staged=st.uuids().map(lambda dataset: staged_path(KEY, dataset)),
    size=st.integers(0),
    md5=st.binary(min_size=16, max_size=16).map(bytes.hex),
)
batches = st.lists(pieces, min_size=1, max_size=8, unique_by=lambda piece: piece.staged)


def frozen(batch: list[Piece], key: str = KEY, deadline: datetime = NOON) -> dict[str, Any]:
    return dict(document.transfer(OPTIONS, key, "cortexlab_SR", batch, deadline=deadline))


@given(batch=batches)
def test_a_document_is_the_same_every_time_and_after_the_ledger_kept_it(batch: list[Piece]) -> None:
    assert frozen(batch) == frozen(batch) == json.loads(json.dumps(frozen(batch)))


@given(batch=batches)
def test_every_piece_is_asked_for_once_below_both_roots_with_its_md5(batch: list[Piece]) -> None:
    items = frozen(batch)["DATA"]

    assert [(item["source_path"], item["destination_path"], item["external_checksum"]) for item in items] == [
        (str(P("/E/Data") / piece.source), str(P("/central/Subjects") / piece.staged), piece.md5)
        for piece in batch
    ]
    assert {item["checksum_algorithm"] for item in items} == {"MD5"}


@given(batch=batches)
def test_what_was_asked_can_be_read_again(batch: list[Piece]) -> None:
    read = document.asked(frozen(batch))

    assert read.keys() == {piece.staged for piece in batch}
    assert [file.md5 for file in read.values()] == [piece.md5 for piece in batch]


@given(batch=batches, root=st.sampled_from(["/~", "/", "/mnt/ibl/.alyx-transfer/x"]))
def test_a_staged_path_is_known_again_whatever_the_collection_calls_its_root(
    batch: list[Piece], root: str
) -> None:
    assert {document.staged_of(f"{root}/{piece.staged}") for piece in batch} == {
        piece.staged for piece in batch
    }


@given(path=st.lists(st.sampled_from(["..", "/", "a", ".", ".alyx-transfer", "etc"]), max_size=6))
def test_no_path_ever_leads_out(path: list[str]) -> None:
    """Of the lab's root, or of the staging folder at the store: it is asked for inside, or refused."""
    wild = P("/".join(path))
    for source, staged in ((wild, staged_path(KEY, UUID(int=9))), (P("a"), wild)):
        piece = Piece(source=source, staged=staged, size=1, md5="0" * 32)
        try:
            (item,) = frozen([piece])["DATA"]
        except UntrustedPath:
            continue
        assert ".." not in item["source_path"].split("/")
        assert item["source_path"].startswith("/E/Data")
        assert item["destination_path"].startswith(f"/central/Subjects/{STAGING}/")
        assert ".." not in item["destination_path"].split("/")


@given(key=st.text(max_size=40) | st.uuids().map(str))
def test_only_a_folder_of_one_submission_is_ever_removed(key: str) -> None:
    """Never the staging folder itself, nor anything outside it."""
    try:
        folder = document.folder_of(key)
    except UntrustedPath:
        return
    (item,) = document.deletion(OPTIONS, KEY, [folder])["DATA"]
    assert item["path"] == f"/central/Subjects/{STAGING}/{UUID(key)}/"


@pytest.mark.parametrize("folder", [STAGING, P(), P("KS055"), P("KS055/001")])
def test_a_folder_outside_is_not_removed(folder: PurePosixPath) -> None:
    with pytest.raises(UntrustedPath):
        document.deletion(OPTIONS, KEY, [folder])


def test_a_removal_says_every_option_aloud() -> None:
    said = dict(document.deletion(OPTIONS, KEY, [STAGING / KEY]))

    assert said.pop("DATA") == [
        {"DATA_TYPE": "delete_item", "path": f"/central/Subjects/.alyx-transfer/{KEY}/"}
    ]
    assert said == {
        "DATA_TYPE": "delete",
        "endpoint": str(UUID(int=2)),
        "label": "alyx-transfer staging, 1 folders",
        "submission_id": KEY,
        "recursive": True,
        "ignore_missing": True,
        "interpret_globs": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }


@given(about=st.text())
def test_a_label_has_only_what_globus_takes(about: str) -> None:
    label = document.label(about)

    assert 0 < len(label) <= 128
    assert all(letter.isascii() and (letter.isalnum() or letter in " _,-") for letter in label)


def test_the_deadline_is_said_in_utc() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))

    assert frozen([], deadline=east)["deadline"] == "2026-03-04T12:00:00+00:00"


@given(batch=batches, other=st.uuids().map(str))
def test_checksums_decide_only_over_what_another_submission_staged(batch: list[Piece], other: str) -> None:
    assume(other != KEY)

    assert "sync_level" not in frozen(batch)
    assert frozen(batch, key=other)["sync_level"] == 3
