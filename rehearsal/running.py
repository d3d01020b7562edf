"""From drills to a sheet: each on a stage of its own, one after the other."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.catalogue import Drill
from rehearsal.listening import Listening
from rehearsal.protections import Protection
from rehearsal.stage import NotOver, Stage
from transfer.errors import TransferError


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """One line of the sheet.  `wrong` are sentences; where there is one, the drill failed."""

    drill: Drill
    struck: int
    seen: tuple[str, ...]
    wrong: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.wrong


def rehearse(
    drills: Sequence[Drill], *, unprotected: Protection | None = None, begin: Callable[[Drill], None]
) -> Iterator[Played]:
    """Play the drills, and tell before each that it begins.  What is no fault of the plan's is raised."""
    for drill in drills:
        begin(drill)
        with tempfile.TemporaryDirectory(prefix="alyx-transfer-rehearsal-") as folder:
            yield _played(drill, Path(folder) / "box", unprotected)


def _played(drill: Drill, folder: Path, unprotected: Protection | None) -> Played:
    begun = time.monotonic()
    off = unprotected.off if unprotected else None
    with Listening() as log, Stage(folder, drill.scenery, off=off) as stage:
        try:
            drill.play(stage)
            stage.inspect()
        except (NotOver, TransferError) as stuck:
            stage.wrong.append(f"it did not come to an end: {stuck}")
        return Played(
            drill=drill,
            struck=stage.plan.struck,
            seen=(log.told, *stage.seen),
            wrong=tuple(dict.fromkeys([*stage.plan.missed(), *stage.wrong, *log.defects])),
            seconds=time.monotonic() - begun,
        )
