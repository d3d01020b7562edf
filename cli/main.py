"""`alyx-transfer`: the commands, the global options, and the one place where a failure ends a process.

A group of commands is one file with a function `add(app)`; adding one is one word in `_COMMANDS`.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    abandon,
    bandwidth,
    dashboard,
    datajoint,
    demo,
    doctor,
    failures,
    globus,
    holds,
    init,
    notices,
    output,
    pull,
    push,
    rebuild,
    rehearse,
    report,
    scan,
    schedule,
    status,
    tokens,
    verify,
    why,
    work,
)
from cli.failures import Exit
from cli.invocation import Invocation
from transfer.errors import TransferError, Unexpected

_COMMANDS = (
    init,
    doctor,
    push,
    pull,
    verify,
    scan,
    schedule,
    work,
    rebuild,
    status,
    report,
    why,
    holds,
    bandwidth,
    notices,
    abandon,
    dashboard,
    tokens,
    datajoint,
    demo,
    rehearse,
    globus,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            output.say(f"alyx-transfer {version('alyx-transfer')}")
        except PackageNotFoundError:
            output.say("alyx-transfer (not installed: run from its sources)")
        raise typer.Exit


def _global_options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The config; else ALYX_TRANSFER_CONFIG, else the user's config folder.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log as the config says.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Moves a lab's sessions to the central store, verified by checksum and recorded in Alyx."""
    context.obj = Invocation(config=config, verbose=verbose)


def application() -> typer.Typer:
    """The command line with every command."""
    app = typer.Typer(
        name="alyx-transfer",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    for group in _COMMANDS:
        group.add(app)
    return app


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong ends as a sentence on standard error."""
    try:
        typer.main.get_command(application())(args=list(arguments), prog_name="alyx-transfer")
    except SystemExit as end:
        if end.code == Exit.INTERRUPTED:  # Typer's answer to Ctrl-C, without a word
            output.complain("interrupted")
        return _code(end)
    except KeyboardInterrupt:
        output.complain("interrupted")
        return Exit.INTERRUPTED
    except TransferError as error:
        output.complain(failures.with_page(error))
        return failures.exit_code(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person must not see a stack trace
        from config import places

        told = failures.defect_sentence(error, places.state_folder())
        output.complain(f"[{Unexpected.code}] {told}")
        return Exit.DEFECT
    return Exit.FINE


def _code(end: SystemExit) -> int:
    if end.code is None:
        return Exit.FINE
    return end.code if isinstance(end.code, int) else Exit.NOT_DONE


def run() -> None:
    """The program's entry point."""
    code = main(sys.argv[1:])
    # What is to be said has been said: from here on Ctrl-C only ends us sooner, without a stack trace.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`head`, a pager) went away.  Point standard output elsewhere, so that the
        # interpreter's own flush at exit does not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
