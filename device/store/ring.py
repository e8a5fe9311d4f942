"""The ring buffer: the last seconds of encoded pictures and sound, in memory, in order of arrival.

It is written through a `RingWriter`, one for each opening of the camera, and read through a `RingReader`. `close`
(privacy) forgets every packet and ends all writers and readers for good; after `open` only new ones work. So no
consumer gets a packet from before `close` after it, and no camera can add one. Packets are referenced, never copied.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from device.events import Packet, SoundPacket


class _Span:
    """The packets between an `open` and the next `close`, which only sets `closed`: it waits for no lock."""

    def __init__(self, keep_us: int, limit_bytes: int, *, closed: bool) -> None:
        self.keep_us = keep_us
        self.closed = closed
        self.size_bytes = 0
        self.newest_us: int | None = None
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._packets: deque[Packet | SoundPacket] = deque()
        self._keyframe_seqs: deque[int] = deque()
        self._first_seq = 0

    def append(self, packet: Packet | SoundPacket) -> None:
        with self._lock:
            if self.closed:
                return
            if packet.is_keyframe:
                self._keyframe_seqs.append(self._first_seq + len(self._packets))
            self._packets.append(packet)
            self.size_bytes += packet.size_bytes
            if isinstance(packet, Packet):
                self.newest_us = packet.dts_us
            self._evict(packet.dts_us)

    def _evict(self, newest_us: int) -> None:
        while self.size_bytes > self._limit_bytes or (
            len(self._keyframe_seqs) > 1
            and self._packets[self._keyframe_seqs[1] - self._first_seq].dts_us <= newest_us - self.keep_us
        ):
            # Up to the next keyframe: a group without its keyframe cannot be shown.
            last = self._first_seq + len(self._packets)
            end_seq = self._keyframe_seqs[1] if len(self._keyframe_seqs) > 1 else last
            while self._first_seq < end_seq:
                self.size_bytes -= self._packets.popleft().size_bytes
                self._first_seq += 1
            while self._keyframe_seqs and self._keyframe_seqs[0] < end_seq:
                self._keyframe_seqs.popleft()

    def since(self, seq: int) -> tuple[int, tuple[Packet | SoundPacket, ...]]:
        """Return the packets from `seq` on, or from the oldest, and the first one's seq."""
        with self._lock:
            start = max(seq, self._first_seq)
            return start, tuple(islice(self._packets, start - self._first_seq, None))

    def seq_at(self, mono_us: int | None) -> int:
        """Return the seq of the last keyframe shown at or before `mono_us` (None: of the newest), or the oldest one.

        With no keyframe in the ring, the seq that the next packet will have.
        """
        with self._lock:
            for seq in reversed(self._keyframe_seqs):
                if mono_us is None or self._packets[seq - self._first_seq].pts_us <= mono_us:
                    return self._with_sound(seq)
            if self._keyframe_seqs:
                return self._with_sound(self._keyframe_seqs[0])
            return self._first_seq + len(self._packets)

    def _with_sound(self, seq: int) -> int:
        """Return the seq of the first sound that belongs to a keyframe's time: it may have come before it."""
        index, found = seq - self._first_seq, seq
        from_us = self._packets[index].pts_us
        before = islice(reversed(self._packets), len(self._packets) - index, None)
        for steps, packet in enumerate(before, start=1):
            if packet.is_keyframe or (isinstance(packet, SoundPacket) and packet.pts_us < from_us):
                break
            if isinstance(packet, SoundPacket):
                found = seq - steps
        return found


@dataclass(frozen=True, slots=True)
class RingWriter:
    """Adds packets until the ring is closed. Two writers of one opening of the ring are equal."""

    _span: _Span

    def append(self, packet: Packet | SoundPacket) -> None:
        """Append a packet, unless the ring was closed since this writer was made."""
        self._span.append(packet)

    @property
    def closed(self) -> bool:
        """Whether the ring was closed since: nothing more is taken."""
        return self._span.closed


class RingReader:
    """Follows the ring from one packet on, until the ring is closed. Belongs to one thread."""

    def __init__(self, span: _Span, seq: int) -> None:
        self._span = span
        self._seq = seq
        self.lost = 0
        """How many packets had been evicted before the last `take` could return them."""

    @property
    def closed(self) -> bool:
        """Whether the ring was closed since this reader was made: it yields nothing more, ever."""
        return self._span.closed

    @property
    def newest_us(self) -> int | None:
        """The decoding time of the picture that was appended last, None if there was none."""
        return self._span.newest_us

    def take(self) -> Iterator[Packet | SoundPacket]:
        """Return the packets that were not taken yet, in order. It stops early once the ring is closed.

        What is left when a caller breaks off comes with the next call.
        """
        start, packets = self._span.since(self._seq)
        self.lost, self._seq = start - self._seq, start
        return self._unless_closed(packets)

    def _unless_closed(self, packets: tuple[Packet | SoundPacket, ...]) -> Iterator[Packet | SoundPacket]:
        for packet in packets:
            if self._span.closed:
                return
            self._seq += 1
            yield packet

    def seek(self, mono_us: int) -> None:
        """Go on at the last keyframe shown at or before `mono_us`."""
        self._seq = self._span.seq_at(mono_us)

    def skip(self) -> bool:
        """Go on at the newest keyframe if that lies ahead; return whether it does."""
        newest = self._span.seq_at(None)
        ahead = newest > self._seq
        self._seq = max(newest, self._seq)
        return ahead


class RingBuffer:
    """Bounded in time and in bytes; the oldest group of pictures is evicted first.

    By time a group is evicted only if the rest still reaches `keep_us` back: so the last `keep_us` can always be
    shown from a keyframe, whatever the camera's keyframe interval. `limit_bytes` always holds, even if less than
    `keep_us` is left. `open` and `close` belong to one thread, the controller's; neither waits for another.
    """

    def __init__(self, *, keep_us: int, limit_bytes: int, closed: bool = False) -> None:
        self._keep_us = keep_us
        self._limit_bytes = limit_bytes
        self._span = _Span(keep_us, limit_bytes, closed=closed)

    def keep(self, keep_us: int) -> None:
        """Change how far back it reaches."""
        self._keep_us = keep_us
        self._span.keep_us = keep_us

    def close(self) -> None:
        """Forget every packet, end every writer and reader, and take nothing until `open`."""
        self._span.closed = True
        self._span = _Span(self._keep_us, self._limit_bytes, closed=True)

    def open(self) -> None:
        """Take packets again, of writers made from here on."""
        if self._span.closed:
            self._span = _Span(self._keep_us, self._limit_bytes, closed=False)

    @property
    def closed(self) -> bool:
        """Whether it takes and gives nothing."""
        return self._span.closed

    def writer(self) -> RingWriter:
        """Return a writer for one opening of the camera; while the ring is closed, one that adds nothing."""
        return RingWriter(self._span)

    def reader(self, mono_us: int) -> RingReader:
        """Return a reader from the last keyframe shown at or before `mono_us`, or from the oldest one.

        With no keyframe in the ring, from the next packet on.
        """
        span = self._span
        return RingReader(span, span.seq_at(mono_us))

    @property
    def size_bytes(self) -> int:
        """The size of the buffered packets."""
        return self._span.size_bytes
