"""A clip's file says how it was masked, whatever happens to the file while it grows."""

import tempfile
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.media.mask_history import LATE_US, MaskHistory, SpanMasks, polygon_of
from device.media.masks import all_masks, missing_masks
from device.store.clip_file import ClipFile
from device.store.mask_record import MARK, SPARE_BYTES, WHOLE, masks_in, record_of
from device.store.mp4 import whole_fragments
from tests.support.storage import pictures

LEFT = ((0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0))
RIGHT = ((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0))
PICTURES = pictures()
BOTH = SpanMasks(held=(LEFT, RIGHT))

corner = st.tuples(st.integers(0, 1_000_000), st.integers(0, 1_000_000))
polygons = st.lists(corner, min_size=3, max_size=32).map(
    lambda at: polygon_of([(x / 1e6, y / 1e6) for x, y in at])
)


@st.composite
def span_masks(draw: st.DrawFn) -> SpanMasks:
    held = draw(st.lists(polygons, max_size=20, unique=True))
    return SpanMasks(held=tuple(held), drawn=tuple(mask for mask in held if draw(st.booleans())))


def clip(folder: Path, masks: SpanMasks | None, later: dict[int, SpanMasks] | None = None) -> ClipFile:
    """Write a clip that is not closed; `later`: the masks before the picture of that number."""
    growing = ClipFile(folder / "c.mp4", PICTURES[0].format, masks)
    for number, packet in enumerate(PICTURES):
        if later and number in later:
            growing.hold(later[number])
        growing.add(packet)
    growing.sync()
    return growing


@given(span_masks())
def test_a_record_is_read_as_it_was_written(masks: SpanMasks) -> None:
    with tempfile.TemporaryDirectory() as folder:
        growing = clip(Path(folder), masks)
        assert masks_in(growing.part_path) == masks
        growing.close(growing.final_path)
        assert masks_in(growing.final_path) == masks


