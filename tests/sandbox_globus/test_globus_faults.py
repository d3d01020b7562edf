"""Everything that can be made to go wrong, seen through the SDK; each fault says that it was reached."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import globus_sdk
import pytest
from globus_sdk.transport import RequestsTransport, RetryConfig
from rig_and_store import Lab, client_of

ROOT = Path(__file__).parents[2]


def test_a_transient_error_is_tried_again(lab: Lab):
    lab.write("a.npy")
    fault = lab.globus.faults.moving("/a.npy", "ENDPOINT_ERROR", times=3)
    task = lab.submit(("/a.npy", "/a.npy"))
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["faults"], fault.reached) == ("SUCCEEDED", 3, 3)
    errors = lab.client.task_event_list(task, query_params={"filter": "is_error:1"})
    assert [event["code"] for event in errors] == ["ENDPOINT_ERROR"] * 3
    lab.globus.faults.assert_all_reached()


def test_an_endless_error_on_one_file_does_not_hold_up_the_others(lab: Lab):
    for name in "abc":
        lab.write(f"{name}.npy")
    lab.globus.faults.moving("/b.npy", "CONNECTION_RESET", times=None)
    task = lab.submit(*[(f"/{name}.npy", f"/{name}.npy") for name in "abc"])
    shown = lab.globus.wait_for_faults(task, 3)
    assert (shown["status"], shown["subtasks_retrying"], shown["nice_status"]) == (
        "ACTIVE",
        1,
        "CONNECTION_RESET",
    )
    lab.client.cancel_task(task)
    assert lab.arrived(task) == ["/a.npy", "/c.npy"]


def test_a_task_that_backs_off_makes_room(lab: Lab):
    """Three tasks that cannot go on do not keep a fourth from its work."""
    for number in range(3):
        lab.submit((f"/none{number}", f"/none{number}"))
    lab.write("a.npy")
    assert lab.globus.wait(lab.submit(("/a.npy", "/a.npy")))["status"] == "SUCCEEDED"


def test_damage_on_the_way_is_noticed_and_repaired(lab: Lab):
    lab.write("a.npy", os.urandom(400_000))
    fault = lab.globus.faults.flip("/a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    ended = lab.globus.wait(task)
    assert (ended["status"], ended["faults"], fault.reached) == ("SUCCEEDED", 1, 1)
    assert "VERIFY_CHECKSUM" in lab.events(task)
    assert (lab.there / "a.npy").read_bytes() == (lab.here / "a.npy").read_bytes()


def test_damage_goes_unnoticed_where_nobody_verifies(lab: Lab):
    """What `verify_checksum` is for."""
    lab.write("a.npy")
    lab.globus.faults.flip("/a.npy")
    task = lab.submit(("/a.npy", "/a.npy"), verify_checksum=False)
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"
    assert (lab.there / "a.npy").read_bytes() != b"spikes"
    assert lab.client.task_successful_transfers(task)["DATA"][0]["checksum"] is None


def test_a_slow_file_shows_progress_and_can_be_canceled(lab: Lab):
    lab.write("a.npy", bytes(1_000_000))
    fault = lab.globus.faults.slow("/a.npy", 50_000)
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.globus.wait_until(lambda: lab.globus.task(task)["bytes_transferred"] > 1000)
    assert lab.client.cancel_task(task)["code"] == "Canceled"
    assert 0 < (lab.there / "a.npy").stat().st_size < 1_000_000
    assert lab.arrived(task) == []
    assert fault.reached == 1


def test_a_pause_holds_tasks_up_and_says_why(lab: Lab):
    lab.globus.pause(lab.store, "new disks")
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.globus.wait_until(lambda: lab.globus.task(task)["is_paused"])
    shown = lab.client.get_task(task)
    assert (shown["status"], shown["is_paused"], shown["is_ok"]) == ("ACTIVE", True, False)
    info = lab.client.task_pause_info(task)
    assert info["destination_pause_message"] == "new disks"
    assert info["source_pause_message"] is None
    assert len(info["pause_rules"]) == 1
    lab.globus.resume(lab.store)
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"
    assert lab.events(task) == ["PAUSED", "UNPAUSED", "STARTED", "PROGRESS", "SUCCEEDED"]


def test_a_computer_that_is_off_is_waited_for(lab: Lab):
    lab.globus.disconnect(lab.source)
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    assert lab.globus.wait_for_faults(task)["nice_status"] == "GC_NOT_CONNECTED"
    lab.globus.connect(lab.source)
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"


@pytest.mark.parametrize("fail", [True, False])
def test_a_full_quota_ends_the_task_only_where_asked(lab: Lab, fail: bool):
    lab.globus.collection(lab.store).quota = 3
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"), fail_on_quota_errors=fail)
    shown = lab.globus.wait(task) if fail else lab.globus.wait_for_faults(task)
    if fail:
        assert (shown["status"], shown["fatal_error"]["code"]) == ("FAILED", "QUOTA_EXCEEDED")
    else:
        assert (shown["status"], shown["nice_status"]) == ("ACTIVE", "QUOTA_EXCEEDED")
        lab.globus.collection(lab.store).quota = None
        assert lab.globus.wait(task)["status"] == "SUCCEEDED"


def test_credentials_that_run_out_make_a_task_inactive(lab: Lab):
    lab.globus.hold()
    lab.write("a.npy")
    lab.write("b.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.globus.suspend(task)
    assert lab.client.get_task(task)["status"] == "INACTIVE"
    lab.globus.release()
    lab.globus.wait(lab.submit(("/b.npy", "/b.npy")))
    assert lab.client.get_task(task)["status"] == "INACTIVE"
    lab.globus.unsuspend(task)
    assert lab.globus.wait(task)["status"] == "SUCCEEDED"


def test_the_sdk_waits_as_long_as_it_is_asked_to(lab: Lab):
    """429 with Retry-After, then the answer."""
    fault = lab.globus.faults.request("GET", r"/task_list$", status=429, retry_after=1)
    app, client = client_of(lab.globus, retries=1)
    began = time.monotonic()
    assert list(client.task_list()) == []
    assert time.monotonic() - began >= 1
    assert fault.reached == 1
    client.close()
    app.close()


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TooManyRequests"), (503, "ServiceUnavailable"), (500, "InternalServerError")]
)
def test_a_scripted_status_is_an_error_document(lab: Lab, status: int, code: str):
    lab.globus.faults.request("GET", r"/task_list$", status=status)
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        lab.client.task_list()
    assert (refused.value.http_status, refused.value.code) == (status, code)
    assert refused.value.request_id
    assert list(lab.client.task_list()) == []


@pytest.mark.parametrize("after_work", [False, True])
def test_an_error_comes_before_or_after_the_work(lab: Lab, after_work: bool):
    lab.globus.faults.request("POST", r"/mkdir$", status=502, code="EndpointError", after_work=after_work)
    with pytest.raises(globus_sdk.TransferAPIError):
        lab.client.operation_mkdir(lab.store, "/new")
    assert (lab.there / "new").exists() is after_work


def test_a_dropped_connection_is_a_network_error(lab: Lab):
    lab.globus.faults.request("GET", r"/task_list$", drop=True)
    with pytest.raises(globus_sdk.NetworkError):
        lab.client.task_list()


def test_a_delay_can_outlast_the_client(lab: Lab):
    lab.globus.faults.request("GET", r"/task_list$", delay=30)
    impatient = globus_sdk.TransferClient(
        app=lab.app,
        transport=RequestsTransport(http_timeout=0.2),
        retry_config=RetryConfig(max_retries=0),
    )
    with closing(impatient), pytest.raises(globus_sdk.GlobusTimeoutError):
        impatient.task_list()


def test_a_script_that_was_not_played_says_which(lab: Lab):
    lab.globus.faults.request("POST", "/transfer$", status=503)
    lab.globus.faults.flip("/never*")
    with pytest.raises(AssertionError, match=r"POST /transfer\$: status 503.*/never\*: one bit changed"):
        lab.globus.faults.assert_all_reached()
    lab.globus.faults.clear()
    lab.globus.faults.assert_all_reached()
    with pytest.raises(ValueError):
        lab.globus.faults.request("GET", "/")


def test_requests_are_counted_by_template(lab: Lab):
    task = lab.submit(("/none", "/none"))
    for _ in range(3):
        lab.client.get_task(task)
    assert lab.globus.requests.count("GET", "/v0.10/task/<task>") == 3
    assert lab.globus.requests.count("POST", "/v0.10/transfer") == 1


def test_it_runs_by_itself(tmp_path: Path):
    """`python -m sandbox.globus` prints what leads clients to it, and ends at Ctrl-C."""
    command = [sys.executable, "-m", "sandbox.globus", "--collection", f"rig={tmp_path}:personal"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        while "# ready" not in printed:
            line = process.stdout.readline()
            assert line, "it ended"
            printed += line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    settings = dict(re.findall(r"^export (\w+)=(.+)$", printed, re.M))
    assert settings["GLOBUS_SDK_SERVICE_URL_TRANSFER"].startswith("http://127.0.0.1:")
    assert {"GLOBUS_SDK_SERVICE_URL_AUTH", "GLOBUS_CLI_CLIENT_ID", "GLOBUS_CLI_CLIENT_SECRET"} <= set(
        settings
    )
    assert re.search(r"^# rig: [0-9a-f-]{36}$", printed, re.M)
