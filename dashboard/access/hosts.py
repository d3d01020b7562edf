"""The names that this dashboard answers to, and whether a browser's request comes from one of its own pages.

A foreign web page can make its own name lead to this machine, and then read what it is answered (DNS rebinding); and
it can make a browser send us a form.  Against the first we answer to our own names only; against the second we heed
what browsers say of where a request comes from.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from config.sections import Dashboard, is_loopback

_OUR_OWN = ("same-origin", "none")


def is_our_name(host: str | None, told: Dashboard) -> bool:
    """Whether a `Host` header names this dashboard, at any port."""
    name = _name(host or "")
    if not name:
        return False
    ours = {known.lower().strip("[]") for known in (told.host, *told.names)}
    return is_loopback(name) or name in ours


def _name(host: str) -> str:
    """The name of a `Host` header in small letters, without port; empty when it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return ""
    return (parts.hostname or "").removesuffix(".")


def comes_from_elsewhere(headers: Mapping[str, str], *, scheme: str, encrypted: bool) -> bool:
    """Whether a browser says that another site's page made it send this.  Programs say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OUR_OWN:
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    schemes = {scheme, "https"} if encrypted else {scheme}
    return origin.lower() not in {f"{one}://{headers.get('host', '').lower()}" for one in schemes}