@pytest.mark.parametrize("number", [0, 1, 9, 15, 39])
def test_masks_that_come_while_it_grows_are_in_the_part_and_in_the_clip(number: int, tmp_path: Path) -> None:
    growing = clip(tmp_path, SpanMasks(held=(LEFT,), drawn=(LEFT,)), {number: BOTH})
    assert masks_in(growing.part_path) == BOTH
    growing.rename(tmp_path / "d.mp4")
    more = SpanMasks(held=(*BOTH.held, LEFT[:3]))
    growing.hold(more)
    assert masks_in(growing.part_path) == more
    growing.close(growing.final_path)
    assert masks_in(growing.final_path) == more
    with av.open(str(growing.final_path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == len(PICTURES)


def test_no_picture_is_in_the_file_before_the_masks_that_cover_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look at the file after each write, as a power cut might leave it."""
    from device.store import clip_file

    looked: list[tuple[int, SpanMasks]] = []
    number = 0
    file = clip_file._SyncedFile  # noqa: SLF001  (no other place sees the states between two writes)
    write = file.write

    def and_look(self: Any, data: bytes) -> int:
        count = write(self, data)
        if whole_fragments(self.path):
            looked.append((number, masks_in(self.path)))
        return count

    monkeypatch.setattr(file, "write", and_look)
    growing = ClipFile(tmp_path / "c.mp4", PICTURES[0].format, SpanMasks(held=(LEFT,), drawn=(LEFT,)))
    for number, packet in enumerate(PICTURES):
        if number == len(PICTURES) // 3:
            growing.hold(BOTH)
        growing.add(packet)
    growing.close(growing.final_path)
    assert len(looked) > 3
    late = [masks for at, masks in looked if at >= len(PICTURES) // 3]
    assert late
    assert set(late) == {BOTH}


def test_a_clip_with_more_masks_than_fit_is_covered_whole(tmp_path: Path) -> None:
    many = tuple(((0.0, 0.0), (0.5, number / 1000), (1.0, 1.0)) for number in range(SPARE_BYTES // 20))
    growing = clip(tmp_path, SpanMasks(held=(LEFT,)), {20: SpanMasks(held=many)})
    growing.close(growing.final_path)
    assert masks_in(growing.final_path) == WHOLE
    path = tmp_path / "from_the_start"
    path.mkdir()
    assert masks_in(clip(path, SpanMasks(held=many)).part_path).held == many


@pytest.mark.parametrize("at", range(0, 120, 7))
def test_a_damaged_record_covers_all(at: int, tmp_path: Path) -> None:
    growing = clip(tmp_path, BOTH)
    growing.close(growing.final_path)
    data = bytearray(growing.final_path.read_bytes())
    start = data.rfind(MARK)
    assert at < len(record_of(BOTH).rstrip())
    data[start + at] ^= 1
    growing.final_path.write_bytes(data)
    assert masks_in(growing.final_path) == WHOLE


def test_a_clip_without_a_record_is_covered_whole(tmp_path: Path) -> None:
    growing = clip(tmp_path, None, {3: BOTH})
    growing.close(growing.final_path)
    assert masks_in(growing.final_path) == WHOLE
    (tmp_path / "other.mp4").write_bytes(b"no film at all")
    assert masks_in(tmp_path / "other.mp4") == WHOLE
    with pytest.raises(OSError, match="No such file"):
        masks_in(tmp_path / "gone.mp4")


NAMED = st.sampled_from([LEFT, RIGHT, LEFT[:3], RIGHT[:3]])
STEP_US = 1_000_000


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 40), st.lists(NAMED, max_size=3, unique=True), st.booleans()), max_size=8
    ),
    from_s=st.integers(0, 40),
    encoded_here=st.booleans(),
)
def test_whatever_the_history_a_clip_has_the_masks_of_each_of_its_moments(
    changes: list[tuple[int, list[Any], bool]], from_s: int, *, encoded_here: bool
) -> None:
    history, truth = MaskHistory([LEFT]), [(-(1 << 62), {LEFT}, False)]
    for at_s, masks, by_camera in sorted(changes, key=lambda change: change[0]):
        history.change(at_s * STEP_US, masks, by_camera=by_camera)
        truth.append((at_s * STEP_US, set(masks), by_camera))
    found = history.since(from_s * STEP_US, encoded_here=encoded_here)
    ends = [*(at_us for at_us, _, _ in truth[1:]), 1 << 62]
    during = [
        (masks, by_camera)
        for (_, masks, by_camera), end_us in zip(truth, ends, strict=True)
        if end_us > from_s * STEP_US - LATE_US
    ]
    for masks_then, by_camera in during:
        assert masks_then <= set(found.held)
        assert set(found.drawn) <= masks_then
        assert by_camera or encoded_here or not found.drawn
    long_before = from_s * STEP_US - LATE_US
    recent = [masks for (_, masks, _), end_us in zip(truth, ends, strict=True) if end_us >= long_before]
    assert set(found.held) <= set().union(*recent)


@given(span_masks(), st.lists(polygons, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_leaves_has_every_mask_drawn_or_in_its_picture(clip_masks: SpanMasks, now: list[Any]) -> None:
    wanted = {*clip_masks.held, *now}
    assert set(all_masks(clip_masks, now)) == wanted
    missing = missing_masks(clip_masks, now)
    assert set(missing) <= wanted - set(clip_masks.drawn)
    if not clip_masks.drawn:
        assert set(missing) == wanted


def test_a_mask_inside_one_of_the_picture_is_not_missing_and_one_that_juts_out_is() -> None:
    drawn = SpanMasks(held=(LEFT,), drawn=(LEFT,))
    inside = ((0.1, 0.1), (0.3, 0.1), (0.3, 0.9))
    juts_out = ((0.1, 0.1), (0.402, 0.1), (0.3, 0.9))
    assert missing_masks(drawn, [inside]) == ()
    assert missing_masks(drawn, [juts_out]) == (juts_out,)
    assert missing_masks(SpanMasks(held=(LEFT,)), [inside]) == (LEFT, inside)
