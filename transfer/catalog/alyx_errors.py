"""What an answer of Alyx that is not a success means.  Pure: from status and body to one of our errors.

Alyx answers bad credentials with 403, much bad input with 500, and a dead database with 500 as well (observed
on 3.6.1), so the text decides:

    permanent text, 4xx                 CatalogRefused, ProtectedDataset, DoubledDataset, CatalogLoginRefused
    429                                 CatalogThrottled, with what Retry-After asked
    502, 503, 504, a dead database      CatalogUnreachable
    any other 5xx                       CatalogBroken

A server's text is shown cut to a line: it may hold a whole database row.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from transfer.errors import (
    CatalogBroken,
    CatalogLoginRefused,
    CatalogRefused,
    CatalogThrottled,
    CatalogUnreachable,
    DoubledDataset,
    ProtectedDataset,
    TransferError,
)

_PERMANENT = re.compile(
    r"No dataset type found"
    r"|Multiple matching dataset types"
    r"|matching query does not exist"
    r"|get\(\) returned more than one"
    r"|The path argument is required"
    r"|invalid literal for int\(\)"
    r"|Cannot resolve keyword"
    r"|object is not iterable|object has no attribute"
    r"|choices are:"
    r"|A (?:base )?session for .* does not exist"
    r"|violates (?:not-null|unique|check|foreign key) constraint"
)
_DEAD_DATABASE = re.compile(
    r"connection to server|could not connect|Connection refused|server closed the connection"
    r"|the database system is|too many clients|connection already closed|terminating connection"
)
_DOUBLED = re.compile(r"get\(\) returned more than one Dataset\b(?!\w)")
_LOGIN = re.compile(r"Invalid token|credentials were not provided|User inactive|No credentials provided")
_TITLE = re.compile(r"<title>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)
_LONGEST = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer that is not a success.  `asked` is the method and path, for people."""

    asked: str
    status: int
    content_type: str
    text: str
    retry_after: str | None = None
    location: str | None = None
    user: str = ""

    @property
    def is_json(self) -> bool:
        return "json" in self.content_type

    @property
    def body(self) -> Any:
        """The JSON of the body, None if it is none."""
        try:
            return json.loads(self.text) if self.is_json else None
        except ValueError:
            return None


def is_invalid_token(answer: Answer) -> bool:
    """Whether a new login may help."""
    return answer.status == 403 and answer.is_json and "Invalid token" in answer.text


def error_of(answer: Answer) -> TransferError:
    """The error that says what the answer means, and what to do."""
    if answer.status == 429:
        return CatalogThrottled(
            "Alyx asks us to wait", to=answer.asked, after=seconds_asked(answer.retry_after)
        )
    if answer.status in (401, 403):
        return _forbidden(answer)
    if answer.status >= 500:
        return _server_error(answer)
    return _client_error(answer)


def seconds_asked(retry_after: str | None) -> timedelta:
    """Retry-After in seconds; a minute, Alyx's window, when it is missing or no number."""
    text = (retry_after or "").strip()
    return timedelta(seconds=int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 60)


def said(answer: Answer) -> str:
    """What the server said, as one line: from `detail`, `error`, a field's messages, or a page's title."""
    body = answer.body
    if isinstance(body, dict):
        text = body.get("detail") or body.get("error") or _fields(body)
    elif title := _TITLE.search(answer.text):
        text = f"a web page titled {title[1]!r}"
    else:
        text = f"status {answer.status}"
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _fields(body: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {_first(value)}" for name, value in body.items() if name != "status_code")


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _forbidden(answer: Answer) -> TransferError:
    text = said(answer)
    if answer.is_json and "protected" in text:
        names = ", ".join(_protected_names(answer.body)) or answer.asked
        return ProtectedDataset(f"Alyx protects it ({text})", to=names)
    if answer.status == 401 or (answer.is_json and _LOGIN.search(text)):
        return CatalogLoginRefused(f"Alyx refused the login of {answer.user} ({text})", to=answer.asked)
    if answer.is_json:
        return CatalogLoginRefused(
            f"the Alyx user {answer.user} may not do this ({text})",
            to=answer.asked,
            do="Give this user the right to write in Alyx, or name another user in the config; then release.",
        )
    return CatalogRefused(
        f"access was refused by {text}, not by Alyx itself",
        to=answer.asked,
        do="Ask who runs the proxy or firewall in front of Alyx, then release.",
    )


def _protected_names(body: Any) -> Iterator[str]:
    """The files of a refused registration of which a revision is protected."""
    details = body.get("details") if isinstance(body, dict) else None
    for one in details if isinstance(details, list) else ():
        for name, revisions in one.items() if isinstance(one, dict) else ():
            if isinstance(revisions, list) and any(
                flag is True
                for revision in revisions
                if isinstance(revision, dict)
                for flag in revision.values()
            ):
                yield str(name)


def _server_error(answer: Answer) -> TransferError:
    text = said(answer)
    if answer.status in (502, 503, 504):
        return CatalogUnreachable(f"Alyx does not answer behind its proxy ({text})", to=answer.asked)
    if answer.is_json and _DEAD_DATABASE.search(text):
        return CatalogUnreachable(f"Alyx has lost its database ({text})", to=answer.asked)
    if answer.is_json and _DOUBLED.search(text):
        return DoubledDataset(f"Alyx holds a dataset twice ({text})", to=answer.asked)
    if answer.is_json and _PERMANENT.search(text):
        return CatalogRefused(f"Alyx refused it ({text})", to=answer.asked)
    return CatalogBroken(f"Alyx failed with status {answer.status} ({text})", to=answer.asked)


def _client_error(answer: Answer) -> TransferError:
    text = said(answer)
    if 300 <= answer.status < 400:
        return CatalogRefused(
            f"Alyx sends us to another address ({answer.location or 'not named'})",
            to=answer.asked,
            do="Write the address it names into alyx.url, then release.",
        )
    if answer.is_json:
        return CatalogRefused(f"Alyx refused it ({text})", to=answer.asked)
    return CatalogRefused(
        f"the server answered {answer.status} with {text} instead of JSON",
        to=answer.asked,
        do="Check that alyx.url is the address of Alyx itself, by a host name Alyx allows; then release.",
    )
