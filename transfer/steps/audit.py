"""audit: independent proof that a stored copy still holds the registered bytes, and that readers get them.

A copy is read whole and hashed: over HTTP as every reader does, or from the store itself.  Then Alyx is asked what
it says of the copy now.

    right                       an audit receipt says so
    wrong, or gone              Alyx's announcement is withdrawn at once, and the file is sent again
    right at the store only     a finding for a person: rights of the web server, its folder, data_url, a cache
    Alyx says otherwise         mended as reconcile does it

What is wrong over HTTP is looked at from the store itself before anything is withdrawn: a web server that shows the
wrong folder must not withdraw an archive.  Where only HTTP reads the store (a mover carries the files there),
wrong bytes count only when the same pass read another copy rightly, and a missing file never.

Copies that somebody moves now are left to their owner.  Nothing is retried here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

from transfer.catalog.base import Catalog, CatalogDataset
from transfer.errors import StoreDenied, StoredFileMissing, StoreRefused, TransferError
from transfer.ledger import audits, standing
from transfer.ledger.guarded import chunks
from transfer.ledger.ledger import Ledger
from transfer.ledger.standing import StandingCopy
from transfer.steps.reconcile import mended
from transfer.steps.withdrawal import is_right, is_wrong, send_again
from transfer.transports.base import Download, Failed, Got, Moved, Readable
from transfer.verdicts import Central, Comparison, compare

OpenReader = Callable[[], AbstractContextManager[Readable]]
Seen = Got | Failed

_AT_ONCE = 100  # copies judged together
_WHY = "an audit found other bytes at the store, or none"
_UNREADABLE = (StoredFileMissing, StoreDenied, StoreRefused)  # told of the file, not of the line


class Finding(StrEnum):
    """What an audit found of one copy."""

    RIGHT = "right"
    DAMAGED = "damaged"  # withdrawn, and on its way again
    OTHER_FOR_READERS = "other bytes for readers"  # the store's are right, or nobody can say
    UNREADABLE = "unreadable for readers"  # the store's bytes are right, or only readers could say
    ALYX_DIFFERS = "Alyx says otherwise"
    NOT_READ = "not read"
    MOVING = "being moved"


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """One copy's finding.  `remark` is for people; `error` is why it could not be read, or be withdrawn."""

    copy: StandingCopy
    finding: Finding
    remark: str = ""
    error: TransferError | None = None


