"""A mover on folders: the promises of `transports.delegated`, with real files and a service that forgets nothing.

The `Service` outlives its clients, as Globus does: a worker may die at any call and the task goes on.  Tests tell
it what goes wrong; `stop` is called before and after every call that has an effect, so that a test may die there.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from transfer.errors import RenameDoesNotReplace, StoredFileMissing, TransferError
from transfer.model import STAGING
from transfer.transports.base import Failed, Published, RemoteFile, Rename
from transfer.transports.delegated import Allowance, Document, Piece, Report, Standing


@dataclass
class Task:
    """One submission, as the service holds it."""

    id: str
    document: Document
    standing: Standing = Standing.ACTIVE
    arrived: set[PurePosixPath] = field(default_factory=set)


@dataclass
class Service:
    """Carries bytes from `lab` to `store` when it is told to `work`."""

    lab: Path
    store: Path
    replaces: bool = False
    says_why: bool = False  # whether a failed task names its file
    poisoned: set[str] = field(default_factory=set)  # lab paths that never arrive
    error: TransferError | None = None  # of a task as a whole
    reason: TransferError | None = None  # for a poisoned file
    tasks: dict[str, Task] = field(default_factory=dict)  # by submission key
    submits: Counter[str] = field(default_factory=Counter)
    stop: Callable[[str], None] = lambda _name: None

    def work(self) -> None:
        """Let every active task run to its end."""
        for task in self.tasks.values():
            if task.standing is Standing.ACTIVE:
                self._run(task)

    def forget(self) -> None:
        """Lose every task, as after a long outage."""
        self.tasks.clear()

    def _run(self, task: Task) -> None:
        whole = True
        for source, staged, md5 in task.document["pieces"]:
            content = (self.lab / source).read_bytes()
            if source in self.poisoned or hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                whole = False
                continue
            target = self.store / staged
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.lab / source, target)
            task.arrived.add(PurePosixPath(staged))
        if not whole and not self.says_why:
            # One file that never arrives fails a whole task, and what came before it stays.
            task.arrived = set(sorted(task.arrived)[: len(task.arrived) // 2])
        task.standing = Standing.SUCCEEDED if whole else Standing.FAILED


class FolderMover:
    """One client of the service."""

    allowance = Allowance(pending=3, active=3, large=1000, patience=30, hours=24)

    def __init__(self, service: Service) -> None:
        self._service = service

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def reserve(self) -> str:
        return str(uuid4())

    def freeze(self, key: str, source: str, pieces: Sequence[Piece], *, deadline: datetime) -> Document:
        rows = [[str(piece.source), str(piece.staged), piece.md5] for piece in pieces]
        return {"key": key, "source": source, "pieces": rows, "deadline": deadline.isoformat()}

    def submit(self, document: Document) -> str:
        key = document["key"]
        self._service.stop("submitting")
        self._service.submits[key] += 1
        task = self._service.tasks.setdefault(key, Task(f"task-{key}", document))
        self._service.stop("submitted")
        return task.id

    def poll(self, task: str, document: Document) -> Report:
        known = self._service.tasks.get(document["key"])
        if known is None:
            return Report(standing=Standing.GONE)
        failed: dict[PurePosixPath, TransferError] = {}
        if known.standing is Standing.FAILED and self._service.says_why:
            failed = {
                PurePosixPath(staged): self._service.reason
                or StoredFileMissing("the mover gave it up", to=source)
                for source, staged, _ in document["pieces"]
                if source in self._service.poisoned
            }
        return Report(
            standing=known.standing,
            note="VERIFY_CHECKSUM" if known.standing is Standing.ACTIVE else "",
            arrived=frozenset(known.arrived),
            failed=failed,
            error=self._service.error if known.standing is Standing.FAILED else None,
        )

    def cancel(self, task: str) -> None:
        for known in self._service.tasks.values():
            if known.id == task and known.standing is Standing.ACTIVE:
                known.standing = Standing.FAILED

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        for path in paths:
            place = self._service.store / path
            if not place.is_file():
                yield None
                continue
            found = place.stat()
            yield RemoteFile(path=path, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        for rename in renames:
            self._service.stop("renaming")
            partial, final = self._service.store / rename.partial, self._service.store / rename.final
            error: TransferError | None = None
            if not partial.exists():
                error = StoredFileMissing("the staged file is gone", to=rename.partial)
            elif final.exists() and not self._service.replaces:
                error = RenameDoesNotReplace("something stands there", to=rename.final)
            else:
                final.parent.mkdir(parents=True, exist_ok=True)
                partial.rename(final)
            self._service.stop("renamed")
            yield Failed(key=rename.key, error=error) if error else Published(key=rename.key)

    def staged(self) -> Iterator[str]:
        folder = self._service.store / STAGING
        yield from sorted(os.listdir(folder)) if folder.exists() else []

    def set_aside(self, path: PurePosixPath) -> bool:
        self._service.stop("setting-aside")
        place = self._service.store / path
        if not place.exists():
            return False
        aside = self._service.store / STAGING / "aside" / uuid4().hex
        aside.parent.mkdir(parents=True, exist_ok=True)
        place.rename(aside)
        self._service.stop("set-aside")
        return True

    @property
    def sources(self) -> Sequence[str]:
        return ["cortexlab_SR"]

    def see_store(self) -> str:
        return "the store is there"

    def see_source(self, source: str) -> str:
        return f"{source} is there"

    def rehearse(self) -> str:
        return "a folder was made, renamed and removed"

    def clean(self, keys: Sequence[str]) -> None:
        for key in keys:
            shutil.rmtree(self._service.store / STAGING / key, ignore_errors=True)


def documents(service: Service) -> list[Any]:
    """What was asked, in the order of the tasks."""
    return [task.document for task in service.tasks.values()]
