"""`alyx-transfer dashboard`: serves the ops dashboard until it is stopped."""

from functools import partial
from typing import Annotated

import typer

from cli import output
from cli.invocation import of
from cli.packages import need

_PACKAGES = ("fastapi", "itsdangerous", "jinja2", "prometheus_client", "python_multipart", "uvicorn")

PATIENCE = 5.0  # seconds a page waits for a ledger that is away before it says so


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; else as the config says."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65_535, help="The port; else as the config says.  0 takes a free one."
        ),
    ] = None,
) -> None:
    """Serve the ops dashboard: what has not arrived, why, and what to do.  Until Ctrl-C."""
    need("the dashboard", _PACKAGES, "dashboard")
    from config import doorbell, logs, wiring
    from dashboard.board import Board
    from dashboard.serving import serve

    settings = of(context).settings()
    logs.configure(settings.logs)
    ledger = wiring.ledger(settings)
    ledger.patience = PATIENCE
    board = Board(
        settings=settings,
        ledger=ledger,
        ring=partial(doorbell.ring, settings.broker.url),
        version=wiring.version(),
    )
    where = host if host is not None else settings.dashboard.host
    try:
        serve(
            board,
            where,
            port if port is not None else settings.dashboard.port,
            tell=lambda address: output.say(f"The dashboard: {address}  (Ctrl-C ends it)"),
        )
    finally:
        ledger.engine.dispose()
