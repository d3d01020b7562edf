"""Reads files from their store, compares them with Alyx's md5, puts them in place."""

import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transfer.digests import digest_file
from transfer.errors import ArrivedDamaged, LocalDiskFull, LocalFileDiffers, TransferError
from transfer.retrieval.folder import Folder
from transfer.retrieval.wanted import Wanted
from transfer.transports.base import Download, Failed, Got, Moved, Readable
from transfer.transports.http.fetching import Continued
from transfer.transports.landing import naming

OpenReader = Callable[[str], AbstractContextManager[Readable]]

_DIFFERS = "Move it away, choose another folder, or say --replace: nothing of yours is overwritten unasked."
_SPARE = 64 * 1024**2  # bytes left free


class Outcome(StrEnum):
    """How one file's pull ended."""

    PULLED = "pulled"  # brought, and its md5 is the registered one
    PRESENT = "present"  # stood there already with the registered md5
    UNVERIFIED = "not verified"  # stands there, but Alyx has no md5 to compare it with
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One file's end; `error` is set exactly when it failed."""

    wanted: Wanted
    outcome: Outcome
    file: Path
    error: TransferError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a look at the folder found: what has ended already, and what is to be fetched."""

    ended: tuple[Result, ...]
    missing: tuple[Wanted, ...]


# ---- what stands there already


def look(wanted: Sequence[Wanted], root: Path, *, replace: bool, moved: Moved) -> Found:
    """Hash what stands in the files' places.  Writes nothing."""
    ended: list[Result] = []
    missing: list[Wanted] = []
    for one in wanted:
        file = root / one.path
        try:
            outcome = _standing(one, file, moved)
        except TransferError as error:
            outcome, failure = Outcome.FAILED, error
        else:
            failure = LocalFileDiffers("another file stands there", to=file, do=_DIFFERS)
        if outcome is None or (outcome is Outcome.FAILED and replace and _replaceable(file)):
            missing.append(one)
        elif outcome is Outcome.FAILED:
            ended.append(Result(wanted=one, outcome=outcome, file=file, error=failure))
        else:
            ended.append(Result(wanted=one, outcome=outcome, file=file))
    return Found(ended=tuple(ended), missing=tuple(missing))


def _standing(one: Wanted, file: Path, moved: Moved) -> Outcome | None:
    """What the file in this place is; None when there is none, `FAILED` when it is another one."""
    with naming(file):
        try:
            facts = file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    if not stat.S_ISREG(facts.st_mode):
        return Outcome.FAILED
    if one.md5 is None:
        return Outcome.UNVERIFIED if one.size in (None, facts.st_size) else Outcome.FAILED
    same = digest_file(file, moved=moved).md5 == one.md5
    return Outcome.PRESENT if same else Outcome.FAILED


def _replaceable(file: Path) -> bool:
    return not file.is_dir() or file.is_symlink()


