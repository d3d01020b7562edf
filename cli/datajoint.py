"""`alyx-transfer datajoint`: tell DataJoint pipelines which sessions are complete at the central store."""

import warnings
from typing import Annotated, Any

import typer

from cli import output
from cli.desk import at_desk
from transfer.errors import NothingFound, PipelineUnreachable


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("datajoint")(datajoint)


def datajoint(
    context: typer.Context,
    schema: Annotated[
        str,
        typer.Option(
            "--schema", metavar="NAME", help="The DataJoint schema with the tables; made if missing."
        ),
    ] = "alyx_transfer",
    lab: Annotated[str | None, typer.Option("--lab", metavar="LAB", help="This lab only.")] = None,
    as_json: output.Json = False,
) -> None:
    """Write every session that is complete at the store into DataJoint's CentralSession and CentralDataset."""
    from transfer.ledger.complete import complete_sessions

    with at_desk(context) as desk:
        labs = list(desk.settings.labs)
        if lab is not None and lab not in labs:
            known = ", ".join(labs) or "there is none"
            raise NothingFound("the config has no such lab", to=lab, do=f"Its labs: {known}.")
        stores = {name: desk.settings.labs[name].store for name in (labs if lab is None else [lab])}
        sessions = list(complete_sessions(desk.ledger, stores=stores))
    added = _filled(schema, sessions)
    if as_json:
        output.document({"schema": schema, "complete": len(sessions), "added": added})
    else:
        output.say(
            output.visible(f"{schema}: {len(sessions)} sessions are complete, {added} of them are new there.")
        )


def _filled(schema: str, sessions: list[Any]) -> int:
    """Raises `PipelineUnreachable`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it found no file of its own, when the environment says all
            import datajoint as dj
    except ImportError as error:
        do = "In the clone of alyx-transfer, run: scripts/venv datajoint"
        raise PipelineUnreachable("DataJoint is not installed", to=schema, do=do) from error
    from pipeline.filling import fill
    from pipeline.schema import Tables

    try:
        tables: Tables = Tables(dj.Schema(schema))
        return fill(tables, sessions)
    except (dj.errors.DataJointError, OSError) as error:
        raise PipelineUnreachable(f"DataJoint says: {_first_line(error)}", to=schema) from error
    except Exception as error:
        if type(error).__module__.startswith(("psycopg2", "pymysql")):
            raise PipelineUnreachable(f"the database says: {_first_line(error)}", to=schema) from error
        raise


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
