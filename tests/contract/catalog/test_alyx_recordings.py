"""The client over what a real Alyx 3.6.1 answered: every error has a name, every row can be read."""

import json
from datetime import date
from pathlib import PurePosixPath
from urllib.parse import unquote
from uuid import UUID

import httpx2
import pytest
from recordings import exchanges, replaying, required, response

from transfer.catalog import alyx_rows as rows
from transfer.catalog.alyx_errors import Answer, error_of
from transfer.catalog.base import NewFile, Registration
from transfer.errors import (
    CatalogBroken,
    CatalogLoginRefused,
    CatalogRefused,
    CatalogThrottled,
    DoubledDataset,
    ProtectedDataset,
    TransferError,
    UnknownInCatalog,
    UnknownOutcome,
    UnknownSession,
)

RECORD = UUID("2804619a-ff5f-4ba8-bfec-8a20da404082")
OTHER = UUID("5b6230a4-85d4-47e0-b5fb-a91790a8fa5c")

NAMED: dict[str, type[TransferError]] = {
    "badtoken_files": CatalogLoginRefused,
    "public_patch": CatalogLoginRefused,
    "reg_protected": ProtectedDataset,
    "protected_register_refused": ProtectedDataset,
    "dataset_delete_protected": ProtectedDataset,
    "reg_after_orphan": DoubledDataset,
    "throttle_5": CatalogThrottled,
    "task_create_nostatus": CatalogBroken,
    "task_list_poisoned": CatalogBroken,
    "cache_info": CatalogBroken,
}


def _answer(name: str) -> Answer:
    found = response(name)
    headers = found.headers
    return Answer(
        asked=name,
        status=found.status_code,
        content_type=headers.get("content-type", ""),
        text=found.text,
        retry_after=headers.get("retry-after"),
    )


@pytest.mark.parametrize(
    "name",
    [name for name, one in exchanges().items() if one["response"]["status"] >= 300] or ["reg_protected"],
)
def test_every_recorded_refusal_has_a_name(name: str):
    """What is not in the short list above is an input Alyx will refuse again: a person's, never repeated."""
    error = error_of(_answer(name))

    assert type(error) is NAMED.get(name, CatalogRefused)
    assert len(error.what) < 400
    assert "\n" not in error.what


def test_a_refused_batch_names_the_protected_files_only():
    """Those with a revision that is protected."""
    error = error_of(_answer("reg_protected"))
    assert error.after is None
    body = {
        "error": "One or more datasets is protected",
        "details": [{"a.b.npy": [{"": False}]}, {"alf/c.d.npy": [{"x": True}]}, {"e.f.npy": []}],
    }
    answer = Answer(asked="POST", status=403, content_type="application/json", text=json.dumps(body))
    assert error_of(answer).to == "alf/c.d.npy"


@pytest.mark.parametrize(
    ("path", "reader"),
    [
        ("/files", rows.file_record),
        ("/datasets", rows.dataset),
        ("/sessions", rows.session),
        ("/tasks", rows.agent_task),
        ("/data-repository", rows.repository),
        ("/dataset-types", rows.dataset_type),
        ("/register-file", rows.registered),
    ],
)
def test_every_recorded_row_can_be_read(path: str, reader):
    """Lists, single rows and answers to writes alike."""
    read = 0
    required("files_list")
    for one in exchanges().values():
        if one["request"]["path"].split("?")[0].split("/")[1] != path[1:]:
            continue
        body = one["response"].get("json")
        if one["response"]["status"] >= 300 or one["request"]["method"] == "OPTIONS" or not body:
            continue
        found = body if isinstance(body, list) else body.get("results", [body])
        for row in found:
            if path != "/sessions" or "subject" in row:
                rows.read(reader, row, one["name"])
                read += 1
    assert read


def test_sessions():
    [found] = replaying("sessions_number").sessions("KS023", date(2019, 12, 10), 2)
    assert (found.lab, found.number) == ("cortexlab", 2)


def test_a_session_of_another_number_is_left_out():
    """As if the filter had been ignored."""
    assert replaying("sessions_number").sessions("KS023", date(2019, 12, 10), 1) == []


def test_records_by_id_ask_as_recorded():
    asked: list[httpx2.Request] = []
    found = replaying("files_django_in", seen=asked.append).records([RECORD, OTHER])

    assert found[RECORD].exists
    assert not found[OTHER].exists
    recorded = required("files_django_in")["request"]["path"]
    assert unquote(str(asked[0].url)).startswith(f"http://127.0.0.1:8001{recorded}")


def test_datasets_of_a_session():
    eid = UUID("b2567ea3-e05e-549e-8cd5-b17c089c82cf")
    found = replaying("datasets_session").datasets_of_session(eid)

    assert len(found) == len(required("datasets_session")["response"]["json"]["results"])
    assert PurePosixPath("alf/probe00/#2024-05-06#/spikes.times.npy") in {one.path for one in found}
    assert all(str(one.record("cortexlab_SR").path).endswith(str(one.path)) for one in found)  # type: ignore[union-attr]


def test_an_unknown_session():
    with pytest.raises(UnknownSession):
        replaying("datasets_bad_session").datasets_of_session(RECORD)


def test_announcing_with_json():
    found = replaying("file_patch_both").announce(RECORD, False, json={"mismatch_hash": True})
    assert found.json == {"mismatch_hash": True}


def test_missing_records():
    """The recorded list has only what was asked for, so it is believed."""
    found = replaying("files_exists_false").missing_records("flatiron_cortexlab")
    assert found
    assert not any(one.exists for one in found)


def test_an_unfiltered_list_is_noticed():
    """What Alyx answers to `exists=0` or a misspelt filter: everything."""
    with pytest.raises(CatalogBroken, match="did not filter"):
        replaying("files_list").missing_records("flatiron_cortexlab")


def test_registering():
    told = required("reg_new")["request"]["json"]
    files = [
        NewFile(path=PurePosixPath(name), md5=md5, size=size)
        for name, md5, size in zip(told["filenames"], told["hashes"], told["filesizes"], strict=True)
    ]
    asked = Registration(
        session_path=PurePosixPath(told["path"]), repository=told["name"], lab="cortexlab", files=files
    )

    found = replaying("reg_new").register(asked)

    assert [str(one.path) for one in found] == told["filenames"]
    with pytest.raises(DoubledDataset):
        replaying("reg_after_orphan").register(asked)
    with pytest.raises(ProtectedDataset):
        replaying("reg_protected").register(asked)
    with pytest.raises(CatalogRefused):
        replaying("reg_unknown_type").register(asked)
    with pytest.raises(UnknownOutcome):
        replaying("task_create_nostatus").register(asked)


def test_a_wrong_path_of_alyx_is_taken_over_for_the_caller_to_refuse():
    """`..` is stored as it is."""
    row = required("reg_dotdot")["response"]["json"][0]
    assert ".." in rows.registered(row).path.parts


def test_places():
    assert replaying("repos_detail").repository("flatiron_cortexlab").personal is False
    assert "mainen_lab_SR" in replaying("labs_detail").lab_repositories("mainenlab")
    with pytest.raises(UnknownInCatalog):
        replaying("repos_404").repository("nowhere")


def test_types():
    assert replaying("dataset_types").dataset_types()[0].pattern == "_*_DAQdata.meta*"
