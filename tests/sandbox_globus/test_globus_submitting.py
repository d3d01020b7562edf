"""Submissions: once per id, limited, and kept as they were sent."""

import uuid

import globus_sdk
import pytest
from rig_and_store import Lab, client_of


def test_the_same_submission_makes_one_task(lab: Lab):
    """However often it comes, with whatever document, the first one is carried out."""
    lab.write("a.npy", b"first")
    lab.write("b.npy", b"second")
    first = lab.transfer(("/a.npy", "/final.npy"))
    other = {**lab.transfer(("/b.npy", "/final.npy")), "submission_id": first["submission_id"]}

    answers = [lab.client.submit_transfer(document) for document in (first, first, other)]

    assert [answer["code"] for answer in answers] == ["Accepted", "Duplicate", "Duplicate"]
    assert len({answer["task_id"] for answer in answers}) == 1
    lab.globus.settle()
    assert (lab.there / "final.npy").read_bytes() == b"first"
    key = first["submission_id"]
    assert lab.globus.submits(key) == 3
    sources = [sent["DATA"][0]["source_path"] for sent in lab.globus.submitted[key]]
    assert sources == ["/a.npy", "/a.npy", "/b.npy"]
    assert len(lab.globus.tasks()) == 1


def test_a_resubmission_is_known_after_the_task_has_ended(lab: Lab):
    lab.write("a.npy")
    document = lab.transfer(("/a.npy", "/a.npy"))
    task = lab.client.submit_transfer(document)["task_id"]
    lab.globus.wait(task)
    again = lab.client.submit_transfer(document)
    assert (again["code"], again["task_id"]) == ("Duplicate", task)


def test_an_answer_that_got_lost_does_not_double_the_task(lab: Lab):
    """The connection drops after the work: the SDK's own retry meets the first task."""
    lab.write("a.npy")
    app, client = client_of(lab.globus, lab.store, retries=2)
    fault = lab.globus.faults.request("POST", r"/transfer$", drop=True, after_work=True)
    document = lab.transfer(("/a.npy", "/a.npy"))
    assert client.submit_transfer(document)["code"] == "Duplicate"
    assert fault.reached == 1
    assert lab.globus.submits(document["submission_id"]) == 2
    assert len(lab.globus.tasks()) == 1
    client.close()
    app.close()


def test_too_many_pending_tasks_are_refused(lab: Lab):
    """Above the limit a submission is a conflict, and is accepted once there is room."""
    lab.globus.limits.pending = 4
    lab.globus.hold()
    for number in range(4):
        lab.write(f"{number}.npy")
        lab.submit((f"/{number}.npy", f"/{number}.npy"))
    lab.write("5.npy")
    one_more = lab.transfer(("/5.npy", "/5.npy"))
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        lab.client.submit_transfer(one_more)
    assert (refused.value.http_status, refused.value.code) == (
        409,
        "ClientError.Conflict.TooManyPendingJobs",
    )
    assert lab.globus.pending == 4

    lab.globus.release()
    lab.globus.settle()
    assert lab.client.submit_transfer(one_more)["code"] == "Accepted"


def test_three_tasks_are_worked_on_and_the_others_queue(lab: Lab):
    lab.globus.hold()
    tasks = []
    for number in range(5):
        lab.write(f"{number}.npy")
        tasks.append(lab.submit((f"/{number}.npy", f"/{number}.npy")))
    lab.globus.wait_until(lambda: lab.globus.active == 3)
    moods = [lab.client.get_task(task)["nice_status"] for task in tasks]
    assert moods == ["OK", "OK", "OK", "Queued", "Queued"]
    assert {lab.client.get_task(task)["status"] for task in tasks} == {"ACTIVE"}
    lab.globus.release()
    lab.globus.settle()
    assert {document["status"] for document in lab.globus.tasks()} == {"SUCCEEDED"}


def test_fewer_tasks_are_worked_on_where_the_limit_says_so(lab: Lab):
    lab.globus.limits.active = 1
    lab.globus.hold(after_files=1)
    for number in range(3):
        lab.write(f"{number}.npy")
        lab.submit((f"/{number}.npy", f"/{number}.npy"))
    lab.globus.wait_until(lambda: lab.globus.pending == 2)
    lab.globus.wait_until(lambda: lab.globus.active == 1)
    queued = [task["nice_status"] for task in lab.globus.tasks()]
    assert queued == [None, "OK", "Queued"]
    lab.globus.release()
    lab.globus.settle()


