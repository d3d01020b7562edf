"""The lab's own machine: lost rings, a database that is away, a clock that jumps, a computer that sleeps."""

import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import event

from config import doorbell
from config.queues import CENTRAL
from config.rounds import MOVE
from rehearsal.around import AroundCatalog, Before, around_catalog
from rehearsal.configuring import Scenery
from rehearsal.plan import Fault
from rehearsal.stage import Stage
from transfer.catalog.base import Catalog, CatalogDataset, FileRecord

ANY = Scenery(store="local")
HOUR = timedelta(hours=1)

_PATIENCE = 60.0  # seconds that a sleeper waits for the others
_LOOK = 0.05


def broker(stage: Stage) -> None:
    """Every ring of some seconds is lost, the schedule's own ones too, and the first ones for the batch."""
    fault, batch = Fault(12), Fault(2)
    stage.plan.add("a ring that the broker lost", fault.times, lambda: fault.met)
    stage.plan.add("a lost ring for a batch that was due", batch.times, lambda: batch.met)
    ring = doorbell.ring

    def lossy(broker: str, task: str, *words: str | int, queue: str = CENTRAL) -> bool:
        lost = fault.strike() or (task == MOVE and batch.strike())
        return False if lost else ring(broker, task, *words, queue=queue)

    with patch.object(doorbell, "ring", lossy), stage.working():
        stage.settle()


def database(stage: Stage) -> None:
    """From the first file on its way the ledger's database cannot be reached for a while."""
    stage.around.lease_seconds = 2.0
    away, begun = Fault(15), Fault(1)

    def begin(_operation: str) -> None:
        begun.strike()

    stage.around.ways.append(lambda real: Before(real, begin))
    stage.plan.add("a connection that the ledger's database refused", away.times, lambda: away.met)

    def refuse(*_connection: object) -> None:
        if begun.met and away.strike():
            raise sqlite3.OperationalError("unable to open database file")

    stage.once_open.append(lambda: event.listen(stage.ledger.engine, "checkout", refuse))
    with stage.working():
        stage.settle()


class Clocks:
    """This machine's clocks, with what they are ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.slept = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.slept.total_seconds()


def clock(stage: Stage) -> None:
    """The wall clock is an hour ahead for a while; the monotonic one goes on as it should."""
    clocks, jumps = Clocks(), Fault(2)
    stage.around.clock, stage.around.monotonic = clocks.now, clocks.monotonic
    stage.plan.add("a jump of the clock by an hour", jumps.times, lambda: jumps.met)

    def jump(operation: str) -> None:
        ahead = {"put": HOUR, "publish": timedelta()}[operation]
        if clocks.ahead != ahead and jumps.strike():
            clocks.ahead = ahead

    stage.around.ways.append(lambda real: Before(real, jump))
    with stage.working():
        stage.settle()


def sleep(stage: Stage) -> None:
    """A worker sleeps for an hour with files published and not yet announced; others finish them meanwhile."""
    clocks, fault = Clocks(), Fault(1)
    stage.around.clock, stage.around.monotonic = clocks.now, clocks.monotonic
    stage.plan.add("an hour's sleep in the middle of a batch", fault.times, lambda: fault.met)
    sleeper = _Sleeper(stage, clocks, fault)
    stage.around.catalogs.append(lambda real: around_catalog(_Drowsy(real, sleeper)))
    with stage.working():
        stage.until(lambda: fault.met > 0)
        stage.settle()
        stage.until(lambda: sleeper.awake)
    if sleeper.late:
        stage.wrong.append(
            f"a worker that had slept through its lease wrote {sleeper.late} announcements "
            "over the head of the one that had taken over"
        )


class _Sleeper:
    """Sleeps once.  `late` counts what is announced after it woke, when all was done."""

    def __init__(self, stage: Stage, clocks: Clocks, fault: Fault) -> None:
        self._stage, self._clocks, self._fault = stage, clocks, fault
        self.awake = False
        self.late = 0

    def may_fall_asleep(self) -> None:
        if not self._stage.count("published") or not self._fault.strike():
            return
        self._clocks.ahead += HOUR
        self._clocks.slept += HOUR
        give_up = time.monotonic() + _PATIENCE
        while self._stage.count("recorded") < self._stage.files and time.monotonic() < give_up:
            if self._stage.leaving.wait(_LOOK):
                break
        self.awake = True


class _Drowsy(AroundCatalog):
    def __init__(self, real: Catalog, sleeper: _Sleeper) -> None:
        super().__init__(real)
        self._sleeper = sleeper

    def datasets(self, ids: Sequence[UUID]) -> dict[UUID, CatalogDataset]:
        found = self.real.datasets(ids)
        self._sleeper.may_fall_asleep()
        return found

    def announce(self, record: UUID, exists: bool, *json: Any, **more: Any) -> FileRecord:
        self._sleeper.late += self._sleeper.awake
        return self.real.announce(record, exists, *json, **more)
