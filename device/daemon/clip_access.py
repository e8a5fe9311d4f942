"""Access to clips for all that lets them out: which there are, what covers them, where to cut them, how they look.

What covers a clip are the masks of its recording and those of now (device/media/masks.py). Every way out asks here.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from device.daemon.wiring import Daemon
from device.errors import CommandError
from device.store.files import open_plain, plain_size
from device.store.index import ClipRow, Index, PressPictureRow

if TYPE_CHECKING:
    from device.consent.offer import Corners, Cut
    from device.media.mask_history import Polygon, SpanMasks
    from device.store.masked_export import MaskedCopies
    from device.web.zip_stream import Member

T = TypeVar("T")
FAR_US = 1 << 62
MAX_CLIP_US = 3_600_000_000
"""The maximum of `clips.longest_s`, so also how long before a span an overlapping clip may have begun."""


class ClipAccess:
    """Reads index and files through its own connections; decodes only to show a picture."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._copies: dict[str, MaskedCopies] = {}

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
                raise _unreadable(row.file_name, f": {error}") from error
            if cut:
                cuts.append(cut)
        return cuts

    def are_there(self, clip_ids: Iterable[str]) -> bool:
        """Return whether every one of some clips is still stored. Raises CommandError."""
        return all(self.ask(lambda index: [index.find(clip_id) for clip_id in clip_ids]))

    def masks(self, clip_ids: Iterable[str]) -> "Sequence[Polygon]":
        """Return the masks that have to be drawn into some clips that leave together. Raises CommandError."""
        rows = self.ask(lambda index: [row for clip_id in clip_ids if (row := index.find(clip_id))])
        return list(dict.fromkeys(mask for row in rows for mask in self.missing_masks(row)))

    def missing_masks(self, row: ClipRow) -> "tuple[Polygon, ...]":
        """Return the masks that have to be drawn into a clip; without any its file may leave as it is."""
        from device.media.masks import missing_masks  # loads OpenCV

        return missing_masks(self.recorded_masks(row), self._masks_now())

    def all_masks(self, row: ClipRow) -> "tuple[Polygon, ...]":
        """Return the masks that cover a clip, also those that are in its pictures already."""
        from device.media.masks import all_masks

        return all_masks(self.recorded_masks(row), self._masks_now())

    def recorded_masks(self, row: ClipRow) -> "SpanMasks":
        """Return the masks that held when a clip was recorded; of a file that cannot be read, one over all of it."""
        from device.store.mask_record import WHOLE, masks_in  # loads PyAV

        try:
            return masks_in(self._daemon.layout.clips / row.file_name)
        except OSError:
            return WHOLE

    def _masks_now(self) -> Sequence[Sequence[tuple[float, float]]]:
        return [mask.points for mask in self._daemon.config.masks]

    def to_leave(self, row: ClipRow, beat: Callable[[], None] | None = None) -> Path:
        """Return the file of a clip that may leave: its own, or a copy with the masks that it lacks, made now.

        `beat`: see MaskedCopies.copy_of. Raises CommandError.
        """
        path = self._daemon.layout.clips / row.file_name
        try:
            if plain_size(path) is None:
                raise _unreadable(path.name, " is no ordinary file")
        except OSError as error:
            raise _unreadable(path.name, f": {error.strerror}") from error
        masks = self.missing_masks(row)
        if not masks:
            return path
        from device.store.masked_export import MaskedCopies

        # One for the page and one for backups: the page never waits until a backup is encoded.
        copies = self._copies.setdefault(
            "backup" if beat else "page", MaskedCopies(self._daemon.layout.masked)
        )
        try:
            return copies.copy_of(path, masks, beat)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"{path.name}: cannot be encoded with its masks ({error})",
                code="clip_unmasked",
                file=path.name,
            ) from error

    def picture(self, row: ClipRow, at_us: int, blurs: "Sequence[Corners]") -> bytes:
        """Return the picture of a clip at a time as JPEG, masked and blurred. Raises CommandError."""
        from device.media.masks import Masks  # these load OpenCV and PyAV
        from device.media.mosaic import Blur
        from device.store.clip_query import picture_at

        try:
            clip, masks = self._daemon.layout.clips / row.file_name, Masks(self.all_masks(row))
            return picture_at(clip, at_us, masks, Blur(blurs))
        except (OSError, ValueError) as error:
            raise _unreadable(row.file_name, f": {error}") from error

    def press_picture(self, event_id: str, press_number: int) -> bytes | None:
        """Return the picture of a press as JPEG, None if there is none. Raises CommandError.

        It has the masks of its moment; those of now are drawn into what is returned.
        """
        from device.media.jpeg import masked_again  # these load OpenCV and PyAV
        from device.media.mask_history import digest_of, polygon_of
        from device.media.masks import Masks
        from device.store.files import has_label

        jpeg = self._daemon.unwritten_pictures.get(event_id, press_number)
        if jpeg is None:
            row = self.ask(lambda index: index.find_picture(event_id, press_number))
            if row is None:
                return None
            try:
                with open_plain(self._daemon.layout.press_pictures / row.file_name) as file:
                    jpeg = file.read()
            except FileNotFoundError:
                return None  # deleted in the meantime
            except OSError as error:
                raise _unreadable(row.file_name, f": {error}") from error
        masks = [polygon_of(points) for points in self._masks_now()]
        if not masks or has_label(jpeg, digest_of(masks)):
            return jpeg
        try:
            return masked_again(jpeg, Masks(masks))
        except ValueError as error:
            raise CommandError(
                f"the picture of press {press_number} of {event_id}: {error}", code="no_picture"
            ) from error

    def members(self, from_wall_us: int, until_wall_us: int) -> "Iterator[Member]":
        """Yield the clips and press pictures of a span, as they may leave; at last a text on what is missing, if any.

        Raises CommandError before the first one, if the index cannot be read.
        """
        clips = self.ask(lambda index: index.between(from_wall_us, until_wall_us))
        pictures = self.ask(lambda index: index.pictures_between(from_wall_us, until_wall_us))
        return self._members(clips, pictures)

    def _members(self, clips: list[ClipRow], pictures: list[PressPictureRow]) -> "Iterator[Member]":
        from device.web.zip_stream import Member

        missing: list[str] = []
        for row in clips:
            try:
                file = open_plain(self.to_leave(row))
            except (CommandError, OSError) as error:
                missing.append(f"{row.file_name}: {error}")
                continue
            yield Member(row.file_name, row.started_wall_us, os.fstat(file.fileno()).st_size, file)
        for picture in pictures:
            try:
                jpeg = self.press_picture(picture.event_id, picture.press_number)
            except CommandError as error:
                missing.append(f"{picture.file_name}: {error}")
                continue
            if jpeg is not None:
                yield Member(picture.file_name, picture.pressed_wall_us, len(jpeg), BytesIO(jpeg))
        if missing:
            text = "\n".join(
                ["These files could not be read, or not be encoded with their masks:", *missing, ""]
            )
            yield Member("MISSING.txt", self._daemon.clock.wall_us(), len(text), BytesIO(text.encode()))

    def next_clip(self, since_us: int, known: Callable[[str], bool]) -> str | None:
        """Return the oldest clip that ended since then and is not `known`. Raises CommandError."""
        rows = self._overlapping(since_us, FAR_US)
        return next((row.clip_id for row in rows if not known(row.clip_id)), None)

    def file_of(self, clip_id: str, beat: Callable[[], None]) -> Path | None:
        """Return a clip's file or a masked copy of it, None if it was deleted; `beat` meanwhile.

        Raises CommandError.
        """
        row = self.ask(lambda index: index.find(clip_id))
        if row is None or not (self._daemon.layout.clips / row.file_name).exists():
            return None
        return self.to_leave(row, beat)

    def ask(self, question: Callable[[Index], T]) -> T:
        """Query the index through a new connection. Raises CommandError."""
        try:
            index = Index(self._daemon.layout.index, read_only=True)
            try:
                return question(index)
            finally:
                index.close()
        except (sqlite3.Error, OverflowError) as error:
            raise CommandError(
                f"the index cannot be read yet: {error}; try again", code="not_readable_yet"
            ) from error

    def _overlapping(self, start_us: int, end_us: int) -> list[ClipRow]:
        rows = self.ask(lambda index: index.between(start_us - MAX_CLIP_US, end_us))
        return [row for row in rows if row.started_wall_us + row.duration_us > start_us]


def _unreadable(file_name: str, why: str) -> CommandError:
    text = f"{file_name}{why}; `doorbell check` says more"
    return CommandError(text, code="clip_unreadable", file=file_name)
