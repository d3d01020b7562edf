"""From what a person typed to the rows it names: a file, a session, a batch, an endpoint or a lab.

A file may be named by its path on the lab machine, its path below the lab's root, its path in the session,
the end of any of these, its name at the store, its dataset's uuid, or the number of its item.  A session by
its folder, the end of it, or its uuid in Alyx.  Endpoints and labs go by their names.

Programs name things as the API shows them: `session:12`, `file:7` (a dataset), `item:9`, `batch:3`, `lab:cortexlab`,
`endpoint:flatiron`.  `exactly` understands these and nothing else.

Nothing is guessed: a name that fits several things is refused with the things it fits.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath, PurePosixPath
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from transfer.errors import NothingFound
from transfer.ledger.ledger import Ledger
from transfer.ledger.tables import batches, copies, datasets, endpoints, items, sessions

Kind = Literal["file", "session", "batch", "endpoint", "lab"]
ALL_KINDS: tuple[Kind, ...] = ("file", "session", "batch", "endpoint", "lab")

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHOWN = 10  # candidates named in a refusal
_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One thing of the ledger.  `id` is its row's number, None for endpoints and labs, which `name` tells.

    A file's `id` is its dataset's; `item` is set where one item of it was named.
    """

    kind: Kind
    name: str
    id: int | None = None
    item: int | None = None

    @property
    def address(self) -> str:
        """How programs name it: what `exactly` reads."""
        if self.item is not None:
            return f"item:{self.item}"
        return f"{self.kind}:{self.name if self.id is None else self.id}"

    @property
    def row(self) -> int:
        assert self.id is not None, f"{self.kind} {self.name} has no number"
        return self.id


def of_config(labs: Iterable[str], endpoints: Iterable[str]) -> list[Target]:
    """The labs and endpoints of a config as targets."""
    return [
        *(Target(kind="lab", name=name) for name in labs),
        *(Target(kind="endpoint", name=name) for name in endpoints),
    ]


def find(
    ledger: Ledger,
    words: str,
    *,
    roots: Mapping[str, PurePath],
    kinds: Sequence[Kind] = ALL_KINDS,
    known: Sequence[Target] = (),
) -> Target:
    """The one thing that `words` name.  `roots` are the labs' data folders by source.

    `known` are labs and endpoints of the config, which the ledger may not have seen yet.  Raises `NothingFound` when
    there is none, or more than one.
    """
    words = words.strip()
    of_config = [one for one in known if words in (one.name, one.address)]
    with ledger.reading() as connection:
        for look in (_named, _by_uuid, _by_number, _by_path, _by_end):
            seen = [*look(connection, words, roots), *(of_config if look is _named else [])]
            found = [one for one in dict.fromkeys(seen) if one.kind in kinds]
            if len(found) == 1:
                return found[0]
            if found:
                raise _ambiguous(words, found)
    raise _unknown(words, roots, kinds)


def exactly(ledger: Ledger, words: str) -> Target:
    """The thing that a program names.  Raises `NothingFound`."""
    with ledger.reading() as connection:
        for found in _addressed(connection, words):
            return found
    raise NothingFound(
        "the ledger has no such thing",
        to=words,
        do="Name it as session:12, file:7, item:9, batch:3, lab:NAME or endpoint:NAME.",
    )


def _ambiguous(words: str, found: Sequence[Target]) -> NothingFound:
    names = ", ".join(one.name for one in found[:_SHOWN])
    more = " and more" if len(found) > _SHOWN else ""
    kinds = {one.kind for one in found}
    what = f"{kinds.pop()}s" if len(kinds) == 1 else "things"
    return NothingFound(f"several {what} fit", to=words, do=f"Name one of: {names}{more}.")


def _unknown(words: str, roots: Mapping[str, PurePath], kinds: Sequence[Kind]) -> NothingFound:
    wanted = " or ".join(kinds) if len(kinds) < len(ALL_KINDS) else "thing"
    if PurePath(words).is_absolute() and not any(_below(words, root) for root in roots.values()):
        folders = ", ".join(str(root) for root in roots.values()) or "none is configured"
        return NothingFound(
            "this path is in no lab's data folder", to=words, do=f"The labs' data folders: {folders}."
        )
    return NothingFound(
        f"the ledger knows no such {wanted}",
        to=words,
        do="If it is new, the next scan finds it once it is complete; "
        "`alyx-transfer status` lists what the ledger knows.",
    )


Looked = Iterator[Target]


