"""Submitting: a document becomes a task, once for each submission id.

The first document of a submission id is the one that is carried out; whatever comes again with the same id is
answered with the same task (`Duplicate`).
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sandbox.globus.errors import Refused
from sandbox.globus.requesting import Document, Request
from sandbox.globus.state import State
from sandbox.globus.task import Item, Task
from sandbox.globus.tokens import Tokens

Verb = Literal["transfer", "delete"]


class Submitting:
    """The views of `submission_id`, `transfer` and `delete`."""

    def __init__(self, state: State, tokens: Tokens) -> None:
        self._state, self._tokens = state, tokens

    def submission_id(self, _request: Request) -> Document:
        """A new id."""
        return {"value": str(uuid.uuid4())}

    def transfer(self, request: Request) -> Document:
        """Accept a transfer."""
        return self._submit(request, "transfer")

    def delete(self, request: Request) -> Document:
        """Accept a deletion."""
        return self._submit(request, "delete")

    def _submit(self, request: Request, verb: Verb) -> Document:
        document = request.document()
        key = _submission_id(document)
        with self._state.changed:
            self._state.submits[key] += 1
            self._state.submitted.setdefault(key, []).append(document)
            known = self._state.by_submission.get(key)
            if known is not None:
                return self._again(known, key, verb, request)
            task = self._new(document, verb, request.caller)
            self._state.add_task(key, task)
        accepted = f"The {verb} has been accepted and a task has been created and queued for execution"
        return _result(task, key, verb, "Accepted", accepted)

    def _again(self, task: Task, key: str, verb: Verb, request: Request) -> Document:
        if task.owner_id != request.caller or task.kind != verb.upper():
            raise Refused(409, "Conflict", f"Submission id {key} was already used for another submission")
        return _result(
            task, key, verb, "Duplicate", f"The {verb} has already been submitted, task id returned"
        )

    def _new(self, document: Document, verb: Verb, caller: str) -> Task:
        if not document.get("DATA"):
            word = "NoTransferItems" if verb == "transfer" else "NoDeleteItems"
            message = f"A {verb} requires at least one item"
            raise Refused(400, f"ClientError.BadRequest.{word}", message)
        self._state.tidy()
        task = _transfer(document, caller) if verb == "transfer" else _deletion(document, caller)
        task.requested = self._state.clock.now()
        task.deadline = _deadline(document) or task.requested + timedelta(hours=24)
        for key in (task.source_id, task.destination_id):
            if key is not None:
                self._tokens.require_data_access(caller, self._state.collection(key))
        self._refuse_too_much(task)
        return task

    def _refuse_too_much(self, task: Task) -> None:
        """Too many tasks that have not ended, or one with the same paths."""
        waiting = self._state.open_tasks(task.owner_id)
        if len(waiting) >= self._state.limits.pending:
            message = (
                f"You already have {len(waiting)} pending jobs, the limit is {self._state.limits.pending}"
            )
            raise Refused(409, "ClientError.Conflict.TooManyPendingJobs", message)
        if task.kind == "TRANSFER" and any(_same_paths(task, other) for other in waiting):
            raise Refused(409, "Conflict", "A transfer with identical paths has not yet completed")


def _submission_id(document: Document) -> str:
    key = document.get("submission_id")
    try:
        return str(uuid.UUID(str(key)))
    except ValueError as error:
        raise Refused(400, "ClientError.BadRequest", f"Invalid submission_id: {key}") from error


def _result(task: Task, key: str, verb: Verb, code: str, message: str) -> Document:
    link = f"/v0.10/task/{task.id}?format=json"
    related = {
        "DATA_TYPE": "link",
        "href": link,
        "rel": "related",
        "resource": "task",
        "title": "related task",
    }
    return {
        "DATA_TYPE": f"{verb}_result",
        "code": code,
        "message": message,
        "submission_id": key,
        "task_id": task.id,
        "task_link": related,
    }


def _transfer(document: Document, caller: str) -> Task:
    items = [
        Item(
            _text(item, "source_path"),
            _text(item, "destination_path"),
            item.get("recursive"),
            item.get("external_checksum"),
            str(item.get("checksum_algorithm") or "MD5").upper(),
        )
        for item in document["DATA"]
    ]
    for item in items:
        if item.external_checksum and item.recursive:
            raise Refused(400, "ClientError.BadRequest", "external_checksum cannot be used with recursive")
    source, destination = _text(document, "source_endpoint"), _text(document, "destination_endpoint")
    return _task("TRANSFER", document, caller, source, destination, items)


def _deletion(document: Document, caller: str) -> Task:
    recursive = bool(document.get("recursive"))
    items = [Item(_text(item, "path"), "", recursive) for item in document["DATA"]]
    return _task("DELETE", document, caller, _text(document, "endpoint"), None, items)


def _task(
    kind: Literal["TRANSFER", "DELETE"],
    document: Document,
    caller: str,
    source: str,
    destination: str | None,
    items: list[Item],
) -> Task:
    epoch = datetime.fromtimestamp(0, UTC)
    key = str(uuid.uuid4())
    task = Task(key, kind, caller, document, source, destination, epoch, epoch, items)
    task.label = document.get("label")
    return task


def _text(document: Document, name: str) -> str:
    value: Any = document.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, "ClientError.BadRequest", f"Missing or invalid field '{name}'")
    return value


def _deadline(document: Document) -> datetime | None:
    text = document.get("deadline")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise Refused(400, "ClientError.BadRequest", f"Invalid deadline: {text}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _same_paths(one: Task, other: Task) -> bool:
    def paths(task: Task) -> tuple[object, ...]:
        pairs = frozenset((item.source, item.destination) for item in task.items)
        return task.kind, task.source_id, task.destination_id, pairs

    return paths(one) == paths(other)
