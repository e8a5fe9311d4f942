"""A day as one ZIP archive, made while it is sent."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from device.web.zip_stream import PIECE_BYTES, Member, zipped
from server.dev_processes import wait_for
from tests.support.doorbell import Doorbell
from tests.support.videos import frames_of
from tests.web.test_api import day
from tests.web.visitor import Visitor

Make = Callable[..., Doorbell]
AT_US = 1_764_000_000_000_000


class Watched(io.BytesIO):
    """A file of zeros that notes how much of it was read at once."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(bytes(size_bytes))
        self.most_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.most_bytes = max(self.most_bytes, len(data))
        return data


def test_a_file_is_never_in_memory_as_a_whole_and_the_next_is_opened_when_it_is_sent() -> None:
    opened: list[Watched] = []

    def members() -> Iterator[Member]:
        for number in range(2):
            opened.append(Watched(5 * PIECE_BYTES + 3))
            yield Member(f"{number}.mp4", AT_US, 5 * PIECE_BYTES + 3, opened[-1])

    received = b""
    for piece in zipped(members()):
        assert len(piece) < 2 * PIECE_BYTES
        received += piece
        assert sum(not file.closed for file in opened) <= 1
    assert [file.most_bytes for file in opened] == [PIECE_BYTES] * 2
    with zipfile.ZipFile(io.BytesIO(received)) as archive:
        assert archive.testzip() is None
        assert [info.file_size for info in archive.infolist()] == [5 * PIECE_BYTES + 3] * 2


def test_an_empty_day_is_an_empty_archive() -> None:
    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped([])))).namelist() == []


def test_a_day_s_clips_and_pictures_come_as_one_archive(door: Doorbell, tmp_path: Path) -> None:
    owner = Visitor(door.page).claim(door)
    door.ring()
    (clip,) = door.clips(1)
    pictures = door.state / "state" / "press_pictures"
    (picture,) = wait_for("the picture", lambda: list(pictures.glob("*.jpg")))
    answer = owner.ask("GET", f"/api/archive.zip?{day()}&name=day")
    assert answer.headers["content-disposition"] == 'attachment; filename="day.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == [Path(clip["file"]).name, picture.name]
        assert archive.read(picture.name) == picture.read_bytes()
        archive.extractall(tmp_path)
    copy = tmp_path / Path(clip["file"]).name
    assert copy.read_bytes() == Path(clip["file"]).read_bytes()
    # One that is gone does not end the archive; a text names it.
    Path(clip["file"]).unlink()
    with zipfile.ZipFile(io.BytesIO(owner.ask("GET", f"/api/archive.zip?{day()}").body)) as archive:
        assert archive.namelist() == [picture.name, "MISSING.txt"]
        assert copy.name in archive.read("MISSING.txt").decode()
    assert frames_of(str(copy)) > 0
    assert Visitor(door.page).ask("GET", f"/api/archive.zip?{day()}").status == 401
