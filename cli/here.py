"""Answers commands from the ledger of this machine's config."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import typer

from cli.asking import Action, Asking, Changed, Explained, LabZone
from cli.desk import Desk, at_desk
from config.standings import standings
from config.upcoming import with_rounds
from transfer.errors import NothingFound
from transfer.ledger import actions, bandwidth, endpoints, incidents, pausing, prioritising, reports
from transfer.ledger.why import why as explained
from transfer.timetable import read_rate

if TYPE_CHECKING:
    from transfer.bandwidth import Standing
    from transfer.ledger.finding import Target
    from transfer.ledger.incidents import Incident
    from transfer.ledger.reports import Check, FileRow, Held, SessionRow
    from transfer.ledger.scopes import Done


@contextmanager
def here(context: typer.Context) -> Iterator[Asking]:
    """The ledger of this call's config, closed afterwards."""
    with at_desk(context) as desk:
        yield Here(desk)


class Here:
    """Asks one ledger."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ledger = desk.ledger

    def now(self) -> datetime:
        return self._ledger.moment()

    # ---- looking

    def sessions(self, *, held: bool, limit: int) -> "Sequence[SessionRow]":
        return reports.sessions(self._ledger, held=held, limit=limit)

    def files(self, session: str, *, held: bool, limit: int) -> "Sequence[FileRow]":
        target = self._desk.find(session, "session")
        return reports.files(self._ledger, session=target.row, held=held or None, limit=limit)

    def check(self, max_age: timedelta) -> "Check":
        return with_rounds(reports.check(self._ledger, max_age=max_age), self._desk.settings, self._ledger)

    def held(self, limit: int) -> "Held":
        return reports.held(self._ledger, limit=limit)

    def incidents(self) -> "Sequence[Incident]":
        return incidents.current(self._ledger)

    def why(self, words: str) -> Explained:
        target = self._desk.find(words, "file", "session")
        explanation = explained(self._ledger, target)
        return Explained(
            kind=target.kind, name=target.name, explanation=explanation, keeps=self._keeps(target)
        )

    def _keeps(self, target: "Target") -> str | None:
        if target.kind == "session":
            held = reports.sessions(self._ledger, session=target.row)
            return held[0].hold if held else None
        rows = reports.files(self._ledger, dataset=target.row, item=target.item)
        return rows[-1].hold or rows[-1].error if rows else None

    # ---- answering

    def act(self, action: Action, words: str, *, why: str | None) -> Changed:
        match action:
            case "pause" | "resume":
                return self._pausing(action, words, why)
            case "cancel":
                do = actions.cancel
            case "retry":
                do = actions.retry
            case "release":
                do = actions.release
        target = self._desk.find(words)
        return _changed(target, do(self._ledger, target, why=why))

    def _pausing(self, action: Action, words: str, why: str | None) -> Changed:
        endpoints.ensure(self._ledger, self._desk.endpoint_names)
        target = self._desk.find(words, "session", "lab", "endpoint")
        place = pausing.place_of(target, self._repositories())
        if action == "resume":
            return _changed(target, pausing.resume(self._ledger, place, why=why))
        return _changed(target, pausing.pause(self._ledger, place, why=why or ""))

    def _repositories(self) -> Mapping[str, str]:
        return {name: lab.repository for name, lab in self._desk.settings.labs.items()}

    def release_all(self, *, hold: str | None, why: str | None) -> Changed:
        return _changed(None, actions.release_all(self._ledger, hold=hold, why=why))

    def prioritise(self, words: str, level: int, *, why: str | None) -> Changed:
        target = self._desk.find(words)
        return _changed(target, prioritising.prioritise(self._ledger, target, level, why=why))

    # ---- bandwidth

    def lab(self, words: str) -> LabZone:
        for name, lab in self._desk.settings.labs.items():
            if words in (name, lab.repository):
                return LabZone(name=name, timezone=lab.guest.timezone)
        known = ", ".join(self._desk.settings.labs) or "none"
        raise NothingFound("the config has no such lab", to=words, do=f"The labs of the config: {known}.")

    def standings(self, lab: str | None = None) -> "Sequence[tuple[str, Standing]]":
        names = list(self._desk.settings.labs) if lab is None else [self.lab(lab).name]
        return standings(self._desk.settings, self._ledger, names)

    def limit(
        self, lab: str, rate: str, *, lasting: timedelta | None, until: datetime | None, why: str | None
    ) -> None:
        endpoints.ensure(self._ledger, self._desk.endpoint_names)
        wanted = read_rate(rate)
        bandwidth.set_limit(self._ledger, self._machine(lab), wanted, lasting=lasting, until=until, why=why)

    def clear_limit(self, lab: str, *, why: str | None) -> None:
        bandwidth.clear_limit(self._ledger, self._machine(lab), why=why)

    def set_timetable(self, lab: str, entries: "Sequence[str]", *, why: str | None) -> None:
        endpoints.ensure(self._ledger, self._desk.endpoint_names)
        zone = self.lab(lab).timezone
        bandwidth.set_timetable(self._ledger, self._machine(lab), entries, timezone=zone, why=why)

    def clear_timetable(self, lab: str, *, why: str | None) -> None:
        bandwidth.clear_timetable(self._ledger, self._machine(lab), why=why)

    def _machine(self, lab: str) -> str:
        return self._desk.settings.labs[self.lab(lab).name].repository


def _changed(target: "Target | None", done: "Done") -> Changed:
    return Changed(
        kind=target.kind if target else None,
        name=target.name if target else "",
        files=len(done.items),
        sessions=len(done.sessions),
        batches=len(done.batches),
        endpoints=tuple(done.endpoints),
    )
