"""`python -m bench overhead`, `transports`, `dashboard` and `scale`; their arguments are their own."""

import sys
from collections.abc import Callable

from bench import dashboard, overhead, scale, transports

_KINDS: dict[str, Callable[[], None]] = {
    "overhead": overhead.main,
    "transports": transports.main,
    "dashboard": dashboard.main,
    "scale": scale.main,
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in _KINDS:
        raise SystemExit(f"python -m bench {'|'.join(_KINDS)} [arguments]: name what to measure.")
    kind = sys.argv.pop(1)
    sys.argv[0] = f"python -m bench {kind}"
    _KINDS[kind]()


if __name__ == "__main__":
    main()
