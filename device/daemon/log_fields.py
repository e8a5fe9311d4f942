"""The fields of the event log's rows, by kind; docs/mqtt.md and docs/schemas/log.json describe them."""

from typing import Any

from device.events import AnnouncedNotice, ClipDropped, ClipKept, MotionEnded, MotionStarted, PressEvent


def press(event: PressEvent) -> dict[str, Any]:
    """Return the fields of a `press`."""
    return {"button": event.button, "press_number": event.press_number}


def motion_started(fact: MotionStarted) -> dict[str, Any]:
    """Return the fields of `motion_started`."""
    return {"score": fact.score, "zones": list(fact.zones)}


def motion_ended(fact: MotionEnded) -> dict[str, Any]:
    """Return the fields of `motion_ended`."""
    return {
        "peak_score": fact.peak_score,
        "zones": list(fact.zones),
        "direction": fact.direction,
        "moved_s": round((fact.last_us - fact.started_us) / 1e6, 1),
        "why": list(fact.why),
    }


def clip_kept(fact: ClipKept) -> dict[str, Any]:
    """Return the fields of `clip_kept`."""
    return {
        "clip_id": fact.clip_id,
        "cause": fact.cause,
        "duration_s": round(fact.duration_us / 1e6, 3),
        "bytes": fact.size_bytes,
        "sha256": fact.sha256,
        "adopted": fact.adopted,
    }


def clip_dropped(fact: ClipDropped) -> dict[str, Any]:
    """Return the fields of `clip_dropped`."""
    return {"clip_id": fact.clip_id, "reason": fact.reason}


def notice(shown: AnnouncedNotice, *, announced: bool) -> dict[str, Any]:
    """Return the fields of `notice`; `shown` as `NoticeHeard` has it."""
    return {
        "source": shown["source"],
        "id": shown["id"],
        "kind": shown["kind"],
        "severity": shown["severity"],
        "state": shown["state"],
        "announced": announced,
    }


def setting_refused(name: str, reason: str, count: int = 1) -> dict[str, Any]:
    """Return the fields of `setting_refused`."""
    return {"setting": name, "reason": reason, "count": count}
