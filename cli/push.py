"""`push` and `scan`: register and move named sessions now, or look for sessions that need it.

`push` needs no worker and no broker.  It ends with a table of the files and, for whatever is not done, the
sentence that `why` would say.  A place that cannot be used at all (a refused login, an unknown host key, a
store or an Alyx that is away) is said once, with its code, and decides the exit code.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import failures, output, progress
from cli.desk import person
from cli.failures import Exit
from cli.invocation import of
from transfer.errors import CATALOGUE, NothingFound, TransferError

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.catalog.base import Catalog
    from transfer.foreground import KeptBack
    from transfer.ledger import Ledger
    from transfer.ledger.reports import FileRow, SessionRow
    from transfer.model import Lab, SessionKey
    from transfer.progress import Explanation
    from transfer.runner import Runner

_FILES = 1_000_000  # of one session: all of them
_SHOWN = 50  # files to a table; of a larger session those that arrived are only counted


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("push")(push)
    app.command("scan")(scan)


def push(
    context: typer.Context,
    folders: Annotated[
        list[Path], typer.Argument(metavar="SESSION_FOLDER...", help="Session folders of a lab.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
    as_json: output.Json = False,
) -> None:
    """Register and push session folders now, and show how they get on.

    Needs no worker and no broker.  What a running worker holds is only watched.
    """
    from cli.session_folders import named

    settings = of(context).settings()
    wanted = named(settings, folders)
    run = _say_plans if dry_run else _push
    raise typer.Exit(run(settings, wanted, as_json=as_json))


def _push(settings: "Settings", wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> Exit:
    from config import wiring
    from transfer import foreground

    labs = list({lab.name: lab for lab, _ in wanted}.values())
    with _opened(settings) as (ledger, runner), foreground.CtrlC() as keys:
        runner.interruptible = keys.welcome
        with keys.welcome():
            foreground.try_again(ledger, labs)
            wiring.rounds(settings, runner).start()
            sessions = [ledger.saw_session(key, lab) for lab, key in wanted]
        with progress.watch(ledger, sessions, quiet=as_json) as bar:
            runner.on_moved = bar.moved
            foreground.push(runner, sessions, watching=bar.watching)
        ends = [_end(ledger, session) for session in sessions]
        return _say_ends(ends, foreground.kept_back(ledger, labs), as_json=as_json)


@contextmanager
def _opened(settings: "Settings") -> "Iterator[tuple[Ledger, Runner]]":
    """The ledger and the runner of the config, closed at the end."""
    from config import wiring

    ledger = wiring.ledger(settings)
    ledger.actor = person()
    try:
        with closing(wiring.catalog(settings)) as catalog:
            yield ledger, wiring.runner(settings, ledger=ledger, catalog=catalog)
    finally:
        ledger.engine.dispose()


# ---- how it ended


@dataclass(frozen=True, slots=True)
class End:
    """One session as the push left it."""

    session: "SessionRow"
    files: "Sequence[FileRow]"
    explanation: "Explanation"

    @property
    def held(self) -> bool:
        """Whether a person must act first."""
        return bool(self.session.hold) or any(row.hold or row.trouble for row in self.files)

    @property
    def done(self) -> bool:
        """Whether every file that Alyx can register is recorded."""
        moving = [row for row in self.files if row.status not in ("unregistrable", "gone")]
        visited = self.session.hold is None and self.session.not_before is None
        return visited and not self.held and all(row.status == "recorded" for row in moving)

    def as_json(self) -> dict[str, Any]:
        return {
            "session": self.session.session,
            "lab": self.session.lab,
            "done": self.done,
            "held": self.held,
            **asdict(self.explanation),
            "files": [asdict(row) for row in self.files],
        }


def _end(ledger: "Ledger", session: int) -> End:
    from transfer.ledger import reports
    from transfer.ledger.finding import Target
    from transfer.ledger.why import why

    (row,) = reports.sessions(ledger, session=session)
    files = reports.files(ledger, session=session, limit=_FILES)
    return End(row, files, why(ledger, Target(kind="session", name=row.session, id=session)))


def verdict(ends: Sequence[End], places: "Sequence[KeptBack]") -> Exit:
    """The exit code: what keeps a whole place back comes first, then what is held, then what waits."""
    if all(end.done for end in ends):
        return Exit.FINE
    if places:
        codes = {_code_of(place) for place in places}
        return codes.pop() if len(codes) == 1 else Exit.NOT_DONE
    return Exit.HELD if any(end.held for end in ends) else Exit.NOT_DONE


def _code_of(place: "KeptBack") -> Exit:
    kind = CATALOGUE.get(place.code or "")
    return failures.exit_code(kind(place.sentence)) if kind else Exit.HELD


def _say_ends(ends: Sequence[End], places: "Sequence[KeptBack]", *, as_json: bool) -> Exit:
    code = verdict(ends, places)
    if as_json:
        output.document(
            {
                "sessions": [end.as_json() for end in ends],
                "places": [asdict(place) for place in places],
                "exit_code": int(code),
            }
        )
    else:
        for end in ends:
            _show(end)
    if code is not Exit.FINE:
        for place in places:
            output.complain(output.visible(_place_line(place)))
    return code


def _show(end: End) -> None:
    from cli.status import file_table

    explanation = end.explanation
    output.say(output.visible(end.session.session))
    shown = end.files if len(end.files) <= _SHOWN else [row for row in end.files if row.status != "recorded"]
    if shown:
        file_table(shown)
    if len(shown) < len(end.files):
        output.say(f"and {len(end.files) - len(shown)} files that are recorded")
    output.say(output.visible(explanation.sentence))
    if not end.done:
        when = f", {output.text(explanation.at)}" if explanation.at else ""
        output.say(output.visible(f"Next ({explanation.owner}{when}): {explanation.next_step}."))


def _place_line(place: "KeptBack") -> str:
    if place.paused_by:
        who = place.paused_by.removeprefix("person:")
        reason = place.sentence.rstrip(".")
        return (
            f"{place.name} is paused by {who}: {reason}. To use it again: alyx-transfer resume {place.name}"
        )
    return f"[{place.code}] {place.sentence}"


# ---- what would move


def _say_plans(settings: "Settings", wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> Exit:
    from config import wiring
    from transfer.catalog.types import KnownTypes
    from transfer.forecast import Forecast, forecast

    plans: list[Forecast] = []
    stopped: list[TransferError] = []
    ledger = _ledger_to_read(settings)
    with closing(wiring.catalog(settings)) as catalog:
        types = KnownTypes(catalog)()
        for lab, key in wanted:
            try:
                plans.append(forecast(ledger, catalog, types, lab, key))
            except TransferError as error:
                stopped.append(error)
    ledger.engine.dispose()
    if as_json:
        output.document([plan.as_json() for plan in plans])
    else:
        for plan in plans:
            _say_plan(plan)
    for error in stopped:
        output.complain(output.visible(failures.sentence(error)))
    return failures.common_code(stopped)


def _ledger_to_read(settings: "Settings") -> "Ledger":
    """The ledger, or an empty one in memory where there is none yet: asking what would move makes no file."""
    from sqlalchemy import make_url

    from config import wiring
    from transfer.ledger import open_ledger

    url = make_url(settings.ledger.url)
    missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    return open_ledger("sqlite://") if missing else wiring.ledger(settings)


def _say_plan(plan: Any) -> None:
    how = "at the pace of the last transfers" if plan.measured else "if the line carries 20 MB/s"
    arrived = f"; {plan.arrived} are there already" if plan.arrived else ""
    output.say(
        output.visible(
            f"{plan.session}: {len(plan.moving)} files, {output.size(plan.bytes)} would move, "
            f"in about {output.duration(max(plan.seconds, 1))} {how}{arrived}"
        )
    )
    for path, size in plan.moving:
        output.say(output.visible(f"  {path}  {output.size(size)}"))
    for path, reason in plan.staying:
        output.say(output.visible(f"  stays: {path}: {reason}"))


# ---- looking for sessions


def scan(
    context: typer.Context,
    lab: Annotated[str | None, typer.Argument(help="A lab of the config; all of them if left out.")] = None,
    as_json: output.Json = False,
) -> None:
    """Look for sessions that need discovery now, and ring the workers.  Moves nothing itself."""
    settings = of(context).settings()
    if lab is not None and lab not in settings.labs:
        known = ", ".join(settings.labs) or "there is none"
        raise NothingFound("the config has no such lab", to=lab, do=f"Its labs: {known}.")
    raise typer.Exit(_scan(settings, [lab] if lab else list(settings.labs), as_json=as_json))


def _scan(settings: "Settings", names: Sequence[str], *, as_json: bool) -> Exit:
    from config import wiring

    told: dict[str, str] = {}
    stopped: list[TransferError] = []
    with _opened(settings) as (_, runner):
        rounds = wiring.rounds(settings, runner)
        for name in names:
            try:
                outcome = rounds.scan(wiring.lab(settings, name))
            except TransferError as error:
                stopped.append(error)
                continue
            told[name] = outcome or "another process is scanning it now"
        due = runner.due_sessions()
    heard = _ring(settings, due)
    if as_json:
        output.document({"labs": told, "due": len(due), "rung": heard})
    else:
        for name, outcome in told.items():
            output.say(output.visible(f"{name}: {outcome}"))
        if due and not heard:
            output.say("No worker could be told; a worker that runs finds them by itself within a minute.")
    for error in stopped:
        output.complain(output.visible(failures.sentence(error)))
    return failures.common_code(stopped)


def _ring(settings: "Settings", due: Sequence[int]) -> bool:
    """Ring for each; False when nobody can hear it: over memory:// a ring does not leave this process."""
    from config import doorbell
    from workers.tasks import VISIT

    url = settings.broker.url
    if url.startswith("memory://"):
        return False
    return all([doorbell.ring(url, VISIT, session) for session in due])
