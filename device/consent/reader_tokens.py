"""What is stored of a read token. Pure; imports nothing, because the RTSP process is small.

A token has 256 random bits, so a fast hash keeps it as well as a slow one.
"""

import hashlib

REALM = "doorbelld"


def sha256_of(token: str) -> str:
    """Return the hash by which HTTP knows a token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def rtsp_ha1(name: str, token: str) -> str:
    """Return H(A1) of digest authentication (RFC 7616, 3.4.2): it opens RTSP in this realm and nothing else."""
    return hashlib.md5(f"{name}:{REALM}:{token}".encode(errors="replace"), usedforsecurity=False).hexdigest()
