"""What goes wrong on the real server when two clients write at once goes wrong here too, on demand."""

import threading
from concurrent.futures import ThreadPoolExecutor

NAME = "alf/spikes.times.npy"
MD5 = "0" * 31 + "1"


def test_two_identical_registrations_at_once_double_the_dataset(lab):
    """One is told 201, the other 400; then every registration of that file is 500, until the spare row is deleted."""
    # Given two identical registrations of a new file that both have looked before either writes
    with (
        lab.alyx.hazards.pause("POST", "/register-file", times=2) as pause,
        lab.client() as one,
        lab.client() as two,
        ThreadPoolExecutor(2) as pool,
    ):
        answers = [pool.submit(lab.register, NAME, http=http, hashes=[MD5]) for http in (one, two)]
        pause.wait_reached(2)
        pause.release()
        codes = sorted(answer.result().status_code for answer in answers)

    # Then one succeeded, one failed, and there are two rows
    assert codes == [201, 400]
    assert len(lab.alyx.datasets(name="spikes.times.npy")) == 2
    assert len(lab.alyx.file_records()) == 2

    # And each further registration fails
    for _ in range(2):
        again = lab.register(NAME, hashes=[MD5])
        assert again.status_code == 500
        assert again.json()["detail"] == "get() returned more than one Dataset -- it returned 2!"

    # Until the row without file records is found and deleted
    query = {"session": lab.eid, "name": "spikes.times.npy", "django": "file_records__isnull,True"}
    found = lab.http.get("/datasets", params=query).json()
    assert found["count"] == 1
    assert lab.http.delete(found["results"][0]["url"]).status_code == 204
    assert lab.register(NAME, hashes=[MD5]).status_code == 201
    assert len(lab.alyx.datasets(name="spikes.times.npy")) == 1


def test_two_patches_of_one_record_lose_a_field(lab):
    """Both are answered 200, and the later write puts the earlier one's field back."""
    record = lab.central()
    # Given a PATCH of exists that has read the row but not written it
    with (
        lab.alyx.hazards.pause("PATCH", "/files/<id>") as pause,
        lab.client() as other,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(other.patch, f"/files/{record}", json={"exists": True})
        pause.wait_reached()
        # When another PATCH of json comes between
        assert lab.http.patch(f"/files/{record}", json={"json": {"note": 1}}).status_code == 200
        assert lab.http.get(f"/files/{record}").json()["json"] == {"note": 1}
        pause.release()
        assert slow.result().status_code == 200
    # Then its json is lost
    assert lab.http.get(f"/files/{record}").json()["json"] is None
    assert lab.http.get(f"/files/{record}").json()["exists"] is True


def test_a_patch_of_a_record_undoes_a_change_of_its_dataset(lab):
    """Saving a file record saves its dataset's whole row as it was when the request began."""
    record = lab.central(hashes=[MD5])
    dataset = lab.http.get(f"/files/{record}").json()["dataset"]
    with (
        lab.alyx.hazards.pause("PATCH", "/files/<id>") as pause,
        lab.client() as other,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(other.patch, f"/files/{record}", json={"exists": True})
        pause.wait_reached()
        assert lab.http.patch(dataset, json={"hash": "f" * 32}).json()["hash"] == "f" * 32
        pause.release()
        slow.result()
    assert lab.http.get(dataset).json()["hash"] == MD5


def test_a_stale_flip_lands_on_a_newer_hash(lab):
    """A flip of the old copy that meets a registration ends as: new hash, central copy said to exist."""
    record = lab.central(hashes=[MD5])
    with (
        lab.alyx.hazards.pause("POST", "/register-file") as pause,
        lab.client() as other,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(lab.register, NAME, http=other, hashes=["e" * 32])
        pause.wait_reached()
        pause.release()
        slow.result()
    lab.http.patch(f"/files/{record}", json={"exists": True})
    row = lab.alyx.datasets(name="spikes.times.npy")[0]
    assert row["hash"] == "e" * 32
    assert lab.http.get(f"/files/{record}").json()["exists"] is True


def test_latency_makes_the_race_without_any_script(lab):
    """With a gap of some milliseconds two clients that start together double the dataset by themselves."""
    lab.alyx.hazards.latency = 0.1
    start = threading.Barrier(2)

    def register(http):
        start.wait()
        return lab.register(NAME, http=http).status_code

    with lab.client() as one, lab.client() as two, ThreadPoolExecutor(2) as pool:
        codes = sorted(pool.map(register, (one, two)))
    assert codes == [201, 400]


def register_many(lab, count):
    names = [f"alf/probe{n:03d}/spikes.times.npy" for n in range(count)]
    assert lab.register(*names).status_code == 201
    return {row["id"] for row in lab.alyx.file_records(repository="flatiron_lab")}


def records_of(page):
    return [row["url"][-36:] for row in page["results"]]


def test_following_next_while_flipping_misses_half(lab):
    """Each flipped page shrinks the list in front of the next offset."""
    wanted = register_many(lab, 100)
    url, seen = "/files?exists=False&data_repository=flatiron_lab&limit=10", []
    while url:
        page = lab.http.get(url).json()
        seen += records_of(page)
        for record in records_of(page):
            lab.http.patch(f"/files/{record}", json={"exists": True})
        url = page["next"]
    assert len(seen) == len(set(seen)) == 50
    assert set(seen) < wanted


def test_always_taking_offset_0_misses_none(lab):
    wanted = register_many(lab, 100)
    seen = []
    while page := records_of(
        lab.http.get("/files?exists=False&data_repository=flatiron_lab&limit=10").json()
    ):
        seen += page
        for record in page:
            lab.http.patch(f"/files/{record}", json={"exists": True})
    assert sorted(seen) == sorted(wanted)


def test_pages_drift_when_rows_are_only_touched(lab):
    """A saved row moves to the end of the heap: following `next` misses rows and sees others twice."""
    register_many(lab, 100)
    url, seen = "/files?data_repository=flatiron_lab&limit=10", []
    while url:
        page = lab.http.get(url).json()
        seen += records_of(page)
        for record in records_of(page)[::3]:
            lab.http.patch(f"/files/{record}", json={"json": {"seen": True}})
        url = page["next"]
    assert len(seen) == 100
    assert len(set(seen)) < 100


def test_nothing_drifts_while_nobody_writes(lab):
    wanted = register_many(lab, 100)
    url, seen = "/files?data_repository=flatiron_lab&limit=10", []
    while url:
        page = lab.http.get(url).json()
        seen += records_of(page)
        url = page["next"]
    assert sorted(seen) == sorted(wanted)
