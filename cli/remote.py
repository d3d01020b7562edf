"""Answers commands from a dashboard elsewhere, through its API.  Needs no config and no ledger here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import TypeAdapter

from cli.asking import Action, Asking, Changed, Explained, LabZone
from cli.remote_line import Line, checked, read_token
from transfer.bandwidth import Origin, Recording, Standing
from transfer.errors import NothingFound
from transfer.ledger.finding import Kind
from transfer.ledger.glance.pages import LONGEST, Page
from transfer.ledger.incidents import Incident
from transfer.ledger.reports import Check, FileRow, Held, SessionRow
from transfer.progress import Explanation

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Found:
    target: str
    kind: Kind
    name: str
    id: int | None
    item: int | None


@dataclass(frozen=True, slots=True)
class _Checked:
    check: Check


@dataclass(frozen=True, slots=True)
class _OneSession:
    session: SessionRow
    why: Explanation


@dataclass(frozen=True, slots=True)
class _OneFile:
    file: FileRow
    why: Explanation


@dataclass(frozen=True, slots=True)
class _Changed:
    files: int
    sessions: int
    batches: int
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lab:
    name: str
    repository: str
    timezone: str | None


@dataclass(frozen=True, slots=True)
class _Bandwidth:
    lab: str
    rate: int | None
    origin: Origin
    because: str
    changes_at: datetime | None
    then: int | None
    recording: Recording | None


@contextmanager
def there(address: str, token_file: Path | None, token: str | None) -> Iterator[Asking]:
    """The dashboard at this address, the line to it closed afterwards.  Raises `ServerUnsafe`, `ConfigProblems`."""
    line = Line(checked(address), read_token(token_file, token))
    try:
        yield There(line)
    finally:
        line.close()


class There:
    """Asks one dashboard."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def now(self) -> datetime:
        return datetime.now(UTC)

    # ---- looking

    def sessions(self, *, held: bool, limit: int) -> Sequence[SessionRow]:
        state = "held" if held else None
        return self._pages("/sessions", TypeAdapter(Page[SessionRow]), limit, state=state)

    def files(self, session: str, *, held: bool, limit: int) -> Sequence[FileRow]:
        found = self._find(session, "session")
        return self._files(f"/sessions/{found.id}/files", limit, held=held)

    def _files(self, path: str, limit: int, **asked: Any) -> Sequence[FileRow]:
        return self._pages(path, TypeAdapter(Page[FileRow]), limit, **asked)

    def check(self, max_age: timedelta) -> Check:
        seconds = max(1, round(max_age.total_seconds()))
        return self._line.get("/check", TypeAdapter(_Checked), max_age_seconds=seconds).check

    def held(self, limit: int) -> Held:
        """At most `LONGEST` of each kind but the files, which have pages of their own."""
        found = self._line.get("/held", TypeAdapter(Held), limit=min(limit, LONGEST))
        files = found.files
        if limit > len(files) == LONGEST:
            files = tuple(self._files("/held/files", limit))
        return Held(files=files, sessions=found.sessions, endpoints=found.endpoints, troubles=found.troubles)

    def incidents(self) -> Sequence[Incident]:
        return self._line.get("/incidents", TypeAdapter(Page[Incident]), limit=LONGEST).rows

    def why(self, words: str) -> Explained:
        found = self._find(words, "file", "session")
        if found.kind == "session":
            one = self._line.get(f"/sessions/{found.id}", TypeAdapter(_OneSession))
            explanation, keeps = one.why, one.session.hold
        else:
            file = self._line.get(f"/files/{found.id}", TypeAdapter(_OneFile), item=found.item)
            explanation, keeps = file.why, file.file.hold or file.file.error
        return Explained(kind=found.kind, name=found.name, explanation=explanation, keeps=keeps)

    def _find(self, words: str, *kinds: Kind) -> _Found:
        return self._line.get("/find", TypeAdapter(_Found), words=words, kind=kinds or None)

    def _pages(self, path: str, kind: TypeAdapter[Page[Row]], limit: int, **asked: Any) -> Sequence[Row]:
        rows: list[Row] = []
        after: str | None = None
        while len(rows) < limit:
            wanted = min(limit - len(rows), LONGEST)
            page = self._line.get(path, kind, after=after, limit=wanted, **asked)
            rows += page.rows
            after = page.after
            if after is None:
                break
        return rows

    # ---- answering

    def act(self, action: Action, words: str, *, why: str | None) -> Changed:
        if action in ("cancel", "pause"):
            why = _needed(why)
        kinds: tuple[Kind, ...] = ("session", "lab", "endpoint") if action in ("pause", "resume") else ()
        found = self._find(words, *kinds)
        return self._act(action, found, why=why)

    def release_all(self, *, hold: str | None, why: str | None) -> Changed:
        return self._act("release-all", None, hold=hold, why=why)

    def prioritise(self, words: str, level: int, *, why: str | None) -> Changed:
        return self._act("prioritise", self._find(words), level=level, why=why)

    def _act(self, action: str, found: _Found | None, **body: Any) -> Changed:
        target = found.target if found else None
        done = self._line.post(f"/actions/{action}", TypeAdapter(_Changed), {"target": target, **body})
        return Changed(
            kind=found.kind if found else None,
            name=found.name if found else "",
            files=done.files,
            sessions=done.sessions,
            batches=done.batches,
            endpoints=done.endpoints,
        )

    # ---- bandwidth

    def lab(self, words: str) -> LabZone:
        rows = self._line.get("/labs", TypeAdapter(Page[_Lab])).rows
        for one in rows:
            if words in (one.name, one.repository):
                return LabZone(name=one.name, timezone=one.timezone)
        known = ", ".join(one.name for one in rows) or "none"
        raise NothingFound("the config has no such lab", to=words, do=f"The labs of the config: {known}.")

    def standings(self, lab: str | None = None) -> Sequence[tuple[str, Standing]]:
        only = None if lab is None else self.lab(lab).name
        rows = self._line.get("/bandwidth", TypeAdapter(Page[_Bandwidth])).rows
        return [(one.lab, _standing(one)) for one in rows if only in (None, one.lab)]

    def limit(
        self, lab: str, rate: str, *, lasting: timedelta | None, until: datetime | None, why: str | None
    ) -> None:
        seconds = round(lasting.total_seconds()) if lasting is not None else None
        then = until.isoformat() if until is not None else None
        body = {"rate": rate, "seconds": seconds, "until": then, "why": _needed(why)}
        self._line.post(
            "/actions/limit", TypeAdapter(_Changed), {"target": f"lab:{self.lab(lab).name}", **body}
        )

    def clear_limit(self, lab: str, *, why: str | None) -> None:
        body = {"target": f"lab:{self.lab(lab).name}", "why": why}
        self._line.post("/actions/unlimit", TypeAdapter(_Changed), body)

    def set_timetable(self, lab: str, entries: Sequence[str], *, why: str | None) -> None:
        body = {"target": f"lab:{self.lab(lab).name}", "entries": list(entries), "why": _needed(why)}
        self._line.post("/actions/timetable", TypeAdapter(_Changed), body)

    def clear_timetable(self, lab: str, *, why: str | None) -> None:
        body = {"target": f"lab:{self.lab(lab).name}", "why": why}
        self._line.post("/actions/untimetable", TypeAdapter(_Changed), body)


def _needed(why: str | None) -> str:
    """The reason, which a dashboard asks for."""
    if not why:
        raise typer.BadParameter("--why is needed with --server: others see it wherever this waits.")
    return why


def _standing(one: _Bandwidth) -> Standing:
    return Standing(
        rate=one.rate,
        origin=one.origin,
        because=one.because,
        changes_at=one.changes_at,
        then=one.then,
        recording=one.recording,
    )
