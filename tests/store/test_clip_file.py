"""A growing clip with a track of sound, whatever becomes of the sound: what a power cut would leave of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from device.events import Packet, SoundFormat, SoundPacket, VideoFormat
from device.media.annex_b import AnnexB
from device.store.clip_file import ClipFile
from device.store.mp4 import playable_us, whole_fragments
from tests.support.videos import make_video

SOUND_US = 64_000
HEADER = b"\x14\x08"  # AAC-LC, 16 kHz, mono


def silence() -> Any:
    """Return one AAC packet."""
    encoder: Any = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "fltp"
    frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
    frame.sample_rate, frame.pts = 16_000, 0
    frame.planes[0].update(bytes(4096))
    return [*encoder.encode(frame), *encoder.encode()][-1]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("movie") / "v.mp4", seconds=12, keyframe_every=60)


def sound_at(us: int, data: Any, form: SoundFormat) -> SoundPacket:
    return SoundPacket(data=data, size_bytes=data.size, pts_us=us, duration_us=SOUND_US, format=form)


def pictures(path: Path, form: VideoFormat) -> Iterator[Packet]:
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        annex_b = AnnexB("h264", video)
        for raw in file.demux(video):
            for packet in annex_b.filter(raw) if raw.size else ():
                pts_us, dts_us = (
                    int(ticks * video.time_base * 1_000_000) for ticks in (packet.pts, packet.dts)
                )
                yield Packet(
                    data=packet, size_bytes=packet.size, pts_us=10**9 + pts_us, dts_us=10**9 + dts_us,
                    duration_us=66_667, is_keyframe=packet.is_keyframe, format=form,
                )  # fmt: skip


@pytest.mark.parametrize(("from_s", "until_s"), [(0, 99), (0, 5), (5, 99), (99, 99), (99, 0)])
def test_a_cut_costs_two_seconds_at_most_whether_sound_comes_or_goes(
    from_s: int, until_s: int, movie: Path, tmp_path: Path
) -> None:
    sound = SoundFormat(codec="aac", rate_hz=16_000, channels=1, header=HEADER)
    track = sound if until_s else None
    form = VideoFormat(codec="h264", width_px=320, height_px=180, epoch=1, sound=track)
    clip, data, begun_us, heard_us = ClipFile(tmp_path / "c.mp4", form), silence(), 0, 0
    for picture in pictures(movie, form):
        begun_us = begun_us or picture.dts_us
        clip.add(picture)
        now_us = picture.dts_us - begun_us
        while heard_us < now_us:
            if from_s * 1e6 <= heard_us < until_s * 1e6:
                clip.add_sound(sound_at(begun_us + heard_us, data, sound))
            heard_us += SOUND_US
        if now_us > 2_000_000 and picture.dts_us // 300_000 != (picture.dts_us - 66_667) // 300_000:
            last = whole_fragments(clip.part_path)[-1]
            assert now_us - (playable_us(clip.part_path, last) or 0) < 2_000_000
    clip.close(clip.final_path)
    with av.open(str(clip.final_path)) as file:
        tracks = file.streams.audio
        assert len(tracks) == bool(track)
        kept_us = sum(p.size > 0 for p in file.demux(tracks[0])) * SOUND_US if track else 0
    assert abs(kept_us - max(0, min(until_s * 1e6, now_us) - from_s * 1e6)) <= 3 * SOUND_US
    whole = (0, clip.final_path.stat().st_size)
    assert (playable_us(clip.final_path, whole) or 0) > 11_900_000


@pytest.mark.parametrize("filled", [True, False])
def test_sound_that_overlaps_is_left_out_and_a_hole_is_filled_if_there_is_silence_for_it(
    movie: Path, tmp_path: Path, *, filled: bool
) -> None:
    quiet = bytes(silence()) if filled else b""
    sound = SoundFormat(
        codec="aac", rate_hz=16_000, channels=1, header=HEADER, silence=quiet, silence_us=SOUND_US
    )
    form = VideoFormat(codec="h264", width_px=320, height_px=180, epoch=1, sound=sound)
    clip, data = ClipFile(tmp_path / "c.mp4", form), silence()
    all_pictures = list(pictures(movie, form))
    clip.add(all_pictures[0])
    for at_us in (-70_000, 9000, 64_000, 70_000, 150_000, 1_000_000, 1_050_000, 1_130_000):
        clip.add_sound(sound_at(all_pictures[0].pts_us + at_us, data, sound))
    for picture in all_pictures[1:]:
        clip.add(picture)
    clip.close(clip.final_path)
    with av.open(str(clip.final_path)) as file:
        times = [p.pts for p in file.demux(file.streams.audio[0]) if p.size]
    # -70 ms is before the clip; 70 ms overlaps what lasts until 128 ms, by more than what may be jitter.
    if filled:
        # Without a break, also for 150 to 1000 ms, and 1000 ms is in its place to within 40.
        assert times == list(range(0, 19_000, 1024))
    else:
        assert times == [0, 1024, 2048, 16_000, 17_024, 18_048]
