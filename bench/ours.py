"""One run of ours, in a process of its own: what the steps do with a store, without ledger and Alyx.

    python -m bench.ours ORDER.json

ORDER holds the kind of transport, its options, the source folder and each file's path, size,
md5 and time: what the ledger's rows hold.  Batches
come from `transfer.planning` with its usual limits.  Per batch, as the steps do it:

    look      is it there already?  (push: stat of the final names)
    put       the bytes, to partials, hashed while they are read

and in a second thread, beside the next batch's put, as the second hand of `push` does it:

    prove     one hash command at the store, and one file in 100 read back; where the store does not hash,
              everything is read back (verify).  The canary of the hash command is asked in the first run of a
              case and remembered, as the ledger remembers it for a day
    publish   list the folders for other partials, then rename to the final names

Prints as JSON how long each took, in seconds of the main thread; `wait` is what was waited for the second thread.
Exits with an error if a single file is not proved and published.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast
from uuid import UUID

BEGUN = time.perf_counter()

from transfer import conformance  # noqa: E402
from transfer.model import Item  # noqa: E402
from transfer.paths import parse_partial, partial_name  # noqa: E402
from transfer.planning import Limits, PlannedBatch, batches, target_path  # noqa: E402
from transfer.status import Status  # noqa: E402
from transfer.transports.base import (  # noqa: E402
    Download,
    Failed,
    Rename,
    Sent,
    StreamingTransport,
    Upload,
)
from transfer.transports.registry import open_transport, options_model  # noqa: E402

ATTEMPT = "0badcafe"
SAMPLE = 100  # one file in so many is read back beside a believed hash command


def _ignore(_moved: int) -> None:
    """Nobody watches the bytes here."""


class Clock:
    """Seconds by activity, of the main thread."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.spent[what] += time.perf_counter() - begun  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Order:
    kind: str
    options: dict[str, Any]
    source: Path
    items: list[Item]

    @classmethod
    def read(cls, path: Path) -> "Order":
        told = json.loads(path.read_text())
        source = Path(told["source"])
        # From 1 on, as a ledger counts: the single file of a workload is not the one in 100 that is read back.
        items = [_item(number, *file) for number, file in enumerate(told["files"], start=1)]
        return cls(told["kind"], told["options"], source, items)


def _item(number: int, path: str, size: int, md5: str, mtime_ns: int) -> Item:
    uuid = UUID(int=number, version=4)
    item = Item(
        id=number,
        copy=number,
        dataset=number,
        session=1,
        source="lab",
        target="store",
        source_path=PurePosixPath(path),
        target_path=None,
        dataset_uuid=uuid,
        record_uuid=uuid,
        md5=md5,
        size=size,
        mtime_ns=mtime_ns,
        status=Status.PLANNED,
        batch=None,
        attempt=ATTEMPT,
        partial=partial_name(uuid, ATTEMPT),
        tries=0,
        proof=None,
        proved_at=None,
        hold=None,
        created_at=datetime.now(UTC),
    )
    return replace(item, target_path=target_path(item))


