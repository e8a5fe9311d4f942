"""Measure what is promised, beside something measured in the same run."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from scripts.benches import daemon, preroll, press, start, store

BENCHES: dict[str, Any] = {
    "press": press,
    "daemon": daemon,
    "store": store,
    "start": start,
    "preroll": preroll,
}


def main() -> int:
    """Print a table, and JSON if asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--tries", type=int, help="how often; each bench has its own default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same figures there, too")
    given = parser.parse_args()
    bench = BENCHES[given.name]
    result = bench.measure(given.tries or bench.TRIES)
    print(f"{bench.TITLE} ({result['tries']} tries)")
    for line in bench.table(result):
        print(f"  {line}")
    if given.json:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        given.json.write_text(json.dumps({"bench": given.name, **machine, **result}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
