"""The fields of the event log's rows, by kind; docs/mqtt.md and docs/schemas/log.json describe them."""

from typing import Any

from device.daemon.fault_rows import FaultRow
from device.events import (
    AnnouncedNotice,
    ClipDeleted,
    ClipDropped,
    ClipKept,
    MotionEnded,
    MotionStarted,
    PressEvent,
    PressMissed,
)
from device.system.clock import rfc3339


def press(event: PressEvent) -> dict[str, Any]:
    """Return the fields of a `press`."""
    return {"button": event.button, "press_number": event.press_number}


def press_missed(missed: PressMissed) -> dict[str, Any]:
    """Return the fields of `press_missed`."""
    return {
        "pressed_at": rfc3339(missed.press.at.wall_us),
        "press_number": missed.press.press_number,
        "reason": missed.reason,
    }


def fault(row: FaultRow) -> dict[str, Any]:
    """Return the fields of `fault_raised` or `fault_cleared`."""
    fields: dict[str, Any] = {"code": row.fault.code, "subject": row.fault.subject}
    if row.fault.active:
        fields["text"] = row.fault.text
    return {**fields, "count": row.count} if row.count else fields


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
    return {
        "clip_id": fact.clip_id,
        "reason": fact.reason,
        "params": dict(fact.params),
        "text": fact.text,
    }


def clip_deleted(fact: ClipDeleted) -> dict[str, Any]:
    """Return the fields of `clip_deleted`."""
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
