"""A task's life as the service tells it: submitted, looked at, cancelled.

Promises: one document makes one task, however often it is submitted; a task counts as unknown only where the service
says so in so many words; looking changes nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from globus_sdk import GlobusAPIError, GlobusError, TransferClient

from transfer.errors import MoverOffline, MoverOutOfTime, MoverPaused, TransferError
from transfer.transports.delegated import Document, Report, Standing
from transfer.transports.globus import reports
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.refusals import asking, explained, field, is_no_such_task

_EVENTS = 1000  # how many error events of a failed task are looked at, latest first
_PAGE = 100


def submit(client: TransferClient, document: Document) -> str:
    """The task's id; a document that was submitted before answers with the same one."""
    try:
        answer = client.submit_transfer(dict(document))
    except GlobusError as error:
        raise _refused(error, document) from error
    return str(field(answer, "task_id"))


def _refused(error: GlobusError, document: Document) -> TransferError:
    too_late = datetime.fromisoformat(str(document["deadline"])) <= datetime.now(UTC)
    if too_late and isinstance(error, GlobusAPIError) and error.http_status == 400:
        return MoverOutOfTime("the deadline passed before Globus took the task", to=document["label"])
    return explained(error, to=document["label"])


def poll(client: TransferClient, task: str, document: Document) -> Report:
    """Where a task stands, and what became of each file once it has ended."""
    try:
        facts = client.get_task(task).data
    except GlobusAPIError as error:
        if is_no_such_task(error):
            return Report(standing=Standing.GONE, note="Globus does not know the task")
        raise explained(error, to=f"task {task}") from error
    except GlobusError as error:
        raise explained(error, to=f"task {task}") from error
    field(facts, "status")
    standing = reports.standing_of(facts)
    if standing is Standing.GONE:
        return Report(standing=Standing.GONE, note="Globus no longer keeps what became of the files")
    with asking(f"task {task}"):
        if standing is Standing.ACTIVE:
            return _under_way(client, task, facts)
        return reports.ended(
            facts,
            document,
            successful=client.paginated.task_successful_transfers(task).items(),
            skipped=client.paginated.task_skipped_errors(task).items(),
            errors=list(_errors(client, task, _EVENTS)) if standing is Standing.FAILED else [],
        )


def _under_way(client: TransferClient, task: str, facts: Mapping[str, Any]) -> Report:
    errors = list(_errors(client, task, 1)) if facts.get("faults") else []
    pauses = client.task_pause_info(task).data if facts.get("is_paused") else {}
    return reports.under_way(facts, errors=errors, pauses=pauses)


def _errors(client: TransferClient, task: str, count: int) -> Iterator[Mapping[str, Any]]:
    """The last error events of a task; the service lists the latest first."""
    pages = client.paginated.task_event_list(
        task, limit=min(count, _PAGE), query_params={"filter": "is_error:1"}
    )
    return islice(pages.items(), count)


def cancel(client: TransferClient, task: str) -> None:
    """Ask for the end of a task; one that has ended, or is not known, is no failure."""
    try:
        client.cancel_task(task)
    except GlobusAPIError as error:
        if not is_no_such_task(error) and "TaskComplete" not in (error.code or ""):
            raise explained(error, to=f"task {task}") from error
    except GlobusError as error:
        raise explained(error, to=f"task {task}") from error


def require_connected(client: TransferClient, options: GlobusOptions, collection: str) -> None:
    """Raise `MoverOffline` or `MoverPaused` for a lab's personal collection that cannot be read from now.

    A task would be taken all the same, and wait until its deadline.
    """
    names = [name for name, lab in options.sources.items() if str(lab.collection) == collection]
    to = f"{' and '.join(names) or 'the lab'} (globus://{collection})"
    with asking(to):
        facts = client.get_endpoint(collection)
    if facts.get("gcp_connected") is False:
        raise MoverOffline("Globus Connect Personal is not connected", to=to)
    if facts.get("gcp_paused"):
        resume = "Resume it on the lab's machine; work goes on by itself."
        raise MoverPaused("Globus Connect Personal is paused", to=to, do=resume)
