"""`/metrics` for Prometheus: made from the ledger at each scrape, so that it is right after a restart, too.

Labels have as many values as the config names: a lab, an endpoint, a store that it does not name counts as `other`.
Counters are sums of what the ledger keeps for ever; how long Alyx takes to answer is what a worker measured last.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from config.upcoming import with_rounds
from dashboard.access import Seeing
from dashboard.api.asking import PROBLEMS, by_name
from dashboard.board import Board, TheBoard
from transfer.errors import CATALOGUE, CatalogThrottled
from transfer.ledger import incidents
from transfer.ledger.endpoints import ALYX
from transfer.ledger.glance.crew import workers
from transfer.ledger.glance.places import Place, places
from transfer.ledger.health import Check, RouteRow, check, summary
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import hours
from transfer.pacing import Breaker

OTHER = "other"
_ROUTE = ("lab", "source", "target")
_STANDINGS = ("alive", "silent", "stopped")

router = APIRouter(tags=["health"], generate_unique_id_function=by_name)


@router.get(
    "/metrics",
    summary="For Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}},
        **{status: PROBLEMS[status] for status in (401, 403, 503)},
    },
)
def metrics(request: Request, board: TheBoard, _: Seeing) -> Response:
    registry = CollectorRegistry()
    registry.register(FromLedger(board))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=media_type)


@dataclass(frozen=True)
class Known:
    """The names that the config has: the values a label may take."""

    labs: Collection[str]
    places: Collection[str]

    def route(self, lab: str, source: str, target: str) -> tuple[str, str, str]:
        return self.lab(lab), self.place(source), self.place(target)

    def lab(self, name: str) -> str:
        return name if name in self.labs else OTHER

    def place(self, name: str | None) -> str:
        return name if name is not None and name in self.places else OTHER


class FromLedger(Collector):
    """Asks the ledger when it is scraped."""

    def __init__(self, board: Board) -> None:
        self._ledger = board.ledger
        self._settings = board.settings
        self._known = Known(labs=set(board.settings.labs), places=set(board.endpoint_names))
        self._labs = {lab.repository: name for name, lab in board.settings.labs.items()}

    def describe(self) -> Iterable[Metric]:
        """Nothing before a scrape: a registry that registers us must not ask the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from _arrived(self._ledger, self._known, self._labs)
        yield from _backlog(summary(self._ledger), self._known, self._ledger)
        yield from _attention(with_rounds(check(self._ledger), self._settings, self._ledger))
        yield from _incidents(self._ledger, self._known)
        seen = places(self._ledger)
        yield from _alyx(seen)
        yield from _places(seen, self._known)
        yield from _workers(self._ledger)


# ---- what arrived


def _arrived(ledger: Ledger, known: Known, labs: dict[str, str]) -> Iterator[Metric]:
    query = select(
        hours.c.source,
        hours.c.target,
        func.sum(hours.c.files).label("files"),
        func.sum(hours.c.bytes).label("bytes"),
        func.sum(hours.c.seconds).label("seconds"),
    )
    query = query.where(hours.c.outcome == "arrived").group_by(hours.c.source, hours.c.target)
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0, 0])
    with ledger.reading() as connection:
        for row in connection.execute(query):
            route = known.route(labs.get(row.source, row.source), row.source, row.target)
            sums[route] = [
                kept + int(new)
                for kept, new in zip(sums[route], (row.files, row.bytes, row.seconds), strict=True)
            ]
    yield from _by_route(
        CounterMetricFamily,
        sums,
        ("files_arrived", "Files recorded in Alyx as present at the store"),
        ("bytes_arrived", "Their bytes"),
        ("arrival_seconds", "Seconds from found to recorded, summed over these files"),
    )


def _by_route(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    sums: Mapping[tuple[str, str, str], Sequence[float]],
    *named: tuple[str, str],
) -> Iterator[Metric]:
    """One metric for each name, with the amounts that stand at its place."""
    for place, (name, words) in enumerate(named):
        metric = family(_named(name), words, labels=_ROUTE)
        for route, amounts in sorted(sums.items()):
            metric.add_metric(route, amounts[place])
        yield metric


# ---- what waits


