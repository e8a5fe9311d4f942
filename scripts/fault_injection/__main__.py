"""Test the promises about faults with power cuts and long runs."""

import argparse
import sys

from scripts.fault_injection import power, simulate, soak


def main() -> int:
    """Run one trial."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="TRIAL")
    for trial in (simulate, power, soak):
        trial.add_parser(subparsers)
    given = parser.parse_args()
    return int(given.run(given))


if __name__ == "__main__":
    sys.exit(main())
