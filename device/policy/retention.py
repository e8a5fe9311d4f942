"""Decides which clips are deleted when space runs out or they are too old: the oldest without a star."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptClip:
    """One clip, as retention sees it; `age_us` is None if its wall time cannot be trusted."""

    clip_id: str
    disk_bytes: int
    protected: bool
    age_us: int | None


def to_delete(
    oldest_first: Iterable[KeptClip], *, over_bytes: int, longest_age_us: int | None, most: int
) -> list[str]:
    """Return the ids to delete, in order, `most` of them at most; reads no clip after the last one.

    `over_bytes`: how many must be freed, 0 or less if there is room. With `longest_age_us` None age does
    not count. A clip without a trusted age is never too old and is deleted for space only.
    """
    doomed: list[str] = []
    for clip in oldest_first:
        too_old = longest_age_us is not None and clip.age_us is not None and clip.age_us > longest_age_us
        if not clip.protected and (too_old or over_bytes > 0):
            doomed.append(clip.clip_id)
            over_bytes -= clip.disk_bytes
        if len(doomed) == most or (over_bytes <= 0 and longest_age_us is None):
            break
    return doomed
