"""A file's time as a bar: where each stretch of it lies, and how long each phase took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from transfer.ledger.glance.timeline import Phase, Span

_NARROWEST = 0.4  # percent: shorter stretches would not be seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """One piece of the bar, in percent of its whole length."""

    phase: Phase
    begins: float
    width: float
    lasted: timedelta
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One phase altogether; `share` is its percent of the whole."""

    phase: Phase
    lasted: timedelta
    share: float
    going_on: bool


def stretches(spans: Sequence[Span], now: datetime) -> tuple[Stretch, ...]:
    """The bar, from the first moment to the last; what goes on ends now."""
    if not spans:
        return ()
    first = spans[0].begin
    whole = (_end(spans[-1], now) - first).total_seconds()
    made = []
    for span in spans:
        lasted = _end(span, now) - span.begin
        begins = 100 * (span.begin - first).total_seconds() / whole if whole > 0 else 0.0
        width = 100 * lasted.total_seconds() / whole if whole > 0 else 100 / len(spans)
        made.append(
            Stretch(
                phase=span.phase,
                begins=round(min(begins, 100 - _NARROWEST), 3),
                width=round(max(width, _NARROWEST), 3),
                lasted=lasted,
                begin=span.begin,
                end=span.end,
            )
        )
    return tuple(made)


def shares(spans: Sequence[Span], now: datetime) -> tuple[Share, ...]:
    """How long each phase took altogether, in the order of the journey; phases that never were are left out."""
    lasted: dict[Phase, timedelta] = {}
    for span in spans:
        lasted[span.phase] = lasted.get(span.phase, timedelta()) + (_end(span, now) - span.begin)
    whole = sum(lasted.values(), timedelta())
    running = {span.phase for span in spans if span.end is None}
    return tuple(
        Share(
            phase=phase,
            lasted=lasted[phase],
            share=100 * (lasted[phase] / whole) if whole else 0.0,
            going_on=phase in running,
        )
        for phase in Phase
        if phase in lasted
    )


def _end(span: Span, now: datetime) -> datetime:
    return max(span.end or now, span.begin)
