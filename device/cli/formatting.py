"""Text for people: status, log, sizes and durations; and the files that commands write."""

import sys
from datetime import datetime
from pathlib import Path

from device.cli.client import ApiObject
from device.errors import CommandError
from device.system.durable_files import new_private_file

_MOTION = {
    "off": "turned off",
    "waiting": "waiting for pictures",
    "settling": "learning what is there",
    "still": "still",
    "moving": "somebody moves",
}


def status_text(status: ApiObject) -> str:
    """Return the answer of `status`, to be read at a glance."""
    camera, mqtt, storage, press = (status[k] for k in ("camera", "mqtt", "storage", "press"))
    age = camera["last_frame_age_s"]
    seen = "no picture yet" if age is None else f"last picture {age:.1f} s ago"
    fill = storage["used_bytes"] / storage["limit_bytes"]
    broker = f"{mqtt['host']}:{mqtt['port']}"
    used = f"{bytes_text(storage['used_bytes'])} of {bytes_text(storage['limit_bytes'])} ({fill:.0%})"
    ready = "ready" if status["ready"] else "starting"
    up = span_text(status["uptime_s"])
    rows = [
        ("doorbell", f"{status['device']}, {ready}, up {up} (pid {status['pid']})"),
        ("button", f"{status['button']['state']} ({status['button']['kind']})"),
        ("last press", f"{press['last_at'] or 'none'} ({press['count']} since the start)"),
        ("camera", f"{camera['state']} ({camera['kind']}), {camera['fps']:.1f} fps, {seen}"),
        ("motion", _MOTION[status["motion"]]),
        ("mqtt", f"{mqtt['state']} ({broker}, {mqtt['topic_root']}/…)"),
        ("page", status["page"]["url"] or "not served"),
        ("storage", f"{clips_text(storage['clips'])}, {used} in {storage['path']}"),
        ("settings", _settings_text(status["settings"])),
        ("clock", status["clock"]),
    ]
    lines = [f"{name:>10}  {text}" for name, text in rows]
    lines += [f"{'waiting':>10}  {sentence}" for sentence in waiting_texts(status)]
    faults = status["faults"]
    lines.append(f"{'faults':>10}  {'none' if not faults else len(faults)}")
    for fault in faults:
        lines.append(f"{'!':>10}  {fault['text']} (since {fault['since']})")
        if fault["remedy"]:
            lines.append(f"{'':>10}  → {fault['remedy']}")
    return "\n".join(lines)


def _settings_text(settings: ApiObject) -> str:
    parts = []
    if settings["privacy"]:
        parts.append("privacy on: nothing is seen or recorded")
    if settings["chime_muted"]:
        parts.append("chime muted")
    if settings["quiet_until"]:
        parts.append(f"chime quiet until {settings['quiet_until']}")
    return ", ".join(parts) or "as usual"


def clips_text(count: int) -> str:
    """Return "1 clip", "2 clips"."""
    return "1 clip" if count == 1 else f"{count} clips"


def log_text(row: ApiObject) -> str:
    """Return what a row tells a person: what is empty or for machines only is left out."""
    known = {"seq", "kind", "event_id", "occurred_at", "clock", "late", "sha256", "why"}
    words = [f"{key}={value}" for key, value in row.items() if key not in known and value]
    event = row["event_id"]
    return " ".join([*words, f"event=…{event[-4:]}"] if event else words)


def waiting_texts(status: ApiObject) -> list[str]:
    """Return a sentence for each storage limit that does not hold yet."""
    return [
        f"{limit['key']}: {_amount(limit['key'], limit['in_force'])} holds; "
        f"{_amount(limit['key'], limit['coming'])} takes effect in {span_text(limit['wait_s'])} "
        "(`doorbell config undo --limits` keeps what holds)"
        for limit in status["storage"]["waiting"]
    ]


def _amount(key: str, value: int) -> str:
    return bytes_text(value) if key.endswith("_bytes") else str(value)


def span_text(seconds: float) -> str:
    """Return a span of time in words."""
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours >= 48:  # two days
        return f"{hours // 24} days"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def bytes_text(count: float) -> str:
    """Return a size with its unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # SI prefixes
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def save(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read. Raises CommandError."""
    try:
        with new_private_file(path) as file:
            file.write(content)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already; name another file") from error
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def local_time_text(seconds: int) -> str:
    """Return Unix seconds as local time, to the minute."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def local_clock_text(rfc3339: str) -> str:
    """Return a time of the API as local time, to a tenth of a second."""
    at = datetime.fromisoformat(rfc3339).astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100_000}"


def typed_answer(question: str) -> str:
    """Ask a question on the terminal; return the line that was typed."""
    print(question, end="", flush=True)
    return sys.stdin.readline().strip()


def confirmed(question: str = "Type yes: ") -> bool:
    """Ask on the terminal for a yes; without it, say that nothing was changed."""
    if typed_answer(question) == "yes":
        return True
    print("nothing was changed")
    return False
