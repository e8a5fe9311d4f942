"""ULIDs (github.com/ulid/spec): 48 bits of Unix milliseconds, 80 bits of randomness, base 32.

As text they sort by time, and they identify no device and no home.
"""

import secrets

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid(wall_us: int) -> str:
    """Return a new ULID for a Unix time in microseconds (times before 1970 count as 1970)."""
    number = (max(0, wall_us) // 1000 & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
