"""Listing, looking, making and renaming, and never outside of the collection."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig_and_store import Lab

from sandbox.globus import Collection
from sandbox.globus.errors import Trouble

Operation = Callable[[globus_sdk.TransferClient, str], Any]
OPERATIONS: dict[str, Operation] = {
    "ls": lambda client, key: client.operation_ls(key, "/"),
    "stat": lambda client, key: client.operation_stat(key, "/"),
    "mkdir": lambda client, key: client.operation_mkdir(key, "/new"),
    "rename": lambda client, key: client.operation_rename(key, "/a.npy", "/b.npy"),
}


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    """Status and code of the error that a call meets."""
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        call()
    return refused.value.http_status, str(refused.value.code)


def test_a_folder_is_listed_by_filter_order_and_limit(lab: Lab):
    for name, size in (("b.npy", 1), ("a.npy", 3), (".hidden.part", 2), ("notes.txt", 4), ("sub/x", 1)):
        lab.write(name, b"x" * size)

    def names(**options: Any) -> list[str]:
        return [row["name"] for row in lab.client.operation_ls(lab.source, "/", **options)]

    assert names() == ["sub", ".hidden.part", "a.npy", "b.npy", "notes.txt"]
    assert names(show_hidden=False) == ["sub", "a.npy", "b.npy", "notes.txt"]
    assert names(filter="name:~*.npy") == ["a.npy", "b.npy"]
    assert names(filter="name:!~*.npy/type:file") == [".hidden.part", "notes.txt"]
    assert names(filter="name:=a.npy") == names(filter="name:a.npy") == ["a.npy"]
    assert names(filter=[{"type": "file"}, {"name": "~*b*"}]) == ["b.npy"]
    assert names(filter="type:file", orderby=["size DESC"])[:2] == ["notes.txt", "a.npy"]
    assert names(orderby="name", limit=2, offset=1) == ["a.npy", "b.npy"]
    assert names(filter={"last_modified": ["", "2000-01-01"]}) == []
    answer = lab.client.operation_ls(lab.source, "/~/sub")
    assert (answer["path"], answer["endpoint"], answer["total"]) == ("/sub/", lab.source, 1)


def test_a_look_at_one_file(lab: Lab):
    lab.write("a.npy", b"12345").chmod(0o640)
    shown = lab.client.operation_stat(lab.source, "/a.npy").data
    assert (shown["name"], shown["type"], shown["size"], shown["permissions"]) == ("a.npy", "file", 5, "0640")
    assert lab.client.operation_stat(lab.source, "/")["type"] == "dir"


def test_what_is_missing_or_in_the_way_has_the_known_codes(lab: Lab):
    """As recorded of the real service, where it was."""
    lab.write("a.npy")
    client, key = lab.client, lab.source
    assert refusal(lambda: client.operation_ls(key, "/none")) == (404, "ClientError.NotFound")
    assert refusal(lambda: client.operation_stat(key, "/none")) == (404, "NotFound")
    assert refusal(lambda: client.operation_ls(key, "/a.npy")) == (
        502,
        "ExternalError.DirListingFailed.NotDirectory",
    )
    client.operation_mkdir(key, "/new")
    assert refusal(lambda: client.operation_mkdir(key, "/new")) == (502, "ExternalError.MkdirFailed.Exists")
    assert refusal(lambda: client.operation_mkdir(key, "/no/parent"))[0] == 404
    assert refusal(lambda: client.operation_rename(key, "/none", "/b"))[0] == 404
    assert refusal(lambda: client.operation_rename(key, "/a.npy", "/no/parent"))[0] == 404
    assert refusal(lambda: client.get_endpoint("nobody")) == (404, "EndpointNotFound")
    assert refusal(lambda: client.operation_ls("nobody")) == (404, "EndpointNotFound")
    assert refusal(lambda: client.get("/v0.10/nothing"))[0] == 404


def test_a_rename_refuses_to_replace_unless_told_so(lab: Lab):
    """Nothing is lost by the refusal, and with the switch the new bytes stand there."""
    lab.write("a.npy", b"new")
    lab.write("b.npy", b"old")

    def rename() -> Any:
        return lab.client.operation_rename(lab.source, "/a.npy", "/b.npy")

    assert refusal(rename) == (502, "ExternalError.RenameFailed.Exists")
    assert (lab.here / "b.npy").read_bytes() == b"old"
    lab.globus.collection(lab.source).rename_replaces = True
    assert rename()["code"] == "FileRenamed"
    assert (lab.here / "b.npy").read_bytes() == b"new"
    assert not (lab.here / "a.npy").exists()


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_a_pause_an_absent_computer_and_a_denial_refuse_every_operation(lab: Lab, name: str):
    lab.write("a.npy")

    def operation() -> Any:
        return OPERATIONS[name](lab.client, lab.source)

    lab.globus.pause(lab.source, "new disks")
    assert refusal(operation) == (409, "OperationPaused")
    lab.globus.resume(lab.source)
    lab.globus.disconnect(lab.source)
    status, code = refusal(operation)
    assert status == 502
    assert code.endswith(".GCDisconnected")
    assert lab.client.get_endpoint(lab.source)["gcp_connected"] is False
    lab.globus.connect(lab.source)
    lab.globus.collection(lab.source).denied.add("/")
    assert refusal(operation) == (403, "EndpointPermissionDenied")
    lab.globus.collection(lab.source).denied.clear()
    operation()


def test_collections_are_found_by_words(lab: Lab):
    found = lab.client.endpoint_search("STORE central")
    assert [(row["id"], row["entity_type"]) for row in found] == [(lab.store, "GCSv5_mapped_collection")]
    personal = lab.client.endpoint_search("rig", filter_entity_type="GCP_mapped_collection")
    assert [(row["display_name"], row["is_globus_connect"]) for row in personal] == [("rig 7", True)]
    assert list(lab.client.endpoint_search("none")) == []
    assert len(list(lab.client.paginated.endpoint_search(filter_scope="my-endpoints").items())) == 2
    with pytest.raises(globus_sdk.TransferAPIError):
        lab.client.endpoint_search()


_WORDS = st.lists(
    st.sampled_from(["..", ".", "~", "a", "out", "in", "", "deep", "//", "a\\b"]), min_size=1, max_size=8
)


@given(words=_WORDS, slash=st.booleans())
def test_no_path_ever_leads_out_of_a_collection(words: list[str], slash: bool):
    """Neither dots nor symbolic links; what is not refused lies below the root."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        (root / "a" / "deep").mkdir(parents=True)
        (root / "out").symlink_to(folder)
        (root / "a" / "out").symlink_to("../..")
        (root / "in").symlink_to("a")
        place = Collection("id", "name", root, "guest", "owner", needs_consent=False)
        path = ("/" if slash else "") + "/".join(words)
        assert _inside(place, path) or "out" in words


def _inside(place: Collection, path: str) -> bool:
    """Whether the path is taken, and then lies below the root; False if it is refused."""
    try:
        local = place.local(path)
    except Trouble:
        return False
    root = os.path.realpath(place.root)
    real = os.path.realpath(local)
    assert real == root or real.startswith(root + os.sep)
    return True


def test_a_link_that_leads_out_is_refused_to_operations_and_tasks(lab: Lab):
    (lab.here / "out").symlink_to(lab.here.parent)
    assert refusal(lambda: lab.client.operation_ls(lab.source, "/out")) == (403, "EndpointPermissionDenied")
    task = lab.submit(("/out/store", "/copy"))
    assert lab.globus.wait_for_faults(task)["nice_status"] == "PERMISSION_DENIED"
