"""`rehearse`: the whole pipeline on the sandbox under faults that are staged on purpose, and a sheet of how it went.

Needs what the demo needs, and no Alyx, no store and no config.  Nothing outside a temporary folder is written, and
no config or variable of the user is read.
"""

import io
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.failures import Exit
from cli.invocation import of
from cli.packages import need

if TYPE_CHECKING:
    from rehearsal.catalogue import Drill
    from rehearsal.protections import Protection
    from rehearsal.running import Played

_PACKAGES = ("numpy", "pyarrow", "python_multipart", "starlette", "uvicorn")
_SENTENCES = 10  # of what went wrong in one drill


def add(app: typer.Typer) -> None:
    app.command("rehearse")(rehearse)


def rehearse(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which drills: see --list (quick).")
    ] = None,
    unprotected: Annotated[
        str | None,
        typer.Option(metavar="PROTECTION", help="Switch one protection off, and see its drill fail."),
    ] = None,
    list_them: Annotated[
        bool, typer.Option("--list", help="Name the drills, the profiles and the protections.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Let everything go wrong in a lab in a box, and see that no file is lost and no wrong byte announced.

    Exits with 0 only if every fault that was planned was met and every drill passed.
    """
    need("a rehearsal", _PACKAGES, "demo")
    from rehearsal import catalogue

    if list_them:
        _list(as_json=as_json)
        return
    open_one = catalogue.protection(unprotected) if unprotected is not None else None
    drills = catalogue.chosen(profile, open_one)
    _be_quiet(verbose=of(context).verbose)
    raise typer.Exit(_run(drills, open_one, as_json=as_json))


def _be_quiet(*, verbose: bool) -> None:
    """In a drill the log is full of failures; what matters of them is on the sheet."""
    from config import logs
    from config.sections import Logs

    if verbose:
        logs.configure(Logs())
    else:
        logs.configure(Logs(level="warning"), stream=io.StringIO())
    for server in ("sandbox", "uvicorn"):  # their clients hang up, and are cut: that is no news here
        logging.getLogger(server).setLevel(logging.CRITICAL)


def _run(drills: "Sequence[Drill]", unprotected: "Protection | None", *, as_json: bool) -> Exit:
    from rehearsal.running import rehearse as play

    played: list[Played] = []
    for one in play(drills, unprotected=unprotected, begin=_announce):
        played.append(one)
        if not as_json:
            _say(one)
    code = Exit.FINE if unprotected is None and all(one.passed for one in played) else Exit.NOT_DONE
    if as_json:
        output.document(_sheet(played, unprotected, code))
    else:
        output.say(_sum(played, unprotected))
    return code


def _announce(drill: "Drill") -> None:
    output.complain(f"staging: {drill.staged}")


def _say(one: "Played") -> None:
    verdict = "passed" if one.passed else "FAILED"
    seen = output.visible("; ".join(one.seen))
    output.say(f"{verdict}  {one.drill.name:<17}  {one.drill.staged}; struck {one.struck} x. {seen}")
    for sentence in one.wrong[:_SENTENCES]:
        output.say(f"        wrong: {output.visible(sentence)}")
    if len(one.wrong) > _SENTENCES:
        output.say(f"        ... and {len(one.wrong) - _SENTENCES} more")


def _sum(played: "Sequence[Played]", unprotected: "Protection | None") -> str:
    failed = [one.drill.name for one in played if not one.passed]
    seconds = sum(one.seconds for one in played)
    if unprotected is not None:
        return _told_open(unprotected, failed=bool(failed))
    if failed:
        return f"FAILED: {len(failed)} of {len(played)} drills ({', '.join(failed)})."
    return f"{len(played)} drills passed in {seconds:.0f} s: no file was lost and no wrong byte announced."


def _told_open(unprotected: "Protection", *, failed: bool) -> str:
    off = f'"{unprotected.name}" was switched off ({unprotected.what})'
    if failed:
        return f"RED, as it must be: {off}. Without it {unprotected.harm}."
    return f"FAILED: {off}, and the drill passed all the same: it proves nothing. Please report it."


def _sheet(played: "Sequence[Played]", unprotected: "Protection | None", code: Exit) -> dict[str, Any]:
    return {
        "drills": [
            {
                "drill": one.drill.name,
                "group": one.drill.group,
                "staged": one.drill.staged,
                "struck": one.struck,
                "seen": one.seen,
                "passed": one.passed,
                "wrong": one.wrong,
                "seconds": round(one.seconds, 3),
            }
            for one in played
        ],
        "unprotected": unprotected.name if unprotected else None,
        "harm": unprotected.harm if unprotected else None,
        "passed": code is Exit.FINE,
        "exit_code": int(code),
    }


# ---- what there is


def _list(*, as_json: bool) -> None:
    from rehearsal.catalogue import DRILLS, PROFILES, drills_of
    from rehearsal.protections import PROTECTIONS

    drills = [{"name": one.name, "group": one.group, "staged": one.staged} for one in DRILLS]
    profiles = [
        {"name": name, "what": what, "drills": [drill.name for drill in drills_of(name)]}
        for name, what in PROFILES.items()
    ]
    protections = [
        {"name": one.name, "drill": one.drill, "what": one.what, "harm": one.harm} for one in PROTECTIONS
    ]
    if as_json:
        output.document({"drills": drills, "profiles": profiles, "protections": protections})
        return
    for title, rows, keys in (
        ("drill", drills, ("group", "staged")),
        ("profile", profiles, ("what", "drills")),
        ("protection", protections, ("drill", "what")),
    ):
        columns = [output.Column("name", title), *(output.Column(key, key, _words) for key in keys)]
        output.listing(rows, columns, as_json=False, empty="")
        output.say("")


def _words(value: object) -> str:
    return ", ".join(value) if isinstance(value, list) else output.text(value)
