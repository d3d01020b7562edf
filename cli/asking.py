"""What the commands that look and answer ask: of the ledger here, or of a dashboard elsewhere (`--server`).

A command is written once, against `Asking`; `here` and `remote` answer.  Both know the same values, so that what is
printed is the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import typer

from cli import invocation

if TYPE_CHECKING:
    from transfer.bandwidth import Standing
    from transfer.ledger.finding import Kind
    from transfer.ledger.incidents import Incident
    from transfer.ledger.reports import Check, FileRow, Held, SessionRow
    from transfer.progress import Explanation

SERVER = "ALYX_TRANSFER_SERVER"
TOKEN = "ALYX_TRANSFER_TOKEN"  # noqa: S105 - the variable's name

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar=SERVER,
        show_envvar=False,
        help=f"Ask this dashboard instead of the ledger; else {SERVER}.",
    ),
]
"""The option of every command that can ask a dashboard."""

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help=f"With --server: the file with the token, for its owner only; else {TOKEN}.",
    ),
]
"""And the option for what it shows there."""

Action = Literal["release", "retry", "cancel", "pause", "resume"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """Why one file or session is not further; `keeps` is the hold or error that keeps it, by name or code."""

    kind: "Kind"
    name: str
    explanation: "Explanation"
    keeps: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What an action changed at the thing that was named; all empty where it stood as asked."""

    kind: "Kind | None"
    name: str
    files: int
    sessions: int
    batches: int
    endpoints: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.sessions or self.batches or self.endpoints)


class Asking(Protocol):
    """Whom a command asks.  Names are as a person types them; every method may raise `NothingFound`."""

    def now(self) -> datetime: ...

    # ---- looking

    def sessions(self, *, held: bool, limit: int) -> "Sequence[SessionRow]": ...

    def files(self, session: str, *, held: bool, limit: int) -> "Sequence[FileRow]": ...

    def check(self, max_age: timedelta) -> "Check": ...

    def held(self, limit: int) -> "Held": ...

    def incidents(self) -> "Sequence[Incident]": ...

    def why(self, words: str) -> Explained: ...

    # ---- answering

    def act(self, action: Action, words: str, *, why: str | None) -> Changed: ...

    def release_all(self, *, hold: str | None, why: str | None) -> Changed: ...

    def prioritise(self, words: str, level: int, *, why: str | None) -> Changed: ...

    # ---- bandwidth, by a lab's name or its repository's

    def lab(self, words: str) -> "LabZone": ...

    def standings(self, lab: str | None = None) -> "Sequence[tuple[str, Standing]]": ...

    def limit(
        self, lab: str, rate: str, *, lasting: timedelta | None, until: datetime | None, why: str | None
    ) -> None: ...

    def clear_limit(self, lab: str, *, why: str | None) -> None: ...

    def set_timetable(self, lab: str, entries: "Sequence[str]", *, why: str | None) -> None: ...

    def clear_timetable(self, lab: str, *, why: str | None) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LabZone:
    """A lab of the config, and the time zone of its timetable."""

    name: str
    timezone: str | None


@contextmanager
def asking(context: typer.Context, server: str | None, token_file: Path | None) -> Iterator[Asking]:
    """Whom this call asks, closed afterwards.  Raises `ConfigProblems`, `ServerUnsafe`."""
    if server:
        from cli import remote

        with remote.there(server, token_file, invocation.of(context).environ.get(TOKEN)) as far:
            yield far
        return
    if token_file is not None:
        raise typer.BadParameter("--token-file goes with --server.")
    from cli import here

    with here.here(context) as near:
        yield near
