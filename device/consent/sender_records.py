"""Reads a sender's record, which is signed with one of its own keys or with a pinned one."""

from device.consent import keys
from device.consent.envelope import RECORD, Envelope, read
from device.consent.models import SenderRecord, record_of
from device.consent.reasons import Reason, Refused


def record_in(content: bytes) -> tuple[Envelope, SenderRecord]:
    """Return the record in a sender's file, signed by one of its own keys. Raises Refused."""
    envelope = read(content.strip(), types=(RECORD,), kids=None)
    record = record_of(envelope.payload)
    for key in record.keys:
        raw = keys.public_key(key.x)
        if keys.fingerprint(raw) != key.kid:
            raise Refused(Reason.BAD_KEY, f"{key.kid} is not the fingerprint of its key")
    own = {key.kid: keys.public_key(key.x) for key in record.keys}
    if envelope.kid in own:
        keys.check(envelope, own[envelope.kid])
    return envelope, record
