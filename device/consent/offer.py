"""The offer: exactly what an approval would send, and the hash that an approval names.

An approval names only this hash. A change of clip, time, mask, recipient or upload target makes another offer, which
needs another approval.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import rfc8785

from device.consent.documents import Offer
from device.consent.ledger_state import Sender
from device.consent.models import FootageRequest, time_text
from device.system.clock import rfc3339_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The part of one clip within a span: from its first whole picture to its last.

    Unix microseconds by the clip's clock; `clock` shows whether a time server had set it. `first_us` and `last_us`
    are the same two times relative to the clip's first picture.
    """

    clip_id: str
    sha256: str
    clock: str
    start_us: int
    end_us: int
    first_us: int
    last_us: int
    frames: int


Corners = Sequence[tuple[float, float]]
"""Of a polygon, relative to the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The owner's choice: None means all clips; otherwise these, each shortened to its span.

    `audio`: with sound. `blurs`: the blurred areas of a clip.
    """

    spans: Mapping[str, tuple[int, int] | None] | None = None
    audio: bool = False
    blurs: Mapping[str, Sequence[Corners]] = field(default_factory=dict)

    def span(self, clip_id: str, window: tuple[int, int]) -> tuple[int, int] | None:
        """Return the span of a clip that may leave, inside `window`; None if it may not."""
        if self.spans is None:
            return window
        if clip_id not in self.spans:
            return None
        start, end = self.spans[clip_id] or window
        return max(start, window[0]), min(end, window[1])


def make_offer(
    request: FootageRequest,
    envelope_sha256: str,
    sender: Sender,
    cuts: Sequence[Cut],
    masks: Sequence[Corners],
    choice: Choice,
) -> Offer:
    """Return an offer in the form that is hashed: only strings, integers and lists of them.

    Corners of masks and blurs are millionths of the picture, because canonical JSON of floats is error-prone.
    """
    record = sender.record
    recipient = next(item for item in record.recipients if item.name == request.recipient)
    upload = next(item for item in record.uploads if item.name == request.upload)
    return {
        "v": 1,
        "request": request.id,
        "request_sha256": envelope_sha256,
        "agency": record.sender,
        "record_sha256": sender.envelope_sha256,
        "case": request.case,
        "window": {"start": time_text(request.window.start), "end": time_text(request.window.end)},
        "recipient": {"name": recipient.name, "age": recipient.age},
        "upload": {"name": upload.name, "kind": upload.kind, "origin": upload.origin},
        "audio": choice.audio,
        "masks": [_millionths(mask) for mask in masks],
        "clips": [
            {
                "id": cut.clip_id,
                "sha256": cut.sha256,
                "clock": cut.clock,
                "start": rfc3339_us(cut.start_us),
                "end": rfc3339_us(cut.end_us),
                "first_us": cut.first_us,
                "last_us": cut.last_us,
                "frames": cut.frames,
                "blur": [_millionths(shape) for shape in choice.blurs.get(cut.clip_id, ())],
            }
            for cut in cuts
        ],
    }


def has_masks(offer: Offer, masks: Sequence[Corners]) -> bool:
    """Return whether an offer draws exactly these masks."""
    return offer["masks"] == [_millionths(mask) for mask in masks]


def _millionths(corners: Corners) -> list[list[int]]:
    return [[round(x * 1e6), round(y * 1e6)] for x, y in corners]


def offer_hash(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of an offer's canonical JSON (RFC 8785), hex."""
    return hashlib.sha256(rfc8785.dumps(cast("Mapping[str, Any]", dict(document)))).hexdigest()
