"""`doorbell clips …`: list, show, star, delete, verify, export."""

import argparse
import hashlib
from datetime import datetime, timedelta
from pathlib import Path

from device.cli.client import FAILED, OK, ApiObject, ask, clip_path, print_json
from device.cli.formatting import bytes_text, clips_text
from device.errors import CommandError
from device.store.files import open_plain, sha256_of
from device.system.durable_files import new_private_file


def list_clips(arguments: argparse.Namespace) -> int:
    """Show the clips, oldest first."""
    span = _day_us(arguments.day) if arguments.day else {}
    clips = ask(arguments.state, "GET", "/clips", **span)
    if arguments.json:
        print_json(clips)
        return OK
    if not clips and arguments.day:
        print(f"no clip began on {arguments.day:%Y-%m-%d}")
        return OK
    if not clips:
        print("no finished clip yet; press the button (`doorbell ring`) or walk past the camera")
        return OK
    print(f"{'ID':<26}  {'CAUSE':<7} {'SECONDS':>7} {'SIZE':>9}")
    for clip in clips:
        flag = "  starred" if clip["protected"] else ""
        flag += "" if clip["clock"] == "synchronised" else "  *"
        size = bytes_text(clip["bytes"])
        print(f"{clip['id']:<26}  {clip['cause']:<7} {clip['duration_s']:>7.1f} {size:>9}{flag}")
    if any(clip["clock"] != "synchronised" for clip in clips):
        print("* the clock was not set by a time server then; the time may be wrong")
    return OK


def _day_us(day: datetime) -> dict[str, int]:
    """Return a day of this machine's time zone as Unix microseconds; not every day has 24 hours."""
    ends = (day.astimezone(), (day + timedelta(days=1)).astimezone())
    from_us, until_us = (round(end.timestamp() * 1e6) for end in ends)
    return {"from_wall_us": from_us, "until_wall_us": until_us}


def export(arguments: argparse.Namespace) -> int:
    """Copy a clip, and prove that it is what was recorded; or draw the masks into the copy that it lacks."""
    clip = ask(arguments.state, "GET", clip_path(arguments.id))
    target: Path = arguments.file
    if target.is_dir():
        target /= Path(clip["file"]).name
    masked = bool(clip["masks"]) and not arguments.unmasked
    if masked:
        digest, size_bytes = _masked(clip, target)
    else:
        digest, size_bytes = _copied(clip, target)
    if arguments.json:
        exported = {
            "id": clip["id"],
            "file": str(target),
            "bytes": size_bytes,
            "sha256": digest,
            "masked": masked,
        }
        print_json(exported)
        return OK
    print(f"{target} ({bytes_text(size_bytes)}, SHA-256 {digest})")
    print(_masks_text(clip, masked=masked))
    return OK


def _masks_text(clip: ApiObject, *, masked: bool) -> str:
    recorded, missing = clip["masks_recorded"], clip["masks"]
    later = sum(mask not in recorded for mask in missing)
    masks = f"masks: {len(recorded)} as recorded, {later} added since"
    if masked:
        return f"re-encoded with the privacy {masks}; --unmasked copies the clip without them"
    if missing:
        return "this copy shows what the privacy masks cover; think before you pass it on"
    return (
        f"copied; its picture has the privacy {masks}" if recorded else "copied; there are no privacy masks"
    )


def _copied(clip: ApiObject, target: Path) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with new_private_file(target) as copy, open_plain(Path(clip["file"])) as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size_bytes += copy.write(block)
    except FileExistsError as error:
        raise CommandError(f"{target} exists already; name another file") from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    if digest.hexdigest() != clip["sha256"]:
        raise CommandError(
            f"{target} is not what was recorded: it has {size_bytes} bytes and SHA-256 {digest.hexdigest()}, "
            f"recorded were {clip['bytes']} and {clip['sha256']}; is the card failing? see dmesg"
        )
    return digest.hexdigest(), size_bytes


def _masked(clip: ApiObject, target: Path) -> tuple[str, int]:
    from device.media.masks import Masks  # loads OpenCV and PyAV, for this only
    from device.store.masked_export import masked_copy

    growing = target.with_name(f".{target.name}.growing")
    if target.exists():
        raise CommandError(f"{target} exists already; name another file")
    try:
        growing.unlink(missing_ok=True)
        new_private_file(growing).close()  # FFmpeg writes into it and keeps its mode
        masked_copy(Path(clip["file"]), growing, Masks(clip["masks"]))
        digest, size_bytes = sha256_of(growing), growing.stat().st_size
        growing.rename(target)
    except (OSError, ValueError) as error:
        raise CommandError(f"{target}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        growing.unlink(missing_ok=True)  # also after Ctrl-C
    return digest, size_bytes


def show(arguments: argparse.Namespace) -> int:
    """Show everything that is known of one clip."""
    clip = ask(arguments.state, "GET", clip_path(arguments.id))
    if arguments.json:
        print_json(clip)
        return OK
    for name, value in clip.items():
        shown = f"{len(value)}: {value}" if isinstance(value, list) else value
        print(f"{name:>16}  {shown}")
    return OK


def star(arguments: argparse.Namespace) -> int:
    """Set or take the owner's star."""
    ask(arguments.state, "PUT", clip_path(arguments.id, "/star"), {"on": not arguments.off})
    if arguments.json:
        print_json({"id": arguments.id, "protected": not arguments.off})
    elif arguments.off:
        print(f"{arguments.id} has no star any more; it goes when its turn comes")
    else:
        print(f"{arguments.id} has your star; it stays until you take that away")
    return OK


def delete(arguments: argparse.Namespace) -> int:
    """Delete a clip."""
    ask(arguments.state, "DELETE", clip_path(arguments.id))
    if arguments.json:
        print_json({"id": arguments.id, "deleted": True})
    else:
        print(f"{arguments.id} is deleted")
    return OK


def verify(arguments: argparse.Namespace) -> int:
    """Compare the files of some clips, or of all, with what was recorded."""
    if arguments.ids:
        clips = [ask(arguments.state, "GET", clip_path(clip_id)) for clip_id in arguments.ids]
    else:
        clips = ask(arguments.state, "GET", "/clips")
    found = [{"id": clip["id"], "sound": _is_sound(clip)} for clip in clips]
    unsound = [row["id"] for row in found if not row["sound"]]
    if arguments.json:
        print_json(found)
    else:
        for clip_id in unsound:
            print(f"{clip_id}: is not what was recorded, or is gone; is the card failing? see dmesg")
        print(f"{clips_text(len(found))}: {len(found) - len(unsound)} as recorded")
    return FAILED if unsound else OK


def _is_sound(clip: ApiObject) -> bool:
    try:
        return sha256_of(Path(clip["file"])) == str(clip["sha256"])
    except OSError:
        return False
