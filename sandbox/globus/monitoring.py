"""The views of tasks: list, one, events, what arrived, what was left out, cancel, change, why it is paused."""

from datetime import datetime

from sandbox.globus.choosing import chosen, marker_page, offset_page, ordered
from sandbox.globus.documents import event_document, skipped_document, success_document
from sandbox.globus.errors import Refused
from sandbox.globus.requesting import Document, Request
from sandbox.globus.state import State
from sandbox.globus.task import Task

_TASK_KEYS = ("task_id", "type", "status", "label", "request_time", "completion_time", "username")
_PATIENCE = 2.0


class Monitoring:
    """A user sees his own tasks only; others, and lost ones, are not found."""

    def __init__(self, state: State) -> None:
        self._state = state

    def task_list(self, request: Request) -> Document:
        """Tasks, newest first if no order is asked for."""
        with self._state.changed:
            self._state.tidy()
            mine = [task for task in self._state.tasks.values() if self._visible(task, request)]
            rows = [self._state.document_of(task) for task in mine]
        rows = ordered(chosen(rows, request, _TASK_KEYS), request, _TASK_KEYS, "request_time DESC")
        return {"DATA_TYPE": "task_list", **offset_page(rows, request, usual=1000, most=1000)}

    def task(self, request: Request) -> Document:
        """One task."""
        with self._state.changed:
            return self._state.document_of(self._find(request))

    def events(self, request: Request) -> Document:
        """What happened, newest first."""
        with self._state.changed:
            rows = [event_document(event) for event in reversed(self._find(request).events)]
        rows = chosen(rows, request, ("is_error", "code"))
        return {"DATA_TYPE": "event_list", **offset_page(rows, request, usual=10, most=1000)}

    def successful_transfers(self, request: Request) -> Document:
        """Files that were carried: no folders, and none that was left as it was."""
        with self._state.changed:
            rows = [success_document(move) for move in self._find(request).delivered]
        page = marker_page(rows, request, size=self._state.limits.page)
        return {"DATA_TYPE": "successful_transfers", **page}

    def skipped_errors(self, request: Request) -> Document:
        """Paths that were left out because of errors at the source."""
        with self._state.changed:
            rows = [skipped_document(skipped) for skipped in self._find(request).skipped]
        return {"DATA_TYPE": "skipped_errors", **marker_page(rows, request, size=self._state.limits.page)}

    def cancel(self, request: Request) -> Document:
        """End a task; waits a little for a file that is on its way."""
        with self._state.changed:
            task = self._find(request)
            if task.ended:
                return _said("TaskComplete", "The task completed before the cancel request was processed.")
            task.canceling = True
            if not task.running:
                task.end("CANCELED", self._state.clock.now())
            self._state.changed.notify_all()
        if not self._state.wait_for(lambda: task.ended, _PATIENCE):
            return _said("CancelAccepted", "The cancel request has been queued for processing.")
        return _said("Canceled", "The task has been cancelled successfully.")

    def update(self, request: Request) -> Document:
        """Change label or deadline."""
        wanted = request.document()
        with self._state.changed:
            task = self._find(request)
            if task.ended:
                raise Refused(409, "Conflict", "The task has already completed")
            if "label" in wanted:
                task.label = wanted["label"]
            if "deadline" in wanted:
                task.deadline = datetime.fromisoformat(wanted["deadline"])
        return _said("Updated", "Updated task successfully")

    def pause_info(self, request: Request) -> Document:
        """The pause rules that hold a task up."""
        with self._state.changed:
            task = self._find(request)
            there = {
                side: self._state.collections[key].paused
                for side, key in (("source", task.source_id), ("destination", task.destination_id))
                if key is not None
            }
        rules = [{"DATA_TYPE": "pause_rule_limited", "message": text} for text in there.values() if text]
        return {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": rules,
            "source_pause_message": there.get("source"),
            "destination_pause_message": there.get("destination"),
            "source_pause_message_share": None,
            "destination_pause_message_share": None,
        }

    def _visible(self, task: Task, request: Request) -> bool:
        return task.owner_id == request.caller and task.id not in self._state.lost

    def _find(self, request: Request) -> Task:
        self._state.tidy()
        task = self._state.tasks.get(request.args["task"])
        if task is None or not self._visible(task, request):
            raise Refused(404, "TaskNotFound", f"No task found with id '{request.args['task']}'")
        return task


def _said(code: str, message: str) -> Document:
    return {"DATA_TYPE": "result", "code": code, "message": message}
