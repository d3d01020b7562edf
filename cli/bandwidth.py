"""`bandwidth`: which limit holds at each lab machine, why and until when; and a person's limit above the config's."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cli import output
from cli.asking import Asking, Server, TokenFile, asking
from cli.status import span

if TYPE_CHECKING:
    from transfer.bandwidth import Standing
    from transfer.timetable import Rate

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_HEEDED = "Running workers follow within a few seconds."


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bandwidth")(bandwidth)


def bandwidth(
    context: typer.Context,
    lab: Annotated[str | None, typer.Argument(help="A lab or its repository; every lab if left out.")] = None,
    limit: Annotated[
        str | None, typer.Argument(help="What it may use from now on: 10MB/s, 100Mbit/s, unlimited, or 0.")
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="LENGTH", help="How long: 90s, 10min, 2h, 7d.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until then: 18:00, or 2026-03-04T18:00.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Let the timetable hold again.")] = False,
    timetable: Annotated[
        str | None,
        typer.Option(
            "--timetable",
            metavar="WEEK",
            help='A week instead of the config\'s: "mon-fri 08:00-19:00 20MB/s; otherwise unlimited".',
        ),
    ] = None,
    config_timetable: Annotated[
        bool, typer.Option("--config-timetable", help="Let the config's timetable hold again.")
    ] = False,
    why: Annotated[
        str | None, typer.Option("--why", metavar="TEXT", help="The reason, shown wherever it holds.")
    ] = None,
    as_json: output.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Show what may be sent from each lab machine now, or change it at once."""
    weekly = timetable is not None or config_timetable
    if weekly:
        _refuse_two_wishes(lab, limit, clear=clear, both=timetable is not None and config_timetable)
    _refuse_confusion(lab, limit, lasting, until, clear=clear, why=None if weekly else why)
    with asking(context, server, token_file) as asked:
        if lab is not None and limit is not None:
            _set(asked, lab, limit, lasting, until, why)
        elif lab is not None and clear:
            asked.clear_limit(lab, why=why)
        elif lab is not None and timetable is not None:
            _set_timetable(asked, lab, timetable, why)
        elif lab is not None and config_timetable:
            asked.clear_timetable(lab, why=why)
        found = asked.standings(lab)
    if as_json:
        output.document([row(name, one) for name, one in found])
        return
    output.listing(
        [row(name, one) for name, one in found], _COLUMNS, as_json=False, empty="The config names no lab."
    )
    if limit is not None or clear or weekly:
        output.say(_HEEDED)


def _refuse_confusion(
    lab: str | None,
    limit: str | None,
    lasting: str | None,
    until: str | None,
    *,
    clear: bool,
    why: str | None,
) -> None:
    if clear and (lab is None or limit is not None):
        raise typer.BadParameter("--clear needs a LAB and no limit.")
    if limit is None and (lasting or until):
        raise typer.BadParameter("--for and --until need a LAB and a limit.")
    if lasting and until:
        raise typer.BadParameter("--for and --until say the same thing: keep one.")
    if why and limit is None and not clear:
        raise typer.BadParameter("--why goes with a limit or with --clear.")


def _refuse_two_wishes(lab: str | None, limit: str | None, *, clear: bool, both: bool) -> None:
    if lab is None or limit is not None or clear:
        raise typer.BadParameter("--timetable and --config-timetable need a LAB, no limit and no --clear.")
    if both:
        raise typer.BadParameter("--timetable and --config-timetable say opposite things: keep one.")


def _set_timetable(asked: Asking, lab: str, week: str, why: str | None) -> None:
    from transfer.timetable import Misread, read_timetable, written

    entries, zone = written([week]), asked.lab(lab).timezone
    if not entries:
        raise typer.BadParameter('--timetable says nothing. Write for example "otherwise unlimited".')
    try:
        read_timetable(entries, ZoneInfo(zone) if zone else None)
    except Misread as misread:
        raise typer.BadParameter(str(misread)) from misread
    asked.set_timetable(lab, entries, why=why)


def _set(
    asked: Asking, lab: str, limit: str, lasting: str | None, until: str | None, why: str | None
) -> None:
    from transfer.timetable import Misread, read_rate

    try:
        read_rate(limit)
    except Misread as misread:
        raise typer.BadParameter(str(misread)) from misread
    length = span(lasting) if lasting else None
    known = asked.lab(lab)
    at = moment(until, zone=known.timezone, now=datetime.now(UTC)) if until else None
    asked.limit(known.name, limit, lasting=length, until=at, why=why)


def moment(words: str, *, zone: str | None, now: datetime) -> datetime:
    """A moment as people type it: a time of day is the next one; the hours are the lab's, else this machine's."""
    ours = ZoneInfo(zone) if zone else None
    found = _CLOCK.fullmatch(words.strip())
    try:
        if found:
            here = now.astimezone(ours)
            wall = here.replace(
                tzinfo=None, hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0
            )
            at = _aware(wall, ours)
            at = at if at > now else _aware(wall + timedelta(days=1), ours)
        else:
            read = datetime.fromisoformat(words.strip())
            at = read if read.tzinfo else _aware(read, ours)
    except ValueError as error:
        what = f'"{words}" is no time. Write for example 18:00 or 2026-03-04T18:00.'
        raise typer.BadParameter(what) from error
    if at <= now:
        raise typer.BadParameter(f"{at:%Y-%m-%d %H:%M %Z} is over.")
    return at.astimezone(UTC)


def _aware(wall: datetime, zone: ZoneInfo | None) -> datetime:
    return wall.replace(tzinfo=zone) if zone else wall.astimezone()


# ---- what holds ------------------------------------------------------------------------------------------------


def lines(asked: Asking) -> list[str]:
    """One line for each lab that has anything to tell: a limit, a timetable, a recording."""
    from transfer.bandwidth import Origin, sentence

    return [
        f"Bandwidth of {name}: {sentence(one)}."
        for name, one in asked.standings()
        if one.origin is not Origin.NOBODY or one.recording is not None
    ]


def row(name: str, found: "Standing") -> dict[str, Any]:
    """One lab as JSON has it."""
    return {
        "lab": name,
        "bytes_per_second": found.rate,
        "origin": found.origin,
        "because": found.because,
        "changes_at": found.changes_at,
        "then_bytes_per_second": found.then if found.changes_at else None,
        "recording": found.recording,
        "limit": _shown(found.rate),
        "next": f"{_shown(found.then)} from {output.text(found.changes_at)}" if found.changes_at else None,
        "remark": _remark(found),
    }


def _shown(rate: "Rate") -> str:
    from transfer.timetable import shown

    return shown(rate)


def _remark(found: "Standing") -> str | None:
    seen = found.recording
    if seen is None:
        return None
    if seen.stale:
        return f"{seen.flag} stands since {output.text(seen.since)}: if nothing records, remove it"
    return f"{seen.flag} since {output.text(seen.since)}"


_COLUMNS = (
    output.Column("lab", "lab"),
    output.Column("limit", "limit", right=True),
    output.Column("because", "because"),
    output.Column("next", "next"),
    output.Column("remark", "flag"),
)
