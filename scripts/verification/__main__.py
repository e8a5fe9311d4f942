"""scripts/prove: test a promise on real servers and real packets, and print the evidence."""

import argparse
import sys

from scripts.verification import audit, egress, flood, home_assistant, release, silence, subscriptions

PROOFS = {
    "silence": silence,
    "flood": flood,
    "release": release,
    "audit": audit,
    "egress": egress,
    "subscriptions": subscriptions,
    "home-assistant": home_assistant,
}


def main() -> int:
    """Run one proof; exit status 0 if the promise holds, 1 if it does not."""
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    commands = parser.add_subparsers(metavar="PROOF", required=True)
    for name, module in PROOFS.items():
        subparser = commands.add_parser(
            name,
            help=(module.__doc__ or "").splitlines()[0].partition(": ")[2],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.main)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
