"""What to tell people, and what not to say again: pure decisions.

A *concern* is one thing that needs a person, under a key that stays the same for as long as it stands.  *Told* is what
we remember of having said it to one target.  `digest` compares the two and makes at most one message of them:

    new      what stands and was not told, or has grown to `GROWN` times what was told
    still    what was told and still stands, once a day at the time of the rules
    over     what was told and is gone for `SETTLED`: what comes and goes within that time is told once

PROMISES: what was told is not told again at the same moment, nor when the clock goes back; whatever stands is told, if
not in this message then in the next; a silenced lab is never spoken of, and what still stands when its silence ends is
told then.  In quiet hours nothing is said; it is said afterwards.

Not here: what the concerns are (`transfer.ledger.concerns`), who is told and how (`config.messenger`).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from transfer.notices import Concern, Digest, Message, Rules, Silence, Told

GROWN = 10
"""So many times the files that were told are news again."""

SETTLED = timedelta(minutes=30)
"""What is gone for so long is over."""

LONGEST = 3500
"""Letters of a message's body: messengers refuse more than 4096."""

_SHORTEST = timedelta(hours=6)  # what was told this shortly before the day's reminder is left out of it
_SENTENCE = 400


def digest(
    now: datetime,
    concerns: Sequence[Concern],
    told: Sequence[Told],
    silences: Sequence[Silence] = (),
    rules: Rules | None = None,
    *,
    labs: Collection[str] = (),
) -> Digest:
    """What to say now to a target that hears of these labs (of all where none is named), and what to remember."""
    rules = rules or Rules()
    silent = {one.lab for one in silences if one.holds(now)}
    standing = {one.key: one for one in concerns if _concerns(one.lab, labs)}
    keep = {one.key: one for one in _looked_over(now, standing, told)}
    forget = tuple(
        one.key
        for one in told
        if one.key not in standing and (one.lab in silent or not _concerns(one.lab, labs))
    )
    known = {one.key: keep.get(one.key, one) for one in told}
    entries = [] if _quiet(now, rules) else _fitting(_entries(now, standing, known, silent, rules))
    return Digest(
        message=_message(entries, rules) if entries else None,
        tell=tuple(_told(one.concern, now) for one in entries if one.concern is not None),
        over=tuple(one.key for one in entries if one.concern is None),
        keep=tuple(one for key, one in keep.items() if key not in forget),
        forget=forget,
    )


def _concerns(lab: str | None, labs: Collection[str]) -> bool:
    return not labs or lab is None or lab in labs


def _looked_over(now: datetime, standing: Mapping[str, Concern], told: Iterable[Told]) -> Iterator[Told]:
    """What must be remembered otherwise: it went, it came back, or it was written by a clock that was ahead."""
    for one in told:
        at = min(one.at, now)
        gone_at = None if one.key in standing else min(one.gone_at or now, now)
        if (at, gone_at) != (one.at, one.gone_at):
            yield replace(one, at=at, gone_at=gone_at)


def _quiet(now: datetime, rules: Rules) -> bool:
    return rules.quiet is not None and now.astimezone(rules.zone).time() in rules.quiet


# ---- what is news


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One paragraph; `concern` is None for what is over."""

    kind: str
    key: str
    lab: str | None
    words: str
    concern: Concern | None


def _entries(
    now: datetime,
    standing: Mapping[str, Concern],
    told: Mapping[str, Told],
    silent: Collection[str],
    rules: Rules,
) -> list[_Entry]:
    """Everything to say now: what is new first, then what is over, then the day's reminder."""
    new, still, over = [], [], []
    for key, concern in standing.items():
        before = told.get(key)
        if concern.lab in silent:
            continue
        if before is None or concern.files >= GROWN * max(before.files, 1):
            new.append(_entry("new", concern, now, before))
        elif before.at <= _last_reminder(now, rules) - _SHORTEST:
            still.append(_entry("still", concern, now, None))
    for key, before in told.items():
        gone = key not in standing and before.gone_at is not None and now - before.gone_at >= SETTLED
        if gone and before.lab not in silent:
            words = f"- {before.sentence}"
            over.append(_Entry(kind="over", key=key, lab=before.lab, words=words, concern=None))
    return [*new, *over, *still]


def _last_reminder(now: datetime, rules: Rules) -> datetime:
    """The last moment that the clock on the wall showed the time of the day's reminder."""
    today = now.astimezone(rules.zone).date()
    moments = (
        datetime.combine(today - timedelta(days=back), rules.at, tzinfo=rules.zone).astimezone(UTC)
        for back in (0, 1, 2)
    )
    return next(moment for moment in moments if moment <= now)


def _told(concern: Concern, now: datetime) -> Told:
    return Told(
        key=concern.key, lab=concern.lab, sentence=plain(concern.sentence), files=concern.files, at=now
    )


# ---- words

_HEADINGS = {"new": "NEW", "over": "OVER", "still": "STILL STANDING"}
_IN_TITLE = {"new": "new", "over": "over", "still": "still standing"}


def _entry(kind: str, concern: Concern, now: datetime, before: Told | None) -> _Entry:
    words = f"- {plain(concern.sentence)}"
    if before is not None and before.files:
        words += f" (When this was last told: {before.files}.)"
    if concern.since is not None and now - concern.since >= timedelta(hours=1):
        words += f" For {_length(now - concern.since)}."
    words += f"\n  What to do: {plain(concern.do)}"
    return _Entry(kind=kind, key=concern.key, lab=concern.lab, words=words, concern=concern)


def _fitting(entries: Sequence[_Entry]) -> list[_Entry]:
    """As many as fit into one message, at least one; the others are told with the next."""
    room = LONGEST - 300  # headings, the last line and what is left out
    fitting: list[_Entry] = []
    for one in entries:
        room -= len(one.words) + 1
        if fitting and room < 0:
            break
        fitting.append(one)
    return fitting


def _message(entries: Sequence[_Entry], rules: Rules) -> Message:
    kinds = list(dict.fromkeys(one.kind for one in entries))
    counts = {kind: sum(one.kind == kind for one in entries) for kind in kinds}
    labs = sorted({one.lab or "" for one in entries})
    about = f" ({', '.join(labs)})" if 0 < len(labs) <= 3 and "" not in labs else ""
    title = ", ".join(f"{counts[kind]} {_IN_TITLE[kind]}" for kind in kinds)
    parts = [
        "\n".join([_HEADINGS[kind], *(one.words for one in entries if one.kind == kind)]) for kind in kinds
    ]
    where = f"{rules.link} or `alyx-transfer held`" if rules.link else "`alyx-transfer held`"
    parts.append(f"All that waits for a person: {where}.")
    return Message(title=plain(f"alyx-transfer: {title}{about}"), body="\n\n".join(parts))


def plain(words: str) -> str:
    """One line without control characters, at most `_SENTENCE` letters: it may quote a server or a file's name.

    Nor does it call anybody or become a link or a tag where a messenger reads Markdown or HTML.
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
    line = _CALLS.sub(r"\1 \2", line).translate(_TAGS).replace("](", "] (")
    return line if len(line) <= _SENTENCE else f"{line[: _SENTENCE - 1]}…"


_CALLS = re.compile(r"(@)(everyone|here|channel|all)\b", re.IGNORECASE)
_TAGS = str.maketrans("<>", "‹›")


def _length(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return f"{hours} h"
