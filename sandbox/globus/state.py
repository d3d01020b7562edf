"""All the service knows: collections, tasks, submissions and switches, under one lock."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.globus.clock import Clock
from sandbox.globus.collection import Collection
from sandbox.globus.documents import task_document
from sandbox.globus.errors import Refused
from sandbox.globus.faults import Faults
from sandbox.globus.task import Task

Document = dict[str, Any]


@dataclass
class Limits:
    """What one user may have at a time, and how much one page shows."""

    active: int = 3
    """Tasks of one type that are worked on at once; more wait in the queue.  May be lowered at any time."""
    pending: int = 100
    """Tasks that have not ended; a submission above it is refused."""
    page: int = 100
    """Rows of a page of successful transfers or skipped errors."""
    retry_pause: float = 0.05
    """Seconds a task backs off after an error (minutes in the real service)."""


class State:
    """The rows.  `changed` is the lock of everything here, and is notified at every change."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.clock = Clock()
        self.faults = Faults()
        self.changed = threading.Condition(threading.RLock())
        self.collections: dict[str, Collection] = {}
        self.tasks: dict[str, Task] = {}
        self.unfinished: list[Task] = []
        """Tasks that had not ended at the last `tidy`, oldest first."""
        self.lost: set[str] = set()
        self.by_submission: dict[str, Task] = {}
        self.submits: Counter[str] = Counter()
        self.submitted: dict[str, list[Document]] = {}
        self.files_allowed: int | None = None
        """How many more files may be moved; None: any number."""
        self.stopping = False

    def add_task(self, key: str, task: Task) -> None:
        """A task, and the submission id that it answers to."""
        self.tasks[task.id] = self.by_submission[key] = task
        self.unfinished.append(task)
        self.changed.notify_all()

    def collection(self, key: str) -> Collection:
        """A collection by id.  Raises `Refused`."""
        if key not in self.collections:
            raise Refused(404, "EndpointNotFound", f"No such endpoint '{key}'")
        return self.collections[key]

    def places(self, task: Task) -> list[Collection]:
        """The collections a task works on."""
        keys = (task.source_id, task.destination_id)
        return [self.collections[key] for key in keys if key is not None]

    def open_tasks(self, owner: str) -> list[Task]:
        """Tasks of a user that have not ended."""
        return [task for task in self.unfinished if task.owner_id == owner and task.id not in self.lost]

    def document_of(self, task: Task) -> Document:
        """The task document as it reads now."""
        names = {key: place.name for key, place in self.collections.items()}
        return task_document(task, names, self.clock.now(), queued=not task.running)

    def tidy(self) -> None:
        """Let deadlines and pauses take effect; called before anybody looks at tasks."""
        now = self.clock.now()
        for task in self.unfinished:
            paused = any(place.paused for place in self.places(task))
            if paused != task.paused:
                task.paused = paused
                task.note("PAUSED" if paused else "UNPAUSED", "", now)
            if not task.running and not task.ended and now >= task.deadline:
                task.end("EXPIRED", now)
                self.changed.notify_all()
        self.unfinished = [task for task in self.unfinished if not task.ended]

    def next_task(self, kind: str) -> Task | None:
        """The task to work on now, oldest first; None if none may be."""
        self.tidy()
        busy = Counter(task.owner_id for task in self.unfinished if task.running and task.kind == kind)
        for task in self.unfinished:
            may = not (task.ended or task.running or task.halted)
            due = task.not_before <= time.monotonic()
            if task.kind == kind and may and due and busy[task.owner_id] < self.limits.active:
                return task
        return None

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait until `ready`; False if it did not come true in time."""
        # Deadlines and the clock notify nobody, hence the short naps.
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                self.tidy()
                if ready():
                    return True
                if time.monotonic() >= end:
                    return False
                self.changed.wait(0.02)
