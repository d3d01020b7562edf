"""The views of those who run a collection: its tasks, whoever owns them, and changes to its description.

Everybody may use them here; the real service asks for a role.
"""

from sandbox.globus.choosing import marker_page
from sandbox.globus.documents import success_document
from sandbox.globus.endpoint import OWNER
from sandbox.globus.errors import Refused
from sandbox.globus.requesting import Document, Request
from sandbox.globus.state import State
from sandbox.globus.task import Task

_CHANGEABLE = ("organization", "description", "keywords", "contact_email")
_MORE = ("host_endpoint", "host_endpoint_display_name", "host_endpoint_id", "host_path")


class Administration:
    """What an activity monitor sees."""

    def __init__(self, state: State) -> None:
        self._state = state

    def task_list(self, request: Request) -> Document:
        """All tasks of all users, newest first."""
        statuses = [status for text in request.queries("filter_status") for status in text.split(",")]
        with self._state.changed:
            self._state.tidy()
            rows = [
                self._document(task)
                for task in reversed(self._state.tasks.values())
                if not statuses or task.status in statuses
            ]
        last = f"complete,{rows[-1]['request_time']}" if rows else None
        return {"DATA_TYPE": "task_list", "DATA": rows, "has_next_page": False, "last_key": last}

    def _document(self, task: Task) -> Document:
        document = {**self._state.document_of(task), "owner_string": OWNER}
        for side in ("source", "destination"):
            document.update({f"{side}_{key}": None for key in _MORE})
            document[f"{side}_mapped_collection_id"] = None
            document[f"{side}_mapped_collection_display_name"] = None
        return document

    def successful_transfers(self, request: Request) -> Document:
        """Files that a task carried."""
        with self._state.changed:
            task = self._state.tasks.get(request.args["task"])
            if task is None:
                raise Refused(404, "TaskNotFound", f"No task found with id '{request.args['task']}'")
            rows = [success_document(move) for move in task.delivered]
        page = marker_page(rows, request, size=self._state.limits.page)
        return {"DATA_TYPE": "successful_transfers", **page}

    def update_endpoint(self, request: Request) -> Document:
        """Change what a collection says of itself."""
        wanted = request.document()
        with self._state.changed:
            place = self._state.collection(request.args["endpoint"])
            place.name = wanted.get("display_name", place.name)
            for key in _CHANGEABLE:
                setattr(place, key, wanted.get(key, getattr(place, key)))
        return {"DATA_TYPE": "result", "code": "Updated", "message": "Endpoint updated successfully"}
