"""Hashing on the far side: one remote command for many files.

The names go through the command's *input* and are absolute: no shell ever sees a byte of them and none can be taken
for an option.  The command itself is fixed text that every shell reads alike.

Promises: a digest is reported only for a name that was asked for and that the command named in full; anything
else in its output fails the whole call.  Whether its digests are *true* is decided by `conformance`.

One command reads one file at a time.  Two at once, over two halves, were about a third faster where everything was
in memory; they cost another connection, a disk may be slower with two readers, and the next batch is being sent
meanwhile anyway.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from transfer.digests import Algorithm
from transfer.errors import StoreRefused
from transfer.transports.sftp import powershell
from transfer.transports.sftp.carrier import Carrier

PROBE_TIMEOUT = 15.0
SLOWEST = 10_000_000  # bytes a second that a store hashes at least
_NAMES_AT_ONCE = 4 << 20  # bytes of names per command: its whole output then fits into the channel's window
_NO_COMMANDS = (None, 255)  # the exit status where a server runs something else, whatever it was asked for
_EMPTY = {
    "md5": "d41d8cd98f00b204e9800998ecf8427e",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
_LINE = re.compile(rb"(\\?)((?:[0-9a-f]{32})|(?:[0-9a-f]{64})) [ *]?(/.*)", re.DOTALL)
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}


@dataclass(frozen=True, slots=True)
class HashCommand:
    """A command line that hashes the files named in its input.

    `ask` makes the input, `read` the names and digests of the output (it raises ValueError for any other output);
    `empty` names something without content, to try it with.
    """

    line: str
    ask: Callable[[Sequence[bytes]], bytes]
    read: Callable[[bytes], Iterator[tuple[bytes, str]]]
    empty: bytes


def commands(algorithm: Algorithm) -> tuple[HashCommand, ...]:
    """GNU coreutils; busybox and older coreutils; BSD and macOS; Windows."""
    return (
        _by_xargs(f"{algorithm}sum -z --", b"\0"),
        _by_xargs(f"{algorithm}sum --", b"\n"),
        _by_xargs(f"{algorithm} -r", b"\n"),
        HashCommand(
            powershell.command_line(algorithm), powershell.ask, powershell.read, empty=powershell.PROBE
        ),
    )


def _by_xargs(command: str, end: bytes) -> HashCommand:
    read = partial(read_output, end=end)
    return HashCommand(f"env LC_ALL=C xargs -0 {command}", _ended_by_nul, read, empty=b"/dev/null")


def _ended_by_nul(places: Sequence[bytes]) -> bytes:
    return b"".join(place + b"\0" for place in places)


def find_command(carrier: Carrier, algorithm: Algorithm) -> HashCommand | None:
    """The first command that hashes an empty file right; None where there is no shell or no such command."""
    for candidate in commands(algorithm):
        try:
            outcome = carrier.run(candidate.line, candidate.ask([candidate.empty]), timeout=PROBE_TIMEOUT)
            if dict(candidate.read(outcome.out)) == {candidate.empty: _EMPTY[algorithm]}:
                return candidate
        except StoreRefused:
            return None
        except ValueError:
            continue
        if outcome.status in _NO_COMMANDS:
            return None
    return None


def hash_files(
    carrier: Carrier,
    command: HashCommand,
    places: Sequence[bytes],
    *,
    address: str,
    timeout: float,
    size: int = 0,
) -> Iterator[tuple[bytes, str]]:
    """The digests of those of `places` that the command could read, `size` bytes in all as far as is known.

    A command says nothing while it reads, so that it may be silent for `timeout` seconds and as long as reading
    `size` bytes may take.  Raises `StoreRefused` when the command fails or says something else, `ConnectionLost`.
    """
    patience = timeout + size / SLOWEST
    for group in groups(places, _NAMES_AT_ONCE):
        outcome = carrier.run(command.line, command.ask(group), timeout=patience)
        # xargs ends with 123 when a command it ran could not read some of the files.
        if outcome.status not in (0, 123):
            raise StoreRefused(f"the hash command ended with {outcome.status}", to=address)
        try:
            digests = dict(command.read(outcome.out))
        except ValueError as error:
            raise StoreRefused("the hash command said something else", to=address) from error
        if not digests.keys() <= set(group):
            raise StoreRefused("the hash command named files that were not asked for", to=address)
        yield from digests.items()


def read_output(out: bytes, end: bytes) -> Iterator[tuple[bytes, str]]:
    """Name and digest of each line.  Raises ValueError for a line of another form."""
    if out and not out.endswith(end):
        raise ValueError("the last line is not complete")
    for line in out.split(end)[:-1]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError("not a digest and an absolute name")
        escaped, digest, name = found.groups()
        # GNU md5sum begins a line with a backslash when it had to escape the name.
        yield (_unescape(name) if escaped else name), digest.decode()


def _unescape(name: bytes) -> bytes:
    return re.sub(rb"\\[\\nr]", lambda found: _ESCAPES[found[0]], name)


def empty_digest(algorithm: Algorithm) -> str:
    """The digest of no bytes."""
    return _EMPTY[algorithm]


def groups(places: Sequence[bytes], most: int) -> Iterator[list[bytes]]:
    """The names in order, in groups of about `most` bytes."""
    group: list[bytes] = []
    size = 0
    for place in places:
        if group and size + len(place) > most:
            yield group
            group, size = [], 0
        group.append(place)
        size += len(place) + 1
    if group:
        yield group
