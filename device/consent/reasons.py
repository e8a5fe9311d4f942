"""Reasons for refusing a message: a code for programs, a sentence for the owner. The sender gets no answer."""

from enum import StrEnum


class Reason(StrEnum):
    """All reasons. `docs/consent-protocol.md` lists the checks in their order."""

    @property
    def sentence(self) -> str:
        """The sentence for the owner."""
        return _SENTENCES[self]

    # The envelope's form, checked before its signature.
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_COMPACT = "not_compact"
    NOT_CANONICAL = "not_canonical"
    BAD_HEADER = "bad_header"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE_LENGTH = "bad_signature_length"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    TOO_MANY_VALUES = "too_many_values"
    NOT_JSON = "not_json"
    DUPLICATE_NAME = "duplicate_name"
    BAD_NUMBER = "bad_number"
    BAD_TEXT = "bad_text"
    NOT_AN_OBJECT = "not_an_object"
    # The signature, and the payload's members.
    BAD_SIGNATURE = "bad_signature"
    BAD_MEMBER = "bad_member"
    BAD_AREA = "bad_area"
    AREA_ACROSS_180 = "area_across_180"
    AREA_BEYOND_85 = "area_beyond_85"
    # The rules for a validly signed message.
    WRONG_SENDER = "wrong_sender"
    KEY_NOT_VALID = "key_not_valid"
    NOT_ALLOWED = "not_allowed"
    FROM_THE_FUTURE = "from_the_future"
    EXPIRED = "expired"
    LIFE_TOO_LONG = "life_too_long"
    BAD_WINDOW = "bad_window"
    AREA_SIZE = "area_size"
    AREA_SHAPE = "area_shape"
    OUTSIDE_JURISDICTION = "outside_jurisdiction"
    UNKNOWN_UPLOAD = "unknown_upload"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    ID_REUSED = "id_reused"
    UNKNOWN_ID = "unknown_id"
    OUTDATED = "outdated"
    CASE_EXHAUSTED = "case_exhausted"
    TOO_MANY_OPEN = "too_many_open"
    TOO_MANY_TODAY = "too_many_today"
    # The keys and recipients of a sender's record.
    BAD_KEY = "bad_key"
    BAD_RECIPIENT = "bad_recipient"
    # The owner's input; the detail explains it.
    MISTAKE = "mistake"
    # A bug in the check: a hostile message must not stop the doorbell.
    GATE_FAILED = "gate_failed"
    # Files in the spool, and documents of feeds.
    NOT_A_FILE = "not_a_file"
    WRONG_OWNER = "wrong_owner"
    BROKEN_FILE = "broken_file"
    UNKNOWN_FEED = "unknown_feed"
    NOT_A_FEED = "not_a_feed"
    HOSTILE_XML = "hostile_xml"


_SENTENCES = {
    Reason.EMPTY: "it is empty",
    Reason.TOO_LARGE: "it is larger than 32 KiB",
    Reason.NOT_COMPACT: "it is not three base64url texts with dots between them",
    Reason.NOT_CANONICAL: "one of its base64url texts is padded, broken or has spare bits set",
    Reason.BAD_HEADER: 'its header is not exactly {"alg":"EdDSA","typ":…,"kid":…}',
    Reason.WRONG_TYPE: "this type of message is not accepted here",
    Reason.UNKNOWN_KEY: "it is signed with a key that you have not pinned",
    Reason.BAD_SIGNATURE_LENGTH: "its signature is not 64 bytes long",
    Reason.NOT_UTF8: "its payload is not UTF-8",
    Reason.TOO_DEEP: "its payload is nested more than 8 levels deep",
    Reason.TOO_MANY_VALUES: "its payload has more values than any valid message needs",
    Reason.NOT_JSON: "its payload is not JSON",
    Reason.DUPLICATE_NAME: "its payload has two members of the same name",
    Reason.BAD_NUMBER: "its payload has a number that is not a plain number in range",
    Reason.BAD_TEXT: "its payload has half a character (a lone surrogate)",
    Reason.NOT_AN_OBJECT: "its payload is not a JSON object",
    Reason.BAD_SIGNATURE: "its signature is wrong: somebody changed the message, or somebody else signed it",
    Reason.BAD_MEMBER: "a member of its payload is missing, unknown or malformed",
    Reason.BAD_AREA: "its area is not a simple polygon",
    Reason.AREA_ACROSS_180: "its area crosses the 180th meridian: divide it there into two messages",
    Reason.AREA_BEYOND_85: "its area reaches beyond 85 degrees north or south, where no area's shape is checked",
    Reason.WRONG_SENDER: "the sender that it names does not own the key that signed it",
    Reason.KEY_NOT_VALID: "its key was not yet valid, or no longer valid, when it was signed",
    Reason.NOT_ALLOWED: "this sender may not send this",
    Reason.FROM_THE_FUTURE: "it was signed at a time that is in the future by this doorbell's clock",
    Reason.EXPIRED: "it has expired",
    Reason.LIFE_TOO_LONG: "it would stay open for longer than is allowed",
    Reason.BAD_WINDOW: "its window is not 15 minutes to 12 hours, in the 30 days before it was signed",
    Reason.AREA_SIZE: "its area is smaller or larger than is allowed",
    Reason.AREA_SHAPE: "its area has parts that are too narrow, and could point at a single house",
    Reason.OUTSIDE_JURISDICTION: "its area is not within the sender's jurisdiction",
    Reason.UNKNOWN_UPLOAD: "it names an upload target that you have not pinned",
    Reason.UNKNOWN_RECIPIENT: "it names a recipient that you have not pinned",
    Reason.ID_REUSED: "its id was already used for something else",
    Reason.UNKNOWN_ID: "it refers to something that this doorbell has not received",
    Reason.OUTDATED: "something newer has replaced it",
    Reason.CASE_EXHAUSTED: "its case has already had two requests",
    Reason.TOO_MANY_OPEN: "this sender has too many open requests",
    Reason.TOO_MANY_TODAY: "this sender has sent too many messages in one day",
    Reason.BAD_KEY: "one of its keys is not a usable Ed25519 key, or is not named by its fingerprint",
    Reason.BAD_RECIPIENT: "nothing can be encrypted for one of its recipients",
    Reason.MISTAKE: "this input is not possible",
    Reason.GATE_FAILED: "the check crashed on it, which is a bug: please report it with the exported ledger",
    Reason.NOT_A_FILE: "it is not a regular file",
    Reason.WRONG_OWNER: "the file does not belong to the courier",
    Reason.BROKEN_FILE: "the file is not in the courier's format",
    Reason.UNKNOWN_FEED: "it came from a feed that you have not added, or have removed",
    Reason.NOT_A_FEED: "it is neither a CAP alert nor an Atom feed",
    Reason.HOSTILE_XML: "it is XML with entities or a document type, which may be an attack",
}


def sentence_of(word: str) -> str:
    """Return the sentence for a reason's code; the code itself if this version does not know it."""
    return Reason(word).sentence if word in Reason._value2member_map_ else word


class Refused(Exception):
    """A message is refused; `detail` gives the specifics, for the owner only.

    A mistake of the owner has `code` and `params`, as a CommandError has.
    """

    def __init__(
        self, reason: Reason, detail: str = "", *, code: str = "mistake", **params: str | float
    ) -> None:
        super().__init__(f"{reason}: {reason.sentence}{f' ({detail})' if detail else ''}")
        self.reason = reason
        self.detail = detail
        self.code = code
        self.params = params
