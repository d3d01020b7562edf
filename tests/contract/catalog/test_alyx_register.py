"""Registering: one POST, and what its answers mean."""

import threading
from pathlib import PurePosixPath
from uuid import UUID

import httpx2
import pytest
from alyx_lab import DAY, LAB, RIG, STORE, SUBJECT, Rig, new_file, registration

from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp
from transfer.errors import (
    AnswerDiffers,
    CatalogBroken,
    CatalogRefused,
    CatalogThrottled,
    DoubledDataset,
    ProtectedDataset,
    TransferError,
    UnknownOutcome,
)

TIMES, AMPS, DEPTHS = "alf/spikes.times.npy", "alf/spikes.amps.npy", "alf/spikes.depths.npy"


def test_the_answer_is_in_the_order_asked(catalog: AlyxCatalog):
    """Each with what Alyx made of it, the lab's record there and the central one not."""
    asked = [TIMES, "alf/probe00/#2020-01-01#/spikes.amps.npy", "spikes.depths.npy"]

    answers = catalog.register(registration(*asked))

    assert [str(one.path) for one in answers] == asked
    for one in answers:
        assert {record.repository: record.exists for record in one.records} == {RIG: True, STORE: False}
        assert {record.dataset for record in one.records} == {one.dataset}
        assert one.size == 10


def test_what_alyx_holds_afterwards_is_what_was_sent(rig: Rig, catalog: AlyxCatalog):
    """Hash, size and qc; a file without qc beside one that has it stays NOT_SET."""
    catalog.register(registration(new_file(TIMES, md5="b" * 32, size=7, qc="PASS"), new_file(AMPS, size=0)))

    found = {str(one.path): one for one in catalog.datasets_of_session(UUID(rig.eid))}

    assert (found[TIMES].md5, found[TIMES].size, found[TIMES].qc) == ("b" * 32, 7, "PASS")
    assert (found[AMPS].md5, found[AMPS].size, found[AMPS].qc) == ("a" * 32, 0, "NOT_SET")


def test_a_changed_path_is_shown_to_the_caller(catalog: AlyxCatalog):
    """Alyx cuts an odd folder: the answer says which path it registered."""
    [answer] = catalog.register(registration("alf/bad dir/spikes.times.npy"))

    assert answer.path == PurePosixPath(TIMES)


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True},
        {"drop": True, "after_work": True},
        {"status": 502},
        {"status": 504, "after_work": True},
        {"status": 500, "detail": "something new"},
        {"status": 500, "detail": "connection to server at x failed"},
    ],
    ids=str,
)
def test_a_lost_answer_is_an_unknown_outcome_of_one_post(
    rig: Rig, catalog: AlyxCatalog, fault: dict[str, object]
):
    """Two registrations double a dataset for ever, so there is never a second one."""
    rig.alyx.faults.add("POST", "/register-file", **fault)  # type: ignore[arg-type]

    with pytest.raises(UnknownOutcome):
        catalog.register(registration(TIMES))

    rig.alyx.faults.assert_all_reached()
    assert rig.alyx.requests.count("POST", "/register-file") == 1


def test_a_throttled_registration_is_the_callers_to_repeat(rig: Rig, catalog: AlyxCatalog):
    """Refused before any work: not unknown, and still not repeated by us."""
    rig.alyx.faults.add("POST", "/register-file", status=429, retry_after=3)

    with pytest.raises(CatalogThrottled) as caught:
        catalog.register(registration(TIMES))

    assert caught.value.after is not None
    assert rig.slept == []
    assert rig.alyx.requests.count("POST", "/register-file") == 1


def test_a_registration_that_times_out_is_unknown(rig: Rig):
    """The client gives up while the server is still at it."""

    def slow(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("90 seconds", request=request)

    http = AlyxHttp("http://a.invalid", user="u", token="t", transport=httpx2.MockTransport(slow))
    with pytest.raises(UnknownOutcome):
        AlyxCatalog("", user="u", http=http).register(registration(TIMES))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["alf/foo.bar.npy"], "No dataset type found"),
        ([new_file(TIMES, qc="GREAT")], "Invalid QC value"),
        (["alf/#v1#/sub/spikes.times.npy"], "Invalid ALF path"),
    ],
)
def test_bad_input_is_refused_in_alyxs_words(catalog: AlyxCatalog, files: list[str], said: str):
    """Whether Alyx calls it 400 or 500."""
    with pytest.raises(CatalogRefused, match=said):
        catalog.register(registration(*files))


