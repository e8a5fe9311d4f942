"""How a clip was masked when it was recorded: a line of text in the clip's own file, as its MP4 comment.

    masks/1 5a0c29f1 {"held":[[100000,200000,300000,200000,300000,400000]],"drawn":[0]}

A checksum (CRC-32), then JSON: `held` has the masks that held at any moment of the clip, as corners x, y, x, y … in
millionths of the picture; `drawn` has the numbers of those that are drawn into every picture of it. Spaces follow, so
that the line can be replaced by a longer one while the clip grows. A clip without a valid line is covered whole.
"""

import json
import zlib
from pathlib import Path

from device.media.mask_history import SpanMasks
from device.store.files import open_plain
from device.store.mp4 import offset_in_moov

MARK = b"masks/1 "
SPARE_BYTES = 2048
"""Room for masks that are added while the clip grows; with more, all of its picture is covered."""
MAX_BYTES = 1 << 20
WHOLE = SpanMasks(held=(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),))
"""What is assumed of a clip that does not say how it was masked: nobody may see any of it."""
_MILLIONTHS = 1_000_000


def record_of(masks: SpanMasks, size_bytes: int | None = None) -> bytes:
    """Return a record of `size_bytes`, or of a size that leaves room for more masks."""
    record = _line(masks)
    if size_bytes is None:
        return record.ljust(len(record) + SPARE_BYTES)
    return (record if len(record) < size_bytes else _line(WHOLE)).ljust(size_bytes)


def _line(masks: SpanMasks) -> bytes:
    held = [[round(at * _MILLIONTHS) for corner in mask for at in corner] for mask in masks.held]
    drawn = [masks.held.index(mask) for mask in masks.drawn]
    text = json.dumps({"held": held, "drawn": drawn}, separators=(",", ":")).encode()
    return b"%s%08x %s" % (MARK, zlib.crc32(text), text)


def masks_in(path: Path) -> SpanMasks:
    """Return how a clip was masked; `WHOLE` if its file does not say so. Raises OSError if it cannot be read."""
    with open_plain(path) as file:
        offset = offset_in_moov(path, MARK)
        if not offset:
            return WHOLE
        file.seek(offset + len(MARK))
        checksum, _, rest = file.read(MAX_BYTES).partition(b" ")
    text, space, _ = rest.partition(b" ")
    try:
        if not space or int(checksum, 16) != zlib.crc32(text):
            return WHOLE
        found = json.loads(text)
        held = tuple(
            tuple((x / _MILLIONTHS, y / _MILLIONTHS) for x, y in zip(mask[::2], mask[1::2], strict=True))
            for mask in found["held"]
        )
        return SpanMasks(held=held, drawn=tuple(held[number] for number in found["drawn"]))
    except (ValueError, KeyError, IndexError, TypeError):
        return WHOLE
