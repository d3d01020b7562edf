"""From the folders a person named to the sessions of labs they are.

A folder may be named relative to where the person stands, and through a symbolic link.  Where two labs share a
root, the folder is a session of both: each moves what its own store lacks.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from transfer.errors import NotASession, SourceRootMissing

if TYPE_CHECKING:
    from config.sections import Settings
    from transfer.model import Lab, SessionKey


def named(settings: "Settings", folders: Sequence[Path]) -> "list[tuple[Lab, SessionKey]]":
    """The sessions that `folders` are, each once, in order.  Raises `NotASession`, `SourceRootMissing`."""
    from config import wiring

    labs = wiring.labs(settings)
    found = [pair for folder in folders for pair in _sessions(labs, folder)]
    return list({(lab.repository, key.path): (lab, key) for lab, key in found}.values())


def _sessions(labs: "Sequence[Lab]", folder: Path) -> "list[tuple[Lab, SessionKey]]":
    from transfer.paths import parse_session

    found: list[tuple[Lab, SessionKey]] = []
    deeper: list[Path] = []
    inside = False
    for lab, below in _below(labs, folder):
        inside = True
        key = parse_session(PurePosixPath(*below.parts), lab.repository)
        if key is not None:
            _must_be_there(lab, lab.root / below)
            found.append((lab, key))
        elif parse_session(PurePosixPath(*below.parts[:3]), lab.repository):
            deeper.append(lab.root.joinpath(*below.parts[:3]))
    if found:
        return found
    if deeper:
        raise NotASession(
            "this is inside a session", to=folder, do=f"Name the session's folder: {deeper[0]}."
        )
    what = "this is no session folder" if inside else "this folder is in no lab's data folder"
    roots = ", ".join(str(lab.root) for lab in labs) or "none is configured"
    do = f"Name a folder <root>/<subject>/<YYYY-MM-DD>/<NNN>; the labs' data folders: {roots}."
    raise NotASession(what, to=folder, do=do)


def _below(labs: "Sequence[Lab]", folder: Path) -> "Iterator[tuple[Lab, Path]]":
    """The labs whose root holds the folder, and its path below it: as it was typed, else with links followed."""
    typed = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow the links
    real = Path(os.path.realpath(folder))
    for lab in labs:
        root = Path(os.path.realpath(lab.root))
        if typed.is_relative_to(lab.root):
            yield lab, typed.relative_to(lab.root)
        elif real.is_relative_to(root):
            yield lab, real.relative_to(root)


def _must_be_there(lab: "Lab", folder: Path) -> None:
    if not lab.root.is_dir():
        raise SourceRootMissing("the lab's data folder is not there", to=lab.root)
    if not folder.is_dir():
        raise NotASession("there is no such folder", to=folder, do="Check the name.")
