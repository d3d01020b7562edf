"""Working on tasks: passes over what is left, until nothing is, or the deadline, or an error that ends the task.

    look at each item      a file, or a folder whose files and folders become work of their own
    carry each file        an error is an event and a fault; the file's turn comes again in the next pass
    end, or back off       a task that backs off, or is paused, makes room for the next one in the queue

Errors that end a task: a checksum that is not the promised one, and a full quota where the submission says so.
Everything else is tried again until the deadline, as the real service does.
"""

import json
import threading
import time

from sandbox.globus.carrying import Carrier, Interrupted, remove
from sandbox.globus.collection import Collection
from sandbox.globus.errors import Trouble
from sandbox.globus.looking import found, remove_extra
from sandbox.globus.state import State
from sandbox.globus.task import Item, Move, SkippedError, Task
from sandbox.globus.task import State as Part

_SKIPPABLE = ("PERMISSION_DENIED", "FILE_NOT_FOUND", "AMBIGUOUS_PATH")


class Workers:
    """The threads that carry files: as many for transfers, and for deletions, as may be active."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._threads = [
            threading.Thread(target=self._work, args=(kind,), name=f"sandbox-globus-{kind}", daemon=True)
            for kind in ("TRANSFER", "DELETE")
            for _ in range(state.limits.active)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop at the next piece of a file, and wait for it."""
        with self._state.changed:
            self._state.stopping = True
            self._state.changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, kind: str) -> None:
        state = self._state
        while True:
            with state.changed:
                task = state.next_task(kind)
                while task is None and not state.stopping:
                    # Pauses, clocks and back-offs end without telling anybody, hence the naps.
                    state.changed.wait(0.02 if state.unfinished else None)
                    task = state.next_task(kind)
                if state.stopping or task is None:
                    return
                task.running = True
            Pass(state, task).run()


class Pass:
    """One pass over a task."""

    def __init__(self, state: State, task: Task) -> None:
        self._state, self._task = state, task
        self._faulted = False

    def run(self) -> None:
        """Do what can be done now, and leave the task ended or backing off."""
        try:
            self._begin()
            if self._task.kind == "TRANSFER":
                self._transfer()
            else:
                self._delete()
        except Interrupted:
            pass
        finally:
            self._leave()

    def _begin(self) -> None:
        with self._state.changed:
            if not self._task.started:
                self._task.started = True
                details = json.dumps({"type": "GridFTP Transfer", "concurrency": 2, "protocol": "Mode S"})
                self._task.note("STARTED", details, self._state.clock.now())

    def _leave(self) -> None:
        task, now = self._task, self._state.clock.now()
        with self._state.changed:
            task.running = False
            if not task.ended and not any(part.state.open for part in task.parts):
                task.end("SUCCEEDED", now, json.dumps({"files_succeeded": len(task.delivered)}))
            elif task.canceling and not task.ended:
                task.end("CANCELED", now)
            elif not self._faulted:
                task.trouble = None
            task.not_before = time.monotonic() + self._state.limits.retry_pause
            self._state.changed.notify_all()

    def _transfer(self) -> None:
        task = self._task
        source, destination = self._state.places(task)
        if not self._reachable(source, destination):
            return
        carrier = Carrier(self._state, task, source, destination)
        for item in [item for item in task.items if item.state.open]:
            self._look(item, source)
        before = task.bytes_transferred
        for move in [move for move in task.moves if move.state.open]:
            if not self._reachable(source, destination) or task.ended:
                break
            self._one(move, carrier)
        self._progress(task.bytes_transferred - before)
        if task.option("delete_destination_extra") and not task.skipped and not self._faulted:
            remove_extra(task, destination)

    def _progress(self, moved: int) -> None:
        if moved:
            with self._state.changed:
                details = json.dumps({"bytes_transferred": moved, "duration": 1.0, "mbps": moved * 8e-6})
                self._task.note("PROGRESS", details, self._state.clock.now())

    def _reachable(self, *places: Collection) -> bool:
        """Whether work may go on; an endpoint that is off is a fault, a pause is none."""
        with self._state.changed:
            if any(place.paused for place in places) or self._task.suspended:
                return False
            for place in places:
                if not place.connected:
                    text = place.details("", "Globus Connect Personal is not connected")
                    self._fault(Trouble("GC_NOT_CONNECTED", text))
                    return False
        return True

    def _look(self, item: Item, source: Collection) -> None:
        """Find the files and folders of an item."""
        try:
            below = found(item, source, self._task)
        except Trouble as trouble:
            self._meet(trouble, item, Move(item, item.source, item.destination, folder=bool(item.recursive)))
            return
        with self._state.changed:
            item.state = Part.SUCCEEDED
            self._task.moves.extend(below)

    def _one(self, move: Move, carrier: Carrier) -> None:
        self._take_turn()
        try:
            if code := self._state.faults.take_error(move.source):
                raise Trouble(code, f"scripted fault\nFile: {move.source}\n", at_source=True)
            if move.folder:
                carrier.make_folder(move)
            else:
                carrier.carry(move)
        except Trouble as trouble:
            self._meet(trouble, move, move)
            return
        except OSError as error:
            # Somebody else changed the folders while we worked in them.
            self._meet(carrier.source.trouble(error, move.source), move, move)
            return
        with self._state.changed:
            move.state = Part.SUCCEEDED
            if not move.folder and not move.unchanged:
                self._task.delivered.append(move)
            self._state.changed.notify_all()

    def _take_turn(self) -> None:
        """Wait while the test holds the workers; raises `Interrupted` if there is no sense in waiting."""
        state, task = self._state, self._task
        with state.changed:
            while True:
                if task.halted or state.stopping or state.clock.now() >= task.deadline:
                    raise Interrupted
                if state.files_allowed is None:
                    return
                if state.files_allowed > 0:
                    state.files_allowed -= 1
                    return
                state.changed.wait(0.02)

    def _meet(self, trouble: Trouble, part: Item | Move, move: Move) -> None:
        """Skip the path, end the task, or leave it for the next pass."""
        task, now = self._task, self._state.clock.now()
        with self._state.changed:
            if trouble.at_source and trouble.code in _SKIPPABLE and task.option("skip_source_errors"):
                part.state = Part.SKIPPED
                task.skipped.append(SkippedError(move, trouble.code, trouble.details, now))
                if not any(event.code == "SKIPPED_ERRORS" for event in task.events):
                    task.note("SKIPPED_ERRORS", trouble.details, now)
                return
            fatal = trouble.code == "EXTERNAL_CHECKSUM_MISMATCH" or (
                trouble.code == "QUOTA_EXCEEDED" and task.option("fail_on_quota_errors")
            )
            self._fault(trouble)
            part.state = Part.FAILED if fatal else Part.RETRYING
            if fatal:
                task.end(trouble.code, now)

    def _fault(self, trouble: Trouble) -> None:
        self._faulted = True
        with self._state.changed:
            self._task.note(trouble.code, trouble.details, self._state.clock.now(), is_error=True)
            self._state.changed.notify_all()

    def _delete(self) -> None:
        task = self._task
        (place,) = self._state.places(task)
        if not self._reachable(place):
            return
        for item in [item for item in task.items if item.state.open]:
            self._take_turn()
            try:
                if code := self._state.faults.take_error(item.source):
                    raise Trouble(code, f"scripted fault\nFile: {item.source}\n")
                remove(place, item, ignore_missing=task.option("ignore_missing"))
            except Trouble as trouble:
                self._meet(trouble, item, Move(item, item.source, "", folder=False))
            else:
                with self._state.changed:
                    item.state = Part.SUCCEEDED