def _named(connection: Connection, words: str, _roots: Mapping[str, PurePath]) -> Looked:
    if connection.scalar(select(endpoints.c.name).where(endpoints.c.name == words)):
        yield Target(kind="endpoint", name=words)
    if connection.scalar(select(sessions.c.lab).where(sessions.c.lab == words).limit(1)):
        yield Target(kind="lab", name=words)
    yield from _addressed(connection, words)


def _addressed(connection: Connection, words: str) -> Looked:
    kind, _, name = words.partition(":")
    number = int(name) if _is_number(name) else -1
    match kind:
        case "endpoint" if connection.scalar(select(endpoints.c.name).where(endpoints.c.name == name)):
            yield Target(kind="endpoint", name=name)
        case "lab" if connection.scalar(select(sessions.c.lab).where(sessions.c.lab == name).limit(1)):
            yield Target(kind="lab", name=name)
        case "batch" if connection.scalar(select(batches.c.id).where(batches.c.id == number)):
            yield Target(kind="batch", name=words, id=number)
        case "session":
            yield from _sessions(connection, sessions.c.id == number)
        case "file":
            yield from _files(connection, datasets.c.id == number)
        case "item":
            yield from _by_number(connection, name, {})


def _by_uuid(connection: Connection, words: str, _roots: Mapping[str, PurePath]) -> Looked:
    found = _UUID.search(words)
    if not found:
        return
    uuid = UUID(found.group())
    yield from _files(connection, datasets.c.dataset_uuid == uuid)
    yield from _sessions(connection, sessions.c.eid == uuid)


def _by_number(connection: Connection, words: str, _roots: Mapping[str, PurePath]) -> Looked:
    if _is_number(words):
        dataset = (
            select(copies.c.dataset)
            .join(items, items.c.copy == copies.c.id)
            .where(items.c.id == int(words))
            .scalar_subquery()
        )
        for file in _files(connection, datasets.c.id == dataset):
            yield replace(file, item=int(words))


def _by_path(connection: Connection, words: str, roots: Mapping[str, PurePath]) -> Looked:
    """By the whole path, on the lab machine or below the lab's root."""
    for path, source in _relative(words, roots):
        if len(path.parts) < 3:
            continue
        session = sessions.c.path == str(PurePosixPath(*path.parts[:3]))
        if source is not None:
            session &= sessions.c.source == source
        if len(path.parts) == 3:
            yield from _sessions(connection, session)
        else:
            yield from _files(connection, session, datasets.c.path == str(PurePosixPath(*path.parts[3:])))


def _relative(words: str, roots: Mapping[str, PurePath]) -> Iterator[tuple[PurePosixPath, str | None]]:
    if not PurePath(words).is_absolute():
        yield PurePosixPath(words.replace("\\", "/")), None
        return
    for source, root in roots.items():
        if below := _below(words, root):
            yield below, source


def _below(words: str, root: PurePath) -> PurePosixPath | None:
    path = PurePath(words)
    return PurePosixPath(path.relative_to(root).as_posix()) if path.is_relative_to(root) else None


def _by_end(connection: Connection, words: str, _roots: Mapping[str, PurePath]) -> Looked:
    """By the end of a path, at folder boundaries.  This one reads every row: the exact ways come first."""
    end = words.strip("/")
    if not end or PurePath(words).is_absolute():
        return
    whole = sessions.c.path + "/" + datasets.c.path
    yield from _sessions(connection, sessions.c.path.endswith(f"/{end}", autoescape=True))
    yield from _files(connection, or_(datasets.c.path == end, whole.endswith(f"/{end}", autoescape=True)))


def _files(connection: Connection, *conditions: ColumnElement[bool]) -> Looked:
    query: Select[Any] = (
        select(datasets.c.id, datasets.c.path, sessions.c.path.label("session"))
        .join(sessions, sessions.c.id == datasets.c.session)
        .where(*conditions)
        .order_by(datasets.c.id)
        .limit(_SHOWN + 1)
    )
    for row in connection.execute(query):
        yield Target(kind="file", name=f"{row.session}/{row.path}", id=row.id)


def _sessions(connection: Connection, condition: ColumnElement[bool]) -> Looked:
    query = select(sessions.c.id, sessions.c.path).where(condition).order_by(sessions.c.id).limit(_SHOWN + 1)
    for row in connection.execute(query):
        yield Target(kind="session", name=row.path, id=row.id)


def _is_number(words: str) -> bool:
    return words.isascii() and words.isdigit() and int(words) <= _LARGEST_ID
