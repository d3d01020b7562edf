"""Sizes and lengths of time in words, alike on the command line and on the pages."""

from datetime import datetime, timedelta

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: int | float | None) -> str:
    """Bytes for people: `512 B`, `1.5 GiB`."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def duration(length: timedelta | float | None) -> str:
    """A length of time for people, its two largest units: `3 d 4 h`, `12 min 5 s`, `0 s`."""
    if length is None:
        return "-"
    seconds = int(length.total_seconds() if isinstance(length, timedelta) else length)
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts: list[str] = []
    for unit, span in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, seconds = divmod(seconds, span)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return sign + " ".join(parts[:2])


def age(then: datetime | None, now: datetime) -> str:
    """How long ago `then` was; `in 5 min` for what is still to come."""
    if then is None:
        return "-"
    return f"in {duration(then - now)}" if then > now else duration(now - then)
