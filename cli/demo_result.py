"""How the demo went: what the ledger says, what the inspector found, and both as a table or a line of JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import output

if TYPE_CHECKING:
    from cli.demo_watching import Outcome
    from sandbox.box import Box
    from sandbox.inspection import Inspection
    from transfer.ledger import Ledger

_ROWS = 20  # sessions in the table
_SENTENCES = 10  # differences told one by one


@dataclass(frozen=True, slots=True)
class Result:
    """The whole outcome.  `wrong` are sentences; where there is one, the demo failed."""

    root: Path
    config: Path
    outcome: "Outcome"
    inspection: "Inspection"
    sessions: Sequence[Mapping[str, Any]]
    unregistrable: Mapping[str, int]
    """How many files Alyx cannot know, by reason."""
    wrong: Sequence[str]

    @property
    def fine(self) -> bool:
        return not self.wrong

    def as_json(self) -> dict[str, object]:
        """`files` and `bytes` are those that Alyx can register; `moved` arrived in this run."""
        done = self.outcome
        return {
            "sessions": len(self.sessions),
            "files": self.inspection.files,
            "bytes": self.inspection.bytes,
            "recorded": done.standing.recorded,
            "held": done.standing.count("held"),
            "abandoned": done.standing.count("abandoned"),
            "unregistrable": sum(self.unregistrable.values()),
            "moved": done.moved,
            "seconds": round(done.seconds, 3),
            "files_per_second": round(done.moved / done.seconds, 1),
            "root": str(self.root),
        }


def result(box: "Box", ledger: "Ledger", outcome: "Outcome", *, config: Path) -> Result:
    """Ask the ledger and the inspector.  Nothing may be at work any more."""
    from sandbox.inspection import inspect
    from transfer.ledger import reports

    inspection = inspect(box)
    known = {row.session: row for row in reports.sessions(ledger, limit=len(box.sessions) + 1_000)}
    rows = []
    for session in box.sessions:
        name = session.path.relative_to(box.lab_root).as_posix()
        row = known.get(name)
        rows.append(
            {
                "session": name,
                "files": len(session.registrable),
                "bytes": sum((session.path / file).stat().st_size for file in session.registrable),
                "recorded": row.recorded if row else 0,
                "unregistrable": row.unregistrable if row else 0,
            }
        )
    return Result(
        root=box.root,
        config=config,
        outcome=outcome,
        inspection=inspection,
        sessions=rows,
        unregistrable=_reasons(ledger),
        wrong=[*_wrong(box, ledger, outcome, inspection)],
    )


def _reasons(ledger: "Ledger") -> Mapping[str, int]:
    from transfer.ledger import reports

    counts: Counter[str] = Counter()
    page, start = 1_000, 0
    while rows := reports.files(ledger, status="unregistrable", limit=page, offset=start):
        counts.update(row.unregistrable or "" for row in rows)
        start += page
    return counts


def _wrong(box: "Box", ledger: "Ledger", outcome: "Outcome", inspection: "Inspection") -> Iterator[str]:
    from transfer.ledger import reports

    if outcome.gave_up:
        yield outcome.gave_up
    if outcome.gave_up or outcome.standing.count("held"):
        held = reports.held(ledger, limit=_SENTENCES)
        yield from (f"{row.session} is held: {row.hold_text}" for row in held.sessions)
        yield from (f"{row.session}/{row.relative_path} is held: {row.hold_text}" for row in held.files)
        yield from (f"{row.name} is kept back: {row.pause_reason}" for row in reports.kept_back(ledger))
    yield from inspection.differences
    if box.new and inspection.leftovers:
        yield f"{inspection.leftovers} partials were left at the store"
    if not outcome.gave_up and outcome.standing.recorded != inspection.files:
        yield f"the ledger recorded {outcome.standing.recorded} files of {inspection.files}"


def show(found: Result, *, as_json: bool, kept: bool) -> None:
    """Print the closing table, or the line of JSON on standard output; what is wrong on standard error."""
    if not as_json:
        _table(found)
    for sentence in found.wrong[:_SENTENCES]:
        output.complain(output.visible(sentence))
    if len(found.wrong) > _SENTENCES:
        output.complain(f"... and {len(found.wrong) - _SENTENCES} more")
    if as_json:
        output.say(json.dumps(found.as_json()))
        return
    _say_sum(found)
    if kept:
        output.say(f"Look around: alyx-transfer --config {found.config} status")
    else:
        output.say("Nothing was kept; with --keep or --root DIR you can look around afterwards.")


def _table(found: Result) -> None:
    output.listing(
        found.sessions[:_ROWS],
        (
            output.Column("session", "session"),
            output.Column("files", "files", right=True),
            output.Column("bytes", "size", output.size, right=True),
            output.Column("recorded", "recorded", right=True),
            output.Column("unregistrable", "unregistrable", right=True),
        ),
        as_json=False,
        empty="no sessions",
    )
    if len(found.sessions) > _ROWS:
        output.say(f"... and {len(found.sessions) - _ROWS} more sessions")
    for reason, files in sorted(found.unregistrable.items()):
        output.say(f"unregistrable, so left at the lab: {files} x {output.visible(reason)}")


def _say_sum(found: Result) -> None:
    done, seen = found.outcome, found.inspection
    if not found.fine:
        output.say(f"FAILED: {seen.identical} of {seen.files} files are recorded and identical at the store.")
        return
    proved = "each recorded in Alyx and byte-identical at the store"
    if not done.moved:
        output.say(f"nothing moved: all {seen.files} files had arrived, {proved}")
    else:
        rate = f"{done.moved / done.seconds:.1f} files/s"
        before = seen.files - done.moved
        earlier = f" ({before} had arrived before)" if before > 0 else ""
        output.say(
            f"{done.moved} files moved in {done.seconds:.1f} s, finding them included ({rate}){earlier}; "
            f"all {seen.files} ({output.size(seen.bytes)}) are there, {proved}"
        )
    if seen.leftovers:
        output.say(
            f"{seen.leftovers} partials of an interrupted run are left at the store; the tidy round removes them."
        )
