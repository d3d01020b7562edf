"""The few words every explanation shares."""

from datetime import UTC, datetime


def who(actor: str | None) -> str:
    """An actor for people: `person:alice` is alice."""
    return (actor or "somebody").removeprefix("person:")


def moment(at: datetime) -> str:
    """A moment in UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def because(text: str | None) -> str:
    """A cause as the end of a sentence, '' when there is none."""
    return f", because {text.rstrip('.')}" if text else ""


def counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