def test_the_same_paths_are_refused_while_their_task_is_open(lab: Lab):
    """As the real service words it: a new submission id does not help."""
    lab.globus.hold()
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    with pytest.raises(globus_sdk.TransferAPIError, match="A transfer with identical paths") as refused:
        lab.submit(("/a.npy", "/a.npy"))
    assert (refused.value.http_status, refused.value.code) == (409, "Conflict")
    lab.client.cancel_task(task)
    lab.globus.release()
    assert lab.globus.wait(lab.submit(("/a.npy", "/a.npy")))["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"source_endpoint": str(uuid.UUID(int=1))}, 404),
        ({"submission_id": "no id"}, 400),
        ({"deadline": "tomorrow"}, 400),
        ({"DATA": [{"DATA_TYPE": "transfer_item", "source_path": "/a"}]}, 400),
    ],
)
def test_bad_documents_are_refused(lab: Lab, change: dict[str, object], status: int):
    with pytest.raises(globus_sdk.TransferAPIError) as refused:
        lab.client.submit_transfer({**lab.transfer(("/a.npy", "/a.npy")), **change})
    assert refused.value.http_status == status
    assert lab.globus.tasks() == []


def test_tasks_are_listed_by_filter_order_and_page(lab: Lab):
    tasks = []
    for number in range(3):
        lab.write(f"{number}.npy")
        tasks.append(lab.submit((f"/{number}.npy", f"/{number}.npy"), label=f"batch {number}"))
        lab.globus.wait(tasks[-1])

    def ids(**filters: object) -> list[str]:
        return [task["task_id"] for task in lab.client.paginated.task_list(**filters).items()]

    assert sorted(ids()) == sorted(tasks)
    assert sorted(ids(filter={"task_id": tasks[:2]})) == sorted(tasks[:2])
    assert ids(filter="status:ACTIVE") == []
    assert ids(filter={"status": ["SUCCEEDED", "FAILED"], "label": "batch 1"}) == [tasks[1]]
    assert ids(query_params={"filter": ["label:~batch*", "label:!~*2"]}, orderby="label DESC") == [
        tasks[1],
        tasks[0],
    ]
    assert len(lab.client.task_list(limit=2)["DATA"]) == 2
    assert lab.client.task_list(limit=2, offset=2)["DATA"][0]["task_id"] in tasks
    assert ids(filter="request_time:2000-01-01,") != []
    assert ids(filter="request_time:,2000-01-01") == []
    with pytest.raises(globus_sdk.TransferAPIError):
        ids(filter="colour:red")


def test_nobody_sees_the_tasks_of_others(lab: Lab):
    lab.write("a.npy")
    task = lab.submit(("/a.npy", "/a.npy"))
    lab.globus.wait(task)
    other, secret = lab.globus.add_client()
    app = globus_sdk.ClientApp(
        "other",
        client_id=other,
        client_secret=secret,
        config=globus_sdk.GlobusAppConfig(token_storage="memory"),
    )
    client = globus_sdk.TransferClient(app=app)
    assert list(client.task_list()) == []
    with pytest.raises(globus_sdk.TransferAPIError, match="No task found"):
        client.get_task(task)
    client.close()
    app.close()


def test_a_lost_task_is_not_found(lab: Lab):
    lab.globus.hold()
    lab.write("a.npy")
    document = lab.transfer(("/a.npy", "/a.npy"))
    task = lab.client.submit_transfer(document)["task_id"]
    lab.globus.lose_task(task)
    for ask in (lab.client.get_task, lab.client.cancel_task, lab.client.task_successful_transfers):
        with pytest.raises(globus_sdk.TransferAPIError) as refused:
            ask(task)
        assert (refused.value.http_status, refused.value.code) == (404, "TaskNotFound")
    assert list(lab.client.task_list()) == []
    assert lab.client.submit_transfer(document)["code"] == "Accepted"
