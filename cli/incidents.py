"""Incidents as people read them: one line for one cause, however many files wait for it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cli import output
from transfer.errors import BY_NAME, CATALOGUE

if TYPE_CHECKING:
    from datetime import datetime

    from transfer.ledger.incidents import Incident


def lines(incidents: "Sequence[Incident]", now: "datetime") -> Iterator[str]:
    """What is open now, a line each."""
    for one in incidents:
        yield (
            f"Incident at {one.endpoint} for {output.age(one.first_at, now)}, {_files(one.files)}: "
            f"[{one.code}] {one.text} More: {page(one.code)}"
        )


def text(one: "Incident") -> str:
    """An incident in the list of what is held."""
    return f"{_files(one.files)} since {output.text(one.first_at)}: {one.text}"


def page(name: str | None) -> str | None:
    """Where to read more of an error, by its code or by the name of a hold; None for other names."""
    kind = CATALOGUE.get(name or "") or BY_NAME.get(name or "")
    return kind.page() if kind else None


def _files(count: int) -> str:
    return f"{count} file waits" if count == 1 else f"{count} files wait"
