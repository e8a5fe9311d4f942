"""Parser of feeds: CAP 1.2 alerts (OASIS, 2010) and Atom entries (RFC 4287), one or several in a document.

The input is untrusted, so defusedxml parses it: no entity, no document type, nothing fetched. Links are never
followed. The content is text for people; only its origin, the address that the owner chose, is trusted.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError, tostring

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from device.consent import area
from device.consent.models import Severity
from device.consent.reasons import Reason, Refused

MAX_BYTES = 1_048_576
MAX_ALERT_BYTES = 65_536
MAX_ALERTS = 500
_PIECE_BYTES = 8_192
MAX_HEADLINE, MAX_TEXT, MAX_ID = 160, 2000, 400
DAY_S = 86_400
"""Validity of an alert that does not state its own."""
NEWS_S = 7 * DAY_S
_MAX_S = 30 * DAY_S

_ATOM = "{http://www.w3.org/2005/Atom}"
_CAP = tuple(f"{{urn:oasis:names:tc:emergency:cap:1.{minor}}}" for minor in (2, 1))
_SEVERITIES: dict[str, Severity] = {
    "Extreme": "extreme",
    "Severe": "severe",
    "Moderate": "moderate",
    "Minor": "minor",
}
_TAG = re.compile(r"<[^>]*>")
_SPACE = re.compile(r"[ \t\r\n]+")
_MAX_POLYGON_CORNERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert or item of news. Times are Unix seconds; polygons are rings of [longitude, latitude]."""

    id: str
    op: str
    """issue or cancel."""
    kind: str
    """alert or news."""
    replaces: tuple[str, ...]
    """Ids that it replaces or cancels."""
    series: str
    """Prefix of its id, if a newer one of the same series replaces it; otherwise empty."""
    severity: Severity
    headline: str
    text: str
    sent: int
    expires: int
    polygons: tuple[list[list[float]], ...]
    circles: tuple[tuple[float, float, float], ...]
    """Longitude, latitude, kilometres."""
    area_text: str
    body: bytes
    """The element that it was read from; `alerts_of` can read it again."""

    def covers(self, longitude: float, latitude: float) -> bool:
        """Return whether a position is in its area; without polygon or circle it applies to all who chose
        the source.
        """
        if not self.polygons and not self.circles:
            return True
        rings = (np.array(ring[:-1], dtype=float) for ring in self.polygons)
        if any(area.contains(ring, longitude, latitude) for ring in rings):
            return True
        position = (longitude, latitude)
        return any(area.distance_km((x, y), position) <= radius for x, y, radius in self.circles)


def alerts_of(document: bytes) -> list[Alert]:
    """Return a document's alerts in order, without the malformed ones. Raises Refused."""
    if len(document) > MAX_BYTES:
        raise Refused(Reason.TOO_LARGE)
    try:
        root = _parsed(document)
    except DefusedXmlException:
        raise Refused(Reason.HOSTILE_XML) from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise Refused(Reason.NOT_A_FEED, str(error)[:100]) from None
    elements = list(_elements(root))
    if not elements and root.tag != f"{_ATOM}feed":
        raise Refused(Reason.NOT_A_FEED)
    alerts = []
    for element in elements[:MAX_ALERTS]:
        try:
            alert = _atom(element) if element.tag == f"{_ATOM}entry" else _cap(element)
        except (ValueError, OverflowError, KeyError):
            continue
        if alert and len(alert.body) <= MAX_ALERT_BYTES:
            alerts.append(alert)
    return alerts


def _parsed(document: bytes) -> Element:
    """Parse in pieces: one call on a megabyte would block the press for its whole duration."""
    parser: Any = DefusedXMLParser(forbid_dtd=True)
    for start in range(0, len(document), _PIECE_BYTES):
        parser.feed(document[start : start + _PIECE_BYTES])
    root: Element = parser.close()
    return root


def _elements(root: Element) -> Iterator[Element]:
    if root.tag in {f"{cap}alert" for cap in _CAP} | {f"{_ATOM}entry"}:
        yield root
    elif root.tag == f"{_ATOM}feed":
        for entry in root.findall(f"{_ATOM}entry"):
            inner = next(
                (found for cap in _CAP if (found := entry.find(f"{_ATOM}content/{cap}alert")) is not None),
                None,
            )
            yield entry if inner is None else inner


