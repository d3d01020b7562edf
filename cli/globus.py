"""`alyx-transfer globus login`: a person allows this installation to use Globus in their name, once.

Only for stores with `login = "user"`.  It prints an address, takes the code that Globus shows there, and keeps what
it gets for it in the store's `token_file`; workers use that from then on.  It is said again when they report that the
login has expired, or that a collection asks for a consent.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli import invocation, output
from transfer.errors import MoverLoginExpired, NothingFound

if TYPE_CHECKING:
    from config.settings import Settings
    from transfer.transports.globus.options import GlobusOptions


def add(app: typer.Typer) -> None:
    """Add the command with its subcommand."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Log in to Globus.")
    group.callback()(lambda: None)  # with one command only, Typer would leave its name out
    group.command("login")(login)
    app.add_typer(group, name="globus")


def login(
    context: typer.Context,
    store: Annotated[str, typer.Argument(metavar="STORE", help="The store's name in the config.")],
) -> None:
    """Log in to Globus as a person, and keep the login for the workers."""
    from transfer.transports.globus.login import PersonalLogin

    options = _options(invocation.of(context).settings(), store)
    if not sys.stdin.isatty():
        raise MoverLoginExpired(
            "a login needs somebody at a terminal",
            to=store,
            do='Run this command in a terminal, or use a confidential client (login = "client").',
        )
    with PersonalLogin(options) as visit:
        output.say(f"Open this address, log in and allow it:\n\n{visit.url}\n")
        code = typer.prompt("The code that Globus shows", hide_input=True)
        kept = visit.finish(code.strip())
    output.say(f"Logged in. The login is kept in {kept}, readable for its owner only.")


def _options(settings: "Settings", store: str) -> "GlobusOptions":
    from transfer.transports.globus.options import GlobusOptions

    if store not in settings.stores:
        known = ", ".join(settings.stores) or "none"
        raise NothingFound("the config has no such store", to=store, do=f"There are: {known}.")
    options = settings.stores[store].options
    if not isinstance(options, GlobusOptions):
        raise NothingFound("this store is not reached through Globus", to=store, do="Name another store.")
    if options.login != "user":
        raise NothingFound(
            "this store is used as a confidential client, which logs in by itself",
            to=store,
            do="alyx-transfer doctor tries it.",
        )
    return options
