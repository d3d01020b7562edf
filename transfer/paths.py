"""The names: sessions, datasets, and what a file is called at the store.  Pure string work.

Three grammars meet here.  A *session* lies at `subject/YYYY-MM-DD/NNN`.  A *dataset* lies in its session at
`collection/#revision#/name`, and the name is ALF: `_namespace_object.attribute_timescale.extra.extension`.
At the *store* the name carries the dataset's uuid before its last suffix; beside it stand the partials of
attempts (`.<uuid>.<attempt>.part`) and, for a moment, a replaced version (`.<uuid>.<md5>.old`).

Promised: the central name is the one ONE asks the web server for, and exactly one type of Alyx's table
matches a name that `TypeIndex` accepts.  Not done: no disk is looked at, so nothing here says a file exists.

The surprising thing: Alyx stores `..` as it is and silently cuts a folder at the first character it does
not know (both observed on 3.6.1).  So `refuse_unsafe` guards every path that comes from Alyx, and
`split_dataset_path` every path that goes there.
"""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import translate
from pathlib import PurePosixPath
from uuid import UUID

from transfer.errors import NameRefused, UntrustedPath
from transfer.model import SessionKey

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ATTEMPT = "[0-9a-f]{8}"
_MD5 = "[0-9a-f]{32}"
_PARTIAL = re.compile(rf"\.({_UUID})\.({_ATTEMPT})\.part")
_OLD = re.compile(rf"\.({_UUID})\.({_MD5})\.old")

