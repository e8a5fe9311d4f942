"""The consent service's access to clips: which of them overlap a time span, where to cut them, and how they look."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from device.daemon.wiring import Daemon
from device.errors import CommandError
from device.store.index import ClipRow, Index

if TYPE_CHECKING:
    from device.consent.offer import Corners, Cut

T = TypeVar("T")
FAR_US = 1 << 62
MAX_CLIP_US = 3_600_000_000
"""The maximum of `clips.longest_s`, so also how long before a span an overlapping clip may have begun."""


class ClipAccess:
    """Reads index and files through its own connections; decodes only to show a picture."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def has(self, start_us: int, end_us: int) -> bool:
        """Return whether a clip overlaps a span. Raises CommandError."""
        return bool(self._overlapping(start_us, end_us))

    def cuts(self, spans: Callable[[str], tuple[int, int] | None], start_us: int, end_us: int) -> "list[Cut]":
        """Return the inward cuts of the clips that overlap a span. Raises CommandError."""
        from device.store.clip_query import cut_of  # loads PyAV

        cuts = []
        for row in self._overlapping(start_us, end_us):
            span = spans(row.clip_id)
            if span is None:
                continue
            try:
                cut = cut_of(self._daemon.layout.clips, row, *span)
            except FileNotFoundError:
                continue  # deleted in the meantime
            except (OSError, ValueError) as error:
                raise CommandError(f"{row.file_name}: {error}; `doorbell check` says more") from error
            if cut:
                cuts.append(cut)
        return cuts

    def masks(self) -> Sequence[Sequence[tuple[float, float]]]:
        """Return the masks that have to be burnt into the clips."""
        daemon = self._daemon
        return [] if daemon.covered_by_camera else [mask.points for mask in daemon.config.masks]

    def picture(self, row: ClipRow, at_us: int, blurs: "Sequence[Corners]") -> bytes:
        """Return the picture of a clip at a time as JPEG, masked and blurred. Raises CommandError."""
        from device.media.masks import Masks  # these load OpenCV and PyAV
        from device.media.mosaic import Blur
        from device.store.clip_query import picture_at

        try:
            return picture_at(
                self._daemon.layout.clips / row.file_name, at_us, Masks(self.masks()), Blur(blurs)
            )
        except (OSError, ValueError) as error:
            raise CommandError(f"{row.file_name}: {error}; `doorbell check` says more") from error

    def next_clip(self, since_us: int, known: Callable[[str], bool]) -> str | None:
        """Return the oldest clip that ended since then and is not `known`. Raises CommandError."""
        rows = self._overlapping(since_us, FAR_US)
        return next((row.clip_id for row in rows if not known(row.clip_id)), None)

    def file_of(self, clip_id: str) -> Path | None:
        """Return a clip's file, None if it was deleted. Raises CommandError."""
        row = self.ask(lambda index: index.find(clip_id))
        path = self._daemon.layout.clips / row.file_name if row else None
        return path if path and path.exists() else None

    def ask(self, question: Callable[[Index], T]) -> T:
        """Query the index through a new connection. Raises CommandError."""
        try:
            index = Index(self._daemon.layout.index, read_only=True)
            try:
                return question(index)
            finally:
                index.close()
        except (sqlite3.Error, OverflowError) as error:
            raise CommandError(f"the index cannot be read yet: {error}; try again") from error

    def _overlapping(self, start_us: int, end_us: int) -> list[ClipRow]:
        rows = self.ask(lambda index: index.between(start_us - MAX_CLIP_US, end_us))
        return [row for row in rows if row.started_wall_us + row.duration_us > start_us]