def require_space(missing: Sequence[Wanted], root: Path) -> None:
    """Raise `LocalDiskFull` when the files cannot all find room."""
    needed = sum(one.size or 0 for one in missing)
    place = next(one for one in (root, *root.parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    if needed and needed + _SPARE > free:
        do = "Free space, choose another folder, or name fewer files with --only."
        raise LocalDiskFull(f"{needed} bytes are to come and {free} are free", to=root, do=do)


# ---- bringing


def fetch(
    missing: Sequence[Wanted], folder: Folder, *, open_reader: OpenReader, replace: bool, moved: Moved
) -> Iterator[Result]:
    """Bring the files, those of one store together.  In any order; whoever stops asking stops the work."""
    for store in dict.fromkeys(one.store for one in missing):
        left = {one.dataset: one for one in missing if one.store == store}
        try:
            with open_reader(store) as reader:
                bringing = _Bringing(reader, folder, replace=replace, moved=moved)
                for result in bringing.bring(list(left.values())):
                    del left[result.wanted.dataset]
                    yield result
        except TransferError as error:
            for one in left.values():
                yield _failed(one, folder, error)


class _Bringing:
    """The files of one store."""

    def __init__(self, reader: Readable, folder: Folder, *, replace: bool, moved: Moved) -> None:
        self._reader, self._folder, self._replace, self._moved = reader, folder, replace, moved
        self._partials: dict[int, Path] = {}
        self._continued: set[int] = set()

    def bring(self, wanted: Sequence[Wanted]) -> Iterator[Result]:
        """What was continued from an earlier try and came out wrong is read once more, from its beginning."""
        doubtful: list[Wanted] = []
        for key, outcome in self._read(wanted, fresh=False):
            result = self._settled(wanted[key], key, outcome)
            if result is None:
                doubtful.append(wanted[key])
            else:
                yield result
        for key, outcome in self._read(doubtful, fresh=True):
            result = self._settled(doubtful[key], key, outcome)
            assert result is not None, "what was read from its beginning has an end"
            yield result

    def _read(self, wanted: Sequence[Wanted], *, fresh: bool) -> Iterator[tuple[int, Got | Failed]]:
        self._partials.clear()
        self._continued.clear()
        refused: list[Failed] = []

        def downloads() -> Iterator[Download]:
            for key, one in enumerate(wanted):
                try:
                    yield self._download(key, one, fresh=fresh or one.md5 is None)
                except TransferError as error:
                    refused.append(Failed(key=key, error=error))

        for outcome in self._reader.get(downloads(), self._moved):
            yield outcome.key, outcome
        for failure in refused:
            yield failure.key, failure

    def _download(self, key: int, one: Wanted, *, fresh: bool) -> Download:
        partial, kept = self._folder.partial(one, fresh=fresh)
        self._partials[key] = partial
        if kept:
            self._continued.add(key)
        if one.md5 is None:
            return Download(key=key, path=one.stored, into=partial)
        return Continued(key=key, path=one.stored, into=partial)

    def _settled(self, one: Wanted, key: int, outcome: Got | Failed) -> Result | None:
        """The file's end; None when it is to be read from its beginning."""
        partial = self._partials.get(key)
        if partial is None or isinstance(outcome, Failed):
            assert isinstance(outcome, Failed), "what was never asked for cannot have come"
            if partial is not None:
                self._folder.drop(partial, only_empty=True)
            return _failed(one, self._folder, outcome.error)
        if wrong := _wrong(one, outcome):
            self._folder.drop(partial)
            return None if key in self._continued else _failed(one, self._folder, wrong)
        try:
            return self._in_place(one, partial)
        except TransferError as error:
            self._folder.drop(partial)
            return _failed(one, self._folder, error)

    def _in_place(self, one: Wanted, partial: Path) -> Result:
        """Put it there; what another pull brought meanwhile is as good."""
        try:
            file = self._folder.put(partial, one.path, replace=self._replace)
        except LocalFileDiffers:
            file = self._folder.place(one.path)
            if _standing(one, file, self._moved) is not Outcome.PRESENT:
                raise
            self._folder.drop(partial)
            return Result(wanted=one, outcome=Outcome.PRESENT, file=file)
        return Result(wanted=one, outcome=Outcome.PULLED if one.md5 else Outcome.UNVERIFIED, file=file)


def _wrong(one: Wanted, got: Got) -> TransferError | None:
    """Why what came is not the file, None if it is as far as Alyx knows."""
    do = "Nothing was put in place: run alyx-transfer verify for it, which looks at the store's copy."
    if one.md5 is not None:
        if got.md5 == one.md5:
            return None
        what = f"the bytes that came hash to {got.md5}, registered is {one.md5}"
        return ArrivedDamaged(what, to=one.stored, do=do)
    if one.size in (None, got.size):
        return None
    return ArrivedDamaged(f"{got.size} bytes came, registered are {one.size}", to=one.stored, do=do)


def _failed(one: Wanted, folder: Folder, error: TransferError) -> Result:
    return Result(wanted=one, outcome=Outcome.FAILED, file=folder.place(one.path), error=error)
