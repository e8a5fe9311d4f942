"""RTSP 1.0 (RFC 2326) as a server needs it: requests, responses, digest authentication, SDP. Pure: no socket."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device.consent.reader_tokens import REALM
from device.rtsp import rtp
from device.rtsp.messages import StreamFormat

MAX_HEAD_BYTES = 8_192
MAX_BODY_BYTES = 4_096
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    453: "Not Enough Bandwidth", 454: "Session Not Found", 455: "Method Not Valid in This State",
    461: "Unsupported Transport", 503: "Service Unavailable",
}  # fmt: skip
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_PARAMETER_SETS = {"h264": (7, 8), "hevc": (32, 33, 34)}


class BadRequest(Exception):
    """What came is not RTSP; the connection is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The path of its URL, without a slash at the end."""
        path = self.url.partition("://")[2].partition("/")[2] if "://" in self.url else self.url
        return "/" + path.partition("?")[0].strip("/")


class Requests:
    """Bytes of a connection in, requests out; what comes interleaved (RTCP) is dropped."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.reports = 0
        """How many interleaved packets came: the client's sign of life."""

    def feed(self, data: bytes) -> list[Request]:
        """Return the requests that are whole now. Raises BadRequest."""
        self._bytes += data
        found = []
        while self._bytes:
            if self._bytes[:1] == b"$":
                size = 4 + int.from_bytes(self._bytes[2:4], "big")
                if len(self._bytes) < max(4, size):
                    break
                del self._bytes[:size]
                self.reports += 1
                continue
            end = self._bytes.find(b"\r\n\r\n")
            if end < 0 or end > MAX_HEAD_BYTES:
                if len(self._bytes) > MAX_HEAD_BYTES:
                    raise BadRequest("its head is too long")
                break
            request = _request(bytes(self._bytes[:end]))
            length = request.headers.get("content-length", "0")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES:
                raise BadRequest("its body is too long")
            if len(self._bytes) < end + 4 + int(length):
                break
            del self._bytes[: end + 4 + int(length)]
            found.append(request)
        return found


def _request(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("RTSP/1."):
        raise BadRequest("its first line is not RTSP")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest("a header has no colon")
        headers[name.strip().lower()] = value.strip()
    return Request(method=parts[0].upper(), url=parts[1], headers=headers)


def response(status: int, request: Request | None, body: bytes = b"", **headers: str) -> bytes:
    """Return a response; an underscore in a header's name is a hyphen."""
    lines = [f"RTSP/1.0 {status} {_REASONS[status]}"]
    if request and (number := request.headers.get("cseq", "")).isdigit():
        lines.append(f"CSeq: {number}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def challenge(nonce: str) -> str:
    """Return the value of WWW-Authenticate; MD5, because camera clients know no other."""
    return f'Digest realm="{REALM}", nonce="{nonce}", algorithm="MD5"'


def reader_of(request: Request, nonce: str, ha1_of: Mapping[str, str]) -> str:
    """Return the reader whose digest (RFC 7616) a request has, for this connection's nonce; empty if none."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "digest":
        return ""
    given = {match[1].lower(): match[2] or match[3] or "" for match in _PARAMETER.finditer(rest)}
    name = given.get("username", "")
    ha1 = ha1_of.get(name)
    if ha1 is None or given.get("nonce") != nonce or given.get("realm") != REALM:
        return ""
    ha2 = _md5(f"{request.method}:{given.get('uri', '')}")
    right = _md5(f"{ha1}:{nonce}:{ha2}")
    return name if hmac.compare_digest(right.encode(), given.get("response", "").lower().encode()) else ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


def sdp_of(stream: StreamFormat, keyframe: bytes, host: str, *, sound: bool) -> bytes:
    """Return the description (RFC 8866) of a stream, whose parameter sets are in `keyframe`."""
    family = "IP6" if ":" in host else "IP4"
    any_host = "::" if ":" in host else "0.0.0.0"  # noqa: S104  (of a description; nothing is bound)
    lines = [
        "v=0", f"o=- 1 1 IN {family} {host.partition('%')[0]}", "s=doorbelld", f"c=IN {family} {any_host}", "t=0 0",
        "a=control:*", "a=range:npt=now-",
        f"m=video 0 RTP/AVP {rtp.PICTURE_TYPE}",
        f"a=rtpmap:{rtp.PICTURE_TYPE} {'H264' if stream.codec == 'h264' else 'H265'}/{rtp.PICTURE_HZ}",
        f"a=fmtp:{rtp.PICTURE_TYPE} {_picture_parameters(stream.codec, keyframe)}",
        "a=control:trackID=0",
    ]  # fmt: skip
    if sound and stream.sound_codec:
        number, rate, channels = rtp.SOUND_TYPE, stream.sound_rate_hz, stream.sound_channels
        if stream.sound_codec == "opus":
            coding, parameters = "opus/48000/2", f"sprop-stereo={int(channels > 1)}"
        else:
            coding = f"MPEG4-GENERIC/{rate}/{channels}"
            parameters = (
                "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
                f"config={stream.sound_header.upper()}"
            )
        lines += [
            f"m=audio 0 RTP/AVP {number}", f"a=rtpmap:{number} {coding}", f"a=fmtp:{number} {parameters}",
            "a=control:trackID=1",
        ]  # fmt: skip
    return "\r\n".join([*lines, ""]).encode()


def _picture_parameters(codec: str, keyframe: bytes) -> str:
    sets = dict.fromkeys(_PARAMETER_SETS[codec], b"")
    for unit in rtp.units_of(keyframe):
        if unit and (kind := rtp.unit_type(unit, codec)) in sets:
            sets[kind] = sets[kind] or unit
    coded = [base64.b64encode(unit).decode() for unit in sets.values()]
    if codec == "h264":
        level = sets[7][1:4].hex().upper()
        return f"packetization-mode=1;profile-level-id={level};sprop-parameter-sets={','.join(coded)}"
    return ";".join(f"sprop-{name}={text}" for name, text in zip(("vps", "sps", "pps"), coded, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How a client wants one track: two channels of its connection, or two UDP ports."""

    udp: bool
    first: int


def transport_of(header: str) -> Transport | None:
    """Return the first transport of a SETUP that is possible here; None if there is none."""
    for offer in header.split(","):
        name, *parameters = [part.strip() for part in offer.split(";")]
        values = dict(part.partition("=")[::2] for part in parameters)
        if "multicast" in values:
            continue
        tcp = name.upper() == "RTP/AVP/TCP"
        first = _first_of_pair(values.get("interleaved", "0-1") if tcp else values.get("client_port", ""))
        if tcp and first is not None and first < 255:
            return Transport(udp=False, first=first)
        if name.upper() in ("RTP/AVP", "RTP/AVP/UDP") and first is not None and 1024 <= first < 65_535:
            return Transport(udp=True, first=first)
    return None


def _first_of_pair(text: str) -> int | None:
    first = text.partition("-")[0]
    return int(first) if first.isdigit() and len(first) < 6 else None


def track_of(path: str, known: Sequence[int]) -> int | None:
    """Return the track that a SETUP's path names; a stream of one track may be set up without."""
    match = re.search(r"/trackID=(\d)$", path)
    if match is None:
        return known[0] if len(known) == 1 else None
    return int(match[1]) if int(match[1]) in known else None
