"""More violations: what an attacker, or a bug of the writing side, could hide in the H.264 of a released clip.

Each of H264_FORGERIES changes one thing of a good clip, and repairs every length and table around it. Pictures are
coded again where a bit of a header is changed, so that they decode as before.
"""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO
from typing import Any

import av

from device.release.audit_units import PPS_FIELDS, Field, slice_fields, sps_fields
from device.release.mp4_writer import Mp4Writer
from tests.support.films import drawn
from tests.support.surgery import Box, operated, patched
from tests.support.violations import (
    STBL,
    Operation,
    grow_avcc,
    samples_of,
    with_samples,
)

H264_FORGERIES: dict[str, Operation] = {}
Changes = dict[str, Any]
TEXT = int.from_bytes(b"Anna", "big")
SHAPE_MBS = 20, 12
SPS_AT = 8


def add(what: str, change: Callable[[Box], None]) -> None:
    assert what not in H264_FORGERIES
    H264_FORGERIES[what] = operated(change)


# --- bits -------------------------------------------------------------------------------------------


def bits_of(content: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in content.replace(b"\0\0\3", b"\0\0"))


def unit_of(head: bytes, bits: str, *, escaped: bool = True) -> bytes:
    """Return a NAL unit of some bits, the stop bit among them."""
    bits += "0" * (-len(bits) % 8)
    plain = int(bits, 2).to_bytes(len(bits) // 8, "big")
    if not escaped:
        return head + plain
    done = bytearray()
    for byte in plain:
        if byte <= 3 and done.endswith(b"\0\0"):
            done.append(3)
        done.append(byte)
    return head + bytes(done)


def coded(fields: Sequence[Field]) -> str:
    return "".join(ue(value) if form == "ue" else f"{value:0{form}b}" for _, form, value in fields)


def ue(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


def edited(fields: Sequence[Field], **changes: Any) -> str:
    """Return fields as bits; a change is the new value, or the bits that the field becomes."""
    found = ""
    for field in fields:
        name = field[0].split()[0].rstrip(",")
        change = changes.pop(name, field[2])
        found += change if isinstance(change, str) else coded([(name, field[1], change)])
    assert not changes, changes
    return found


# --- parameter sets ----------------------------------------------------------------------------------


def with_sps(bits: str, *, escaped: bool = True) -> Callable[[Box], None]:
    def change(file: Box) -> None:
        grow_avcc(file, SPS_AT, lambda _old: unit_of(b"\x67", bits, escaped=escaped))
        entry = file.find(*STBL, b"stsd")
        at = entry.content.index(b"avcC") + 5
        patched(entry, at, entry.content[at + 8 : at + 11])  # profile and level, once more

    return change


def with_pps(bits: str) -> Callable[[Box], None]:
    def change(file: Box) -> None:
        entry = file.find(*STBL, b"stsd").content
        at = entry.index(b"avcC") + 4
        length = struct.unpack_from(">H", entry, at + 6)[0]
        grow_avcc(file, 8 + length + 3, lambda _old: unit_of(b"\x68", bits))

    return change


SPS = sps_fields(40, *SHAPE_MBS)
RIGHT = "1" + ue(0) + ue(80) + ue(0) + ue(0)
BOTTOM = "1" + ue(0) + ue(0) + ue(0) + ue(6)
HRD = ue(0) + "00000000" + ue(7) + ue(9) + "0" + f"{TEXT & 0xFFFFF:020b}"
SPS_CHANGES: dict[str, Changes] = {
    "cropped to half of the picture": {"frame_cropping_flag": RIGHT},
    "cropped by twelve rows": {"frame_cropping_flag": BOTTOM},
    "cropped by nothing, but said so": {"frame_cropping_flag": "1" + ue(0) * 4},
    "another level": {"level_idc": 41},
    "another constraint flag": {"constraint": 0xE0},
    "reserved constraint bits": {"constraint": 0xC1},
    "another profile": {"profile_idc": 77},
    "another number of the SPS": {"seq_parameter_set_id": 1},
    "more references than are used": {"max_num_ref_frames": 4},
    "gaps in frame_num": {"gaps_in_frame_num_value_allowed_flag": 1},
    "frame numbers of sixteen bits": {"log2_max_frame_num_minus4": 12},
    "a picture order of its own": {"pic_order_cnt_type": ue(0) + ue(4)},
    "a cycle of 200 offsets": {"pic_order_cnt_type": ue(1) + "0" + ue(0) * 2 + ue(200) + ue(65) * 200},
    "an aspect ratio of 32 bits": {"aspect_ratio_info_present_flag": f"1{255:08b}{TEXT:032b}"},
    "a square aspect ratio": {"aspect_ratio_info_present_flag": f"1{1:08b}"},
    "overscan": {"overscan_info_present_flag": "11"},
    "a colour description": {"video_signal_type_present_flag": "1" + "101" + "0" + "1" + f"{TEXT & 0xFFFFFF:024b}"},
    "places of chroma": {"chroma_loc_info_present_flag": "1" + ue(3) + ue(2)},
    "a text as units of a tick": {"num_units_in_tick": TEXT},
    "a date as timescale of the SPS": {"time_scale": 20_261_124},
    "a fixed frame rate": {"fixed_frame_rate_flag": 1},
    "no times in the SPS": {"timing_info_present_flag": "0", "num_units_in_tick": "", "time_scale": "",
                            "fixed_frame_rate_flag": ""},
    "a buffer's model": {"nal_hrd_parameters_present_flag": "1" + HRD, "pic_struct_present_flag": "00"},
    "two buffers' models": {"vcl_hrd_parameters_present_flag": "1" + HRD, "pic_struct_present_flag": "00"},
    "times of pictures in SEI": {"pic_struct_present_flag": 1},
    "other vectors over the edge": {"motion_vectors_over_pic_boundaries_flag": 0},
    "a text as length of vectors": {"log2_max_mv_length_vertical": 15},
    "a number of 65 bits": {"max_bytes_per_pic_denom": ue(TEXT)},
    "no restriction": {"bitstream_restriction_flag": "0", "motion_vectors_over_pic_boundaries_flag": "",
                       "max_bytes_per_pic_denom": "", "max_bits_per_mb_denom": "", "log2_max_mv_length_horizontal": "",
                       "log2_max_mv_length_vertical": "", "max_num_reorder_frames": "", "max_dec_frame_buffering": ""},
    "another width in the SPS": {"pic_width_in_mbs_minus1": 20},
    "another height in the SPS": {"pic_height_in_map_units_minus1": 12},
    "fields instead of frames": {"frame_mbs_only_flag": "00"},
}  # fmt: skip
for what, changes in SPS_CHANGES.items():
    add(f"SPS: {what}", with_sps(edited(SPS, **changes) + "1"))
add("SPS: a text behind the stop bit", with_sps(edited(SPS) + "1" + f"{TEXT:032b}"))
add("SPS: no stop bit", with_sps(edited(SPS)))
add("SPS: seven zeros too many", with_sps(edited(SPS) + "1" + "0" * 15))
add("SPS: not escaped", with_sps(edited(SPS) + "1", escaped=False))
PPS_CHANGES: dict[str, Changes] = {
    "another quantiser": {"pic_init_qp_minus26": ue(20)},
    "CABAC": {"entropy_coding_mode_flag": 1},
    "another number of the PPS": {"pic_parameter_set_id": 1},
    "a number of 32 bits": {"seq_parameter_set_id": ue(TEXT)},
    "another quantiser of colour": {"chroma_qp_index_offset": ue(3)},
    "another quantiser of nothing": {"pic_init_qs_minus26": ue(7)},
    "references by default": {"num_ref_idx_l1_default_active_minus1": ue(5)},
    "weights": {"weighted_bipred_idc": 2},
    "constrained prediction": {"constrained_intra_pred_flag": 1},
    "no control of the filter": {"deblocking_filter_control_present_flag": 0},
    "slice groups": {"num_slice_groups_minus1": ue(1) + ue(2) + ue(1) + ue(9)},
}
for what, changes in PPS_CHANGES.items():
    add(f"PPS: {what}", with_pps(edited(PPS_FIELDS, **changes) + "1"))
add("PPS: an extension", with_pps(edited(PPS_FIELDS) + "00" + ue(0) + "1"))
add("PPS: a text behind the stop bit", with_pps(edited(PPS_FIELDS) + "1" + f"{TEXT:032b}"))


def one_more_set(head: bytes, bits: str) -> Callable[[Box], None]:
    """Put a parameter set that nothing uses behind the others of its kind."""

    def change(file: Box) -> None:
        entry = file.find(*STBL, b"stsd")
        begin = entry.content.index(b"avcC") - 4
        length = struct.unpack_from(">I", entry.content, begin)[0]
        config = bytearray(entry.content[begin + 8 : begin + length])
        unit = unit_of(head, bits)
        more = struct.pack(">H", len(unit)) + unit
        pps = 8 + struct.unpack_from(">H", config, 6)[0]
        place, count = (len(config), pps) if head == b"\x68" else (pps, 5)
        config[count] += 1
        config[place:place] = more
        entry.content = entry.content[:begin] + Box(b"avcC", bytes(config)).written()
        patched(entry, 8, struct.pack(">I", len(entry.content) - 8))

    return change


UNUSED = edited(PPS_FIELDS, pic_parameter_set_id=1, seq_parameter_set_id=ue(TEXT)) + "1"
add("an unused PPS of a 32-bit text", one_more_set(b"\x68", UNUSED))
add("an unused PPS like the other", one_more_set(b"\x68", edited(PPS_FIELDS, pic_parameter_set_id=7) + "1"))
add("an unused SPS", one_more_set(b"\x67", edited(SPS, seq_parameter_set_id=3) + "1"))
add("the same SPS twice", one_more_set(b"\x67", edited(SPS) + "1"))


# --- slices --------------------------------------------------------------------------------------------


def nal(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


def with_sample(number: int, change: Callable[[bytes], bytes]) -> Callable[[Box], None]:
    def done(file: Box) -> None:
        samples = samples_of(file)
        samples[number] = change(samples[number])
        with_samples(file, samples)

    return done


def header(number: int, **changes: Any) -> Callable[[Box], None]:
    """Code one picture's slice header otherwise, its macroblocks as they are."""

    def change(sample: bytes) -> bytes:
        bits = bits_of(sample[5:])
        was = coded(slice_fields(number))
        assert bits.startswith(was)
        rest = bits[len(was) :].rstrip("0")  # ends with the stop bit
        return nal(unit_of(sample[4:5], edited(slice_fields(number), **changes) + rest))

    return with_sample(number, change)


for number, name in ((0, "IDR"), (5, "P")):
    SLICE_CHANGES: dict[str, Changes] = {
        "begins at the second macroblock": {"first_mb_in_slice": ue(1)},
        "another type": {"slice_type": ue(2 if number == 0 else 0)},
        "another PPS": {"pic_parameter_set_id": ue(1)},
        "another frame number": {"frame_num": 9},
        "another quantiser": {"slice_qp_delta": ue(3)},
        "a quantiser far off": {"slice_qp_delta": ue(TEXT & 0xFF)},
        "no deblocking": {"disable_deblocking_filter_idc": ue(1), "slice_alpha_c0_offset_div2": "",
                          "slice_beta_offset_div2": ""},
        "deblocking only inside": {"disable_deblocking_filter_idc": ue(2)},
        "stronger deblocking": {"slice_alpha_c0_offset_div2": ue(3)},
        "another beta": {"slice_beta_offset_div2": ue(6)},
    }  # fmt: skip
    for what, changes in SLICE_CHANGES.items():
        add(f"{name} slice: {what}", header(number, **changes))
add("IDR slice: another number", header(0, idr_pic_id=ue(TEXT & 0xFFFF)))
add("IDR slice: the next number", header(0, idr_pic_id=ue(1)))
add("IDR slice: no output of others", header(0, no_output_of_prior_pics_flag=1))
add("IDR slice: kept for long", header(0, long_term_reference_flag=1))
add("P slice: more references", header(5, num_ref_idx_active_override_flag="1" + ue(0)))
add(
    "P slice: references in another order",
    header(5, ref_pic_list_modification_flag_l0="1" + ue(0) + ue(15) + ue(3)),
)
add("P slice: marks of references", header(5, adaptive_ref_pic_marking_mode_flag="1" + ue(4) + ue(1) + ue(0)))


def behind(tail: bytes) -> Callable[[bytes], bytes]:
    return lambda sample: nal(sample[4:] + tail)


def bits_behind(more: str) -> Callable[[bytes], bytes]:
    """Put bits between the last macroblock and the stop bit."""
    return lambda sample: nal(unit_of(sample[4:5], bits_of(sample[5:]).rstrip("0")[:-1] + more + "1"))


for number in (0, 1, 44):
    add(f"picture {number}: a text behind the slice", with_sample(number, behind(b"Anna's door")))
    add(f"picture {number}: one byte behind the slice", with_sample(number, behind(b"\x80")))
    add(f"picture {number}: one bit before the stop bit", with_sample(number, bits_behind("0")))
    add(f"picture {number}: a text before the stop bit", with_sample(number, bits_behind(f"1{TEXT:032b}")))
    add(f"picture {number}: the slice twice", with_sample(number, lambda sample: sample * 2))
    add(f"picture {number}: an escape that escapes nothing", with_sample(number, behind(b"\0\0\3\x7f")))
    add(f"picture {number}: cut short", with_sample(number, lambda sample: nal(sample[4:-7])))
    add(f"picture {number}: one byte of the slice only", with_sample(number, lambda sample: nal(sample[4:5])))
    for byte, what in (
        (0x01, "no reference"),
        (0xE1, "the forbidden bit"),
        (0x21, "another priority"),
        (0x14, "a prefix"),
    ):
        add(f"picture {number}: {what}", with_sample(number, lambda s, byte=byte: nal(bytes([byte]) + s[5:])))  # type: ignore[misc]


@operated
def hidden_film(file: Box) -> None:
    """Two slices begin at macroblock 0 in each picture; a player shows the second."""
    samples = samples_of(file)
    with_samples(file, [other + own for own, other in zip(samples, [samples[0], *samples], strict=False)])


H264_FORGERIES["a hidden film in slices that repeat macroblocks"] = hidden_film


@operated
def exchanged(file: Box) -> None:
    samples = samples_of(file)
    samples[1], samples[2] = samples[2], samples[1]
    with_samples(file, samples)


H264_FORGERIES["two pictures in another order"] = exchanged


@operated
def extra_idr(file: Box) -> None:
    samples = samples_of(file)
    samples[7] = samples[0]
    with_samples(file, samples)


H264_FORGERIES["an IDR picture among the others"] = extra_idr


# --- pictures of another encoder --------------------------------------------------------------------------


def other_encoder(params: str, **more: str) -> Operation:
    """Code the pictures with other settings of x264 into an otherwise good file."""

    def operation(_data: bytes) -> bytes:
        context: Any = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = 320, 192, "yuv420p"
        context.time_base, context.framerate, context.thread_count = Fraction(1, 90_000), Fraction(15), 1
        ours = (
            "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:ref=1:repeat-headers=1:annexb=1:cabac=0:8x8dct=0:"
            "weightp=0:slices=1:scenecut=0:keyint=30:min-keyint=30:qp=22:ipratio=1:level=40:"
        )
        context.options = {"preset": "superfast", "x264-params": ours + params, **more}
        out, sets = BytesIO(), dict[int, bytes]()
        writer = Mp4Writer(out)
        packets, samples = [], []
        for number in range(45):
            frame: Any = av.VideoFrame.from_ndarray(drawn(number), format="gray").reformat(
                320, 192, "yuv420p"
            )
            frame.pts, frame.time_base = number, Fraction(1, 90_000)
            packets += context.encode(frame)
        for packet in [*packets, *context.encode(None)]:
            units = [part.rstrip(b"\0") for part in bytes(packet).split(b"\0\0\1")[1:]]
            slices = [unit for unit in units if unit[0] & 31 in (1, 5)]
            sets |= {unit[0] & 31: unit for unit in units if unit[0] & 31 in (7, 8)}
            samples.append(b"".join(nal(unit) for unit in slices))
            writer.add_picture(slices[0], key=slices[0][0] & 31 == 5)
        writer.close(shape_px=(320, 192), sets=(sets[7], sets[8]), step_ticks=6000, rate_hz=16_000)
        return (
            operated(lambda file: with_samples(file, samples))(out.getvalue())
            if len(slices) > 1
            else out.getvalue()
        )

    return operation


for params in (
    "cabac=1", "8x8dct=1", "slices=4", "weightp=2:ref=2", "bframes=2", "qp=10", "qp=23", "ipratio=1.4", "crf=23",
    "keyint=15:min-keyint=15", "keyint=250", "deblock=2,2", "no-deblock=1", "interlaced=1", "level=51",
    "chroma-qp-offset=4", "constrained-intra=1", "intra-refresh=1", "colorprim=bt709", "sar=4/3",
    "nal-hrd=vbr:crf=23:vbv-maxrate=900:vbv-bufsize=900",
    "aud=1:qp=21", "fake-interlaced=1", "overscan=show", "videoformat=pal", "fullrange=on", "chromaloc=2",
):  # fmt: skip
    H264_FORGERIES[f"coded otherwise: {params}"] = other_encoder(params)
