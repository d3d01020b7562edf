"""`alyx-transfer doctor`: looks at everything before any byte moves, and prints all problems at once.

The checks themselves are the table in `checks`.  A check that builds on one that failed is not made, and says
so.  A failure that is no `TransferError` is a defect of a check: it is shown as such and the others go on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from cli import failures, invocation, output
from cli.duties import Central, Labs, duty_of
from transfer.errors import ConfigProblems, TransferError, Unexpected

if TYPE_CHECKING:
    from cli.bench import Bench, Check


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer.  `subject` is a lab or a store, '' for the installation."""

    check: str
    subject: str
    outcome: Outcome
    sentence: str
    error: TransferError | None = None

    def row(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "subject": self.subject,
            "outcome": self.outcome,
            "sentence": self.sentence,
            "code": self.error.code if self.error else None,
        }


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context, lab: Labs = None, central: Central = False, as_json: output.Json = False
) -> None:
    """Check everything before bytes move; every problem comes with its remedy.

    With --lab or --central what a worker with the same options would need.
    """
    findings = list(examine(invocation.of(context), labs=lab or [], central=central))
    if as_json:
        output.document([finding.row() for finding in findings])
    else:
        _show(findings)
    raise typer.Exit(failures.common_code(finding.error for finding in findings if finding.error))


def examine(
    call: invocation.Invocation, *, labs: Sequence[str] = (), central: bool = False
) -> Iterator[Finding]:
    """Load the config, then make every check of the table that makes sense on this machine."""
    from cli.bench import Bench, subjects
    from cli.checks import CHECKS
    from config.queues import every_duty

    try:
        settings = call.settings()
    except ConfigProblems as problems:
        for problem in problems.problems:
            yield Finding("config", "", Outcome.PROBLEM, problem, problems)
        # Of the table only the look at our own packages needs no config, and it may be the reason.
        yield _finding(CHECKS[0], "", None)
        for check in CHECKS[1:]:
            yield Finding(check.name, "", Outcome.NOT_CHECKED, "because the config cannot be used")
        return
    yield Finding("config", "", Outcome.OK, f"{settings.origin} can be used")
    with ExitStack() as opened:
        bench = Bench(settings, opened)
        duty = duty_of(settings, labs, central) or every_duty(settings)
        yield from made(
            CHECKS, {check.name: list(subjects(settings, check, duty)) for check in CHECKS}, bench
        )


def made(
    checks: Sequence["Check"], subjects: Mapping[str, Sequence[str]], bench: "Bench | None"
) -> Iterator[Finding]:
    """Make each check for each of its subjects, in order, skipping those that build on a failed one."""
    failed: set[tuple[str, str]] = set()
    for check in checks:
        for subject in subjects[check.name]:
            broken = [need for need in check.needs if {(need, subject), (need, "")} & failed]
            if broken:
                finding = Finding(
                    check.name, subject, Outcome.NOT_CHECKED, f'because "{broken[0]}" did not end well'
                )
            else:
                finding = _finding(check, subject, bench)
            if finding.outcome in {Outcome.PROBLEM, Outcome.NOT_CHECKED}:
                failed.add((check.name, subject))
            yield finding


def _finding(check: "Check", subject: str, bench: Any) -> Finding:
    from cli.bench import Note

    try:
        return Finding(check.name, subject, Outcome.OK, check.look(bench, subject))
    except Note as note:
        return Finding(check.name, subject, Outcome.NOTE, str(note))
    except TransferError as error:
        return Finding(check.name, subject, Outcome.PROBLEM, error.sentence, error)
    except Exception as error:  # noqa: BLE001 - one broken check must not hide what the others found
        from config import places

        defect = Unexpected(failures.defect_sentence(error, places.state_folder()))
        return Finding(check.name, subject, Outcome.PROBLEM, defect.what, defect)


def _show(findings: Sequence[Finding]) -> None:
    problems = [finding for finding in findings if finding.outcome is Outcome.PROBLEM]
    columns = (
        output.Column("outcome", "outcome"),
        output.Column("check", "check"),
        output.Column("subject", "about"),
        output.Column("code", "code"),
        output.Column("sentence", "what was found"),
    )
    output.listing(
        [finding.row() for finding in findings], columns, as_json=False, empty="nothing was checked"
    )
    count = len(problems)
    output.say("No problems." if not count else f"{count} problem{'s' if count > 1 else ''}.")
