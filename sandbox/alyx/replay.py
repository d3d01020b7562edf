"""python -m sandbox.alyx.replay FILE: does the sandbox answer as the real server was recorded to answer?

The file's own seed furnishes a fresh sandbox; its exchanges are made again, in order, over HTTP. Ids that the
recording took from earlier answers are taken from our own earlier answers. Every status and body is compared,
except what the recording marks as volatile; the order of a list only where the server promised one.

It prints each difference and at the end `exchanges N agree M`, and exits 1 unless they are equal. Where the
sandbox is known to differ with good reason is written in `KNOWN`, nowhere else; `--strict` grants none of it.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from sandbox.alyx.calling import Caller
from sandbox.alyx.comparing import Path as Place
from sandbox.alyx.comparing import Unordered, compare, mask, pointed
from sandbox.alyx.known import KNOWN, Json
from sandbox.alyx.labs import SandboxAlyx

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_REDACTED = re.compile(r"<[^<>]*redacted[^<>]*>")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
_RATE = re.compile(r"(\d+)\s*(?:/|per |a )\s*min")
_DEFAULT_RATE = 5


@dataclass(slots=True)
class Report:
    """The outcome: how many exchanges, and the differences of each that does not agree."""

    exchanges: int = 0
    differing: dict[str, list[str]] = field(default_factory=dict)
    forgiven: dict[str, str] = field(default_factory=dict)

    @property
    def agree(self) -> int:
        """How many agree."""
        return self.exchanges - len(self.differing)


class Replay:
    """One run of a recording against one sandbox."""

    def __init__(self, recording: Mapping[str, Any], alyx: SandboxAlyx, *, strict: bool) -> None:
        self.recording = recording
        self.alyx = alyx
        self.strict = strict
        self.caller = Caller(recording, alyx)
        self._set_clock()

    def run(self) -> Report:
        """Make every exchange again."""
        report = Report()
        with self.caller.client:
            for exchange in self.recording["exchanges"]:
                report.exchanges += 1
                self._throttle(exchange)
                differences, reason = self._exchange(exchange)
                name = f"{report.exchanges} {exchange['name']}"
                if differences:
                    report.differing[name] = differences
                elif reason:
                    report.forgiven[name] = reason
        return report

    def _set_clock(self) -> None:
        """Let the sandbox live at the time of the recording, which filters by day refer to."""
        seeded = max(_MOMENT.findall(json.dumps(self.recording["seed"])), default="")
        made = [exchange["response"].get("json") for exchange in self.recording["exchanges"]]
        later = [text for text in _MOMENT.findall(json.dumps(made)) if text > seeded]
        if later:
            self.alyx.set_time(datetime.fromisoformat(min(later)))

    def _exchange(self, exchange: Mapping[str, Any]) -> tuple[list[str], str]:
        try:
            response = self.caller.send(exchange["request"])
        except LookupError as error:
            return [f"an id of the request cannot be found in our earlier answers: {error}"], ""
        return self._judge(exchange, response)

    # Comparing --------------------------------------------------------------------------

    def _judge(self, exchange: Mapping[str, Any], response: httpx2.Response) -> tuple[list[str], str]:
        recorded = exchange["response"]
        differences = []
        if response.status_code != recorded["status"]:
            differences.append(f"status {recorded['status']} expected, {response.status_code} received")
        kind = (recorded.get("headers") or {}).get("content-type", "").partition(";")[0]
        received = response.headers.get("content-type", "").partition(";")[0]
        if kind and kind != received:
            differences.append(f"content type {kind} expected, {received} received")
        if recorded.get("text") is not None:
            if recorded["text"].split() != response.text.split():
                differences.append(f"text {recorded['text']!r} expected, {response.text[:300]!r} received")
            return differences, ""
        try:
            actual = response.json()
        except ValueError:
            return [*differences, f"JSON expected, {response.text[:300]!r} received"], ""
        return self._judge_body(exchange, actual, differences)

    def _judge_body(
        self, exchange: Mapping[str, Any], actual: Json, differences: list[str]
    ) -> tuple[list[str], str]:
        recorded = exchange["response"]
        body = recorded.get("json")
        volatile = [*exchange.get("volatile", ()), *_redacted(body)]
        expected = mask(self.caller.translated(body), volatile)
        actual, wrong = self._cut(exchange, actual)
        strictly, _ = compare(expected, actual, _order_of(exchange))
        _loosely, aligned = compare(expected, actual, _loosest(exchange))
        self.caller.answers[exchange["name"]] = aligned
        if not exchange.get("unordered") or len(body.get("results", ())) == 1:
            self.caller.learn(body, aligned, volatile)
        if not strictly or self.strict:
            return differences + wrong + strictly, ""
        forgiven = []
        for known in KNOWN:
            softer = known.soften(expected), known.soften(actual)
            if compare(*softer, _order_of(exchange, known.unordered))[0] != strictly:
                forgiven.append(known.reason)
        for known in KNOWN:
            expected, actual = known.soften(expected), known.soften(actual)
        left, _ = compare(expected, actual, _loosest(exchange))
        return differences + wrong + left, " ".join(forgiven)

    def _cut(self, exchange: Mapping[str, Any], actual: Json) -> tuple[Json, list[str]]:
        """Bring our answer to the recorded length: cut lists, or for a page without order all its pages."""
        recorded = exchange["response"]
        cut = recorded.get("truncated")
        wrong: list[str] = []
        if cut:
            try:
                whole = pointed(actual, cut["at"])
            except (LookupError, TypeError, ValueError):
                whole = []
            if len(whole) != cut["of"]:
                wrong.append(
                    f"{cut['of']} entries expected at {cut['at'] or 'the top'}, {len(whole)} received"
                )
            if not exchange.get("unordered"):
                whole = whole[: cut["kept"]]
                actual = whole if not cut["at"] else _replaced(actual, cut["at"], whole)
        elif exchange.get("unordered") and isinstance(actual, dict) and "results" in actual:
            wanted, found = len(recorded["json"]["results"]), len(actual["results"])
            if wanted != found:
                wrong.append(f"{wanted} results expected, {found} received")
            elif found < actual["count"]:
                actual = {**actual, "results": self.caller.all_pages(exchange["request"])}
        return actual, wrong

    # Throttling -------------------------------------------------------------------------

    def _throttle(self, exchange: Mapping[str, Any]) -> None:
        """In the throttling group the limit is on, and a 429 is preceded by as many requests as it takes."""
        if exchange["group"] != "throttling":
            if self.alyx.throttle is not None:
                self.alyx.throttle = None
            return
        if self.alyx.throttle is None:
            self.alyx.throttle = self._rate()
            self.spent: dict[str, int] = {}
        request = exchange["request"]
        who = str(request.get("auth"))
        limit = self.alyx.throttle or 0
        if exchange["response"]["status"] == 429:
            for _ in range(self.spent.get(who, 0), limit):
                if self.caller.send(request).status_code == 429:
                    break
            self.spent[who] = limit
        elif request["path"] != "/auth-token":
            self.spent[who] = self.spent.get(who, 0) + 1

    def _rate(self) -> int:
        said = [str(e.get("why", "")) for e in self.recording["exchanges"] if e["group"] == "throttling"]
        for text in [*said, json.dumps(self.recording.get("about", {}))]:
            found = _RATE.search(text)
            if found:
                return int(found[1])
        return _DEFAULT_RATE


def _redacted(body: Json) -> list[str]:
    """Pointers to the placeholders that stand for secrets."""
    found: list[str] = []

    def walk(value: Json, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}/{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                walk(inner, f"{path}/{index}")
        elif isinstance(value, str) and _REDACTED.fullmatch(value):
            found.append(path)

    walk(body, "")
    return found


def _order_of(exchange: Mapping[str, Any], also: Unordered | None = None) -> Unordered:
    free = bool(exchange.get("unordered"))

    def unordered(path: Place) -> bool:
        # Where the server promises no order, neither does it for the records nested in those rows.
        if free and (path in ((), ("results",)) or path[-1] == "file_records"):
            return True
        return also is not None and also(path)

    return unordered


def _loosest(exchange: Mapping[str, Any]) -> Unordered:
    return _order_of(exchange, lambda path: any(known.unordered(path) for known in KNOWN))


def _replaced(body: Json, pointer: str, value: Json) -> Json:
    key, _, rest = pointer[1:].partition("/")
    inner = _replaced(body[key], f"/{rest}", value) if rest else value
    return {**body, key: inner}


def seed_with_passwords(recording: Mapping[str, Any]) -> dict[str, Any]:
    """The recording's seed; a user who logged in keeps the password used (a placeholder in the file)."""
    used = {}
    for exchange in recording["exchanges"]:
        request = exchange["request"]
        body = request.get("json") or request.get("form") or {}
        if request["path"] == "/auth-token" and exchange["response"]["status"] == 200:
            used[body["username"]] = body["password"]
    seed = dict(recording["seed"])
    seed["users"] = [
        {**row, "password": used.get(row["username"])} if row["username"] in used else row
        for row in seed.get("users", ())
    ]
    return seed


def replay(recording: Mapping[str, Any], *, strict: bool = False) -> Report:
    """Replay a recording against a fresh sandbox."""
    with SandboxAlyx(seed_with_passwords(recording), password="<redacted>") as alyx:
        return Replay(recording, alyx, strict=strict).run()


def main(arguments: list[str] | None = None) -> int:
    """Replay a file; 0 if every exchange agrees, else 1."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.alyx.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="recorded exchanges with their seed (JSON)")
    parser.add_argument("--strict", action="store_true", help="grant none of the known differences")
    options = parser.parse_args(arguments)
    report = replay(json.loads(options.file.read_text("utf-8")), strict=options.strict)
    for name, differences in report.differing.items():
        for difference in differences:
            print(f"{name}: {difference}")
    for name, reason in report.forgiven.items():
        print(f"{name}: differs as known. {reason}")
    print(f"exchanges {report.exchanges} agree {report.agree}")
    return 0 if report.agree == report.exchanges else 1


if __name__ == "__main__":
    sys.exit(main())
