"""`alyx-transfer init`: writes a commented config for one lab and one store.

Every answer is also an option.  On a terminal it asks for what was not given; without one it lists all
missing options at once.  It never overwrites a config unless `--force` says so, and the file is for its
owner only.  It asks for no secret: it asks for the file that holds it.
"""

# ruff: noqa: ARG001 - the options are read from the context by the names in QUESTIONS

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli import invocation, output
from cli.failures import Exit
from cli.first_config import QUESTIONS, Answers, Question, applies, rendered, shortcomings


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    context: typer.Context,
    alyx_url: Annotated[str | None, typer.Option(help="Alyx's address.")] = None,
    alyx_user: Annotated[str | None, typer.Option(help="Your user in Alyx.")] = None,
    alyx_password_file: Annotated[str | None, typer.Option(help="File with its password, mode 0600.")] = None,
    lab: Annotated[str | None, typer.Option(help="The lab's name in Alyx.")] = None,
    lab_repository: Annotated[str | None, typer.Option(help="The lab's own repository in Alyx.")] = None,
    lab_root: Annotated[str | None, typer.Option(help="The folder with the subjects' folders.")] = None,
    work: Annotated[str | None, typer.Option(help="alyx or disk: where work comes from.")] = None,
    store: Annotated[str | None, typer.Option(help="The central repository's name in Alyx.")] = None,
    transport: Annotated[str | None, typer.Option(help="sftp or local.")] = None,
    store_host: Annotated[str | None, typer.Option(help="The store's host.")] = None,
    store_port: Annotated[int | None, typer.Option(help="The store's SSH port; 22 if not given.")] = None,
    store_user: Annotated[str | None, typer.Option(help="Your user at the store.")] = None,
    store_root: Annotated[str | None, typer.Option(help="The folder at the store.")] = None,
    store_key: Annotated[str | None, typer.Option(help="The private key's file.")] = None,
    known_hosts: Annotated[str | None, typer.Option(help="The file with the store's host key.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing config.")] = False,
) -> None:
    """Write a config."""
    from config import places

    given = {question.key: context.params.get(question.key) for question in QUESTIONS}
    call = invocation.of(context)
    named = call.config or call.environ.get("ALYX_TRANSFER_CONFIG")
    file = Path(named) if named else places.config_file()
    if file.exists() and not force:
        _refuse([f"{file} exists already. Add --force to replace it, or name another file with --config."])
    answers = _ask(given) if _at_a_terminal() else given
    if complaints := shortcomings(answers):
        _refuse(complaints)
    write(file, rendered(answers))
    output.say(f"Wrote {file}.")
    _say_what_is_left(file, call.environ)


def write(file: Path, words: str) -> None:
    """Write the config in one step, readable for its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(words)
        Path(beside).replace(file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _ask(given: Answers) -> dict[str, object]:
    answers = dict(given)
    for question in QUESTIONS:
        while applies(question, answers) and answers.get(question.key) is None:
            answers[question.key] = _answer(question)
    return answers


def _answer(question: Question) -> str | None:
    choices = f" [{'/'.join(question.choices)}]" if question.choices else ""
    try:
        said = input(f"{question.ask}{choices}: ").strip()
    except EOFError as error:
        raise KeyboardInterrupt from error
    if (question.choices and said not in question.choices) or (question.needed and not said):
        return None
    if question.key == "store_port" and said and not said.isdecimal():
        return None
    return said


def _at_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _refuse(complaints: list[str]) -> None:
    for complaint in complaints:
        output.complain(complaint)
    raise typer.Exit(Exit.USAGE)


def _say_what_is_left(file: Path, environ: Mapping[str, str]) -> None:
    """Read the new config back, so that what still has to be done is said now and not tomorrow."""
    from config.settings import load
    from transfer.errors import ConfigProblems

    try:
        load(file, environ)
    except ConfigProblems as problems:
        output.say("Before it can be used:")
        for problem in problems.problems:
            output.say(f"  {problem}")
    output.say("Then run: alyx-transfer doctor")
