"""`push` and `scan`: register and move named sessions now, or look for sessions that need it."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, progress
from cli.failures import Exit
from cli.invocation import of
from transfer.errors import NotASession, NothingFound, SourceRootMissing

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.ledger import Ledger
    from transfer.model import Lab, SessionKey
    from transfer.runner import Runner


def add(app: typer.Typer) -> None:
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
    from config import wiring
    from transfer import foreground
    from transfer.ledger import reports

    settings = of(context).settings()
    wanted = [_place(settings, folder) for folder in folders]
    with opened(settings) as (ledger, runner):
        if dry_run:
            _say_plan(runner, wanted, as_json=as_json)
            return
        wiring.rounds(settings, runner).start()
        sessions = [ledger.saw_session(key, lab) for lab, key in wanted]
        with progress.watch(ledger, sessions, quiet=as_json) as bar:
            runner.on_moved = bar.moved
            foreground.push(runner, sessions, watching=bar.watching)
        rows = [row for session in sessions for row in reports.files(ledger, session=session, limit=100_000)]
    raise typer.Exit(_result(rows, ledger, as_json=as_json))


def _place(settings: "Settings", folder: Path) -> "tuple[Lab, SessionKey]":
    """Whose session the folder is.  Raises `NotASession` when no lab's root holds it."""
    from config import wiring
    from transfer.paths import parse_session

    absolute = folder.absolute()
    labs = wiring.labs(settings)
    for lab in labs:
        if absolute.is_relative_to(lab.root):
            key = parse_session(PurePosixPath(*absolute.relative_to(lab.root).parts), lab.repository)
            if key is None:
                break
            if not lab.root.is_dir():
                raise SourceRootMissing("the lab's data folder is not there", to=lab.root)
            if not absolute.is_dir():
                raise NotASession("there is no such folder", to=absolute)
            return lab, key
    roots = ", ".join(str(lab.root) for lab in labs)
    raise NotASession(
        "this is no session folder",
        to=folder,
        do=f"Name a folder <root>/<subject>/<YYYY-MM-DD>/<NNN> below one of the labs' roots: {roots}.",
    )


@contextmanager
def opened(settings: "Settings") -> "Iterator[tuple[Ledger, Runner]]":
    """The ledger and the runner of the config, closed at the end."""
    from config import wiring

    ledger = wiring.ledger(settings)
    with closing(wiring.catalog(settings)) as catalog:
        yield ledger, wiring.runner(settings, ledger=ledger, catalog=catalog)
    ledger.engine.dispose()


def _result(rows: "Sequence[Any]", ledger: "Ledger", *, as_json: bool) -> int:
    from cli.status import file_row, file_table

    del ledger
    if as_json:
        output.document([file_row(row) for row in rows])
    else:
        file_table(rows)
    moving = [row for row in rows if row.unregistrable is None and row.gone_at is None]
    if any(row.hold for row in rows) or any(row.trouble for row in rows):
        return Exit.HELD
    return Exit.FINE if all(row.status == "recorded" for row in moving) else Exit.NOT_DONE


def _say_plan(runner: "Runner", wanted: "Sequence[tuple[Lab, SessionKey]]", *, as_json: bool) -> None:
    from transfer.forecast import forecast

    plans = [forecast(runner.ledger, runner.types(), lab, key) for lab, key in wanted]
    if as_json:
        output.document([plan.as_json() for plan in plans])
        return
    for plan in plans:
        how = "as lately measured" if plan.measured else "assuming 20 MB/s"
        output.say(
            f"{plan.session}: {len(plan.moving)} files, {output.size(plan.bytes)} would move in about "
            f"{output.duration(plan.seconds)} ({how}); {plan.arrived} have arrived already"
        )
        for path, size in plan.moving:
            output.say(f"  {output.visible(str(path))}  {output.size(size)}")
        for path, reason in plan.staying:
            output.say(f"  stays: {output.visible(str(path))}: {reason}")


def scan(
    context: typer.Context,
    lab: Annotated[str | None, typer.Argument(help="A lab of the config; all of them if left out.")] = None,
    as_json: output.Json = False,
) -> None:
    """Look for sessions that need discovery now, and ring the workers.  Moves nothing itself."""
    from config import doorbell, wiring

    settings = of(context).settings()
    if lab is not None and lab not in settings.labs:
        raise NothingFound(
            "the config has no such lab", to=lab, do=f"Name one of: {', '.join(settings.labs)}."
        )
    told: dict[str, str] = {}
    with opened(settings) as (ledger, runner):
        rounds = wiring.rounds(settings, runner)
        for name in [lab] if lab else list(settings.labs):
            told[name] = rounds.scan(wiring.lab(settings, name)) or "another process is scanning it"
        due = runner.due_sessions()
        del ledger
    for session in due:
        doorbell.ring(settings.broker.url, "alyx_transfer.visit_session", session)
    if as_json:
        output.document({"labs": told, "due": len(due)})
        return
    for name, outcome in told.items():
        output.say(f"{name}: {outcome}")
