"""`python -m tests.crash`: kill and pause real workers at every outside effect, and see that nothing is lost.

Exit code 0 when every round was right, 1 when one was not.  With `--seed` a run is drawn again.
"""

import argparse
import json
import logging
import sys

import structlog

from tests.crash.matrix import run
from tests.crash.rounds import Played
from tests.crash.stage import TRANSPORTS, missing


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    words.add_argument("--transport", choices=TRANSPORTS, required=True)
    words.add_argument("--rounds", type=int, default=30)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument(
        "--again", action="append", default=[], metavar="WORD", help="a round that failed, once more"
    )
    words.add_argument("--json", action="store_true", help="the sum as one JSON document on standard output")
    words.add_argument("--logs", action="store_true", help="what the workers said, with each round")
    asked = words.parse_args()
    if lacking := missing(asked.transport):
        print(lacking, file=sys.stderr)
        return 2

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    def tell(played: Played) -> None:
        verdict = "; ".join(played.wrong) or "ok"
        lie = f" (lie {played.lie_ms} ms)" if played.lie_ms else ""
        print(
            f"{played.plan.number:4} {played.seconds:5.1f} s  {played.plan}{lie}: {verdict}", file=sys.stderr
        )
        if played.wrong:
            print(f"     again: --again '{played.plan.again}'", file=sys.stderr)
        if asked.logs:
            print(played.said, file=sys.stderr)

    result = run(asked.transport, rounds=asked.rounds, seed=asked.seed, again=asked.again, told=tell)
    print(result.row(), file=sys.stderr)
    if asked.json:
        print(json.dumps(result.document(), indent=2))
    else:
        for key, value in result.document().items():
            print(f"{key:20} {value}")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
