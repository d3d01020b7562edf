"""`push`: register and move named sessions now, or with `--dry-run` say what would move.

Needs no worker and no broker.  It ends with a table of the files and, for whatever is not done, the
sentence that `why` would say.  A place that cannot be used at all (a refused login, an unknown host key, a
store or an Alyx that is away) is said once, with its code, and decides the exit code.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import failures, output, progress
from cli.desk import Desk, at_desk
from cli.failures import Exit
from cli.invocation import of
from transfer.errors import CATALOGUE, TransferError

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.foreground import KeptBack
    from transfer.ledger import Ledger
    from transfer.ledger.reports import FileRow, SessionRow
    from transfer.model import Lab, SessionKey
    from transfer.progress import Explanation

_FILES = 1_000_000  # of one session: all of them
_SHOWN = 50  # files to a table; of a larger session those that arrived are only counted


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("push")(push)


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
    from cli.dry_run import say_plans
    from cli.session_folders import named

    settings = of(context).settings()
    _keep_quiet(settings, verbose=of(context).verbose)
    wanted = named(settings, folders)
    if dry_run:
        raise typer.Exit(say_plans(settings, wanted, as_json=as_json))
    with at_desk(context) as desk:
        _keep_quiet(settings, verbose=of(context).verbose)
        code = _push(desk, wanted, as_json=as_json)
    raise typer.Exit(code)


def _keep_quiet(settings: "Settings", *, verbose: bool) -> None:
    """What the log would warn of is said once, at the end; only defects are logged besides."""
    from config import logs

    if not verbose:
        logs.configure(settings.logs.model_copy(update={"level": "error"}))


def _push(desk: Desk, wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> Exit:
    from config import wiring
    from transfer import foreground
    from transfer.niceness import step_back

    ledger = desk.ledger
    labs = list({lab.name: lab for lab, _ in wanted}.values())
    step_back(max(_niceness(desk.settings, lab.name) for lab in labs))
    with closing(wiring.catalog(desk.settings)) as catalog, foreground.CtrlC() as keys:
        runner = wiring.runner(desk.settings, ledger=ledger, catalog=catalog)
        runner.interruptible = keys.welcome
        if runner.guest:
            runner.guest.hurried = keys.asked
        with keys.welcome():
            foreground.try_again(ledger, labs)
            rounds = wiring.rounds(desk.settings, runner)
            rounds.start()
            sessions = [ledger.saw_session(key, lab) for lab, key in wanted]
        with closing(runner), progress.watch(ledger, sessions, quiet=as_json) as bar:
            runner.on_moved = bar.moved
            foreground.push(runner, sessions, watching=bar.watching)
        # Alyx learns the last event, so that a ledger restored from before this push is recognised.
        with suppress(TransferError), keys.welcome():
            for lab in labs:
                rounds.mirror(lab)
    ends = [_end(ledger, session) for session in sessions]
    return _say_ends(ends, foreground.kept_back(ledger, labs), as_json=as_json)


def _niceness(settings: "Settings", lab: str) -> int:
    told = settings.labs[lab].guest
    return told.nice if told.nice_push else 0


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
            _show(end, told_below=bool(places))
    if code is not Exit.FINE:
        for place in places:
            output.complain(output.visible(_place_line(place)))
    return code


def _show(end: End, *, told_below: bool) -> None:
    """The session's files and its sentence, unless a place's sentence below says the same for all."""
    from cli.status import file_table

    explanation = end.explanation
    output.say(output.visible(end.session.session))
    shown = end.files if len(end.files) <= _SHOWN else [row for row in end.files if row.status != "recorded"]
    if shown:
        file_table(shown)
    if len(shown) < len(end.files):
        output.say(f"and {len(end.files) - len(shown)} files that are recorded")
    if told_below and not end.done and not end.held:
        output.say(f"{end.session.recorded} of {end.session.files} files recorded")
        return
    output.say(output.visible(explanation.sentence))
    if not end.done:
        when = f", {output.text(explanation.at)}" if explanation.at else ""
        output.say(output.visible(f"Next ({explanation.owner}{when}): {explanation.next_step}."))


def _place_line(place: "KeptBack") -> str:
    if place.paused_by:
        who = place.paused_by.removeprefix("person:")
        return (
            f"{place.name} is paused by {who}: {place.sentence.rstrip('.')}. "
            f"To use it again: alyx-transfer resume {place.name}"
        )
    if place.retry_at:
        again = f"Workers try {place.name} again at {output.text(place.retry_at)}; a push tries at once."
    else:
        again = f"{place.name} is paused until it is cured: push again, or alyx-transfer resume {place.name}."
    return f"[{place.code}] {place.sentence} {again}"
