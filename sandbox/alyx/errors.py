"""How a request ends when it does not succeed: the two ways the real server has.

`Refused` is an answer with a status and a body, as Django REST framework makes them. `Crash` is any
exception that framework does not know; Alyx answers 500 with the exception's text. Both texts and their
inconsistencies (`detail` here, `error` there) are the real server's, because clients must read them.
"""

from typing import Any


class Refused(Exception):
    """Answer with this status and body."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = headers or {}


class Crash(Exception):
    """Answer 500 with this text as `detail`."""


def refused(status: int, detail: str) -> Refused:
    """An answer of the REST framework: the detail, then the status."""
    return Refused(status, {"detail": detail, "status_code": status})


def plain(status: int, key: str, text: str, **more: Any) -> Refused:
    """An answer made by hand in Alyx's views: the status first, the text under `detail` or `error`."""
    return Refused(status, {"status_code": status, key: text, **more})


def invalid(errors: dict[str, Any]) -> Refused:
    """A 400 that names the fields and what is wrong with each."""
    return Refused(400, {**errors, "status_code": 400})


def missing(model: str) -> Refused:
    """A 404 for an object that is not there."""
    return refused(404, f"No {model} matches the given query.")
