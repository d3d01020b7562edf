"""A model looked through whole: every state that its steps reach, and what is wrong in each."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Found:
    """What the search saw: how many states, how often each kind of wrong, and the way to the first of each."""

    states: int
    wrong: Counter[str]
    ways: dict[str, list[str]]


def look_through(
    first: State,
    steps: Callable[[State], Iterable[tuple[str, State]]],
    wrong: Callable[[State], Iterable[str]],
    *,
    until: str = "",
    most: int = 400_000,
) -> Found:
    """Every state that can be reached, or as many as come before the first that is wrong as `until` says.

    Raises RuntimeError beyond `most` of them.
    """
    came: dict[State, tuple[State, str] | None] = {first: None}
    todo = deque([first])
    seen: Counter[str] = Counter()
    ways: dict[str, list[str]] = {}
    while todo:
        state = todo.popleft()
        for kind in wrong(state):
            seen[kind] += 1
            if kind not in ways:
                ways[kind] = _way(came, state)
        if until in ways:
            break
        for what, after in steps(state):
            if after not in came:
                came[after] = (state, what)
                todo.append(after)
        if len(came) > most:
            raise RuntimeError(f"more than {most} states")
    return Found(len(came), seen, ways)


def _way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way: list[str] = []
    while (step := came[state]) is not None:
        state, what = step
        way.append(what)
    return way[::-1]
