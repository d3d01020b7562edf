"""The second line of defence: what this process has learnt as a secret is masked in everything it says.

The first line is that a secret is never put into a message.  This one is for the mistakes of that: a library that
quotes a header, a server that echoes a login, a traceback with an address in it.  Whoever reads a secret calls
`remember`; every `TransferError` and every log line goes through `masked`.

Promises: `masked` also finds a secret as it stands in a URL, in JSON or in a repr.  It never fails and never waits.

Not done: a secret shorter than `SHORTEST` is not looked for, because every other word would be masked; a secret
that is cut in two is not recognised.
"""

import json
import re
import threading
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 8
MASK = "***"
_REMEMBERED = 300  # forms; tokens are renewed for ever, and an old one is worth nothing


class _Known:
    """The forms to look for, newest last.  Each name is replaced as a whole: readers need no lock."""

    writing = threading.Lock()
    forms: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None


def remember(secret: str | None) -> None:
    """Mask this text from now on.  None and what is too short are ignored."""
    if secret is None or len(secret) < SHORTEST:
        return
    with _Known.writing:
        new = [form for form in dict.fromkeys(_forms(secret)) if form not in _Known.forms]
        if not new:
            return
        _Known.forms, _Known.pattern = (*_Known.forms, *new)[-_REMEMBERED:], None


def masked(text: str) -> str:
    """The text with `***` in place of every known secret."""
    forms, pattern = _Known.forms, _Known.pattern
    if not forms:
        return text
    if pattern is None:
        # The longest first: one secret may be the beginning of another.
        pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))
        with _Known.writing:
            if _Known.forms is forms:
                _Known.pattern = pattern
    return pattern.sub(MASK, text)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="", errors="replace")
    yield quote_plus(secret, errors="replace")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