@pytest.mark.parametrize(
    "more",
    [
        {"repository": "nowhere"},
        {"lab": "nowhere"},
        {"session_path": PurePosixPath(SUBJECT, "2001-01-01", "001")},
    ],
    ids=str,
)
def test_unknown_places_are_refused(catalog: AlyxCatalog, more: dict[str, object]):
    """Never a registration somewhere else."""
    with pytest.raises(CatalogRefused):
        catalog.register(registration(TIMES, **more))


def test_a_doubled_dataset_has_a_name_of_its_own(rig: Rig):
    """Two registrations at once, as on a real server: from then on every one is a 500."""
    first, second = rig.client(), rig.client()
    failed: list[TransferError] = []

    def register(catalog: AlyxCatalog) -> None:
        try:
            catalog.register(registration(TIMES))
        except TransferError as error:
            failed.append(error)

    first.check_login()
    second.check_login()
    with rig.alyx.hazards.pause("POST", "/register-file", times=2) as pause:
        threads = [threading.Thread(target=register, args=(one,)) for one in (first, second)]
        for thread in threads:
            thread.start()
        pause.wait_reached(2)
        pause.release()
        for thread in threads:
            thread.join()
    assert len(first.datasets_of_session(UUID(rig.eid))) == 2

    with pytest.raises(DoubledDataset):
        first.register(registration(TIMES))


def test_a_protected_dataset_is_named_and_left_alone(rig: Rig, catalog: AlyxCatalog):
    """The refusal names the file, nothing of the batch is registered, deletion is refused too."""
    [answer] = catalog.register(registration(TIMES))
    rig.alyx.add_tag("frozen", protected=True)
    catalog._http.patch(f"/datasets/{answer.dataset}", {"tags": ["frozen"]})

    with pytest.raises(ProtectedDataset, match=r"spikes\.times\.npy") as caught:
        catalog.register(registration(new_file(TIMES, md5="c" * 32), AMPS))
    assert "amps" not in caught.value.sentence
    with pytest.raises(ProtectedDataset):
        catalog.delete_dataset(answer.dataset)

    [one] = catalog.datasets_of_session(UUID(rig.eid))
    assert (one.md5, one.tags) == ("a" * 32, ("frozen",))


def _answering(body: object, status: int = 201) -> AlyxCatalog:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, json=body))
    return AlyxCatalog(
        "", user="u", http=AlyxHttp("http://a.invalid", user="u", token="t", transport=transport)
    )


def _entry(path: str) -> dict[str, object]:
    name = PurePosixPath(path).name
    id_ = "fb4950a5-8712-4d42-b3ca-99282c22638f"
    return {"id": id_, "name": name, "file_size": 1, "collection": "alf", "revision": "", "file_records": []}


def test_a_short_answer_is_noticed():
    """Alyx cuts its work to the shortest list, with 201."""
    with pytest.raises(AnswerDiffers, match="2 files were registered and Alyx answered with 1"):
        _answering([_entry(TIMES)]).register(registration(TIMES, AMPS))


def test_another_order_is_noticed():
    """Never the uuid of one file for another."""
    with pytest.raises(AnswerDiffers, match=r"answered for spikes\.amps\.npy"):
        _answering([_entry(AMPS), _entry(TIMES)]).register(registration(TIMES, AMPS))


@pytest.mark.parametrize(
    "entry",
    [
        {},
        None,
        {**_entry(TIMES), "id": "x"},
        {**_entry(TIMES), "file_size": "1"},
        {**_entry(TIMES), "file_records": [{}]},
    ],
)
def test_a_row_of_another_shape_is_named(entry: object):
    """Not a KeyError."""
    with pytest.raises(CatalogBroken, match="row we cannot read"):
        _answering([entry]).register(registration(TIMES))


def test_the_request_is_what_the_real_server_was_seen_to_take(rig: Rig):
    """Equal lengths, our user, every switch said out loud."""
    sent: list[httpx2.Request] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(201, json=[_entry(TIMES), _entry(AMPS)])

    http = AlyxHttp("http://a.invalid", user="u", token="t", transport=httpx2.MockTransport(note))
    AlyxCatalog("", user="u", http=http).register(registration(TIMES, AMPS, default=False))

    assert httpx2.Response(200, content=sent[0].content).json() == {
        "created_by": "u",
        "path": f"{SUBJECT}/{DAY}/001",
        "filenames": [TIMES, AMPS],
        "hashes": ["a" * 32] * 2,
        "filesizes": [10, 10],
        "versions": [None, None],
        "name": RIG,
        "server_only": False,
        "exists": True,
        "default": False,
        "check_protected": True,
        "labs": [LAB],
    }
