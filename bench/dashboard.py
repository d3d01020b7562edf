"""How long the dashboard's pages take while the ledger holds a million files.

A ledger as it stands after a year is written, the application serves it without login, and every page and every list
of the API is asked for: once for the first time, and then again and again.  What the ledger was asked is explained by
the database itself: a large table that is read as a whole is named.

    python -m bench dashboard [--items 1000000] [--database sqlite|postgresql] [--runs 10] [--json]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
from fastapi.routing import APIRoute, iter_route_contexts

from bench import machine, plans
from bench.full_ledger import Full, fill, lab, repository
from bench.report import table
from config import logs
from config.settings import load
from dashboard.app import create
from dashboard.board import Board
from dashboard.serving import serving
from transfer.ledger import Ledger, open_ledger

BAR = 0.3  # seconds, for the first page
_PATIENCE = 60.0
_OPEN_ENDED = ("event-stream",)

_CONFIG = """
[alyx]
url = "http://127.0.0.1:1"
user = "nobody"

[ledger]
url = {ledger}

[logs]
level = "warning"

[dashboard]
login = "none"
port = 0

[labs.{lab}]
repository = "{repository}"
root = "/nowhere/lab"
work = "disk"
store = "flatiron"

[stores.flatiron]
transport = "local"
root = "/nowhere/store"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One address: seconds of the first answer, the median and the longest of the others, and what it asked."""

    address: str
    status: int
    first: float
    median: float
    worst: float
    bytes: int
    questions: int
    whole_readings: Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000, help="files in the ledger")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--runs", type=int, default=10, help="answers besides the first")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as opened:
        url = opened.enter_context(_database(wanted.database, Path(folder)))
        ledger = open_ledger(url)
        opened.callback(ledger.engine.dispose)
        print(f"writing {wanted.items:,} files into {wanted.database}", file=sys.stderr)
        full = fill(ledger.engine, wanted.items)
        told = machine.described(Path(folder))
        pages = list(_measured(ledger, full, Path(folder), runs=wanted.runs))
    facts = {"machine": told["machine"], "ledger": f"{wanted.items:,} files, {wanted.database}"}
    if wanted.json:
        print(json.dumps({**facts, "pages": [asdict(page) for page in pages]}, indent=2))
    else:
        print(_as_text(facts, pages))


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    from tests import servers

    with servers.postgres() as server, servers.database(server, "bench") as url:
        yield url


def _measured(ledger: Ledger, full: Full, folder: Path, *, runs: int) -> Iterator[Page]:
    board = _board(ledger, folder)
    with (
        serving(board, "127.0.0.1", 0) as address,
        httpx2.Client(base_url=address, timeout=_PATIENCE) as client,
    ):
        _answer(client, "/healthz")  # what a process does once, before its first answer
        for one in _addresses(board, full):
            with plans.watching(ledger.engine) as asked:
                first = _answer(client, one)
            if first is None:
                continue
            more = [answer for _ in range(runs) if (answer := _answer(client, one)) is not None]
            yield Page(
                address=one,
                status=first.status,
                first=first.seconds,
                median=statistics.median(answer.seconds for answer in more),
                worst=max(answer.seconds for answer in more),
                bytes=first.bytes,
                questions=len(asked),
                whole_readings=sorted(set(plans.scans(ledger.engine, asked))),
            )


def _board(ledger: Ledger, folder: Path) -> Board:
    config = folder / "config.toml"
    said = {
        "ledger": json.dumps(f"sqlite:///{folder / 'none.db'}"),
        "lab": lab(0),
        "repository": repository(0),
    }
    config.write_text(_CONFIG.format(**said), encoding="utf-8")
    settings = load(config, {"ALYX_TRANSFER_ALYX__PASSWORD": "nobody"})
    logs.configure(settings.logs)
    return Board(settings=settings, ledger=ledger, ring=lambda *_: False, version="bench")


def _addresses(board: Board, full: Full) -> list[str]:
    """The first page, every other address that needs no name, and some that do."""
    plain = {
        path
        for one in iter_route_contexts(create(board).routes)
        if isinstance(one.route, APIRoute)
        and "GET" in (one.methods or ())
        and "{" not in (path := str(one.path))
        and path != "/"
    }
    session, day = full.sessions // 2, (full.now - timedelta(days=200)).date()
    wishes = [f"state={state}" for state in ("moving", "held", "arrived", "new")]
    wishes += [
        f"lab={lab(3)}",
        "subject=03_01",
        f"since={day}&until={day + timedelta(days=30)}",
        f"after={day}~9000",
    ]
    named = [
        *(f"{where}?{wish}" for where in ("/sessions", "/api/v1/sessions") for wish in wishes),
        *(f"{where}/{session}" for where in ("/sessions", "/api/v1/sessions")),
        *(f"{where}/{full.items // 2}" for where in ("/files", "/api/v1/files")),
        f"/api/v1/sessions/{session}/files",
        "/api/v1/transfers?open=true",
    ]
    return ["/", *sorted(plain), *named]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    seconds: float
    bytes: int


def _answer(client: httpx2.Client, address: str) -> _Answer | None:
    """One answer; None for a stream without an end."""
    begun = time.perf_counter()
    with client.stream("GET", address) as answer:
        if any(kind in answer.headers.get("content-type", "") for kind in _OPEN_ENDED):
            return None
        length = len(answer.read())
    return _Answer(answer.status_code, time.perf_counter() - begun, length)


def _as_text(facts: dict[str, str], pages: Sequence[Page]) -> str:
    head = ("", "status", "first ms", "median ms", "worst ms", "KB", "questions", "large tables read whole")
    rows = [
        (
            page.address,
            str(page.status),
            *(f"{1000 * seconds:.0f}" for seconds in (page.first, page.median, page.worst)),
            f"{page.bytes / 1000:.0f}",
            str(page.questions),
            str(len(page.whole_readings) or "none"),
        )
        for page in pages
    ]
    front = pages[0]
    verdict = "met" if max(front.first, front.worst) < BAR else "MISSED"
    whole = [
        f"  {page.address}: {' '.join(one.split())[:160]}" for page in pages for one in page.whole_readings
    ]
    parts = [
        *(f"{name}: {value}" for name, value in facts.items()),
        table(head, rows),
        f"first page under {1000 * BAR:.0f} ms, the first time and at worst: {verdict}",
        *(["read as a whole:", *whole] if whole else []),
    ]
    return "\n".join(parts)
