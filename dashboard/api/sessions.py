"""Sessions and their files: lists, one of each, and what a person's words name."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Query

from dashboard.access import Seeing
from dashboard.api.asking import LARGEST, After, Limit, Number, Words, section
from dashboard.board import TheBoard
from transfer.errors import NothingFound
from transfer.ledger import reports
from transfer.ledger.finding import ALL_KINDS, Kind, Target, find
from transfer.ledger.glance import sessions as glanced
from transfer.ledger.glance.pages import Page
from transfer.ledger.glance.sessions import State, Wanted
from transfer.ledger.glance.timeline import Timeline
from transfer.ledger.glance.timeline import timeline as way_of
from transfer.ledger.reports import FileRow, SessionRow
from transfer.ledger.why import why
from transfer.progress import Explanation

router = section("sessions")


@dataclass(frozen=True, kw_only=True, slots=True)
class OneSession:
    """A session, and why it is not further."""

    session: SessionRow
    why: Explanation


@dataclass(frozen=True, kw_only=True, slots=True)
class OneFile:
    """A file, why it is not further, and where its time went."""

    file: FileRow
    why: Explanation
    timeline: Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a person's words name.  `target` is how the actions take it."""

    target: str
    kind: Kind
    name: str
    id: int | None
    item: int | None


@router.get("/sessions", summary="Sessions, the newest first")
def sessions(
    board: TheBoard,
    _: Seeing,
    lab: Annotated[Words | None, Query()] = None,
    subject: Annotated[Words | None, Query(description="The beginning of the subject's name.")] = None,
    since: Annotated[date | None, Query(description="Sessions of that day or later.")] = None,
    until: Annotated[date | None, Query(description="Sessions of that day or earlier.")] = None,
    state: State | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[SessionRow]:
    wanted = Wanted(lab=lab, subject=subject, since=since, until=until, state=state)
    return glanced.sessions(board.ledger, wanted, after=after, limit=limit)


@router.get("/sessions/{session}", summary="One session, and why it is not further")
def session(board: TheBoard, _: Seeing, session: Number) -> OneSession:
    rows = reports.sessions(board.ledger, session=session)
    if not rows:
        raise NothingFound("the ledger has no such session", to=f"session {session}")
    target = Target(kind="session", name=rows[0].session, id=session)
    return OneSession(session=rows[0], why=why(board.ledger, target))


@router.get("/sessions/{session}/files", summary="The files of a session")
def session_files(
    board: TheBoard,
    _: Seeing,
    session: Number,
    held: Annotated[bool, Query(description="Only what is held.")] = False,
    after: After = None,
    limit: Limit = 100,
) -> Page[FileRow]:
    if not reports.sessions(board.ledger, session=session):
        raise NothingFound("the ledger has no such session", to=f"session {session}")
    return glanced.files(board.ledger, session=session, held=held, after=after, limit=limit)


@router.get("/files/{dataset}", summary="One file: where it is, why not further, and its way")
def file(
    board: TheBoard,
    _: Seeing,
    dataset: Number,
    item: Annotated[
        int | None, Query(ge=1, le=LARGEST, description="One item of the file; the newest without.")
    ] = None,
) -> OneFile:
    rows = reports.files(board.ledger, dataset=dataset, item=item)
    if not rows:
        raise NothingFound("the ledger has no such file", to=f"dataset {dataset}")
    row = rows[-1]
    target = Target(kind="file", name=f"{row.session}/{row.relative_path}", id=dataset, item=item)
    return OneFile(file=row, why=why(board.ledger, target), timeline=way_of(board.ledger, dataset))


@router.get("/find", summary="The one thing that a person's words name")
def find_one(
    board: TheBoard,
    _: Seeing,
    words: Annotated[Words, Query(description="A path or its end, a uuid, a name, or `batch:N`.")],
    kind: Annotated[list[Kind] | None, Query(description="Only things of these kinds.")] = None,
) -> Found:
    """The end of a path reads every row: programs keep the `target` that is answered."""
    found = find(board.ledger, words, roots=board.roots, kinds=kind or ALL_KINDS, known=board.known)
    return Found(target=found.address, kind=found.kind, name=found.name, id=found.id, item=found.item)