def _backlog(rows: Iterable[RouteRow], known: Known, ledger: Ledger) -> Iterator[Metric]:
    now = ledger.moment()
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for row in rows:
        route = sums[known.route(row.lab, row.source, row.target)]
        route[0] += row.waiting_files + row.held_files
        route[1] += row.waiting_bytes + row.held_bytes
        route[2] += row.held_files
        if row.oldest_unsent is not None:
            route[3] = max(route[3], (now - row.oldest_unsent).total_seconds())
    yield from _by_route(
        GaugeMetricFamily,
        sums,
        ("backlog_files", "Files that are not yet recorded, held ones among them"),
        ("backlog_bytes", "Their bytes"),
        ("held_files", "Files that wait for a person"),
        ("backlog_oldest_seconds", "Age of the oldest file that is not yet recorded"),
    )


def _attention(found: Check) -> Iterator[Metric]:
    for name, words, value in (
        ("fine", "1 while nobody must look", found.fine),
        ("held_sessions", "Sessions that wait for a person", found.held_sessions),
        ("unmovable_files", "Files that cannot be moved for a reason somebody can cure", found.troubles),
        ("stuck_files", "Files that are due and that nobody takes", found.stuck_files),
        ("stuck_sessions", "Sessions that are due and that nobody takes", found.stuck_sessions),
        ("overdue_rounds", "Central rounds that nobody walks although workers live", len(found.unwalked)),
        (
            "rows_without_owner",
            "Rows of the ledger that nobody would look at again",
            found.rows_without_owner,
        ),
        (
            "ledger_disk_full",
            "1 while the ledger's disk has no room for new work",
            found.disk_full is not None,
        ),
    ):
        yield GaugeMetricFamily(_named(name), words, value=float(value))


def _incidents(ledger: Ledger, known: Known) -> Iterator[Metric]:
    opened = incidents.current(ledger)
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for one in opened:
        sums[one.code if one.code in CATALOGUE else OTHER, known.place(one.endpoint)] += one.files
    gauge = GaugeMetricFamily(
        _named("incident_files"), "Files that wait for an open incident", labels=("code", "endpoint")
    )
    for labels, files in sorted(sums.items()):
        gauge.add_metric(labels, files)
    yield gauge
    throttled = any(one.code == CatalogThrottled.code and one.endpoint == ALYX for one in opened)
    yield GaugeMetricFamily(
        _named("alyx_throttled"), "1 while Alyx asks us to ask less", value=float(throttled)
    )


# ---- who and where


def _places(rows: Iterable[Place], known: Known) -> Iterator[Metric]:
    mine = [row for row in rows if row.name in known.places]
    breaker = GaugeMetricFamily(
        _named("breaker"), "1 for the state that the endpoint's breaker is in", labels=("endpoint", "state")
    )
    for row in mine:
        for state in Breaker:
            breaker.add_metric((row.name, state.value), float(row.breaker == state.value))
    yield breaker
    for name, words, values in (
        ("endpoint_paused", "1 while a person keeps it from being used", [row.paused_by is not None for row in mine]),
        ("endpoint_failures", "Failures in a row", [row.failures for row in mine]),
        ("endpoint_batches_allowed", "Batches that may move to it at once", [row.at_once for row in mine]),
        ("endpoint_free_bytes", "Bytes free at the last look", [row.free_bytes for row in mine]),
    ):  # fmt: skip
        gauge = GaugeMetricFamily(_named(name), words, labels=("endpoint",))
        for row, value in zip(mine, values, strict=True):
            if value is not None:
                gauge.add_metric((row.name,), float(value))
        yield gauge


def _alyx(rows: Iterable[Place]) -> Iterator[Metric]:
    gauge = GaugeMetricFamily(
        _named("alyx_latency_seconds"), "Seconds an answer of Alyx takes, as a worker measured last"
    )
    for row in rows:
        told = row.capabilities.get("latency_ms") if row.name == ALYX else None
        if isinstance(told, int):
            gauge.add_metric((), told / 1000)
    yield gauge


def _workers(ledger: Ledger) -> Iterator[Metric]:
    found = [one.standing for one in workers(ledger)]
    gauge = GaugeMetricFamily(_named("workers"), "Workers of the last week", labels=("standing",))
    for standing in _STANDINGS:
        gauge.add_metric((standing,), found.count(standing))
    yield gauge


def _named(name: str) -> str:
    return f"alyx_transfer_{name}"
