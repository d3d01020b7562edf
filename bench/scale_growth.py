"""How the ledger's questions and writes grow with it: the same ones asked of ledgers of several sizes.

What is due stays the same number of files at each size; what grows is the past.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.scale_ground import Ground, all_routes, register
from transfer import planning
from transfer.ledger import Ledger, health
from transfer.model import Route
from transfer.planning import Limits

PLANNED = 1_000
"""So many files are registered and planned at each size."""

_TIMES = 15
_LEASE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One question at one size, in milliseconds."""

    what: str
    items: int
    median: float
    worst: float


def measured(ground: Ground) -> list[Point]:
    """Every question at this ground's size; the planned files stay in it."""
    ledger = ground.ledger
    register(ground, PLANNED)
    routes = all_routes()
    plan = _seconds(partial(planned, ledger, routes))
    sources = [route.source for route in routes]

    def sweep() -> None:
        """What a lab's worker asks every half minute."""
        route = routes[0]
        ledger.plan(route, partial(planning.batches, limits=Limits()))
        ledger.close_empty_batches()
        ledger.due("session", sources=[route.source])
        ledger.due("batch", sources=[route.source], targets=[route.target])

    def claim() -> None:
        claimed = ledger.claim_batch(_LEASE, sources=sources, large_bytes=Limits().large_bytes)
        if claimed:
            ledger.release(claimed[0])

    questions: dict[str, Callable[[], object]] = {
        "due batches": partial(ledger.due, "batch", sources=sources),
        "due sessions": partial(ledger.due, "session", sources=sources),
        "claim and release of a batch": claim,
        "sweep of a lab": sweep,
        "backlog": partial(health.summary, ledger),
    }
    points = [_point(what, ground.full.items, question) for what, question in questions.items()]
    took = 1000 * plan
    return [Point(what=f"plan {PLANNED:,} files", items=ground.full.items, median=took, worst=took), *points]


def planned(ledger: Ledger, routes: Sequence[Route]) -> int:
    """Plan everything of these routes that is due; answers the number of batches."""
    made = 0
    batching = partial(planning.batches, limits=Limits())
    for route in routes:
        while batches := ledger.plan(route, batching):
            made += len(batches)
    assert made >= len(routes), "each lab has work"
    return made


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def _point(what: str, items: int, question: Callable[[], object]) -> Point:
    took = [1000 * _seconds(question) for _ in range(_TIMES)]
    return Point(what=what, items=items, median=statistics.median(took), worst=max(took))
