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
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from cli import invocation, output
from cli.failures import Exit

Answers = Mapping[str, object]
"""What a config is written from: by the key of the question; None where nothing was said."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know.

    `only` is the transport it belongs to, None for all; `local` is a path on this machine.
    """

    key: str
    ask: str
    choices: tuple[str, ...] = ()
    needed: bool = True
    only: str | None = None
    local: bool = False

    @property
    def option(self) -> str:
        return "--" + self.key.replace("_", "-")


QUESTIONS = (
    Question("alyx_url", "Alyx's address, for example https://alyx.example.org"),
    Question("alyx_user", "Your user in Alyx"),
    Question(
        "alyx_password_file",
        "File with that user's password (empty: it comes from the environment)",
        needed=False,
        local=True,
    ),
    Question("lab", "The lab's name in Alyx"),
    Question("lab_repository", "The lab's own repository in Alyx"),
    Question("lab_root", "The folder on this machine that holds the subjects' folders", local=True),
    Question(
        "work",
        "Where work comes from: alyx (something else registers the files) or disk (we do)",
        ("alyx", "disk"),
    ),
    Question("store", "The central repository's name in Alyx"),
    Question("transport", "How the store is reached", ("sftp", "local")),
    Question("store_host", "The store's host", only="sftp"),
    Question("store_port", "The store's SSH port (empty: 22)", needed=False, only="sftp"),
    Question("store_user", "Your user at the store", only="sftp"),
    Question("store_root", "The folder at the store that holds the subjects' folders"),
    Question(
        "store_key", "The private key's file (empty: your SSH agent)", needed=False, only="sftp", local=True
    ),
    Question(
        "known_hosts",
        "The known_hosts file with the store's host key (empty: your own)",
        needed=False,
        only="sftp",
        local=True,
    ),
)

_TEMPLATE = Template("""\
# alyx-transfer: where things are.  docs/configuration.md describes every key.
# An environment variable beats a line here: ALYX_TRANSFER_ALYX__USER is "user" in [alyx].

[alyx]
url = $alyx_url
user = $alyx_user
$alyx_password_file

[ledger]
# The record of everything done.  Without a url it is a SQLite file in your data folder.
# url = "sqlite:////var/lib/alyx-transfer/ledger.sqlite"

[labs.$lab]
repository = $lab_repository
root = $lab_root
# alyx: we push what Alyx says is missing.  disk: we also register finished sessions.
work = $work
store = $store
# A session on disk is finished when this file is there ("flag"), or after some quiet ("quiet").
complete = "flag"
flag = "raw_session.flag"

[stores.$store]
transport = $transport
$store_lines
""")


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


def shortcomings(answers: Answers) -> list[str]:
    """What is missing or impossible, one sentence each."""
    asked = [question for question in QUESTIONS if _applies(question, answers)]
    missing = [question.option for question in asked if question.needed and not answers.get(question.key)]
    complaints = [f"Missing: {' '.join(missing)}."] if missing else []
    idle = [question.option for question in QUESTIONS if question not in asked and answers.get(question.key)]
    if idle:
        complaints.append(f"Of no use with --transport {answers.get('transport')}: {' '.join(idle)}.")
    for question in asked:
        said = answers.get(question.key)
        if said and question.choices and said not in question.choices:
            complaints.append(f'{question.option} is "{said}", not one of {", ".join(question.choices)}.')
    return complaints


def rendered(answers: Answers) -> str:
    """The text of the config; every answer is quoted, whatever it contains."""
    said = {key: quoted(value) for key, value in _settled(answers).items()}
    password = said.get("alyx_password_file")
    values = {
        **said,
        "alyx_password_file": (
            f"password_file = {password}"
            if password
            else "# The password comes from the environment: ALYX_TRANSFER_ALYX__PASSWORD"
        ),
        "store_lines": _store_lines(_settled(answers)),
    }
    return _TEMPLATE.substitute(values)


def quoted(words: str) -> str:
    """`words` as a TOML string, which may also stand as a table's name."""
    escaped = "".join(
        f"\\u{ord(letter):04x}"
        if ord(letter) < 32 or ord(letter) == 127
        else {'"': '\\"', "\\": "\\\\"}.get(letter, letter)
        for letter in words
    )
    return f'"{escaped}"'


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


def _settled(answers: Answers) -> dict[str, str]:
    """The answers that were given, paths on this machine made absolute."""
    here = {question.key for question in QUESTIONS if question.local}
    return {
        key: str(Path(str(value)).expanduser().absolute()) if key in here else str(value)
        for key, value in answers.items()
        if value not in (None, "")
    }


def _store_lines(said: Mapping[str, str]) -> str:
    keys = ("store_host", "store_port", "store_user", "store_root", "store_key", "known_hosts")
    lines = [
        f"{key.removeprefix('store_')} = {said[key] if key == 'store_port' else quoted(said[key])}"
        for key in keys
        if key in said
    ]
    if said["transport"] == "sftp" and "store_key" not in said:
        lines.append("agent = true")
    return "\n".join(lines)


def _applies(question: Question, answers: Answers) -> bool:
    return question.only is None or question.only == answers.get("transport")


def _ask(given: Answers) -> dict[str, object]:
    answers = dict(given)
    for question in QUESTIONS:
        while _applies(question, answers) and answers.get(question.key) is None:
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
