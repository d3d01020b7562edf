"""register-file, protection and the writing endpoints, as Alyx's own tests and the recordings describe them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_lab import SESSION

from sandbox.alyx.alf import place_in_session, with_uuid
from sandbox.alyx.errors import Refused

NAME = "alf/spikes.times.npy"


def records(answer):
    return {r["data_repository"]: r["exists"] for r in answer.json()[0]["file_records"]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": None}, {"lab_SR": False, "flatiron_lab": False}),
        ({"name": None, "server_only": True}, {"flatiron_lab": True}),
        ({"name": "lab_SR"}, {"lab_SR": True, "flatiron_lab": False}),
        ({"name": "lab_SR", "exists": False}, {"lab_SR": False, "flatiron_lab": False}),
        ({"name": "lab_SR", "server_only": True}, {"lab_SR": True, "flatiron_lab": True}),
        ({"name": "lab_SR", "server_only": True, "exists": False}, {"lab_SR": False, "flatiron_lab": False}),
    ],
)
def test_which_repositories_get_a_record_and_which_has_the_file(lab, body, expected):
    assert records(lab.register(NAME, **body)) == expected


@pytest.mark.parametrize(
    ("again", "central"),
    [
        ({"hashes": ["a" * 32]}, True),
        ({"hashes": ["b" * 32]}, False),
        ({}, False),
        ({"hashes": [None]}, False),
    ],
)
def test_only_the_same_hash_keeps_the_central_copy(lab, again, central):
    record = lab.central(hashes=["a" * 32])
    lab.http.patch(f"/files/{record}", json={"exists": True, "json": {"kept": 1}})
    assert records(lab.register(NAME, **again))["flatiron_lab"] is central
    assert lab.http.get(f"/files/{record}").json()["json"] == ({"kept": 1} if central else None)


def test_a_first_hash_counts_as_patched_but_a_patch_of_the_dataset_does_not(lab):
    record = lab.central()
    dataset = lab.http.get(f"/files/{record}").json()["dataset"]
    lab.http.patch(f"/files/{record}", json={"exists": True})
    assert lab.http.patch(dataset, json={"hash": "a" * 32}).json()["file_records"][1]["exists"] is True
    assert records(lab.register(NAME, hashes=["a" * 32]))["flatiron_lab"] is True


def test_every_repeat_resets_qc_and_takes_the_default(lab):
    first = lab.register(NAME, qc=["PASS"]).json()[0]
    second = lab.register("alf/#v1#/spikes.times.npy", qc="10").json()[0]
    assert (first["qc"], first["default"], second["default"], second["revision"]) == (10, True, True, "v1")
    assert lab.http.get(f"/datasets/{first['id']}").json()["default_dataset"] is False
    again = lab.register(NAME).json()[0]
    assert (again["id"], again["qc"], again["default"]) == (first["id"], 0, True)
    assert lab.http.get(f"/datasets/{second['id']}").json()["default_dataset"] is False
    assert lab.register(NAME, default=False).json()[0]["default"] is False


def test_a_protected_file_is_refused_after_it_was_written_to(lab):
    dataset = lab.register(NAME, qc=["PASS"]).json()[0]["id"]
    lab.alyx.add_tag("paper", protected=True)
    lab.http.patch(f"/datasets/{dataset}", json={"tags": ["paper"]})

    # Asked first, nothing is written
    checked = lab.register(NAME, check_protected=True)
    assert checked.status_code == 403
    assert checked.json()["details"] == [{NAME: [{"": True}]}]
    assert lab.http.get(f"/datasets/{dataset}").json()["qc"] == "PASS"

    # Not asked, the refusal comes too late
    assert lab.register(NAME).json()["detail"] == f"Dataset {dataset} is protected, cannot patch"
    assert lab.http.get(f"/datasets/{dataset}").json()["qc"] == "NOT_SET"

    # A new revision beside it is allowed, deleting is not, and the question is answered with HTTP 200
    assert lab.register("alf/#v2#/spikes.times.npy").status_code == 201
    assert lab.http.delete(f"/datasets/{dataset}").status_code == 403
    asked = lab.http.get("/check-protected", params={"path": SESSION, "filenames": NAME})
    assert (asked.status_code, asked.json()["status_code"]) == (200, 403)
    assert asked.json()["details"] == [{NAME: [{"v2": False}, {"": True}]}]


@pytest.mark.parametrize(
    ("body", "status", "key", "text"),
    [
        ({"name": "nowhere"}, 400, "detail", "The specified repository does not exist."),
        ({"labs": ["nolab"]}, 400, "detail", "One or more of the specified labs do not exist."),
        ({"path": "NN/2020-01-01/001"}, 400, "error", 'A subject with nickname "NN" does not exist.'),
        ({"path": "KS/2020-01-02/001"}, 400, "error", "A base session for KS on 2020-01-02 does not exist"),
        ({"path": "KS/2020-01-01/2"}, 400, "error", "A session for KS/2 on 2020-01-01 does not exist"),
        ({"path": "KS/2020-13-45/1"}, 500, "detail", "['“2020-13-45” value has the correct format"),
        ({"path": ""}, 500, "detail", "The path argument is required."),
        ({"hashes": ["a" * 65]}, 400, "detail", "Invalid dataset"),
        ({"hashes": None}, 500, "detail", "'NoneType' object is not iterable"),
        ({"filesizes": ["big"]}, 500, "detail", "invalid literal for int() with base 10: 'big'"),
        ({"created_by": "nobody"}, 500, "detail", "LabMember matching query does not exist."),
        ({"filenames": ["alf/spikes.times:a.npy"]}, 400, "detail", "Invalid file record"),
        ({"filenames": ["#v1#/alf/spikes.times.npy"]}, 400, "detail", "Invalid ALF path"),
        ({"filenames": ["#a#/#b#/spikes.times.npy"]}, 400, "detail", "Invalid ALF path"),
        ({"object_id": "x"}, 400, "error", "Both content_type and object_id should be provided together."),
        (
            {"filenames": ["no.such.thing"]},
            500,
            "detail",
            'No dataset type found for filename "no.such.thing"',
        ),
    ],
)
def test_what_is_refused_and_how(lab, body, status, key, text):
    answer = lab.http.post(
        "/register-file", json={"path": SESSION, "name": "lab_SR", "filenames": [NAME], **body}
    )
    assert answer.status_code == answer.json()["status_code"] == status
    assert answer.json()[key].startswith(text)


def test_files_before_a_bad_one_stay_and_short_lists_drop_the_rest(lab):
    assert lab.register(NAME, "no.such.thing").status_code == 500
    assert len(lab.alyx.datasets(session=lab.eid)) == 1
    assert (
        len(lab.register("alf/a/spikes.times.npy", "alf/b/spikes.times.npy", hashes=["a" * 32]).json()) == 1
    )


def test_forms_and_comma_separated_strings_are_understood(lab):
    form = {"path": f"/{SESSION}/alf/", "filenames": "spikes.times.npy,spikes.amps.npy,", "name": "lab_SR"}
    answer = lab.http.post("/register-file", data={**form, "filesizes": "1,2", "exists": "False"})
    assert [row["file_size"] for row in answer.json()] == [1, 2]
    assert not any(row["exists"] for row in lab.alyx.file_records())


@given(folder=st.text("ab/.#@ +-_0", max_size=12))
def test_a_collection_never_has_an_odd_character(folder):
    """Whatever the folders are, the path is refused or stored with a collection of plain characters."""
    place = None
    with contextlib.suppress(Refused):
        place = place_in_session(SESSION, f"{folder}/x.y.npy".lstrip("/"))
    if place is None:
        assert "#" in folder
    else:
        assert not set(place.collection) & set("#@ +")
        assert place.relative_path.startswith(SESSION)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.c.npy", "a/b.c.U.npy"),
        ("README", "README.U"),
        (".hidden", ".hidden.U"),
        ("a.tar.bz2", "a.tar.U.bz2"),
        ("a.b.0d2a3f5e-0000-4000-8000-000000000001.npy", "a.b.U.npy"),
    ],
)
def test_central_names_carry_the_dataset(name, expected):
    assert with_uuid(name, "U") == expected


def test_saving_a_record_moves_its_datasets_clock(lab):
    """Every save of a file record is later on its dataset than the one before."""
    record = lab.central()
    dataset = lab.http.get(f"/files/{record}").json()["dataset"]
    seen = [lab.http.get(dataset).json()["auto_datetime"]]
    for body in ({"exists": True}, {"exists": True}, {}):
        lab.http.patch(f"/files/{record}", json=body)
        seen.append(lab.http.get(dataset).json()["auto_datetime"])
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/files", {}, 400),
        ("POST", "/files", [], 400),
        ("PATCH", "/files", {}, 405),
        ("GET", "/files/nonsense", None, 404),
        ("GET", "/files/", None, 404),
        ("GET", "/labs/nolab", None, 404),
        ("POST", "/tasks", {"name": "x"}, 400),
        ("POST", "/tasks", {"name": "x", "session": None, "status": 20}, 400),
        ("POST", "/tasks", {"name": "x", "session": None}, 500),
        ("GET", "/tasks?status=Nothing", None, 500),
        ("POST", "/sync-file-status", None, 500),
    ],
)
def test_statuses_of_odd_requests(lab, method, path, body, status):
    assert lab.http.request(method, path, json=body).status_code == status


def test_who_may_do_what(lab):
    """Missing or wrong credentials are 403; the public account reads only; registration asks for nobody."""
    lab.alyx.add_user("intbrainlab", password="x")
    anonymous = lab.client()
    anonymous.headers.pop("Authorization")
    with anonymous, lab.client("intbrainlab") as public:
        assert anonymous.get("/labs").json()["detail"] == "Authentication credentials were not provided."
        bad = anonymous.get("/labs", headers={"Authorization": "Token nothing"})
        assert (bad.status_code, bad.json()["detail"]) == (403, "Invalid token.")
        assert public.get("/labs").status_code == 200
        assert public.post("/labs", json={"name": "x"}).status_code == 403
        assert lab.register(NAME, http=anonymous, created_by="rig").status_code == 201
        text = lab.http.post("/register-file", content="x", headers={"Content-Type": "text/plain"})
        assert (text.status_code, text.json()["detail"]) == (
            415,
            'Unsupported media type "text/plain" in request.',
        )


def test_the_schema_names_every_endpoint_a_client_uses(lab):
    paths = lab.http.get("/api/schema").json()["paths"]
    assert {"/files", "/files/{id}", "/register-file", "/sessions", "/datasets/{id}", "/labs/{name}"} <= set(
        paths
    )
