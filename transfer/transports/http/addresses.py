"""From a repository's `data_url` and a path to the address of a file.  Pure.

Alyx holds `data_url` and path as plain texts and joins them by appending, so a `#` of a revision folder stays
a `#` there, at which every client would cut the address.  Here each name is percent-encoded by itself: `#`, `?`,
`%`, spaces and letters of every language arrive at the server as they are at the store.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from transfer.errors import CatalogRefused, StoreRefused
from transfer.paths import refuse_unsafe

_ENCODED_ALREADY = "/%:@!$&'()*+,;=~"
_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Base:
    """The folder of the web server that is the root of the store.  `url` ends with a slash."""

    url: str

    @classmethod
    def of(cls, data_url: str) -> Self:
        """Raises `CatalogRefused` when `data_url` is no address of a folder, or holds a password."""
        do = "Set data_url in Alyx's admin page, such as https://store.example.org/lab/Subjects/"
        parts = urlsplit(data_url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        if parts.scheme not in _PORTS or not _has_host(data_url):
            raise CatalogRefused("the repository's data_url is no web address", to=shown, do=do)
        if parts.username is not None:
            raise CatalogRefused("the repository's data_url holds a user or password", to=shown, do=do)
        if parts.query or parts.fragment:
            raise CatalogRefused("the repository's data_url has a '?' or '#' in it", to=shown, do=do)
        path = quote(parts.path, safe=_ENCODED_ALREADY)
        return cls(parts._replace(path=path if path.endswith("/") else f"{path}/").geturl())

    @property
    def origin(self) -> Origin:
        return origin(self.url)

    def address(self, path: PurePosixPath) -> str:
        """Where the file `path` is read.  Raises `UntrustedPath`."""
        parts = refuse_unsafe(path).parts
        return self.url + "/".join(quote(part, safe="", errors="surrogatepass") for part in parts)


def origin(address: str) -> Origin:
    """Scheme, host and port: what a login belongs to."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def redirected(address: str, location: str) -> str:
    """Where a redirect leads.  Raises `StoreRefused` when it leaves the web, or leaves encryption."""
    target = urljoin(address, location)
    try:
        parts = urlsplit(target)
        fine = parts.scheme in _PORTS and _has_host(target)
    except ValueError:
        fine = False
    do = "Correct the web server, or data_url in Alyx's admin page."
    if not fine:
        raise StoreRefused("the web server redirects to what is no web address", to=address, do=do)
    if address.startswith("https:") and parts.scheme != "https":
        raise StoreRefused("the web server redirects to an address without encryption", to=address, do=do)
    return target


def _has_host(address: str) -> bool:
    try:
        return bool(origin(address)[1])
    except ValueError:  # a port that is no number
        return False
