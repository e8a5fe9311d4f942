"""At start, rows and files agree again, whatever somebody or a power cut did to the folder."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from device.events import Packet, VideoFormat
from device.media.annex_b import AnnexB
from device.store.clip_file import ClipFile
from device.store.clip_name import ClipName
from device.store.files import sha256_of
from device.store.index import Index
from device.store.mp4 import whole_fragments
from device.store.reconcile import findings, reconcile, row_for
from tests.support.tampering import changed
from tests.support.videos import frames_of, make_video


class Folder:
    def __init__(self, state: Path) -> None:
        self.clips, self.quarantine = state / "clips", state / "quarantine"
        self.clips.mkdir()
        self.index = Index(state / "index.db")

    def keep(self, number: int) -> Path:
        """Make a clip that is whole: a file and its row."""
        event = f"01KA{number:022d}"
        name = ClipName(
            started_wall_us=number * 1_000_000, event_id=event, cause="press", clock="synchronised"
        )
        path = make_video(self.clips / name.file_name, seconds=1)
        self.index.add(row_for(name, path, duration_us=1_000_000, sha256=sha256_of(path)))
        return path

    def mend(self) -> list[tuple[str, bool]]:
        """Reconcile; return (reason, whether it was a clip) of each thing done."""
        done = list(reconcile(self.index, self.clips, self.quarantine))
        return [(mended.reason, mended.clip_id is not None) for mended in done]

    def findings(self) -> list[str]:
        return list(findings(self.index, self.clips, running=False))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.keep(1)
    return folder


def test_a_folder_without_errors_is_left_alone(folder: Folder) -> None:
    assert folder.findings() == []
    assert folder.mend() == []


def test_a_clip_of_another_size_is_put_aside_and_its_row_goes(folder: Folder) -> None:
    path = folder.keep(2)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert "has 1000 bytes" in folder.findings()[0]
    assert folder.mend() == [
        (f"its file has 1000 bytes, {len(whole)} were recorded; put aside into quarantine/", True)
    ]
    assert (folder.quarantine / path.name).read_bytes() == whole[:1000]
    assert folder.findings() == []
    assert folder.index.totals()[0] == 1


def test_a_clip_whose_file_is_gone_loses_its_row(folder: Folder) -> None:
    folder.keep(2).unlink()
    assert folder.mend() == [("its file is gone", True)]
    assert folder.findings() == []


def test_an_h265_clip_that_was_cut_off_has_the_tag_that_quicktime_plays(folder: Folder) -> None:
    video = VideoFormat(codec="hevc", width_px=320, height_px=180, epoch=1)
    name = ClipName(
        started_wall_us=9_000_000, event_id="01KA" + "9" * 22, cause="press", clock="synchronised"
    )
    growing = ClipFile(folder.clips / name.file_name, video)
    source = make_video(folder.clips.parent / "h265.mp4", seconds=3, codec="libx265")
    with av.open(str(source)) as file:
        stream: Any = file.streams.video[0]
        annex_b = AnnexB("hevc", stream)
        for data in (data for raw in file.demux(stream) if raw.size for data in annex_b.filter(raw)):
            us = int(data.pts * stream.time_base * 1_000_000)
            growing.add(
                Packet(
                    data=data, size_bytes=data.size, pts_us=us, dts_us=us, duration_us=66_667,
                    is_keyframe=data.is_keyframe, format=video,
                )
            )  # fmt: skip
    growing.sync()
    assert b"hev1" in growing.part_path.read_bytes()
    assert folder.mend() == [("was cut off, and saved", True)]
    with av.open(str(growing.final_path)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"
        assert sum(1 for _ in file.decode(file.streams.video[0])) >= 15
    assert folder.findings() == []


def test_a_strangers_file_is_put_aside_and_called_no_clip(folder: Folder) -> None:
    (folder.clips / "holiday.txt").write_text("sea")
    reason = "its name is not a clip's; put aside into quarantine/"
    assert folder.mend() == [(reason, False)]
    assert (folder.quarantine / "holiday.txt").read_text() == "sea"


def test_a_whole_clip_without_a_row_gets_one(folder: Folder) -> None:
    row = folder.index.oldest_first()[0]
    folder.index.remove(row.clip_id)
    assert folder.mend() == [("had no row, and got one", True)]
    assert folder.index.oldest_first()[0].sha256 == row.sha256


def test_a_deletion_that_was_cut_off_is_finished_and_the_file_not_adopted(folder: Folder) -> None:
    path = folder.keep(2)
    row = folder.index.oldest_first()[1]
    folder.index.doom(row.clip_id)
    assert "its deletion was cut off" in folder.findings()[0]
    assert folder.mend() == []
    assert not path.exists()
    assert folder.findings() == []
    assert folder.index.totals()[0] == 1


def test_an_index_that_is_being_created_is_not_called_another_version_s(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")  # what the storage worker does first
    with pytest.raises(sqlite3.DatabaseError, match="not been created yet"):
        Index(path, read_only=True)


def test_an_index_of_another_version_is_not_misread(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "index.db") as old:
        old.execute("CREATE TABLE clip (clip_id TEXT)")
    with pytest.raises(sqlite3.DatabaseError, match="another version"):
        Index(tmp_path / "index.db")


def test_only_a_deep_look_finds_another_content_of_the_same_size(folder: Folder) -> None:
    path = folder.clips / folder.index.oldest_first()[0].file_name
    path.write_bytes(changed(path.read_bytes()))
    assert folder.findings() == []
    seen: list[tuple[int, int]] = []
    found = findings(
        folder.index,
        folder.clips,
        running=False,
        deep=True,
        progress=lambda done, whole: seen.append((done, whole)),
    )
    assert "another SHA-256" in next(found)
    assert list(found) == []
    assert seen == [(path.stat().st_size, path.stat().st_size)]


def test_a_clip_that_was_closed_but_not_renamed_yet_is_adopted_whole(folder: Folder) -> None:
    path = folder.keep(2)
    whole = path.read_bytes()
    folder.index.remove("19700101T000002.000Z-0002")
    path.rename(path.with_name(path.name + ".part"))
    assert folder.mend() == [("was cut off, and saved", True)]
    assert path.read_bytes() == whole


def test_an_index_that_was_cut_off_while_it_was_made_is_finished(tmp_path: Path) -> None:
    whole = Index(tmp_path / "whole.db")
    whole.close()
    cut = sqlite3.connect(tmp_path / "cut.db")
    cut.execute("PRAGMA journal_mode=WAL")  # and the power went before the tables were there
    cut.close()
    Index(tmp_path / "cut.db").close()
    with sqlite3.connect(tmp_path / "cut.db") as index:
        assert index.execute("PRAGMA user_version").fetchone() == (3,)


@pytest.mark.parametrize("first_fragment", ["+empty_moov", ""], ids=["has a moof", "is in the moov"])
def test_of_a_clip_whose_last_fragment_is_damaged_the_rest_is_adopted(
    folder: Folder, first_fragment: str
) -> None:
    path = folder.clips / "20261124T202017.000Z_01KA0000000000000000000002_press_s.mp4.part"
    with av.open(
        str(path), "w", format="mp4", options={"movflags": f"frag_keyframe{first_fragment}"}
    ) as file:
        stream = file.add_stream("libx264", rate=10, options={"g": "10", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(40):
            picture = np.full((48, 64, 3), number * 5, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    *_, (_, before), (_, last) = whole_fragments(path)
    with path.open("r+b") as damaged:
        damaged.seek(before)
        header = damaged.read(8)  # the moof's length and kind survived, the rest of it did not
        damaged.write(bytes(int.from_bytes(header[:4]) - 8))
        damaged.truncate(last)
    assert folder.mend() == [("was cut off, and saved", True)]
    saved = path.with_name(path.name.removesuffix(".part"))
    assert saved.stat().st_size == before
    assert frames_of(str(saved)) == 30
