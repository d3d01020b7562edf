"""The exchanges recorded with a real Alyx 3.6.1, by name."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest

from transfer.catalog.alyx import AlyxCatalog
from transfer.catalog.alyx_http import AlyxHttp, Patience

_FILE = Path(__file__).parents[2] / "data" / "alyx-exchanges.json"

Exchange = dict[str, Any]


@cache
def exchanges() -> dict[str, Exchange]:
    """Every exchange by its name; none when the recording is missing (then `required` fails or skips)."""
    if not _FILE.exists():
        return {}
    return {one["name"]: one for one in json.loads(_FILE.read_text("utf-8"))["exchanges"]}


def required(name: str) -> Exchange:
    """One exchange; in CI the recording must be there."""
    found = exchanges().get(name)
    if found is None:
        missing = f"no exchange {name!r}: restore tests/data/{_FILE.name} from the repository"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return found


def response(name: str) -> httpx2.Response:
    """The recorded answer, lists cut by the recorder counted as they are."""
    told = required(name)["response"]
    headers = {key: value for key, value in told["headers"].items() if key != "content-length"}
    if told.get("json") is None:
        return httpx2.Response(told["status"], headers=headers, text=told.get("text") or "")
    body = told["json"]
    if told.get("truncated") and isinstance(body, dict) and "results" in body:
        body = body | {"count": len(body["results"]), "next": None}
    return httpx2.Response(told["status"], headers=headers, content=json.dumps(body).encode())


def replaying(*names: str, seen: Callable[[httpx2.Request], None] | None = None) -> AlyxCatalog:
    """A client whose server gives these answers, one after the other."""
    waiting = [response(name) for name in names]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen:
            seen(request)
        return waiting.pop(0)

    transport = httpx2.MockTransport(answer)
    once = Patience(tries=1)
    http = AlyxHttp("http://127.0.0.1:8001", user="rig_user", token="t", patience=once, transport=transport)
    return AlyxCatalog("", user="rig_user", http=http)
