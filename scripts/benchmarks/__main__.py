"""Measure what is promised, beside something measured in the same run."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from scripts.benchmarks import daemon, gate, motion, page, preroll, press, release, start, store

BENCHES: dict[str, Any] = {
    "press": press,
    "daemon": daemon,
    "store": store,
    "start": start,
    "preroll": preroll,
    "page": page,
    "gate": gate,
    "release": release,
}


def main() -> int:
    """Print a table, and JSON if asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, bench in {**BENCHES, "motion": motion}.items():
        one = names.add_parser(name, help=(bench.__doc__ or "").splitlines()[0])
        one.add_argument("--json", type=Path, metavar="FILE", help="write the same figures there, too")
        if name == "motion":
            motion.options(one)
        else:
            one.add_argument("--tries", type=int, default=bench.TRIES, help=f"how often ({bench.TRIES})")
    given = parser.parse_args()
    result = motion.main(given) if given.name == "motion" else _measured(BENCHES[given.name], given.tries)
    if given.json:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        given.json.write_text(json.dumps({"bench": given.name, **machine, **result}, indent=1) + "\n")
    return 0


def _measured(bench: Any, tries: int) -> dict[str, Any]:
    result: dict[str, Any] = bench.measure(tries)
    print(f"{bench.TITLE} ({result['tries']} tries)")
    for line in bench.table(result):
        print(f"  {line}")
    return result


if __name__ == "__main__":
    sys.exit(main())
