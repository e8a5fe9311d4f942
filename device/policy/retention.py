"""Which clips go when the ring of clips is full or old: the oldest that nobody protected."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One clip, as retention sees it; `age_us` is None if its wall time cannot be trusted."""

    clip_id: str
    disk_bytes: int
    protected: bool
    age_us: int | None


def to_delete(
    oldest_first: Sequence[Kept], *, used_bytes: int, limit_bytes: int, longest_age_us: int
) -> list[str]:
    """Return the ids to delete, in order.

    `used_bytes` counts everything under the limit, the clip that is being written too. A clip
    without a trusted age is never too old: only space can push it out.
    """
    doomed = []
    for clip in oldest_first:
        too_old = clip.age_us is not None and clip.age_us > longest_age_us
        if clip.protected or not (too_old or used_bytes > limit_bytes):
            continue
        doomed.append(clip.clip_id)
        used_bytes -= clip.disk_bytes
    return doomed
