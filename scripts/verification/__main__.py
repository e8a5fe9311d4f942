"""scripts/prove: print the proof of a promise, from real servers and real packets."""

import argparse
import sys

from scripts.verification import flood, release, silence

PROOFS = {"silence": silence, "flood": flood, "release": release}


def main() -> int:
    """Run one proof; exit status 0 it holds, 1 it does not."""
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    commands = parser.add_subparsers(metavar="PROOF", required=True)
    for name, module in PROOFS.items():
        one = commands.add_parser(
            name,
            help=(module.__doc__ or "").splitlines()[0].partition(": ")[2],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(one)
        one.set_defaults(run=module.main)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
