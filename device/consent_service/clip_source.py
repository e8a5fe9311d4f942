"""The clips, as the consent service needs them. The composition implements it (device/daemon/clip_access.py)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from device.consent.offer import Cut


class ClipSource(Protocol):
    """The clips. Every method may block, and raises CommandError if it cannot answer."""

    def has(self, start_us: int, end_us: int) -> bool:
        """Return whether a clip overlaps a span of Unix microseconds."""

    def cuts(self, spans: Callable[[str], tuple[int, int] | None], start_us: int, end_us: int) -> list[Cut]:
        """Return the inward cuts of the clips that overlap a span; `spans` selects the part of each clip."""

    def are_there(self, clip_ids: Iterable[str]) -> bool:
        """Return whether every one of some clips is still stored."""

    def masks(self, clip_ids: Iterable[str]) -> Sequence[Sequence[tuple[float, float]]]:
        """Return the privacy masks that have to be drawn into some clips."""
