"""`demo`: the whole journey in a lab in a box, on this machine and with nothing to install.

A sandbox Alyx, a central store reached over SFTP on loopback, synthetic sessions, and between them the program
as a lab runs it: its config file, its ledger, its workers.  Afterwards an inspector that shares no code with
them compares every byte.  Nothing outside the folder is written, and no config or variable of the user is read.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.failures import Exit
from cli.invocation import of
from cli.packages import need

if TYPE_CHECKING:
    from cli.demo_result import Result
    from sandbox.box import Box

_PACKAGES = ("numpy", "pyarrow", "python_multipart", "starlette", "uvicorn")
_SERVED_WITH = ("fastapi", "itsdangerous", "jinja2", "prometheus_client")
_SESSIONS = 3
_HANDS = 4  # pieces of work at once, as "alyx-transfer worker" has it


class Transport(StrEnum):
    """How the store is reached."""

    SFTP = "sftp"
    LOCAL = "local"
    GLOBUS = "globus"


def add(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where everything is kept; else a folder removed at the end."),
    ] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How many sessions (3; with --serve 6).")
    ] = None,
    transport: Annotated[Transport, typer.Option(help="How the store is reached.")] = Transport.SFTP,
    seed: Annotated[int, typer.Option(min=0, help="The sessions are drawn from it.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder, to look around.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Go on, with new sessions and the dashboard, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="With --serve: the dashboard's port; 0 takes a free one.")
    ] = 8420,
    faults: Annotated[
        bool, typer.Option("--faults", help="With --serve: some believable trouble to look at.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON at the end.")] = False,
) -> None:
    """Move synthetic sessions from a lab in a box to its store, and check every byte.

    Exits with 0 only if every file that Alyx can register was recorded and is byte-identical at the store.
    """
    _refuse_confusion(serve=serve, faults=faults, as_json=as_json, transport=transport)
    need("the demo", _PACKAGES, "demo")
    if serve:
        need("the demo's dashboard", _SERVED_WITH, "demo", "dashboard")
    if serve:
        _serve(root, sessions, seed, port, keep=keep, faults=faults, verbose=of(context).verbose)
        return
    from cli import demo_result
    from sandbox.box import Box, BoxRefused

    with _folder(root, keep=keep) as folder:
        try:
            with Box(folder, sessions=sessions or _SESSIONS, seed=seed, transport=transport.value) as box:
                result = _run(box, verbose=of(context).verbose)
        except BoxRefused as refused:
            output.complain(str(refused))
            raise typer.Exit(Exit.USAGE) from refused
        demo_result.show(result, as_json=as_json, kept=root is not None or keep)
    raise typer.Exit(Exit.FINE if result.fine else Exit.NOT_DONE)


def _refuse_confusion(*, serve: bool, faults: bool, as_json: bool, transport: Transport) -> None:
    if faults and not serve:
        raise typer.BadParameter("--faults goes with --serve.")
    if serve and (as_json or transport is not Transport.SFTP):
        raise typer.BadParameter("--serve goes neither with --json nor with another --transport than sftp.")


def _serve(
    root: Path | None,
    sessions: int | None,
    seed: int,
    port: int,
    *,
    keep: bool,
    faults: bool,
    verbose: bool,
) -> None:
    """The demo that goes on until somebody stops it."""
    from cli import demo_serving
    from sandbox.box import Box, BoxRefused

    script = demo_serving.mishaps(faults=faults)
    wanted = sessions or demo_serving.SESSIONS
    with _folder(root, keep=keep) as folder:
        try:
            with Box(folder, sessions=wanted, seed=seed, transport="sftp", before=script) as box:
                demo_serving.serve(box, script, port=port, faults=faults, verbose=verbose)
        except BoxRefused as refused:
            output.complain(str(refused))
            raise typer.Exit(Exit.USAGE) from refused


@contextmanager
def _folder(named: Path | None, *, keep: bool) -> Iterator[Path]:
    """The folder of the user, or one of our own that goes at the end unless it is to be kept."""
    if named is not None:
        yield named
    elif keep:
        yield Path(tempfile.mkdtemp(prefix="alyx-transfer-demo-"))
    else:
        with tempfile.TemporaryDirectory(prefix="alyx-transfer-demo-") as made:
            yield Path(made)


def _run(box: "Box", *, verbose: bool) -> "Result":
    """Furnish the box, let worker and beat run until everything settled, inspect."""
    from cli.demo_config import write_config
    from cli.demo_result import result
    from cli.demo_watching import display, watch
    from config import logs, wiring
    from config.settings import load
    from workers.assembly import worker_app
    from workers.service import running

    output.complain(f"writing sessions below {box.root / 'lab'}")
    box.furnish()
    # An empty environment: a variable that points to the user's own Alyx must not reach the demo.
    settings = load(write_config(box, verbose=verbose), {})
    logs.configure(settings.logs)
    for server in ("sandbox", "uvicorn"):  # their clients hang up, and are killed: that is no news here
        logging.getLogger(server).setLevel(logging.CRITICAL)
    with ExitStack() as opened:
        ledger = wiring.ledger(settings)
        opened.callback(ledger.engine.dispose)
        catalog = opened.enter_context(closing(wiring.catalog(settings)))
        app, crew = worker_app(settings, ledger=ledger, catalog=catalog, hands=_HANDS)
        opened.enter_context(closing(crew.rounds.runner))
        crew.rounds.start()
        begun = ledger.moment()
        with display(box) as show, running(app, concurrency=_HANDS):
            outcome = watch(ledger, box, show, begun=begun)
        output.complain("comparing every byte")
        return result(box, ledger, outcome, config=settings.origin)
