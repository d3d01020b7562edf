"""The config that `alyx-transfer init` writes: what must be known, and the text that comes of it.  Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

_BARE = re.compile("[A-Za-z0-9_-]+")
_ESCAPES = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in (*range(32), 127)} | {'"': '\\"', "\\": "\\\\"}
)

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

[labs.$lab_table]
repository = $lab_repository
root = $lab_root
# alyx: we push what Alyx says is missing.  disk: we also register finished sessions.
work = $work
store = $store
# A session on disk is finished when this file is there ("flag"), or after some quiet ("quiet").
complete = "flag"
flag = "raw_session.flag"

[stores.$store_table]
transport = $transport
$store_lines
""")


def shortcomings(answers: Answers) -> list[str]:
    """What is missing or impossible, one sentence each."""
    asked = [question for question in QUESTIONS if applies(question, answers)]
    missing = [question.option for question in asked if question.needed and not answers.get(question.key)]
    complaints = [f"Missing: {' '.join(missing)}."] if missing else []
    if not answers.get("transport"):
        more = [question.option for question in QUESTIONS if question.needed and question.only == "sftp"]
        complaints.append(f"With --transport sftp also: {' '.join(more)}.")
        return complaints
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
        "lab_table": _table_name(str(answers["lab"])),
        "store_table": _table_name(str(answers["store"])),
        "alyx_password_file": (
            f"password_file = {password}"
            if password
            else "# The password comes from the environment: ALYX_TRANSFER_ALYX__PASSWORD"
        ),
        "store_lines": _store_lines(_settled(answers)),
    }
    return _TEMPLATE.substitute(values)


def quoted(words: str) -> str:
    """`words` as a TOML string."""
    return f'"{words.translate(_ESCAPES)}"'


def _table_name(name: str) -> str:
    """`name` as a table's: bare where TOML allows it."""
    return name if _BARE.fullmatch(name) else quoted(name)


def _settled(answers: Answers) -> dict[str, str]:
    """The answers that were given, paths on this machine made absolute."""
    here = {question.key for question in QUESTIONS if question.local}
    if answers.get("transport") == "local":
        here.add("store_root")
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


def applies(question: Question, answers: Answers) -> bool:
    return question.only is None or question.only == answers.get("transport")
