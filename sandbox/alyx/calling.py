"""Making a recorded request again: its templates filled with ids from our own earlier answers."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2

from sandbox.alyx.comparing import pointed
from sandbox.alyx.known import Json
from sandbox.alyx.labs import SandboxAlyx

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SLOT = re.compile(r"\{([A-Za-z0-9_.-]+):((?:/[^{}]*)?)\}")


class Caller:
    """Sends the requests of one recording to one sandbox, and knows which of our ids stands for which of its."""

    def __init__(self, recording: Mapping[str, Any], alyx: SandboxAlyx) -> None:
        self.alyx = alyx
        self.client = httpx2.Client(base_url=alyx.url, timeout=30)
        self.recorded_base = str(recording.get("about", {}).get("base_url", "")).rstrip("/")
        self.answers: dict[str, Json] = {}
        self.ids: dict[str, str] = {}
        self.fixed = set(_UUID.findall(json.dumps(recording["seed"])))

    def send(self, request: Mapping[str, Any]) -> httpx2.Response:
        path = self._filled(request.get("path_template") or request["path"])
        headers = {name: self._header(name, value) for name, value in (request.get("headers") or {}).items()}
        content: bytes | None = None
        if request.get("raw_body") is not None:
            content = str(request["raw_body"]).encode()
        elif request.get("form") is not None:
            content = urlencode(self._filled(request["form"]), doseq=True).encode()
        elif request.get("json_template") is not None or request.get("json") is not None:
            content = json.dumps(self._filled(request.get("json_template") or request["json"])).encode()
        elif "json" in request and "content-type" in {name.lower() for name in headers}:
            content = b"null" if request.get("json_null") else b""
        return self.client.request(request["method"], path, headers=headers, content=content)

    def _header(self, name: str, value: str) -> str:
        found = re.fullmatch(r"Token <(.+)>", value)
        if name.lower() != "authorization" or found is None:
            return value
        try:
            return f"Token {self.alyx.token_for(found[1])}"
        except KeyError:
            return "Token " + "0" * 40

    def _filled(self, value: Json) -> Json:
        """A template with ids from our own answers; other recorded ids become ours if we know them."""
        if isinstance(value, dict):
            return {key: self._filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return self._ours(_SLOT.sub(lambda slot: self._answered(slot[1], slot[2]), value))

    def _answered(self, name: str, pointer: str) -> str:
        if name not in self.answers:
            raise LookupError(name)
        try:
            value = str(pointed(self.answers[name], pointer))
        except (LookupError, TypeError, ValueError):
            raise LookupError(f"{name}:{pointer}") from None
        ids = _UUID.findall(value)
        return str(ids[-1]) if ids else value

    def _ours(self, text: str) -> str:
        if self.recorded_base:
            text = text.replace(self.recorded_base, self.alyx.url)
        return _UUID.sub(lambda found: self.ids.get(found[0], found[0]), text)

    def translated(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {key: self.translated(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.translated(inner) for inner in value]
        return self._ours(value) if isinstance(value, str) else value

    def all_pages(self, request: Mapping[str, Any]) -> list[Json]:
        path = self._filled(request.get("path_template") or request["path"])
        bare, _, query = path.partition("?")
        kept = [
            pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in ("limit", "offset")
        ]
        headers = {name: self._header(name, value) for name, value in request["headers"].items()}
        rows: list[Json] = []
        while True:
            page = [*kept, ("limit", "1000"), ("offset", str(len(rows)))]
            answer = self.client.get(f"{bare}?{urlencode(page)}", headers=headers).json()
            rows += answer["results"]
            if answer["next"] is None:
                return rows

    def learn(self, recorded: Json, ours: Json, volatile: list[str]) -> None:
        """Remember which of our ids stand where the recording had its own."""
        for pointer in volatile:
            try:
                theirs, mine = pointed(recorded, pointer), pointed(ours, pointer)
            except (LookupError, TypeError, ValueError):
                continue
            if isinstance(theirs, str) and isinstance(mine, str):
                for old, new in zip(_UUID.findall(theirs), _UUID.findall(mine), strict=False):
                    if old not in self.fixed:
                        self.ids.setdefault(old, new)