def _cap(alert: Element) -> Alert | None:
    if _find(alert, "status") != "Actual":
        return None  # exercises, tests and drafts are ignored
    kind = _find(alert, "msgType")
    if kind not in ("Alert", "Update", "Cancel"):
        return None
    sender, identifier, sent = _find(alert, "sender"), _find(alert, "identifier"), _find(alert, "sent")
    if not (sender and identifier and sent):
        return None
    info = next((found for cap in _CAP if (found := alert.find(f"{cap}info")) is not None), None)
    sent_s = _time(sent)
    expires = _find(info, "expires")
    areas = [] if info is None else [element for cap in _CAP for element in info.findall(f"{cap}area")]
    text = "\n\n".join(filter(None, (_find(info, "description"), _find(info, "instruction"))))
    return Alert(
        id=_id(f"{sender},{identifier},{sent}"),
        op="cancel" if kind == "Cancel" else "issue",
        kind="alert",
        replaces=tuple(_id(reference) for reference in _find(alert, "references").split())
        if kind != "Alert"
        else (),
        series="",
        severity=_SEVERITIES.get(_find(info, "severity"), "unknown"),
        headline=_text(_find(info, "headline") or _find(info, "event"), MAX_HEADLINE) or "(no headline)",
        text=_text(text, MAX_TEXT),
        sent=sent_s,
        expires=_end(sent_s, expires, DAY_S),
        polygons=tuple(
            _ring(found.text)
            for element in areas
            for cap in _CAP
            for found in element.findall(f"{cap}polygon")
        ),
        circles=tuple(
            _circle(found.text)
            for element in areas
            for cap in _CAP
            for found in element.findall(f"{cap}circle")
        ),
        area_text=_text("; ".join(_find(element, "areaDesc") for element in areas), MAX_HEADLINE),
        body=tostring(alert),
    )


def _atom(entry: Element) -> Alert | None:
    name = (entry.findtext(f"{_ATOM}id") or "").strip()
    updated = (entry.findtext(f"{_ATOM}updated") or "").strip()
    if not name or not updated or _find(entry, "status") not in ("", "Actual"):
        return None
    body = entry.find(f"{_ATOM}summary")
    body = entry.find(f"{_ATOM}content") if body is None else body
    sent = _time(updated)
    severity = _find(entry, "severity")
    polygon = _find(entry, "polygon")
    series = _id(name)
    return Alert(
        id=_id(f"{series} {updated}"),
        op="cancel" if _find(entry, "msgType") == "Cancel" else "issue",
        kind="alert" if severity else "news",
        replaces=(),
        series=series,
        severity=_SEVERITIES.get(severity, "unknown"),
        headline=_text(_find(entry, "headline") or _words(entry.find(f"{_ATOM}title")), MAX_HEADLINE)
        or "(no headline)",
        text=_text(_words(body), MAX_TEXT),
        sent=sent,
        expires=_end(sent, _find(entry, "expires"), DAY_S if severity else NEWS_S),
        polygons=(_ring(polygon),) if polygon else (),
        circles=(),
        area_text=_text(_find(entry, "areaDesc"), MAX_HEADLINE),
        body=tostring(entry),
    )


def _find(element: Element | None, name: str) -> str:
    if element is None:
        return ""
    for cap in _CAP:
        found = element.findtext(f"{cap}{name}")
        if found is not None:
            return found.strip()
    return ""


def _words(element: Element | None) -> str:
    """Return the text of an Atom text construct (RFC 4287, section 3.1)."""
    if element is None:
        return ""
    if element.get("type") == "html":
        return html.unescape(_TAG.sub(" ", element.text or ""))
    return "".join(element.itertext())


def _text(text: str, longest: int) -> str:
    """Return the readable text, one line a paragraph, shortened to a limit."""
    lines = [_SPACE.sub(" ", line).strip() for line in text.split("\n\n")]
    joined = "\n".join(line for line in lines if line)
    seen = "".join(c for c in joined if c in "\n\u200c\u200d" or not unicodedata.category(c).startswith("C"))
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"


def _id(text: str) -> str:
    if len(text) > MAX_ID or not text.isprintable():
        raise ValueError(text[:40])
    return text


def _time(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _end(sent: int, expires: str, otherwise_s: int) -> int:
    return min(_time(expires) if expires else sent + otherwise_s, sent + _MAX_S)


def _ring(text: str | None) -> list[list[float]]:
    """Return a CAP polygon ("latitude,longitude …", closed) as a ring of GeoJSON's order."""
    pairs = [pair.split(",") for pair in (text or "").split()]
    ring = [[float(longitude), float(latitude)] for latitude, longitude in pairs]
    if not area.FEWEST_CORNERS < len(ring) <= _MAX_POLYGON_CORNERS or ring[0] != ring[-1]:
        raise ValueError("a CAP polygon has four pairs at least, and ends where it began")
    if not all(abs(longitude) <= 180 and abs(latitude) <= 90 for longitude, latitude in ring):
        raise ValueError("a CAP polygon is in degrees")
    return ring


def _circle(text: str | None) -> tuple[float, float, float]:
    centre, radius = (text or "").split()
    latitude, longitude = centre.split(",")
    circle = float(longitude), float(latitude), float(radius)
    if not (abs(circle[0]) <= 180 and abs(circle[1]) <= 90 and 0 <= circle[2] < area.EARTH_RADIUS_KM):
        raise ValueError("a CAP circle is in degrees and kilometres")
    return circle