class Push:
    """Batches through one open transport."""

    def __init__(self, transport: StreamingTransport, source: Path, clock: Clock, *, believed: bool) -> None:
        self._transport = transport
        self._source = source
        self._clock = clock
        self._believed = believed
        self.prove_seconds = 0.0
        self.publish_seconds = 0.0

    def move(self, planned: Sequence[PlannedBatch]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="prove") as second:
            before: Future[None] | None = None
            for batch in planned:
                self._look(batch.items)
                self._put(batch.items)
                if before is not None:
                    self._wait(before)
                before = second.submit(self._prove_and_publish, batch.items)
            if before is not None:
                self._wait(before)

    def _look(self, items: Sequence[Item]) -> None:
        with self._clock.on("look"):
            if any(self._transport.stat([item.store_path for item in items])):
                raise SystemExit("a final name exists already: the destination was not empty.")

    def _put(self, items: Sequence[Item]) -> None:
        wanted = {item.id: item for item in items}
        uploads = (
            Upload(
                key=item.id,
                source=self._source / item.source_path,
                partial=item.partial_path,
                size=item.size,
                mtime_ns=item.mtime_ns,
            )
            for item in items
        )
        with self._clock.on("put"):
            for outcome in self._transport.put(uploads, _ignore):
                _require(outcome)
                assert isinstance(outcome, Sent)
                if wanted.pop(outcome.key).md5 != outcome.md5:
                    raise SystemExit(f"file {outcome.key} was sent with other bytes than were made.")
        if wanted:
            raise SystemExit(f"{len(wanted)} files were not sent.")

    def _prove(self, items: Sequence[Item]) -> None:
        begun = time.perf_counter()
        read_back: Sequence[Item] = items
        if self._believed:
            told = {found.path: found.digest for found in self._transport.digests([_place(i) for i in items])}
            if any(told[_place(item)] != item.md5 for item in items):
                raise SystemExit("the store's hash command gave another md5 than was made.")
            read_back = [item for item in items if item.id % SAMPLE == 0]
        md5 = {item.id: item.md5 for item in read_back}
        downloads = [Download(key=item.id, path=_place(item)) for item in read_back]
        for outcome in self._transport.get(downloads, _ignore):
            _require(outcome)
            if isinstance(outcome, Failed) or md5.pop(outcome.key) != outcome.md5:
                raise SystemExit(f"file {outcome.key} was read back with another md5.")
        if md5:
            raise SystemExit(f"{len(md5)} files were not read back.")
        self.prove_seconds += time.perf_counter() - begun

    def _wait(self, second: "Future[None]") -> None:
        with self._clock.on("wait"):
            second.result()

    def _prove_and_publish(self, items: Sequence[Item]) -> None:
        self._prove(items)
        begun = time.perf_counter()
        self._fence(items)
        renames = [Rename(key=i.id, partial=i.partial_path, final=i.store_path) for i in items]
        done = list(self._transport.publish(renames))
        for outcome in done:
            _require(outcome)
        if len(done) != len(items):
            raise SystemExit(f"{len(items) - len(done)} files were not published.")
        self.publish_seconds += time.perf_counter() - begun

    def _fence(self, items: Sequence[Item]) -> None:
        mine = {item.uuid for item in items}
        folders = sorted({item.store_path.parent for item in items})
        found = [parse_partial(file.path.name) for file in self._transport.list_leftovers(folders)]
        others = [name for name in found if name and name[0] in mine and name[1] != ATTEMPT]
        list(self._transport.remove([]))
        if others:
            raise SystemExit("a foreign partial stands in the destination: it was not empty.")


def _believed(transport: StreamingTransport, remembered: Path) -> bool:
    """Whether the store's hash command is believed: asked once and remembered, as the ledger does for a day."""
    if not remembered.exists():
        remembered.write_text(json.dumps(conformance.believe_remote_hash(transport, PurePosixPath())))
    return bool(json.loads(remembered.read_text()))


def _place(item: Item) -> PurePosixPath:
    return item.partial_path


def _require(outcome: object) -> None:
    if isinstance(outcome, Failed):
        raise outcome.error


def main() -> None:
    order = Order.read(Path(sys.argv[1]))
    clock = Clock()
    model = options_model(order.kind)
    # An option that this version does not have yet is left out, so that the orders stay the same.
    options = model.model_validate({k: v for k, v in order.options.items() if k in model.model_fields})
    with clock.on("connect"):
        opened = open_transport(order.kind, options)
        if not hasattr(opened, "put"):
            raise SystemExit(f"{order.kind} moves no bytes itself: there is nothing to measure here.")
        transport = cast(StreamingTransport, opened).__enter__()
    try:
        with clock.on("canary"):
            believed = _believed(transport, Path(sys.argv[1]).parents[1] / f"canary-{order.kind}.json")
        push = Push(transport, order.source, clock, believed=believed)
        push.move(batches(order.items, Limits()))
    finally:
        with clock.on("leave"):
            transport.__exit__(None, None, None)
    answer = {
        "proof": "hash command of the store" if believed else "read back",
        "inside_seconds": time.perf_counter() - BEGUN,
        "prove_seconds": push.prove_seconds,
        "publish_seconds": push.publish_seconds,
        "spent": dict(clock.spent),
        "carrier": getattr(options, "carrier", None),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
