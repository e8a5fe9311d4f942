"""Measure the figures of docs/performance.md, each beside a baseline in the same run."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from scripts.benchmarks import (
    broker_picture,
    daemon,
    gate,
    motion,
    page,
    preroll,
    press,
    press_picture,
    release,
    rtsp,
    start,
    store,
    transfer,
)

BENCHES: dict[str, Any] = {
    "press": press,
    "press_picture": press_picture,
    "broker_picture": broker_picture,
    "daemon": daemon,
    "store": store,
    "start": start,
    "preroll": preroll,
    "page": page,
    "gate": gate,
    "release": release,
    "transfer": transfer,
    "rtsp": rtsp,
}


def main() -> int:
    """Print a table, and JSON if asked."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, bench in {**BENCHES, "motion": motion}.items():
        subparser = names.add_parser(name, help=(bench.__doc__ or "").splitlines()[0])
        subparser.add_argument(
            "--json", type=Path, metavar="FILE", help="also write the figures to this file"
        )
        if name == "motion":
            motion.options(subparser)
        else:
            subparser.add_argument(
                "--tries", type=int, default=bench.TRIES, help=f"number of measurements ({bench.TRIES})"
            )
    arguments = parser.parse_args()
    result = (
        motion.main(arguments)
        if arguments.name == "motion"
        else _measured(BENCHES[arguments.name], arguments.tries)
    )
    if arguments.json:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        arguments.json.write_text(json.dumps({"bench": arguments.name, **machine, **result}, indent=1) + "\n")
    return 0


def _measured(bench: Any, tries: int) -> dict[str, Any]:
    result: dict[str, Any] = bench.measure(tries)
    print(f"{bench.TITLE} ({result['tries']} tries)")
    for line in bench.table(result):
        print(f"  {line}")
    return result


if __name__ == "__main__":
    sys.exit(main())
