"""Capture TCP segments on the loopback interface: time, size, source and target port. Needs root."""

import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 64 << 20
MAX_BYTES = 256
"""Bytes captured of each packet: only the headers are used."""
IPV4, IPV6, TCP = 0x0800, 0x86DD, 6


@dataclass(frozen=True, slots=True)
class Packet:
    """One TCP segment; `size` is its payload, `ns` CLOCK_MONOTONIC when it was captured."""

    ns: int
    source: int
    target: int
    size: int
    flags: int


class Capture:
    """Context manager that captures every segment from or to some ports."""

    def __init__(self, ports: set[int]) -> None:
        self._ports = ports
        self.packets: list[Packet] = []
        self._stopping = threading.Event()
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        except PermissionError:
            raise SystemExit("capturing packets needs root: sudo scripts/prove silence") from None
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.5)
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                data, address = self._socket.recvfrom(MAX_BYTES)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING:  # loopback shows each packet twice
                continue
            segment = _segment(data, time.monotonic_ns())
            if segment and (segment.source in self._ports or segment.target in self._ports):
                self.packets.append(segment)


def _segment(data: bytes, ns: int) -> Packet | None:
    kind = struct.unpack_from("!H", data, 12)[0]
    if kind == IPV4 and data[23] == TCP:
        length, head = struct.unpack_from("!H", data, 16)[0], (data[14] & 15) * 4
        tcp = 14 + head
        payload = length - head
    elif kind == IPV6 and data[20] == TCP:
        tcp = 54
        payload = int(struct.unpack_from("!H", data, 18)[0])
    else:
        return None
    source, target = struct.unpack_from("!HH", data, tcp)
    return Packet(ns, source, target, payload - (data[tcp + 12] >> 4) * 4, data[tcp + 13])


def ports_of(pid: int, target: int | None = None) -> set[int]:
    """Return the local TCP ports of a process's connections (those to one port)."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(link.readlink())
        except OSError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                near, far = (int(end.rsplit(":", 1)[1], 16) for end in fields[1:3])
                if target in (None, far):
                    ports.add(near)
    return ports