def judge(copy: StandingCopy, first: Seen, second: Seen | None, *, over_http: bool, trusted: bool) -> Finding:
    """What the bytes say.  `second` is what the store itself holds, None where it was not or cannot be asked.

    `trusted` says that the web server is known to show this store: another copy came rightly.
    """
    if is_right(copy, first):
        return Finding.RIGHT
    if not over_http:
        return Finding.DAMAGED if is_wrong(copy, first) else Finding.NOT_READ
    if second is not None and is_wrong(copy, second):
        return Finding.DAMAGED
    if isinstance(first, Got):
        alone = second is None and trusted
        return Finding.DAMAGED if alone else Finding.OTHER_FOR_READERS
    store_knows = second is None or is_right(copy, second)
    told_of_the_file = isinstance(first.error, _UNREADABLE)
    return Finding.UNREADABLE if store_knows and told_of_the_file else Finding.NOT_READ


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Proves copies of one store.  At least one way to read it is needed; with both, HTTP is the first witness."""

    ledger: Ledger
    catalog: Catalog
    store: str
    open_web: OpenReader | None = None
    open_store: OpenReader | None = None
    moved: Moved = field(default=lambda _count: None)

    def run(self, copies: Sequence[StandingCopy]) -> Iterator[Audited]:
        """Prove the copies, some at a time.  Raises what the catalogue raises."""
        assert self.open_web or self.open_store, "an audit without a way to read"
        readable = [copy for copy in copies if copy.path is not None and copy.md5 is not None]
        with ExitStack() as opened:
            web = _Witness(self.open_web, opened, self.moved)
            store = _Witness(self.open_store, opened, self.moved)
            for some in chunks(readable, _AT_ONCE):
                yield from self._audited(web, store, some)

    def _audited(
        self, web: "_Witness", store: "_Witness", copies: Sequence[StandingCopy]
    ) -> Iterator[Audited]:
        over_http = self.open_web is not None
        first = (web if over_http else store).read(copies)
        doubtful = [copy for copy in copies if not is_right(copy, first[copy.id])]
        second = store.read(doubtful) if over_http else {}
        trusted = len(doubtful) < len(copies)
        findings = {
            copy.id: judge(copy, first[copy.id], second.get(copy.id), over_http=over_http, trusted=trusted)
            for copy in copies
        }
        right = [copy for copy in copies if findings[copy.id] is Finding.RIGHT]
        audits.passed(self.ledger, right, via="http" if over_http else "store")
        yield from self._answered(copies, findings, first, second)

    # ---- and what follows

    def _answered(
        self,
        copies: Sequence[StandingCopy],
        findings: Mapping[int, Finding],
        first: Mapping[int, Seen],
        second: Mapping[int, Seen],
    ) -> Iterator[Audited]:
        uuids = [copy.dataset_uuid for copy in copies]
        now = standing.copies_at(self.ledger, self.store, uuids)
        told = self.catalog.datasets(uuids)
        for copy in copies:
            current = now.get(copy.dataset_uuid)
            if current is None or current.owned or current.md5 != copy.md5:
                yield Audited(copy=copy, finding=Finding.MOVING, remark="left to who moves it now")
                continue
            finding = findings[copy.id]
            seen = second.get(copy.id, first[copy.id]) if finding is Finding.DAMAGED else first[copy.id]
            yield self._followed_up(copy, finding, seen, told.get(copy.dataset_uuid))

    def _followed_up(
        self, copy: StandingCopy, finding: Finding, seen: Seen, dataset: CatalogDataset | None
    ) -> Audited:
        if dataset is None:
            remark = "Alyx has no such dataset any more; the copy is left as it is"
            return Audited(copy=copy, finding=Finding.ALYX_DIFFERS, remark=remark)
        if compare(dataset.md5, copy.md5) is Comparison.DIFFERENT or finding is Finding.RIGHT:
            fix = mended(self.ledger, self.catalog, dataset, copy)
            if fix != Central.NOTHING.value:
                return Audited(copy=copy, finding=Finding.ALYX_DIFFERS, remark=f"mended: {fix}")
        if finding is Finding.DAMAGED:
            return self._damaged(copy, seen)
        error = seen.error if isinstance(seen, Failed) else None
        return Audited(copy=copy, finding=finding, remark=_remark(finding), error=error)

    def _damaged(self, copy: StandingCopy, seen: Seen) -> Audited:
        what = f"hashes to {seen.md5}, proved was {copy.md5}" if isinstance(seen, Got) else seen.error.what
        try:
            opened = send_again(self.ledger, self.catalog, [copy], why=_WHY)
        except TransferError as error:
            remark = f"{what}; Alyx's announcement could not be withdrawn now, the file's item does it"
            return Audited(copy=copy, finding=Finding.DAMAGED, remark=remark, error=error)
        then = (
            "withdrawn; a worker or the next push sends it again"
            if opened
            else "withdrawn; a person had given it up"
        )
        return Audited(copy=copy, finding=Finding.DAMAGED, remark=f"{what}; {then}")


def _remark(finding: Finding) -> str:
    match finding:
        case Finding.UNREADABLE:
            return (
                "readers cannot read it: look at the web server's rights and folder, and at data_url in Alyx"
            )
        case Finding.OTHER_FOR_READERS:
            return "readers get other bytes: look at the web server's folder, its cache, and data_url in Alyx"
        case Finding.NOT_READ:
            return "it could not be read now, which proves nothing"
        case _:
            return ""


class _Witness:
    """One way to read the store, opened when it is first needed, and not again when that failed."""

    def __init__(self, open_reader: OpenReader | None, opened: ExitStack, moved: Moved) -> None:
        self._open_reader, self._opened, self._moved = open_reader, opened, moved
        self._reader: Readable | None = None
        self._closed: TransferError | None = None

    def read(self, copies: Sequence[StandingCopy]) -> dict[int, Seen]:
        """What is seen of each copy, by its id; nothing at all where there is no such way."""
        if self._open_reader is None or not copies:
            return {}
        seen: dict[int, Seen] = {}
        downloads = [Download(key=copy.id, path=copy.path) for copy in copies if copy.path]
        try:
            for outcome in self._entered(self._open_reader).get(downloads, self._moved):
                seen[outcome.key] = outcome
        except TransferError as error:
            return {copy.id: seen.get(copy.id) or Failed(key=copy.id, error=error) for copy in copies}
        return seen

    def _entered(self, open_reader: OpenReader) -> Readable:
        if self._closed is not None:
            raise self._closed
        if self._reader is None:
            try:
                self._reader = self._opened.enter_context(open_reader())
            except TransferError as error:
                self._closed = error
                raise
        return self._reader
