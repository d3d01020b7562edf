"""Eight worker processes at one ledger: what a claim takes, how many facts a second they write, and their memory.

Each process is what a worker is to the ledger: its own engine, its own connections, the ledger's own methods.  No file
is read or sent, so what is measured is the ledger alone, and the processes share the machine with the database.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.scale_ground import all_routes
from bench.scale_growth import planned
from transfer.ledger import Lease, Ledger, arrivals
from transfer.ledger.arrivals import Arrival
from transfer.ledger.engine import open_engine
from transfer.ledger.guarded import Guarded, Move
from transfer.model import Item
from transfer.paths import partial_name
from transfer.planning import Limits
from transfer.status import Proof, Status
from transfer.steps.publish import _WRITTEN_AT_ONCE as PUBLISHED_AT_ONCE
from transfer.steps.push import _INTENTS as INTENDED_AT_ONCE
from transfer.steps.push import _SENT as SENT_AT_ONCE

EARLY = 100
"""So many pieces of work after its start a process's memory is first looked at: by then everything is loaded."""

_LEASE = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one process found.  Times in seconds, memory in bytes."""

    seconds: float
    latencies: list[float]
    done: int = 0
    vain: int = 0
    memory_early: int = 0
    memory_late: int = 0


Work = Callable[[Ledger, int], Told]


def together(url: str, work: Work, *, processes: int) -> list[Told]:
    """What each of so many processes found; they begin at the same moment, and end by themselves."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        start = manager.Barrier(processes)
        asked = [pool.apply_async(_process, (url, work, number, start)) for number in range(processes)]
        return [one.get() for one in asked]


def _process(url: str, work: Work, number: int, start: Any) -> Told:
    ledger = Ledger(open_engine(url))
    try:
        ledger.moment()  # a connection, and what SQLAlchemy loads with the first
        start.wait(60)
        return work(ledger, number)
    finally:
        ledger.engine.dispose()


def resident() -> int:
    """The memory of this process that is in use, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class _Watched:
    """Memory at the `EARLY`th piece of work and at the last."""

    def __init__(self) -> None:
        self.early = 0
        self.count = 0

    def one_more(self) -> None:
        self.count += 1
        if self.count == EARLY:
            self.early = resident()


# ---- claims


def claims(
    ledger: Ledger, number: int, *, times: int, think: float, sources: Sequence[Sequence[str]]
) -> Told:
    """Claim, hold for about `think` seconds, give back.  `sources[number]` are the labs this process works for."""
    chance = random.Random(number)
    watched, latencies, vain = _Watched(), list[float](), 0
    begun = time.perf_counter()
    for _ in range(times):
        asked = time.perf_counter()
        claimed = ledger.claim_batch(_LEASE, sources=sources[number], large_bytes=Limits().large_bytes)
        latencies.append(time.perf_counter() - asked)
        watched.one_more()
        if think:
            time.sleep(think * chance.uniform(0.5, 1.5))
        if claimed is None:
            vain += 1
        else:
            ledger.release(claimed[0])
    return Told(
        seconds=time.perf_counter() - begun,
        latencies=latencies,
        done=times - vain,
        vain=vain,
        memory_early=watched.early,
        memory_late=resident(),
    )


# ---- plans


def plans(ledger: Ledger, number: int, *, processes: int) -> Told:
    """Plan what is due of every so-manieth lab, as each lab's own worker does at its sweep."""
    begun = time.perf_counter()
    made = planned(ledger, all_routes()[number::processes])
    return Told(seconds=time.perf_counter() - begun, latencies=[], done=made)


# ---- moves


def moves(ledger: Ledger, _number: int, *, seconds: float, at_once: bool) -> Told:
    """Take batch after batch through the journey, in the chunks of the steps or one fact to a transaction."""
    watched, latencies, done = _Watched(), list[float](), 0
    write = partial(_written, watched=watched, latencies=latencies)
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        claimed = ledger.claim_batch(_LEASE)
        if claimed is None:
            break
        lease, batch = claimed
        for status, size in _steps(at_once=at_once):
            due = [item for item in ledger.due_items(batch.id) if item.status is status]
            for start in range(0, len(due), size):
                if time.perf_counter() - begun >= seconds:
                    break
                done += write(ledger, lease, due[start : start + size])
        ledger.release(lease)
    return Told(
        seconds=time.perf_counter() - begun,
        latencies=latencies,
        done=done,
        memory_early=watched.early,
        memory_late=resident(),
    )


def _steps(*, at_once: bool) -> list[tuple[Status, int]]:
    """From which fact, and how many items a transaction takes: what the steps' own constants say."""
    sizes = {
        Status.PLANNED: SENT_AT_ONCE,
        Status.SENT: 10**6,  # a batch is verified as a whole
        Status.VERIFIED: PUBLISHED_AT_ONCE,
        Status.PUBLISHED: 10**6,
    }
    return [(status, size if at_once else 1) for status, size in sizes.items()]


def _written(
    ledger: Ledger, lease: Lease, items: Sequence[Item], *, watched: _Watched, latencies: list[float]
) -> int:
    """Write the next fact of these items as its step does; answers how many moved."""
    asked = time.perf_counter()
    if items[0].status is Status.PLANNED:
        items = _intended(ledger, lease, items)
    moved = ledger.write(lease, partial(_next_fact, items=items))
    latencies.append(time.perf_counter() - asked)
    watched.one_more()
    return len(moved)


def _intended(ledger: Ledger, lease: Lease, items: Sequence[Item]) -> list[Item]:
    ours: list[Item] = []
    for start in range(0, len(items), INTENDED_AT_ONCE):
        some = [
            (item, lease.token, partial_name(item.uuid, lease.token))
            for item in items[start:][:INTENDED_AT_ONCE]
        ]
        named = {item.id: name for item, _, name in some}
        ours += [
            replace(item, attempt=lease.token, partial=named[item.id])
            for item in ledger.write(lease, lambda tx, some=some: tx.intend(some))  # type: ignore[misc]
        ]
    return ours


def _next_fact(tx: Guarded, items: Sequence[Item]) -> list[Item]:
    match items[0].status:
        case Status.PLANNED:
            return tx.move([Move(item=one, became=Status.SENT, partial=one.partial) for one in items])
        case Status.SENT:
            proof = Proof.REMOTE_HASH
            return tx.move(
                [Move(item=one, became=Status.VERIFIED, partial=one.partial, proof=proof) for one in items]
            )
        case Status.VERIFIED:
            return arrivals.published(tx, items)
        case _:
            now = datetime.now(UTC)
            return arrivals.recorded(tx, [Arrival(item=item, read_back_at=now) for item in items])


def whole_journey(ledger: Ledger, lease: Lease, batch: int) -> int:
    """From PLANNED to RECORDED, in the chunks of the steps; answers how many files were recorded."""
    watched, recorded = _Watched(), 0
    for status, size in _steps(at_once=True):
        due = [item for item in ledger.due_items(batch) if item.status is status]
        for start in range(0, len(due), size):
            moved = _written(ledger, lease, due[start : start + size], watched=watched, latencies=[])
            recorded += moved if status is Status.PUBLISHED else 0
    return recorded
