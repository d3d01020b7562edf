"""`GlobusTransport`: a store that Globus fills from the labs' collections.

One client of the SDK for each thread, tokens shared by the process (`login`).  Requests that fail for a moment are
repeated twice by the SDK, which waits as long as the service asks, a minute at most; after that the ledger retries.

Repeating is safe: a submission has an id that the service accepts once, a rename is looked after (`shelf`), and the
rest changes nothing or may be done twice.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self
from uuid import UUID

from globus_sdk import GlobusAPIError, GlobusError, TransferClient
from globus_sdk.transport import RequestsTransport, RetryConfig

from transfer.errors import ConfigProblems, StoredFileMissing, TransferError
from transfer.model import STAGING
from transfer.transports.base import Failed, Published, RemoteFile, Rename
from transfer.transports.crew import Crew
from transfer.transports.delegated import Allowance, Document, Piece, Report
from transfer.transports.globus import document as documents
from transfer.transports.globus import tasks
from transfer.transports.globus.login import Bearer, tokens_for
from transfer.transports.globus.options import GlobusOptions
from transfer.transports.globus.refusals import asking, explained, field, is_no_such_file
from transfer.transports.globus.shelf import Listing, Shelf

ASIDE = STAGING / "aside"
"""Where a file that stood under a final name is moved to; removed with the next `clean`."""


class GlobusTransport:
    """See `delegated.DelegatedTransport`.  Entering logs in; nothing but the login is asked for then."""

    def __init__(self, options: GlobusOptions) -> None:
        self._options = options
        self._shelf = Shelf(options)
        self._tokens = tokens_for(options)
        self._clients: list[TransferClient] = []

    @property
    def allowance(self) -> Allowance:
        options = self._options
        return Allowance(
            pending=options.pending,
            active=options.active,
            large=int(options.large_bytes),
            patience=options.poll_seconds,
            hours=options.task_hours,
        )

    def __enter__(self) -> Self:
        self._tokens.current()
        self._clients = [self._client() for _ in range(self._options.connections)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
            client.transport.close()
        self._clients = []

    def _client(self) -> TransferClient:
        return TransferClient(
            authorizer=Bearer(self._tokens),
            base_url=self._options.service_url,
            app_name="alyx-transfer",
            transport=RequestsTransport(http_timeout=self._options.timeout),
            retry_config=RetryConfig(max_retries=2, max_sleep=60),
        )

    @property
    def _hands(self) -> list[TransferClient]:
        assert self._clients, "a transport is entered before it is used"
        return self._clients

    @property
    def _first(self) -> TransferClient:
        return self._hands[0]

    # ---- tasks

    def reserve(self) -> str:
        with asking("Globus"):
            return str(field(self._first.get_submission_id(), "value"))

    def freeze(self, key: str, source: str, pieces: Sequence[Piece], *, deadline: datetime) -> Document:
        return documents.transfer(self._options, key, source, pieces, deadline=deadline)

    def submit(self, document: Document) -> str:
        """Raises `MoverOffline` without submitting when a personal collection is not connected."""
        tasks.require_connected(self._first, self._options, str(document["source_endpoint"]))
        return tasks.submit(self._first, document)

    def poll(self, task: str, document: Document) -> Report:
        return tasks.poll(self._first, task, document)

    def cancel(self, task: str) -> None:
        tasks.cancel(self._first, task)

    # ---- files at the store

    def stat(self, paths: Sequence[PurePosixPath]) -> Iterator[RemoteFile | None]:
        names: dict[PurePosixPath, list[str]] = defaultdict(list)
        for path in dict.fromkeys(paths):
            names[path.parent].append(path.name)
        found: dict[PurePosixPath, RemoteFile | None] = {}
        crew = Crew(self._hands)
        for seen in crew.spread(names.items(), lambda client, of: list(self._shelf.look_at(client, *of))):
            found.update(seen)
        for path in paths:
            yield found[path]

    def publish(self, renames: Iterable[Rename]) -> Iterator[Published | Failed]:
        listed: dict[PurePosixPath, Listing | None] = {}

        def one(client: TransferClient, rename: Rename) -> Published | Failed:
            try:
                self._publish(client, rename, listed)
            except TransferError as error:
                return Failed(key=rename.key, error=error)
            return Published(key=rename.key)

        yield from Crew(self._hands).spread(renames, one)

    def _publish(
        self, client: TransferClient, rename: Rename, listed: dict[PurePosixPath, Listing | None]
    ) -> None:
        folder = rename.partial.parent
        if folder not in listed:  # two hands may both look: that is harmless
            listed[folder] = self._shelf.listing(client, folder)
        seen = listed[folder]
        before = seen.files.get(rename.partial.name) if seen else None
        if before is None and seen is not None and not seen.whole:
            before = self._shelf.look(client, rename.partial)
        if before is None:
            raise StoredFileMissing("the staged file is gone", to=rename.partial)
        self._shelf.make(client, rename.final.parent)
        self._shelf.rename(client, rename.partial, rename.final, before)

    def staged(self) -> Iterator[str]:
        listing = self._shelf.listing(self._first, STAGING)
        yield from sorted(listing.folders - {ASIDE.name}) if listing else ()

    def set_aside(self, path: PurePosixPath) -> bool:
        before = self._shelf.look(self._first, path)
        if before is None:
            return False
        if path.is_relative_to(STAGING):
            away = path.with_name(f"{path.name}.{secrets.token_hex(4)}.aside")
        else:
            away = ASIDE / secrets.token_hex(16)
            self._shelf.make(self._first, ASIDE)
        try:
            self._shelf.rename(self._first, path, away, before)
        except StoredFileMissing:
            return False
        return True

    def clean(self, keys: Sequence[str]) -> None:
        """Old copies that were set aside go as well: what was to take their place stands there, or is staged."""
        folders = [documents.folder_of(key) for key in keys]
        if folders:
            document = documents.deletion(self._options, self.reserve(), [*folders, ASIDE])
            with asking(self._options.address):
                self._first.submit_delete(dict(document))

    # ---- for `doctor`

    @property
    def sources(self) -> Sequence[str]:
        """The lab repositories that the config tells Globus of."""
        return sorted(self._options.sources)

    def see_store(self) -> str:
        """List the store's root; answers a sentence."""
        return self._seen(self._options.collection, self._options.root, "root")

    def see_source(self, source: str) -> str:
        """See that a lab's collection is connected and list its root; answers a sentence."""
        lab = self._options.sources[source]
        tasks.require_connected(self._first, self._options, str(lab.collection))
        return self._seen(lab.collection, lab.root, f"sources.{source}.root")

    def _seen(self, collection: UUID, root: PurePosixPath, key: str) -> str:
        to = f"globus://{collection}{root}"
        try:
            self._first.operation_ls(collection, path=f"{root}/".replace("//", "/"), limit=1)
        except GlobusAPIError as error:
            if is_no_such_file(error):
                wrong = f"the folder is not there; correct {key} in the config, or make it"
                raise ConfigProblems([wrong], to=to) from error
            raise explained(error, to=to) from error
        except GlobusError as error:
            raise explained(error, to=to) from error
        return f"{root} can be listed."

    def rehearse(self) -> str:
        """Make and rename a folder in the staging folder, and ask for its removal; answers a sentence."""
        client, key, renamed = self._first, self.reserve(), self.reserve()
        self._shelf.make(client, documents.folder_of(key))
        with asking(self._options.address):
            client.operation_rename(
                self._options.collection,
                oldpath=self._shelf.place(documents.folder_of(key)),
                newpath=self._shelf.place(documents.folder_of(renamed)),
            )
        self.clean([key, renamed])
        return "A folder was made and renamed, and its removal was asked for."
