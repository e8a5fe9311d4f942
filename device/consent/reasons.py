"""Why something was refused: a word for machines, a sentence for the owner. Nobody else is told."""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason there is. `docs/consent-protocol.md` says in which order they are looked for."""

    @property
    def sentence(self) -> str:
        """What the owner reads."""
        return _SENTENCES[self]

    # The envelope's form, before anything in it is believed.
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
    # What it says, believed to be from the key's owner.
    BAD_SIGNATURE = "bad_signature"
    BAD_MEMBER = "bad_member"
    BAD_AREA = "bad_area"
    # Whether it may say it.
    WRONG_SENDER = "wrong_sender"
    KEY_NOT_VALID = "key_not_valid"
    NOT_ALLOWED = "not_allowed"
    FROM_THE_FUTURE = "from_the_future"
    EXPIRED = "expired"
    LIFE_TOO_LONG = "life_too_long"
    BAD_WINDOW = "bad_window"
    AREA_SIZE = "area_size"
    OUTSIDE_JURISDICTION = "outside_jurisdiction"
    UNKNOWN_UPLOAD = "unknown_upload"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    ID_REUSED = "id_reused"
    UNKNOWN_ID = "unknown_id"
    OUTDATED = "outdated"
    CASE_EXHAUSTED = "case_exhausted"
    TOO_MANY_OPEN = "too_many_open"
    TOO_MANY_TODAY = "too_many_today"
    # What a sender's record may not hold.
    BAD_KEY = "bad_key"
    BAD_RECIPIENT = "bad_recipient"
    # What the owner typed; the detail says all.
    MISTAKE = "mistake"
    # A bug of ours: what a hostile sender finds must not end the bell.
    GATE_FAILED = "gate_failed"
    # The spool (F19) and what comes from a feed.
    NOT_A_FILE = "not_a_file"
    WRONG_OWNER = "wrong_owner"
    BROKEN_FILE = "broken_file"
    UNKNOWN_FEED = "unknown_feed"
    NOT_A_FEED = "not_a_feed"
    HOSTILE_XML = "hostile_xml"


_SENTENCES = {
    Reason.EMPTY: "there was nothing in it",
    Reason.TOO_LARGE: "it is larger than 32 KiB",
    Reason.NOT_COMPACT: "it is not three base64url texts with dots between them",
    Reason.NOT_CANONICAL: "one of its base64url texts is padded, broken or has spare bits set",
    Reason.BAD_HEADER: 'its header is not exactly {"alg":"EdDSA","typ":…,"kid":…}',
    Reason.WRONG_TYPE: "its type is not one that may come this way",
    Reason.UNKNOWN_KEY: "it is signed with a key that you have not pinned",
    Reason.BAD_SIGNATURE_LENGTH: "its signature is not 64 bytes long",
    Reason.NOT_UTF8: "what it says is not UTF-8",
    Reason.TOO_DEEP: "what it says is nested more than 8 levels deep",
    Reason.TOO_MANY_VALUES: "it holds more values than it could have use for",
    Reason.NOT_JSON: "what it says is not JSON",
    Reason.DUPLICATE_NAME: "it says something twice under one name",
    Reason.BAD_NUMBER: "it holds a number that is no plain number in range",
    Reason.BAD_TEXT: "it holds half a character (a lone surrogate)",
    Reason.NOT_AN_OBJECT: "what it says is not a JSON object",
    Reason.BAD_SIGNATURE: "its signature does not fit: it was changed, or somebody else made it",
    Reason.BAD_MEMBER: "something in it is missing, unknown, or not of the agreed form",
    Reason.BAD_AREA: "its area is not a simple polygon",
    Reason.WRONG_SENDER: "it says it is from somebody else than its key belongs to",
    Reason.KEY_NOT_VALID: "its key was not valid yet, or no longer, when it was signed",
    Reason.NOT_ALLOWED: "this sender may not send this",
    Reason.FROM_THE_FUTURE: "it was signed later than this doorbell's clock says it is",
    Reason.EXPIRED: "it has expired",
    Reason.LIFE_TOO_LONG: "it would be open for longer than is allowed",
    Reason.BAD_WINDOW: "its window is not 15 minutes to 12 hours, in the 30 days before it was signed",
    Reason.AREA_SIZE: "its area is smaller or larger than is allowed",
    Reason.OUTSIDE_JURISDICTION: "its area is not within the sender's jurisdiction",
    Reason.UNKNOWN_UPLOAD: "it names a place to send to that you have not pinned",
    Reason.UNKNOWN_RECIPIENT: "it names a recipient that you have not pinned",
    Reason.ID_REUSED: "its id was used before for something else",
    Reason.UNKNOWN_ID: "it is about something that this doorbell has not heard",
    Reason.OUTDATED: "something newer has replaced it",
    Reason.CASE_EXHAUSTED: "its case has had its two requests",
    Reason.TOO_MANY_OPEN: "this sender has too many requests open",
    Reason.TOO_MANY_TODAY: "this sender has sent too many in a day",
    Reason.BAD_KEY: "a key in it is no usable Ed25519 key, or not named by its fingerprint",
    Reason.BAD_RECIPIENT: "nothing can be sealed for one of its recipients",
    Reason.MISTAKE: "what was typed cannot be done",
    Reason.GATE_FAILED: "the gate failed on it, which is a bug: please report it with the ledger's export",
    Reason.NOT_A_FILE: "it was no ordinary file",
    Reason.WRONG_OWNER: "the file does not belong to the courier",
    Reason.BROKEN_FILE: "the file is not what the courier writes",
    Reason.UNKNOWN_FEED: "it came from a feed that you have not added, or no longer want",
    Reason.NOT_A_FEED: "it is neither a CAP alert nor an Atom feed",
    Reason.HOSTILE_XML: "it is XML with entities or a document type, which may be a trap",
}


def sentence_of(word: str) -> str:
    """Return what the owner reads; of a word of another version the word."""
    return Reason(word).sentence if word in Reason._value2member_map_ else word


class Refused(Exception):
    """Something that came in is refused; `detail` says what exactly, for the owner alone."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {reason.sentence}{f' ({detail})' if detail else ''}")
        self.reason = reason
        self.detail = detail
