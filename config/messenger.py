"""Tells people through Apprise: one package that speaks to mail servers and a hundred messengers.

Promises: a target is shown by its kind and host, as Apprise masks them, never by its address; sending ends after
`PATIENCE`; no redirect is followed, because it would carry the login to somebody else; nothing is kept on disk.

What Apprise logs is not passed on to our log: why something was not sent stands in its result, and is told once.  Its
HTTP library is silent meanwhile, too: at the level debug it logs the paths of addresses, which are tokens.
"""

import hashlib
import logging
import warnings
from collections.abc import Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from config import notices
from config.notices import Address
from transfer.errors import NoticeNotSent, NoticeTargetsWrong
from transfer.notices import Message
from transfer.notifying import Target
from transfer.secrecy import masked, remember

if TYPE_CHECKING:
    from apprise import Apprise, NotifyBase

PATIENCE = 15.0
"""Seconds that one message may take."""


@dataclass(frozen=True)
class Messenger:
    """Whom to tell, and the way to each."""

    targets: Sequence[Target] = ()
    _ways: "dict[str, Apprise]" = field(default_factory=dict)

    def send(self, target: Target, message: Message) -> None:
        """Tell one target.  Raises `NoticeNotSent`."""
        # A context of its own, so that the library's threads, which may outlive this call, stay quiet as well.
        result = copy_context().run(_sent, self._ways[target.id], message)
        if not result:
            said = [str(entry.message) for entry in result.logs()]
            why = masked(" ".join(said[-1].split())) if said else f"no answer within {PATIENCE:.0f} s"
            raise NoticeNotSent(f"the message was not sent ({why.rstrip('.')})", to=target.name)


def _sent(way: "Apprise", message: Message) -> Any:
    _SENDING.set(True)
    return way.notify(body=message.body, title=message.title, body_format="text", timeout=PATIENCE)


def messenger(targets_file: Path) -> Messenger:
    """The messenger for everybody whom this file names.  Raises `NoticeTargetsWrong`."""
    with warnings.catch_warnings():
        # Apprise loads every messenger it knows, and some of them modules that Python is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _messenger(targets_file, notices.read_addresses(targets_file))


def _messenger(path: Path, addresses: Sequence[Address]) -> Messenger:
    try:
        import apprise
    except ImportError as error:
        do = 'Install it beside the program: the extra "notices" of the package.'
        raise NoticeTargetsWrong("the package that sends notices is missing", to="apprise", do=do) from error
    _keep_quiet()
    asset = apprise.AppriseAsset(
        app_id="alyx-transfer",
        app_desc="alyx-transfer",
        storage_mode="memory",
        http_redirects=False,
    )
    targets: list[Target] = []
    ways: dict[str, Any] = {}
    for address in addresses:
        way = apprise.Apprise.instantiate(address.url, asset=asset)
        if way is None:
            raise NoticeTargetsWrong(f"line {address.line} is no address that Apprise knows", to=path)
        _remember_hidden(address.url, way)
        target = _target(way, address, taken=[one.name for one in targets])
        targets.append(target)
        ways[target.id] = apprise.Apprise(way, asset=asset)
    return Messenger(targets, ways)


def _target(way: "NotifyBase", address: Address, *, taken: Sequence[str]) -> Target:
    """A target's name, the same at every reading, and its id, which tells nothing that the name does not."""
    parts = urlsplit(_masked(way))
    shown = f"{parts.scheme}://{parts.netloc}"
    same = sum(name == shown or name.startswith(f"{shown} (") for name in taken)
    name = f"{shown} ({same + 1})" if same else shown
    return Target(id=hashlib.sha256(name.encode()).hexdigest()[:16], name=name, labs=address.labs)


def _remember_hidden(url: str, way: "NotifyBase") -> None:
    """What Apprise masks is a secret, wherever in the address it stands: often the host is a token."""
    shown = _masked(way)
    parts = urlsplit(url)
    for part in (parts.hostname, parts.netloc, *parts.path.split("/")):
        if part and part not in shown:
            remember(part)


def _masked(way: Any) -> str:
    return str(way.url(privacy=True))


_SENDING = ContextVar("sending", default=False)


def _not_sending(_record: logging.LogRecord) -> bool:
    return not _SENDING.get()


def _keep_quiet() -> None:
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)  # what a result quotes
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3.connectionpool").addFilter(_not_sending)  # one filter is added once
