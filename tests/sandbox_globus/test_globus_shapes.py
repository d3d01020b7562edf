"""Every key of the SDK's recorded answers is in ours, with a value of the same type (or null)."""

from collections.abc import Callable
from typing import Any

import globus_sdk
import pytest
from globus_sdk.testing import get_response_set
from rig_and_store import Lab

Call = Callable[[Lab, str], Any]


def _rejected(lab: Lab, call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        call()
    return {"status": refused.value.http_status, **(refused.value.raw_json or {})}


def _stat_denied(lab: Lab) -> dict[str, Any]:
    lab.globus.collection(lab.source).denied.add("/secret")
    return _rejected(lab, lambda: lab.client.operation_stat(lab.source, "/secret"))


def _delete(lab: Lab) -> Any:
    wanted = globus_sdk.DeleteData(lab.source, recursive=True)
    wanted.add_item("/none")
    return lab.client.submit_delete(wanted).data


CALLS: dict[tuple[str, str], Call] = {
    ("get_submission_id", "default"): lambda lab, task: lab.client.get_submission_id().data,
    ("submit_transfer", "default"): lambda lab, task: (
        lab.client.submit_transfer(lab.transfer(("/a.npy", "/b.npy"))).data
    ),
    ("submit_transfer", "failure"): lambda lab, task: _rejected(
        lab, lambda: lab.client.submit_transfer(lab.transfer())
    ),
    ("submit_delete", "default"): lambda lab, task: _delete(lab),
    ("task_list", "default"): lambda lab, task: lab.client.task_list().data,
    ("cancel_task", "default"): lambda lab, task: _cancel(lab),
    ("get_endpoint", "default"): lambda lab, task: lab.client.get_endpoint(lab.store).data,
    ("update_endpoint", "default"): lambda lab, task: (
        lab.client.update_endpoint(lab.store, {"description": "large"}).data
    ),
    ("operation_stat", "default"): lambda lab, task: lab.client.operation_stat(lab.source, "/a.npy").data,
    ("operation_stat", "not_found"): lambda lab, task: _rejected(
        lab, lambda: lab.client.operation_stat(lab.source, "/none")
    ),
    ("operation_stat", "permission_denied"): lambda lab, task: _stat_denied(lab),
    ("operation_mkdir", "default"): lambda lab, task: lab.client.operation_mkdir(lab.store, "/new").data,
    ("operation_rename", "default"): lambda lab, task: (
        lab.client.operation_rename(lab.source, "/a.npy", "/c.npy").data
    ),
    ("endpoint_manager_task_list", "default"): lambda lab, task: lab.client.endpoint_manager_task_list().data,
    ("endpoint_manager_task_successful_transfers", "default"): lambda lab, task: (
        lab.client.endpoint_manager_task_successful_transfers(task).data
    ),
}


def _cancel(lab: Lab) -> Any:
    lab.globus.hold()
    return lab.client.cancel_task(lab.submit(("/a.npy", "/held.npy"))).data


@pytest.mark.parametrize(("call", "case"), list(CALLS))
def test_has_every_key_of_the_recorded_answer(lab: Lab, call: str, case: str):
    """What the SDK's authors recorded of the real service is answered here too."""
    # Given the recorded answer, and a lab with a finished task
    recorded = get_response_set(getattr(globus_sdk.TransferClient, call)).lookup(case)
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.globus.wait(task)
    lab.globus.limits.page = 100

    # When the same is asked here
    ours = CALLS[call, case](lab, task)

    # Then nothing is missing or of another type, and codes and statuses are the same
    assert _missing(recorded.json, ours) == []
    assert recorded.json.get("code") == ours.get("code")
    if recorded.status >= 400:
        assert recorded.status == ours["status"]
    if case == "default" and "message" in recorded.json:
        assert recorded.json["message"] == ours["message"]


def _missing(wanted: Any, got: Any, where: str = "") -> list[str]:
    """The keys of `wanted` that `got` lacks or gives another type; nulls fit everything."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        absent = [f"{where}.{key} is absent" for key in wanted if key not in got]
        both = [key for key in wanted if key in got]
        return absent + [text for key in both for text in _missing(wanted[key], got[key], f"{where}.{key}")]
    if isinstance(wanted, list) and isinstance(got, list):
        return _missing(wanted[0], got[0], f"{where}[0]") if wanted and got else []
    if wanted is None or got is None or type(wanted) is type(got):
        return []
    return [f"{where} is {got!r}, recorded was {wanted!r}"]


DOCUMENTED = {
    "event": {"DATA_TYPE", "code", "description", "details", "is_error", "time"},
    "successful_transfer": {
        "DATA_TYPE",
        "checksum",
        "checksum_algorithm",
        "destination_path",
        "dynamic",
        "size",
        "source_path",
    },
    "skipped_error": {
        "DATA_TYPE",
        "checksum_algorithm",
        "destination_path",
        "error_code",
        "error_details",
        "error_time",
        "external_checksum",
        "is_delete_destination_extra",
        "is_directory",
        "is_symlink",
        "source_path",
    },
    "file": {
        "DATA_TYPE",
        "group",
        "last_modified",
        "link_target",
        "name",
        "permissions",
        "size",
        "type",
        "user",
    },
}


def test_has_every_documented_field_where_nothing_was_recorded(lab: Lab):
    """Events, successful transfers, skipped errors and listings, which the SDK has no recordings of."""
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"), ("/none", "/none"), skip_source_errors=True)
    lab.globus.wait(task)
    shown = {
        "event": lab.client.task_event_list(task),
        "successful_transfer": lab.client.task_successful_transfers(task),
        "skipped_error": lab.client.task_skipped_errors(task),
        "file": lab.client.operation_ls(lab.source),
    }
    for name, answer in shown.items():
        (row, *_) = answer["DATA"]
        assert set(row) >= DOCUMENTED[name]
        assert row["DATA_TYPE"] == name
    one = lab.client.get_task(task).data
    assert one["DATA_TYPE"] == "task"
    assert set(one) >= set(
        get_response_set(globus_sdk.TransferClient.task_list).lookup("default").json["DATA"][0]
    )
