"""Which privacy masks held while pictures were taken: a rule; the time is a parameter.

A clip keeps the answer in its file (device/store/mask_record.py), so that a mask which is removed later still covers
what it covered then.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) relative to the picture, in whole millionths, so that equal masks compare equal."""

LATE_US = 5_000_000
"""How long after it was taken a picture may arrive: a network camera buffers."""
ALWAYS_US = -(1 << 62)
_MILLIONTHS = 1_000_000


def polygon_of(points: Sequence[Sequence[float]]) -> Polygon:
    """Return corners in the form that masks are kept in."""
    return tuple(
        (round(x * _MILLIONTHS) / _MILLIONTHS, round(y * _MILLIONTHS) / _MILLIONTHS) for x, y in points
    )


def digest_of(masks: Sequence[Polygon]) -> str:
    """Return a short text that differs for other masks."""
    return hashlib.sha256(json.dumps(sorted(masks)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMasks:
    """The masks of a span of pictures: `held` at any moment of it; `drawn` into every picture of it.

    Every polygon of `drawn` is in `held`, too.
    """

    held: tuple[Polygon, ...] = ()
    drawn: tuple[Polygon, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """From a moment on these masks held; `by_camera`: the camera draws them before it encodes."""

    from_us: int
    masks: tuple[Polygon, ...]
    by_camera: bool


class MaskHistory:
    """Every change since the process began. One thread changes it, any thread reads."""

    def __init__(self, masks: Sequence[Sequence[Sequence[float]]] = (), *, by_camera: bool = False) -> None:
        first = _Change(from_us=ALWAYS_US, masks=tuple(map(polygon_of, masks)), by_camera=by_camera)
        self._changes: tuple[_Change, ...] = (first,)

    def change(self, mono_us: int, masks: Sequence[Sequence[Sequence[float]]], *, by_camera: bool) -> None:
        """Note the masks that hold from `mono_us` on. Call it before they are drawn."""
        new = _Change(from_us=mono_us, masks=tuple(map(polygon_of, masks)), by_camera=by_camera)
        if (new.masks, new.by_camera) != (self._changes[-1].masks, self._changes[-1].by_camera):
            self._changes += (new,)

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        return len(self._changes)

    def since(self, from_us: int, *, encoded_here: bool = False) -> SpanMasks:
        """Return the masks of the pictures that were taken from `from_us` on (monotonic), until this moment.

        `encoded_here`: doorbelld draws the masks before it encodes these pictures. A picture may come late, so
        the span begins `LATE_US` earlier: it is longer than the pictures' own, and never too short.
        """
        span: list[_Change] = []
        for change in reversed(self._changes):
            span.append(change)
            if change.from_us <= from_us - LATE_US:
                break
        held = tuple(dict.fromkeys(mask for change in reversed(span) for mask in change.masks))
        drawn = held if all(change.by_camera or encoded_here for change in span) else ()
        in_all = tuple(mask for mask in drawn if all(mask in change.masks for change in span))
        return SpanMasks(held=held, drawn=in_all)
