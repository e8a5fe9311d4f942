"""Changing an MP4 by hand: boxes are taken apart, changed, and put together with lengths that fit again."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}


@dataclass
class Box:
    kind: bytes
    content: bytes = b""
    inner: list["Box"] = field(default_factory=list)

    def written(self) -> bytes:
        content = b"".join(box.written() for box in self.inner) if self.inner else self.content
        return struct.pack(">I", len(content) + 8) + self.kind + content

    def find(self, *kinds: bytes) -> "Box":
        box = self
        for kind in kinds:
            box = next(candidate for candidate in box.inner if candidate.kind == kind)
        return box


def taken_apart(data: bytes) -> Box:
    return Box(b"file", inner=list(_boxes(data)))


def _boxes(data: bytes) -> list[Box]:
    found, offset = [], 0
    while offset < len(data):
        length = struct.unpack_from(">I", data, offset)[0]
        kind, content = data[offset + 4 : offset + 8], data[offset + 8 : offset + length]
        found.append(Box(kind, inner=_boxes(content)) if kind in CONTAINERS else Box(kind, content))
        offset += length
    return found


def together(file: Box) -> bytes:
    return b"".join(box.written() for box in file.inner)


def operated(change: Callable[[Box], None]) -> Callable[[bytes], bytes]:
    """Return an operation on a file's bytes from one on its boxes."""

    def operate(data: bytes) -> bytes:
        file = taken_apart(data)
        change(file)
        return together(file)

    return operate


def patched(box: Box, offset: int, content: bytes) -> None:
    box.content = box.content[:offset] + content + box.content[offset + len(content) :]
