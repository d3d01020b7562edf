"""The sandbox's own services: throttle, scripted faults, counting, state that outlives a restart."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_lab import furnish

from sandbox.alyx import SandboxAlyx
from sandbox.alyx.counting import Throttle
from sandbox.alyx.errors import Refused

ROOT = Path(__file__).parents[2]


def test_the_limit_is_per_user_and_says_how_long(lab):
    lab.alyx.add_user("other", password="x")
    lab.alyx.throttle = 3
    codes = [lab.http.get("/labs").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    refused = lab.http.get("/labs")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["detail"].startswith("Request was throttled. Expected available in ")
    with lab.client("other") as other:
        assert other.get("/labs").status_code == 200
    # Logging in is never throttled, and taking the limit away helps at once.
    assert lab.http.post("/auth-token", json={"username": "rig", "password": "secret"}).status_code == 200
    lab.alyx.throttle = None
    assert lab.http.get("/labs").status_code == 200


@given(limit=st.integers(1, 5), requests=st.integers(0, 12))
@settings(max_examples=30)
def test_never_more_than_the_limit_passes(limit, requests):
    throttle = Throttle(limit)
    passed = 0
    for _ in range(requests):
        with contextlib.suppress(Refused):
            throttle.admit("somebody")
            passed += 1
    assert passed == min(limit, requests)


def test_a_fault_instead_of_the_work_changes_nothing(lab):
    record = lab.central()
    lab.alyx.faults.add("PATCH", r"/files/", times=2, status=503)
    lab.alyx.faults.add("PATCH", r"/files/", status=429, retry_after=7)
    answers = [lab.http.patch(f"/files/{record}", json={"exists": True}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 429]
    assert answers[2].headers["retry-after"] == "7"
    assert not any(row["exists"] for row in lab.alyx.file_records(repository="flatiron_lab"))
    lab.alyx.faults.assert_all_reached()
    assert lab.http.patch(f"/files/{record}", json={"exists": True}).status_code == 200


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}])
def test_a_fault_after_the_work_leaves_it_done(lab, fault):
    record = lab.central()
    lab.alyx.faults.add("PATCH", r"/files/", after_work=True, **fault)
    if "drop" in fault:
        with pytest.raises(httpx2.TransportError):
            lab.http.patch(f"/files/{record}", json={"exists": True})
    else:
        assert lab.http.patch(f"/files/{record}", json={"exists": True}).status_code == 500
    assert lab.http.get(f"/files/{record}").json()["exists"] is True


def test_a_dropped_connection_without_work_changes_nothing(lab):
    record = lab.central()
    lab.alyx.faults.add("PATCH", r"/files/", drop=True)
    with pytest.raises(httpx2.TransportError):
        lab.http.patch(f"/files/{record}", json={"exists": True})
    assert lab.http.get(f"/files/{record}").json()["exists"] is False


def test_a_delay_holds_only_its_own_request(lab):
    lab.alyx.faults.add("GET", r"/labs$", delay=30)
    with lab.client() as slow:
        with pytest.raises(httpx2.TimeoutException):
            slow.get("/labs", timeout=0.2)
        assert lab.http.get("/labs").status_code == 200


def test_a_script_that_was_not_played_says_which(lab):
    lab.alyx.faults.add("PATCH", r"/files/", times=2, status=500)
    with pytest.raises(AssertionError, match=r"PATCH /files/: status 500, 2 times more"):
        lab.alyx.faults.assert_all_reached()
    with pytest.raises(ValueError):
        lab.alyx.faults.add("GET", "/", times=1)


def test_requests_are_counted_by_template(lab):
    record = lab.central()
    lab.alyx.requests.reset()
    for value in (True, False):
        lab.http.patch(f"/files/{record}", json={"exists": value})
    lab.http.get("/labs/lab")
    lab.http.get("/nowhere")
    assert lab.alyx.requests.count("PATCH", "/files/<id>") == 2
    assert lab.alyx.requests.count("GET") == 2
    assert lab.alyx.requests.all()[-2:] == [("GET", "/labs/<name>"), ("GET", "/nowhere")]
    lab.alyx.requests.reset()
    assert lab.alyx.requests.count() == 0


def test_rows_tokens_and_order_outlive_a_restart(tmp_path):
    state = tmp_path / "alyx.sqlite"
    with SandboxAlyx(state=state) as alyx:
        eid = furnish(alyx)
        token = alyx.token_for("rig")
        with httpx2.Client(base_url=alyx.url, headers={"Authorization": f"Token {token}"}) as http:
            body = {"path": "KS/2020-01-01/001", "name": "lab_SR", "hashes": ["a" * 32]}
            http.post("/register-file", json={**body, "filenames": ["alf/spikes.times.npy"]})
            http.post("/register-file", json={**body, "filenames": ["alf/spikes.amps.npy"]})
            first = alyx.file_records()[0]["id"]
            http.patch(f"/files/{first}", json={"json": {"moved": True}})
            gone = http.get("/datasets?name=spikes.amps.npy").json()["results"][0]["url"]
            http.delete(gone)
        before = alyx.tables.rows("files"), alyx.datasets(), alyx.tables.rows("sessions")
    with SandboxAlyx(state=state) as alyx:
        assert (alyx.tables.rows("files"), alyx.datasets(), alyx.tables.rows("sessions")) == before
        assert [row["id"] for row in alyx.tables.sessions("KS")] == [eid]
        with httpx2.Client(base_url=alyx.url, headers={"Authorization": f"Token {token}"}) as http:
            again = http.post("/register-file", json={**body, "filenames": ["alf/spikes.times.npy"]})
        assert again.status_code == 201
        assert len(alyx.datasets()) == 1


def test_it_serves_from_the_command_line_until_interrupted(tmp_path):
    """It prints its address on one line, and a kill loses nothing that was answered."""
    command = [sys.executable, "-m", "sandbox.alyx", "--state", str(tmp_path / "a.sqlite"), "--throttle", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/labs").status_code == 403
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
