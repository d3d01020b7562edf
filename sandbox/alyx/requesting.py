"""One request and one answer, as the views see them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sandbox.alyx.errors import refused
from sandbox.alyx.model import Row

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """A request whose body was read but not yet understood."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: str
    template: str = ""
    args: dict[str, str] = field(default_factory=dict)
    user: Row | None = None
    form: Row | None = None

    @property
    def base(self) -> str:
        """Scheme and host as the client named them; absolute links repeat them."""
        return f"http://{self.headers.get('host', 'localhost')}"

    @property
    def params(self) -> dict[str, str]:
        """The query string; of a repeated parameter the last counts."""
        return dict(self.pairs())

    def pairs(self) -> Pairs:
        """The query string in order."""
        return parse_qsl(self.query, keep_blank_values=True)

    def data(self) -> Any:
        """The body, parsed as the content type says; raises the server's 400 or 415."""
        if self.form is not None:
            return self.form
        kind = self.headers.get("content-type", "")
        bare = kind.partition(";")[0].strip().lower()
        if not self.body:
            return {}
        if bare == "application/json":
            return self._json()
        if bare == "application/x-www-form-urlencoded":
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        raise refused(415, f'Unsupported media type "{kind}" in request.')

    def _json(self) -> Any:
        def refuse(name: str) -> float:
            raise ValueError(f"Out of range float values are not JSON compliant: {name!r}")

        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=refuse)
        except ValueError as error:
            raise refused(400, f"JSON parse error - {error}") from None


@dataclass(slots=True)
class Answer:
    """What goes back: JSON in `body`, or text in `html`, or nothing."""

    status: int
    body: Any = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def page(status: int, title: str, text: str) -> Answer:
    """An HTML error page as Django serves it."""
    lines = ("", "<!doctype html>", '<html lang="en">', "<head>", f"  <title>{title}</title>", "</head>")
    more = ("<body>", f"  <h1>{title}</h1><p>{text}</p>", "</body>", "</html>", "")
    return Answer(status, html="\n".join((*lines, *more)))


def not_found() -> Answer:
    """The HTML 404 of an unknown path."""
    return page(404, "Not Found", "The requested resource was not found on this server.")
