"""The ring buffer: the last seconds of encoded pictures and sound, in memory, in order of arrival.

Recorder, live view and tests all read it by `since(seq)`, which also returns how many packets a slow reader has
missed. Packets are referenced, never copied.
"""

import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice

from device.events import Packet, SoundPacket


@dataclass(frozen=True, slots=True, kw_only=True)
class RingRead:
    """`packets` in order, where to read next (`next_seq`), and how many were evicted before (`lost`)."""

    packets: tuple[Packet | SoundPacket, ...]
    next_seq: int
    lost: int


class RingBuffer:
    """Bounded in time and in bytes; the oldest group of pictures is evicted first.

    By time a group is evicted only if the rest still reaches `keep_us` back: so the last `keep_us` can always be
    shown from a keyframe, whatever the camera's keyframe interval. `limit_bytes` always holds, even if less than
    `keep_us` is left.
    """

    def __init__(self, *, keep_us: int, limit_bytes: int) -> None:
        self._keep_us = keep_us
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._packets: deque[Packet | SoundPacket] = deque()
        self._keyframe_seqs: deque[int] = deque()
        self._first_seq = 0
        self._bytes = 0

    def keep(self, keep_us: int) -> None:
        """Change how far back it reaches."""
        self._keep_us = keep_us

    def append(self, packet: Packet | SoundPacket) -> None:
        """Append a packet (the camera's thread)."""
        with self._lock:
            if packet.is_keyframe:
                self._keyframe_seqs.append(self._first_seq + len(self._packets))
            self._packets.append(packet)
            self._bytes += packet.size_bytes
            self._evict(packet.dts_us)

    def _evict(self, newest_us: int) -> None:
        while self._bytes > self._limit_bytes or (
            len(self._keyframe_seqs) > 1
            and self._packets[self._keyframe_seqs[1] - self._first_seq].dts_us <= newest_us - self._keep_us
        ):
            # Up to the next keyframe: a group without its keyframe cannot be shown.
            last = self._first_seq + len(self._packets)
            end_seq = self._keyframe_seqs[1] if len(self._keyframe_seqs) > 1 else last
            while self._first_seq < end_seq:
                self._bytes -= self._packets.popleft().size_bytes
                self._first_seq += 1
            while self._keyframe_seqs and self._keyframe_seqs[0] < end_seq:
                self._keyframe_seqs.popleft()

    def since(self, seq: int) -> RingRead:
        """Return the packets from `seq` on, and how many of them were evicted."""
        with self._lock:
            start = max(seq, self._first_seq)
            packets = tuple(islice(self._packets, start - self._first_seq, None))
        return RingRead(packets=packets, next_seq=start + len(packets), lost=start - seq)

    def seq_at(self, mono_us: int) -> int:
        """Return the seq to read from for the last keyframe shown at or before `mono_us`, or the oldest one.

        With no keyframe in the ring, the seq that the next packet will have.
        """
        with self._lock:
            for seq in reversed(self._keyframe_seqs):
                if self._packets[seq - self._first_seq].pts_us <= mono_us:
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

    @property
    def size_bytes(self) -> int:
        """The size of the buffered packets."""
        return self._bytes
