"""Hashing on a Windows server that runs OpenSSH: names and digests as lines of base64.

The command line is PowerShell and one word of base64, the same for cmd.exe, PowerShell and any other shell the
server may use; the names come through its input.  Names as SFTP knows them ("/C:/lab/x") are made Windows' own,
and back.

Promises: a line of output names a file that was asked for, byte for byte as it was asked for; a file that cannot
be read has no line.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from transfer.digests import Algorithm

PROBE = b""
"""Not a file: what the digest of no bytes at all is asked with."""

_SCRIPT = """
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$utf8 = New-Object System.Text.UTF8Encoding($false, $true)
while ($null -ne ($line = [Console]::In.ReadLine())) {
    try {
        if ($line -eq '-') {
            $empty = New-Object System.IO.MemoryStream
            $hash = Get-FileHash -InputStream $empty -Algorithm ALGORITHM
        } else {
            $name = $utf8.GetString([Convert]::FromBase64String($line))
            $hash = Get-FileHash -LiteralPath $name -Algorithm ALGORITHM
        }
        [Console]::Out.WriteLine($hash.Hash.ToLowerInvariant() + '  ' + $line)
    } catch { }
}
exit 0
"""
_LINE = re.compile(rb"([0-9a-f]{32}|[0-9a-f]{64})  (-|[A-Za-z0-9+/]+={0,2})\r?")
_DRIVE = re.compile(rb"/[A-Za-z]:")


def command_line(algorithm: Algorithm) -> str:
    script = _SCRIPT.replace("ALGORITHM", algorithm.upper()).encode("utf-16-le")
    return f"powershell -NoProfile -NonInteractive -EncodedCommand {base64.b64encode(script).decode()}"


def ask(places: Sequence[bytes]) -> bytes:
    """The input that asks for these names."""
    return b"".join(_encode(place) + b"\n" for place in places)


def read(out: bytes) -> Iterator[tuple[bytes, str]]:
    """Name and digest of each line.  Raises ValueError for a line of another form."""
    if out and not out.endswith(b"\n"):
        raise ValueError("the last line is not complete")
    for line in out.split(b"\n")[:-1]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError("not a digest and a name")
        yield _decode(found[2]), found[1].decode()


def _encode(place: bytes) -> bytes:
    if place == PROBE:
        return b"-"
    return base64.b64encode(place[1:] if _DRIVE.match(place) else place)


def _decode(word: bytes) -> bytes:
    if word == b"-":
        return PROBE
    try:
        name = base64.b64decode(word, validate=True)
    except binascii.Error as error:
        raise ValueError("not a name in base64") from error
    return name if name.startswith(b"/") else b"/" + name
