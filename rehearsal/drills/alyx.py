"""Alyx: broken, throttled, slow, answering wrongly or not at all, and written to by others."""

import hashlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from config import wiring
from rehearsal.around import AroundCatalog, around_catalog
from rehearsal.configuring import Scenery
from rehearsal.plan import Fault
from rehearsal.stage import NotOver, Stage
from sandbox.box import LAB, LAB_SERVER, STORE
from transfer.catalog.base import Catalog, FileRecord, NewFile, Registration
from transfer.errors import ChangedElsewhere

ANY = Scenery(store="local")
BEHIND_A_LINE = Scenery(store="local", alyx_line=True)

_RECORD = "/files/.+"


def broken(stage: Stage) -> None:
    _scripted(stage, "a 500 instead of a list", "GET", "/datasets", 2, status=500)
    _scripted(stage, "a 500 instead of an announcement", "PATCH", _RECORD, 3, status=500)
    _work(stage)


def throttled(stage: Stage) -> None:
    _scripted(stage, "a 429 with Retry-After", "GET", "/datasets", 1, status=429, retry_after=1)
    _scripted(
        stage, "a 429 with Retry-After at an announcement", "PATCH", _RECORD, 2, status=429, retry_after=1
    )
    _work(stage)


def slow(stage: Stage) -> None:
    _scripted(stage, "an answer that took its time", "*", "/(datasets|files|register-file).*", 8, delay=0.25)
    _work(stage)


def wrote_all_the_same(stage: Stage) -> None:
    said: dict[str, Any] = {"status": 500, "after_work": True}
    _scripted(stage, "a 500 for a registration that was made", "POST", "/register-file", 1, **said)
    _scripted(stage, "a 500 for an announcement that was made", "PATCH", _RECORD, 2, **said)
    _work(stage)


def _scripted(stage: Stage, what: str, method: str, path: str, times: int, **said: Any) -> None:
    fault = stage.box.alyx.faults.add(method, path, times, **said)
    stage.plan.add(what, times, lambda: fault.met)


def _work(stage: Stage) -> None:
    with stage.working():
        stage.settle()


def lost_answer(stage: Stage) -> None:
    """The line breaks while Alyx is still at work on a registration, which it goes on to make."""
    alyx, fault = stage.box.alyx, Fault(1)
    stage.plan.add("a registration whose answer was lost", fault.times, lambda: fault.met)
    stage.alarms.append(lambda: _doubled(stage))

    def looks() -> int:
        return alyx.requests.count("GET", "/datasets")

    def posts() -> int:
        return alyx.requests.count("POST", "/register-file")

    with alyx.hazards.pause("POST", "/register-file", times=2) as pause, stage.working():
        try:
            pause.wait_reached()
            before = looks()
            stage.alyx_line.cut()
            fault.strike()
            stage.until(lambda: looks() >= before + 2 or posts() >= 2)
            if posts() >= 2:
                pause.wait_reached(2)
        except TimeoutError as error:
            raise NotOver(str(error)) from error
        finally:
            pause.release()
        stage.settle()


def _doubled(stage: Stage) -> str | None:
    keys = ("session", "collection", "revision", "name")
    rows = Counter(tuple(row[key] for key in keys) for row in stage.box.alyx.datasets())
    doubled = [name for *_, name in (key for key, count in rows.items() if count > 1)]
    if not doubled:
        return None
    return f"Alyx has {doubled[0]} twice, and refuses every registration of it from now on"


def changed_meanwhile(stage: Stage) -> None:
    """Another tool registers a newer version in the instant before we announce ours."""
    fault, tool = Fault(1), _OtherTool(stage)
    stage.plan.add("a registration by another tool in between", fault.times, lambda: fault.met)
    stage.around.catalogs.append(lambda real: around_catalog(_Overtaken(real, tool, fault)))
    # Alyx has no conditional update: from our PATCH to our read-back this cannot be avoided.
    stage.lies_allowed = True
    with stage.working():
        if stage.expect_hold(ChangedElsewhere):
            stage.seen.append("the lab's file was brought up to date, and released")
            tool.hand_over()
            stage.release_all()
            stage.settle()


class _OtherTool:
    """Somebody else's program, with the lab's own rights."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._file = Path()
        self._bytes = b""

    def register(self, record: UUID) -> None:
        """Register other bytes for the file of this record."""
        (row,) = [row for row in self._stage.box.alyx.file_records(STORE) if row["id"] == str(record)]
        path = PurePosixPath(row["relative_path"])
        self._file = self._stage.box.lab_root / path
        self._bytes = self._file.read_bytes() + b"a newer version"
        session = PurePosixPath(*path.parts[:3])
        new = NewFile(
            path=path.relative_to(session),
            md5=hashlib.md5(self._bytes, usedforsecurity=False).hexdigest(),
            size=len(self._bytes),
        )
        catalog = wiring.catalog(self._stage.settings)
        try:
            catalog.register(Registration(session_path=session, repository=LAB_SERVER, lab=LAB, files=[new]))
        finally:
            catalog.close()

    def hand_over(self) -> None:
        """Put its version into the lab's folder."""
        self._file.write_bytes(self._bytes)


class _Overtaken(AroundCatalog):
    def __init__(self, real: Catalog, tool: _OtherTool, fault: Fault) -> None:
        super().__init__(real)
        self._tool, self._fault = tool, fault

    def announce(self, record: UUID, exists: bool, *json: Any, **more: Any) -> FileRecord:
        if exists and self._fault.strike():
            self._tool.register(record)
        return self.real.announce(record, exists, *json, **more)
