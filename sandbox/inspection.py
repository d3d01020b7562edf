"""An inspector's look at a box after the work: lab, Alyx's tables and the store's disk, compared byte by byte.

It asks nobody but the disks and the tables, knows the naming rules by itself (`<stem>.<dataset uuid>.<ext>`),
and reads every byte of both sides.  So a mistake that the program makes in both directions shows here.

It mends nothing, and looks at one moment: nothing may be at work meanwhile.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.box import STORE, Box

_PIECE = 1024 * 1024
_LEFTOVER = re.compile(r"\.[0-9a-f-]{36}\.[0-9a-f]{8}\.part")
_KEPT = re.compile(r"\.[0-9a-f-]{36}\.([0-9a-f]{32})\.old")


@dataclass(frozen=True)
class Inspection:
    """What was found.  Each difference is a sentence that names its file."""

    files: int
    """Registrable files of the lab."""
    bytes: int
    identical: int
    """Files whose copy stands at the store byte for byte, and that Alyx announces with the right hash."""
    leftovers: int
    """Partials at the store that no file's final name is: what an interrupted run leaves."""
    differences: tuple[str, ...]
    kept: int = 0
    """Superseded copies that stand under the name of their md5, and hold its bytes."""


def inspect(box: Box) -> Inspection:
    """Compare everything.  The box must be open and furnished."""
    records = {row["relative_path"]: row for row in box.alyx.tables.file_records(STORE)}
    datasets = {row["id"]: row for row in box.alyx.tables.datasets()}
    expected: set[PurePosixPath] = set()
    wrong: list[str] = []
    lab = _registrable(box)
    for path in lab:
        record = records.pop(str(path), None)
        if record is None:
            wrong.append(f"{path}: Alyx has no record of it at the store")
            continue
        target = path.with_name(f"{path.stem}.{record['dataset']}{path.suffix}")
        expected.add(target)
        found = _difference(box, path, target, record, datasets[record["dataset"]])
        if found:
            wrong.append(f"{path}: {found}")
    identical = len(lab) - len(wrong)
    wrong += [f"{path}: Alyx has a record of it, but it is no registrable file" for path in sorted(records)]
    others = sorted(_stored(box.store_root) - expected)
    kept = [path for path in others if _is_kept(box.store_root / path)]
    others = [path for path in others if path not in kept]
    leftovers = [path for path in others if _LEFTOVER.fullmatch(path.name)]
    wrong += [f"{path}: stands at the store, and should not" for path in others if path not in leftovers]
    size = sum((box.lab_root / path).stat().st_size for path in lab)
    return Inspection(len(lab), size, identical, len(leftovers), tuple(wrong), len(kept))


def _is_kept(place: Path) -> bool:
    named = _KEPT.fullmatch(place.name)
    return named is not None and place.is_file() and _compared(place, place)[1] == named[1]


def _registrable(box: Box) -> list[PurePosixPath]:
    """The lab's registrable files, relative to its root, as whoever wrote them says."""
    return [
        PurePosixPath(session.path.relative_to(box.lab_root).as_posix(), name)
        for session in box.sessions
        for name in session.registrable
    ]


def _stored(root: Path) -> set[PurePosixPath]:
    return {
        PurePosixPath(path.relative_to(root).as_posix())
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _difference(
    box: Box, path: PurePosixPath, target: PurePosixPath, record: dict[str, Any], dataset: dict[str, Any]
) -> str | None:
    """What is wrong with one file, None if nothing is."""
    source, copy = box.lab_root / path, box.store_root / target
    if not copy.is_file():
        return (
            f"is announced, but {target.name} is not at the store" if record["exists"] else "has not arrived"
        )
    same, md5 = _compared(source, copy)
    if not same:
        return f"the copy {target.name} has other bytes"
    if not record["exists"]:
        return "has arrived, but Alyx does not announce it"
    if dataset["hash"] != md5 or dataset["file_size"] != source.stat().st_size:
        return "has arrived, but Alyx has another hash or size"
    return None


def _compared(one: Path, other: Path) -> tuple[bool, str]:
    """Whether two files hold the same bytes, and the md5 of the first (of all of it only if they do)."""
    digest = hashlib.md5(usedforsecurity=False)
    with one.open("rb") as left, other.open("rb") as right:
        for mine, theirs in _pieces(left, right):
            if mine != theirs:
                return False, digest.hexdigest()
            digest.update(mine)
    return True, digest.hexdigest()


def _pieces(left: Any, right: Any) -> Iterator[tuple[bytes, bytes]]:
    while True:
        mine, theirs = left.read(_PIECE), right.read(_PIECE)
        if not mine and not theirs:
            return
        yield mine, theirs
