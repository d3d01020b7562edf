"""One request and its answer, as the views see them."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from sandbox.globus.errors import Refused

Document = dict[str, Any]


@dataclass
class Request:
    """A request.  `caller` is the identity behind its token, once the server has looked."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    template: str = ""
    args: dict[str, str] = field(default_factory=dict)
    caller: str = ""
    client: str = ""

    def queries(self, name: str) -> list[str]:
        """All values of a query parameter that are not empty."""
        return parse_qs(self.query_string).get(name, [])

    def query(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next(iter(self.queries(name)), default)

    def number(self, name: str, default: int) -> int:
        """A query parameter that must be a whole number, not negative."""
        text = self.query(name) or str(default)
        if not text.isdecimal():
            raise Refused(400, "BadRequest", f"Invalid value for parameter '{name}': {text}")
        return int(text)

    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    def document(self) -> Document:
        """The JSON body, which must be an object."""
        try:
            parsed = json.loads(self.body)
        except ValueError as error:
            raise Refused(400, "ClientError.BadRequest", "Request body is not valid JSON") from error
        if not isinstance(parsed, dict):
            raise Refused(400, "ClientError.BadRequest", "Request body must be a JSON object")
        return parsed


@dataclass
class Answer:
    """What is sent back; `text` is a page, everything else JSON."""

    status: int
    body: Document
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
