"""Is an answer the recorded one? Values that change from run to run are only checked for being there.

Two JSON values are walked together. A list whose order the server does not promise is matched row by row
(a maximum matching, because masked rows may resemble each other). The result is the differences, and the
actual value rearranged in the recorded order, so that "the second file record" means the same one in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
Unordered = Callable[[Path], bool]


@dataclass(frozen=True, slots=True)
class Volatile:
    """Stands in a recorded value for something that changes from run to run."""

    kind: type


def mask(value: Any, pointers: Sequence[str]) -> Any:
    """A copy of a recorded value with the volatile places marked; pointers to nothing are ignored."""
    marked = {tuple(pointer.split("/")[1:]) for pointer in pointers}

    def walk(item: Any, path: tuple[str, ...]) -> Any:
        if path in marked:
            return Volatile(type(item))
        if isinstance(item, dict):
            return {key: walk(inner, (*path, key)) for key, inner in item.items()}
        if isinstance(item, list):
            return [walk(inner, (*path, str(index))) for index, inner in enumerate(item)]
        return item

    return walk(value, ())


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer points at; raises LookupError if nothing is there."""
    for part in pointer.split("/")[1:]:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def compare(expected: Any, actual: Any, unordered: Unordered, path: Path = ()) -> tuple[list[str], Any]:
    """The differences (empty if they agree), and `actual` in the order of `expected`."""
    if isinstance(expected, Volatile):
        alike = type(actual) is expected.kind
        return ([] if alike else [_said(path, f"a {expected.kind.__name__}", actual)]), actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _compare_objects(expected, actual, unordered, path)
    if isinstance(expected, list) and isinstance(actual, list):
        if unordered(path):
            return _match(expected, actual, unordered, path)
        return _compare_lists(expected, actual, unordered, path)
    if type(expected) is not type(actual) or expected != actual:
        return [_said(path, repr(expected), actual)], actual
    return [], actual


def _said(path: Path, wanted: str, actual: Any) -> str:
    where = "/" + "/".join(map(str, path)) if path else "body"
    return f"{where}: {_short(wanted)} expected, {_short(repr(actual))} received"


def _short(text: str) -> str:
    return text if len(text) < 300 else f"{text[:300]}..."


def _compare_objects(
    expected: dict[str, Any], actual: dict[str, Any], unordered: Unordered, path: Path
) -> tuple[list[str], Any]:
    differences = [_said((*path, key), "nothing", actual[key]) for key in actual.keys() - expected.keys()]
    aligned = dict(actual)
    for key, wanted in expected.items():
        if key not in actual:
            differences.append(f"/{'/'.join(map(str, (*path, key)))}: missing")
            continue
        found, aligned[key] = compare(wanted, actual[key], unordered, (*path, key))
        differences += found
    return differences, aligned


def _compare_lists(
    expected: list[Any], actual: list[Any], unordered: Unordered, path: Path
) -> tuple[list[str], Any]:
    differences = []
    if len(expected) != len(actual):
        differences.append(_said(path, f"{len(expected)} entries", f"{len(actual)} entries"))
    aligned = list(actual)
    for index, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
        inner, aligned[index] = compare(wanted, found, unordered, (*path, index))
        differences += inner
    return differences, aligned


def _match(expected: list[Any], actual: list[Any], unordered: Unordered, path: Path) -> tuple[list[str], Any]:
    """Give every expected row a different actual row that agrees with it."""
    fits: list[list[int]] = []
    for index, wanted in enumerate(expected):
        fits.append(
            [n for n, found in enumerate(actual) if not compare(wanted, found, unordered, (*path, index))[0]]
        )
    taken: dict[int, int] = {}

    def place(index: int, tried: set[int]) -> bool:
        for candidate in fits[index]:
            if candidate in tried:
                continue
            tried.add(candidate)
            if candidate not in taken or place(taken[candidate], tried):
                taken[candidate] = index
                return True
        return False

    unplaced = [index for index in range(len(expected)) if not place(index, set())]
    differences = [_said((*path, index), repr(expected[index]), "no such entry") for index in unplaced]
    if len(expected) > len(actual):
        differences.append(_said(path, f"{len(expected)} entries", f"{len(actual)} entries"))
    by_row = {index: candidate for candidate, index in taken.items()}
    first = [
        compare(expected[index], actual[by_row[index]], unordered, (*path, index))[1]
        for index in range(len(expected))
        if index in by_row
    ]
    rest = [found for n, found in enumerate(actual) if n not in taken]
    return differences, first + rest
