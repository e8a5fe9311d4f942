"""`doorbell release audit`: what an independent reader finds in a clip. Needs no daemon."""

import argparse

from device.cli.client import FAILED, OK, print_json
from device.errors import CommandError


def audit(arguments: argparse.Namespace) -> int:
    """Audit a clip as it is audited before it is released."""
    from device.release.audit import Promise
    from device.release.audit import audit as audited  # loads PyAV
    from device.release.leak_scan import patterns

    given = (arguments.frames, arguments.length_us)
    if (given[0] is None) != (given[1] is None):
        raise CommandError("--frames and --length-us go together: they are what was promised")
    promise = None
    if given[0] is not None:
        promise = Promise(frames=given[0], length_us=given[1], sound=arguments.sound)
    try:
        report = audited(arguments.file, promise, patterns(arguments.canary))
    except OSError as error:
        raise CommandError(f"{arguments.file}: {error.strerror}") from error
    if arguments.json:
        result = {
            "good": report.good,
            "proofs": [
                {"name": proof.name, "good": proof.good, "result": proof.result} for proof in report.proofs
            ],
            "frames": report.frames,
            "length_us": report.length_us,
            "codecs": report.codecs,
            "bytes": report.size_bytes,
        }
        print_json(result)
    else:
        for proof in report.proofs:
            print(f"{'ok ' if proof.good else 'NO '} {proof.name}: {proof.result}")
        if not report.good:
            print("this file would not be released: nothing behind the line with NO was looked at")
    return OK if report.good else FAILED
