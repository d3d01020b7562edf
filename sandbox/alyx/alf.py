"""How the server reads a path: where the session ends, the collection, the revision; which type a name has.

These are the ALF rules of the ONE library as the server applies them, holes included: a folder with a
character it does not know silently ends the collection, `..` passes, the session number is not padded.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import PurePosixPath

from sandbox.alyx.errors import Crash, plain
from sandbox.alyx.model import Row

_SESSION = re.compile(r"^([a-zA-Z0-9\-_]+)/([0-9\-]{10})/([0-9]+)(.*)$", re.DOTALL)
_BELOW = re.compile(r"^(?:(?P<collection>[\w./-]+)/)?(?:#(?P<revision>[\w.-]+)#/)?")
_FILE = re.compile(
    r"^_?(?:(?<=_)[a-zA-Z0-9]+)?_?(?P<object>\w+)"
    r"\.(?P<attribute>(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?)"
    r"(?:_\w+)?(?:\.[.\w-]+)*\.\w+$"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[34][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_REFUSED = "Invalid ALF path. Only letters, numbers, hyphens, underscores and periods are allowed."


@dataclass(frozen=True, slots=True)
class Place:
    """One file as the server understood it; `folder` is the part of the path it will not change."""

    folder: str
    collection: str
    revision: str
    name: str

    @property
    def relative_path(self) -> str:
        """The path below the repository that will be stored."""
        parts = (self.folder, self.collection, f"#{self.revision}#" if self.revision else "", self.name)
        return "/".join(part for part in parts if part)


def session_of(path: str) -> tuple[str, str, int]:
    """Nickname, day and number; raises ValueError with the server's text if the path has not that shape."""
    found = _SESSION.match(path)
    if found is None:
        raise ValueError(f"The path {path} should be `nickname/YYYY-MM-DD/n/...")
    return found[1], found[2], int(found[3])


def _joined(folder: str, filename: str) -> PurePosixPath:
    return PurePosixPath(folder).joinpath(filename)


def place_in_session(path: str, filename: str) -> Place:
    """Where a file of a session goes: `path` is subject/date/number[/folders], `filename` may add folders."""
    whole = _joined(path, filename)
    folders = whole.parent.as_posix()
    session = re.match(r"^[^/]+/[^/]{10}/\d{1,3}", folders)
    if session is None:
        raise plain(400, "detail", _REFUSED)
    below = folders[session.end() :]
    # A longer number than three digits leaves digits behind, and then nothing below is understood.
    below = below[1:] + "/" if below.startswith("/") else ""
    found = _BELOW.match(below)
    assert found is not None
    collection, revision = found["collection"] or "", found["revision"] or ""
    odd = [part for part in below.split("/") if len(part) > 1 and part[0] == part[-1] == "#"]
    if odd and (odd != [f"#{revision}#"] or found.end() != len(below)):
        raise plain(400, "detail", _REFUSED)
    return Place(session[0], collection, revision, whole.name)


def place_of_aggregate(path: str, filename: str) -> Place:
    """Where a file that belongs to no session goes; every part of its folders must be understood."""
    whole = _joined(path, filename)
    below = whole.parent.as_posix() + "/"
    found = _BELOW.match(below)
    assert found is not None
    if found.end() != len(below):
        raise plain(400, "detail", _REFUSED)
    return Place("", found["collection"] or "", found["revision"] or "", whole.name)


def dataset_type(filename: str, types: Iterable[Row]) -> Row:
    """The one dataset type that fits: by its pattern, or without one by object.attribute being its name."""
    fitting = []
    alf = _FILE.match(filename)
    plain_name = f"{alf['object']}.{alf['attribute']}" if alf else PurePosixPath(filename).stem
    for row in types:
        pattern = (row["filename_pattern"] or "").strip()
        if pattern:
            if _pattern(pattern).match(filename.casefold()):
                fitting.append(row)
        elif row["name"] == plain_name:
            fitting.append(row)
    if not fitting:
        raise Crash(f'No dataset type found for filename "{filename}"')
    if len(fitting) > 1:
        names = ", ".join(f"<DatasetType {row['name']}>" for row in fitting)
        raise Crash(f'Multiple matching dataset types found for filename "{filename}": \n{names}')
    return fitting[0]


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob.casefold()))


def data_format(filename: str, formats: Iterable[Row]) -> Row:
    """The data format of the last suffix."""
    suffix = PurePosixPath(filename).suffix
    fitting = [row for row in formats if row["file_extension"] == suffix]
    if not fitting:
        raise Crash("DataFormat matching query does not exist.")
    if len(fitting) > 1:
        raise Crash(f"get() returned more than one DataFormat -- it returned {len(fitting)}!")
    return fitting[0]


def with_uuid(path: str, key: str) -> str:
    """The path with the dataset's uuid before the file's last suffix, as the central store names files.

    A uuid that already stands there is replaced.
    """
    folder, slash, name = path.rpartition("/")
    suffix = PurePosixPath(name).suffix
    stem = name[: len(name) - len(suffix)]
    head, dot, last = stem.rpartition(".")
    if dot and _UUID.fullmatch(last):
        stem = head
    return f"{folder}{slash}{stem}.{key}{suffix}"
