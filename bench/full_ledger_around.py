"""What stands around the items of a full ledger: hours, endpoints, workers, rounds, incidents."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Table

from bench.filling import Row
from transfer import pacing
from transfer.errors import EndpointUnreachable, StoreDenied
from transfer.ledger import tables
from transfer.ledger.endpoints import ALYX
from transfer.ledger.hourly import ARRIVED
from transfer.pacing import Decision, Pace

_DAYS = 90
_WORKERS = 6
_INCIDENTS = 60

Routes = Sequence[tuple[str, str]]


def around(now: datetime, routes: Routes) -> dict[Table, Iterable[Row]]:
    """Everything but the items' own tables."""
    return {
        tables.hours: _hours(now, routes),
        tables.endpoints: _endpoints(now, routes),
        tables.workers: _workers(now),
        tables.jobs: _jobs(now, routes),
        tables.incidents: _incidents(now, routes),
    }


def _hours(now: datetime, routes: Routes) -> Iterator[Row]:
    last = now.replace(minute=0, second=0)
    for ago in range(_DAYS * 24):
        for number, (source, target) in enumerate(routes):
            outcomes = [ARRIVED, *([StoreDenied.code] if (ago + number) % 8 == 0 else [])]
            for outcome in outcomes:
                files = 10 + (ago + number) % 7
                yield {
                    "hour": last - timedelta(hours=ago),
                    "source": source,
                    "target": target,
                    "outcome": outcome,
                    "files": files,
                    "bytes": files * 20_000_000,
                    "seconds": files * 400,
                }


def _endpoints(now: datetime, routes: Routes) -> Iterator[Row]:
    names = [ALYX, *sorted({name for route in routes for name in route})]
    told = tuple(
        Decision(at=now - timedelta(hours=n), was=n, became=n + 1, why="it went well") for n in range(1, 20)
    )
    pace = pacing.as_json(Pace(at_once=4, decisions=told))
    for number, name in enumerate(names):
        paused, fails = number == 3, number == 5
        yield {
            "name": name,
            "breaker": "open" if fails else "closed",
            "failures": 2 if fails else 0,
            "retry_at": now + timedelta(minutes=9) if fails else None,
            "paused_by": "person:anne" if paused else None,
            "pause_reason": "disks are exchanged" if paused else None,
            "pace": pace,
            "capabilities": {"rename": True, "hash": "md5sum"},
            "free_bytes": 10**13,
            "probed_at": now,
        }


def _workers(now: datetime) -> Iterator[Row]:
    for number in range(1, _WORKERS + 1):
        yield {
            "holder": f"rig-{number}:{100 * number}",
            "host": f"rig-{number}",
            "pid": 100 * number,
            "version": "0.1.0",
            "hands": 4,
            "started_at": now - timedelta(days=2),
            "seen_at": now + timedelta(days=1),
        }


def _jobs(now: datetime, routes: Routes) -> Iterator[Row]:
    for kind in ("scan", "reconcile", "mirror"):
        for source, _ in routes:
            name = f"{kind} {source.removesuffix('_SR')}"
            yield {"name": name, "last_run": now, "last_outcome": "46 sessions, 2 due"}


def _incidents(now: datetime, routes: Routes) -> Iterator[Row]:
    for number in range(_INCIDENTS):
        kind = (StoreDenied, EndpointUnreachable)[number % 2]
        endpoint, still = routes[number % len(routes)][0], number < len(kind.name) % 5 + 2
        at = now - timedelta(days=number, hours=1)
        yield {
            "key": f"{kind.code} {endpoint} {number}",
            "code": kind.code,
            "endpoint": endpoint,
            "text": f"{endpoint} does not answer",
            "files": 40,
            "first_at": at,
            "last_at": at,
            "closed_at": None if still else at,
            "open": 1 if still else None,
        }
