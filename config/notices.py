"""The config's word on notices: the rules of the section, and the file that says whom to tell.

A line of the file is an Apprise address, with names of labs in front where it is to hear of these only:

    mailtos://user:password@example.org?to=ops@example.org
    cortexlab hoferlab  slack://TokenA/TokenB/TokenC/#rigs

An address holds passwords: it is remembered as a secret when it is read, and no message ever quotes the line.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from config.sections import Notices
from transfer.errors import NoticeTargetsWrong
from transfer.notices import Rules, read_hours, read_time
from transfer.secrecy import remember


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """One line of the file.  `labs` is empty for all of them."""

    line: int
    labs: frozenset[str]
    url: str = field(repr=False)


def rules(told: Notices) -> Rules:
    """When a target may be told, and when it is reminded."""
    return Rules(
        zone=ZoneInfo(told.timezone),
        at=read_time(told.at),
        quiet=read_hours(told.quiet) if told.quiet else None,
        link=told.link,
    )


def read_addresses(path: Path) -> list[Address]:
    """Whom to tell.  Raises `NoticeTargetsWrong`, which names a line by its number only."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        do = "Make the worker's account its owner, and write it as UTF-8."
        raise NoticeTargetsWrong("the file cannot be read", to=path, do=do) from error
    found = []
    for number, line in enumerate(lines, start=1):
        *labs, url = line.replace(",", " ").split() or [""]
        if url and not line.lstrip().startswith("#"):
            if "://" not in url:
                raise NoticeTargetsWrong(f"line {number} does not end with an address", to=path)
            _remember(url)
            found.append(Address(line=number, labs=frozenset(labs), url=url))
    return found


def _remember(url: str) -> None:
    """The whole, and each part that may be a token."""
    parts = urlsplit(url)
    remember(url)
    for secret in (parts.netloc.rpartition("@")[0], parts.password, parts.path, parts.query):
        remember(secret)
        remember(unquote(secret) if secret else None)