_SUBJECT = re.compile(r"[\w.-]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile(r"[0-9]{3}|0|[1-9][0-9]?")

_FOLDER = re.compile(r"[\w.-]+")
_REVISION = re.compile(r"#([\w.-]+)#")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")

_ALF = re.compile(
    r"""
    _? (?P<namespace> (?<=_) [a-zA-Z0-9]+ )? _?    # an object may contain '_', a namespace may not
    (?P<object> \w+ ) \.
    (?P<attribute> (?:_[a-z]+_)? [a-zA-Z0-9]+      # '_phy_ids': a namespace of the attribute, deprecated
        (?: (?:_times|_intervals) (?=[_.]) )? )    # these two belong to the attribute, not to the timescale
    (?: _ (?P<timescale> \w+ ) )?
    (?: \. (?P<extra> [.\w-]+ ) )*
    \. (?P<extension> \w+ )
    """,
    re.VERBOSE,
)


def parse_session(path: PurePosixPath, source: str) -> SessionKey | None:
    """The session whose folder is `path`, relative to the root of `source`; None if it is no session folder.

    The key's own path is `path` again, so a number such as `01`, neither plain nor padded, is refused.
    """
    if len(path.parts) != 3:
        return None
    subject, day, number = path.parts
    if subject == ".." or not (
        _SUBJECT.fullmatch(subject) and _DATE.fullmatch(day) and _NUMBER.fullmatch(number)
    ):
        return None
    try:
        when = date.fromisoformat(day)
    except ValueError:
        return None
    return SessionKey(source=source, subject=subject, date=when, number=int(number), padded=len(number) == 3)


def with_uuid(path: PurePosixPath, dataset: UUID) -> PurePosixPath:
    """The central name: `<stem>.<uuid><last suffix>`, in place of a uuid that stands there already.

    Agrees with `one.alf.path.add_uuid_string`, which also takes uuids of versions 3 and 4 in any notation
    (upper case, without dashes) for one to be replaced.
    """
    *front, last = path.stem.split(".")
    if last == str(dataset):
        return path
    if not _is_random_uuid(last):
        front.append(last)
    return path.with_name(f"{'.'.join(front)}.{dataset}{path.suffix}")


def without_uuid(path: PurePosixPath) -> PurePosixPath:
    """The registered name of a central one.  Agrees with `one.alf.path.remove_uuid_string`."""
    *front, last = path.stem.split(".")
    if not (re.fullmatch(_UUID, last) and UUID(last).version in (3, 4, 5)):
        return path
    name = ".".join(front) + path.suffix
    return path.with_name(name) if name else path  # nothing but a uuid stays


def _is_random_uuid(text: str) -> bool:
    try:
        return UUID(text).version in (3, 4)
    except ValueError:
        return False


def partial_name(dataset: UUID, attempt: str) -> str:
    """The name of one attempt's partial.  `attempt` is 8 lower-case hex digits."""
    if not re.fullmatch(_ATTEMPT, attempt):
        raise ValueError(f"an attempt is 8 hex digits, not {attempt!r}")
    return f".{dataset}.{attempt}.part"


def parse_partial(name: str) -> tuple[UUID, str] | None:
    """Dataset and attempt of a partial's name; None if `name` is not one of ours."""
    found = _PARTIAL.fullmatch(name)
    return (UUID(found[1]), found[2]) if found else None


def is_partial(name: str) -> bool:
    return _PARTIAL.fullmatch(name) is not None


def old_name(dataset: UUID, md5: str) -> str:
    """Where the version with this md5 stands while a newer one takes its place."""
    if not re.fullmatch(_MD5, md5):
        raise ValueError(f"an md5 is 32 lower-case hex digits, not {md5!r}")
    return f".{dataset}.{md5}.old"


def is_old(name: str) -> bool:
    return _OLD.fullmatch(name) is not None


def is_leftover(name: str) -> bool:
    """Whether `name` is one of ours that must not stay for ever: a partial, or a kept old copy."""
    return is_partial(name) or is_old(name)


def refuse_unsafe(path: PurePosixPath | str) -> PurePosixPath:
    """`path` if it stays below the root it will be joined to; raises `UntrustedPath` otherwise.

    A `str` is judged as it came from Alyx, with the '.' and '//' which a PurePosixPath forgets.  Backslashes
    are refused because they separate folders on Windows, and so is a leading drive.
    """
    text = str(path)
    parts = text.split("/")
    if text in ("", "."):
        reason = "is empty"
    elif not parts[0] or re.match(r"[A-Za-z]:", text):
        reason = "is absolute or names a drive"
    elif not {"", ".", ".."}.isdisjoint(parts):
        reason = "has an empty folder, '.' or '..' in it"
    elif _UNSAFE.search(text):
        reason = "has a backslash or a control character in it"
    else:
        return path if isinstance(path, PurePosixPath) else PurePosixPath(path)
    raise UntrustedPath(f"a path from Alyx {reason}", to=repr(text))


def split_dataset_path(path: PurePosixPath) -> tuple[str, str, str]:
    """Collection, revision and name of a path relative to its session; '' where there is none.

    Raises `NameRefused` for a path that Alyx would refuse or, worse, cut and register as another one.
    """
    refuse_unregistrable_folder(path)
    *folders, name = path.parts
    revision = _REVISION.fullmatch(folders[-1]) if folders else None
    if revision:
        folders.pop()
    return "/".join(folders), revision[1] if revision else "", name


def refuse_unregistrable_folder(path: PurePosixPath) -> None:
    """Raise `NameRefused` if Alyx could not hold the path, relative to its session, as it is."""
    *folders, name = path.parts or ("",)
    for place, folder in enumerate(folders, start=1):
        if _FOLDER.fullmatch(folder) and folder != "..":
            continue
        if not _REVISION.fullmatch(folder):
            what = f"Alyx would cut the path at the folder {folder!r}"
            do = "Rename it to letters, digits, '_', '.', '-' (a revision is '#name#'), then release."
            raise NameRefused(what, to=path, do=do)
        if place != len(folders):
            what = f"the revision {folder!r} is not the last folder"
            do = "Move the revision folder down so that it holds the file itself, then release."
            raise NameRefused(what, to=path, do=do)
    if name in ("", "..") or ":" in name or _UNSAFE.search(name):
        what = f"Alyx does not take the file name {name!r}"
        do = "Rename it without ':', '\\' and control characters, then release."
        raise NameRefused(what, to=path, do=do)


@dataclass(frozen=True, slots=True)
class AlfName:
    """The parts of an ALF file name; `extra` is the last of several, '' never occurs."""

    namespace: str | None
    object: str
    attribute: str
    timescale: str | None
    extra: str | None
    extension: str


def parse_file(name: str) -> AlfName | None:
    """The parts of `name`, None if it is not ALF.  Agrees with `one.alf.path.filename_parts`."""
    found = _ALF.fullmatch(name)
    return AlfName(**found.groupdict()) if found else None


@dataclass(frozen=True, slots=True)
class Match:
    """The one dataset type that Alyx will choose."""

    type: str


@dataclass(frozen=True, slots=True)
class Unregistrable:
    """Why Alyx would refuse the file, as a sentence."""

    reason: str


class TypeIndex:
    """Alyx's table of dataset types and its file extensions, made once and asked for every file.

    `types` are pairs of name and pattern (a glob, compared without case).  With an empty pattern a type is
    meant by its name: `object.attribute` of an ALF file, the stem of any other.  `formats` are extensions
    with their dot.
    """

    def __init__(self, types: Iterable[tuple[str, str]], formats: Container[str]) -> None:
        self._formats = formats
        self._named: dict[str, str] = {}
        self._patterns: list[tuple[str, str, re.Pattern[str]]] = []
        for name, pattern in types:
            if pattern.strip():
                folded = pattern.casefold()
                self._patterns.append((name, _longest_literal(folded), re.compile(translate(folded))))
            else:
                self._named[name] = name

    def match(self, name: str) -> Match | Unregistrable:
        """The type of the file `name` (no folders): exactly one must match and its extension be known."""
        path = PurePosixPath(name)
        if not path.suffix or path.suffix not in self._formats:
            shown = path.suffix or "a name without extension"
            return Unregistrable(f"Alyx knows no data format for {shown}: add one, or rename the file.")
        found = self._types_of(name, path.stem)
        if not found:
            return Unregistrable(f"No dataset type of Alyx matches {name!r}: add one, or rename the file.")
        if len(found) > 1:
            names = ", ".join(sorted(found))
            return Unregistrable(
                f"More than one dataset type matches {name!r}: {names}. Make their patterns distinct."
            )
        return Match(found[0])

    def why_unregistrable(self, path: PurePosixPath) -> str | None:
        """Why Alyx would refuse the file at `path`, relative to its session; None if it will not."""
        try:
            _collection, _revision, name = split_dataset_path(path)
        except NameRefused as refused:
            return refused.sentence
        found = self.match(name)
        return found.reason if isinstance(found, Unregistrable) else None

    def _types_of(self, name: str, stem: str) -> list[str]:
        folded = name.casefold()
        found = [one for one, part, fits in self._patterns if part in folded and fits.match(folded)]
        alf = parse_file(name)
        by_name = self._named.get(f"{alf.object}.{alf.attribute}" if alf else stem)
        return [*found, by_name] if by_name else found


def _longest_literal(pattern: str) -> str:
    """A piece of the pattern that every match contains: most names are told apart without a regex."""
    return "" if "[" in pattern else max(re.split(r"[*?]+", pattern), key=len)
