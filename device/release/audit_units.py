"""The auditor's own reading of H.264: each bit in front of a picture's macroblocks has one value that it may have.

Parameter sets follow from the picture's size, a slice's header from the picture's number. Source: ITU-T H.264
(08/2021), 7.3.2.1.1 (SPS), 7.3.2.2 (PPS), 7.3.3 (slice header), annexes A and E.
"""

import re
from collections.abc import Sequence

from device.release.audit_boxes import Violation

QUANTISER = 22
"""Of each macroblock. With one fixed quantiser there is no coefficient too small to be seen."""
KEYFRAME_EVERY = 30
_PROFILE, _CONSTRAINTS = 66, 0xC0
"""Constrained Baseline: CAVLC, no B pictures, no slice groups."""
_LEVELS = ((8_192, 40), (36_864, 51))
"""Macroblocks of a picture at most, level_idc (table A-1)."""
_FRAME_NUM_BITS = 4
_SLICE_HEADER_BYTES = 16
_SPS_HEAD, _PPS_HEAD, _IDR_HEAD, _P_HEAD = b"\x67", b"\x68", b"\x65", b"\x41"
"""nal_ref_idc and nal_unit_type (7.3.1)."""
_KINDS = {
    1: "slice",
    5: "slice of an IDR picture",
    6: "SEI message",
    7: "SPS",
    8: "PPS",
    9: "delimiter",
    12: "filler",
}
_I_SLICE, _P_SLICE = 7, 5
_EMULATION = re.compile(rb"\x00\x00(?:[\x00-\x02]|\x03(?![\x00-\x03]))")
"""What no unit may contain (7.4.1): a start code, and an escape that escapes nothing (a cabac_zero_word ends so)."""

Field = tuple[str, str, int]
"""Name, descriptor (`ue`, or the number of bits), and its value."""


class Bits:
    """The bits of a unit, without the bytes that keep start codes out (7.4.1.1)."""

    def __init__(self, content: bytes, what: str) -> None:
        plain = content.replace(b"\0\0\3", b"\0\0")
        self._bits = "".join(f"{byte:08b}" for byte in plain)
        self._what = what
        self._place = 0

    def u(self, count: int) -> int:
        """Return an unsigned number of so many bits."""
        part = self._bits[self._place : self._place + count]
        if len(part) < count:
            raise Violation(f"{self._what} is cut short")
        self._place += count
        return int(part, 2) if part else 0

    def ue(self) -> int:
        """Return an Exp-Golomb number (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise Violation(f"{self._what} holds a number that is too large")
        return (1 << zeros) - 1 + self.u(zeros)

    def must_be(self, fields: Sequence[Field]) -> None:
        """Read fields that have one value each."""
        for name, form, value in fields:
            found = self.ue() if form == "ue" else self.u(int(form))
            if found != value:
                raise Violation(f"{self._what}: {name} is {found}, it must be {value}")

    def must_end(self) -> None:
        """Raise Violation unless one bit and zeros up to the byte's end are all that is left."""
        rest = self._bits[self._place :]
        if rest[:1] != "1" or "1" in rest[1:] or len(rest) > 8:
            raise Violation(f"{self._what} has {len(rest)} bits behind its end")


def parameter_sets(sps: bytes, pps: bytes, width_px: int, height_px: int) -> None:
    """Prove that the parameter sets are those of this size and no others. Raises Violation."""
    columns, rows = width_px // 16, height_px // 16
    level = next((level for most, level in _LEVELS if columns * rows <= most), None)
    if level is None:
        raise Violation(f"a picture of {width_px} x {height_px} pixels is too large")
    for unit, head, name, fields in (
        (sps, _SPS_HEAD, "SPS", sps_fields(level, columns, rows)),
        (pps, _PPS_HEAD, "PPS", PPS_FIELDS),
    ):
        if unit[:1] != head:
            raise Violation(f"{name}: it begins with {unit[:1].hex()}, it must with {head.hex()}")
        _must_be_escaped(unit, name)
        bits = Bits(unit[1:], name)
        bits.must_be(fields)
        bits.must_end()


def picture(sample: bytes, number: int) -> None:
    """Prove that a sample is one slice that is a whole picture, the one that is due, up to the first macroblock.

    The decoder proves the rest. `number` counts from 0. Raises Violation.
    """
    length, unit = int.from_bytes(sample[:4], "big"), sample[4:]
    index = number % KEYFRAME_EVERY
    head, what = (_P_HEAD, "a P picture") if index else (_IDR_HEAD, "an IDR picture")
    if unit[:1] != head:
        kind = unit[0] & 31 if unit else 0
        raise Violation(
            f"it begins with a NAL unit of type {kind} ({_KINDS.get(kind, 'unknown')}, {unit[:1].hex()}), "
            f"and {what} ({head.hex()}) is due"
        )
    if length != len(unit):
        raise Violation(
            f"its NAL unit has {length} bytes of the sample's {len(unit)}: it must be the only one"
        )
    if unit[-1] == 0:
        raise Violation("zeros follow the slice")
    _must_be_escaped(unit, "slice")
    Bits(unit[1:_SLICE_HEADER_BYTES], "slice").must_be(slice_fields(number))


def _must_be_escaped(unit: bytes, what: str) -> None:
    if found := _EMULATION.search(unit):
        raise Violation(
            f"{what}: the bytes {found[0].hex()} at {found.start()} are not escaped as they must be"
        )


def slice_fields(number: int) -> list[Field]:
    """Return the header of the one slice of a picture, up to the first macroblock."""
    index, is_idr = number % KEYFRAME_EVERY, number % KEYFRAME_EVERY == 0
    fields: list[Field] = [
        ("first_mb_in_slice", "ue", 0),
        ("slice_type", "ue", _I_SLICE if is_idr else _P_SLICE),
        ("pic_parameter_set_id", "ue", 0),
        ("frame_num", str(_FRAME_NUM_BITS), index % (1 << _FRAME_NUM_BITS)),
    ]
    if is_idr:
        fields += [
            ("idr_pic_id", "ue", number // KEYFRAME_EVERY % 2),
            ("no_output_of_prior_pics_flag", "1", 0),
            ("long_term_reference_flag", "1", 0),
        ]
    else:
        fields += [
            ("num_ref_idx_active_override_flag", "1", 0),
            ("ref_pic_list_modification_flag_l0", "1", 0),
            ("adaptive_ref_pic_marking_mode_flag", "1", 0),
        ]
    return [
        *fields,
        ("slice_qp_delta", "ue", 0),
        ("disable_deblocking_filter_idc", "ue", 0),
        ("slice_alpha_c0_offset_div2", "ue", 0),
        ("slice_beta_offset_div2", "ue", 0),
    ]


def sps_fields(level: int, columns: int, rows: int) -> list[Field]:
    """Return the whole SPS of a picture of so many macroblocks."""
    return [
        ("profile_idc", "8", _PROFILE),
        ("constraint flags", "8", _CONSTRAINTS),
        ("level_idc", "8", level),
        ("seq_parameter_set_id", "ue", 0),
        ("log2_max_frame_num_minus4", "ue", _FRAME_NUM_BITS - 4),
        ("pic_order_cnt_type", "ue", 2),
        ("max_num_ref_frames", "ue", 1),
        ("gaps_in_frame_num_value_allowed_flag", "1", 0),
        ("pic_width_in_mbs_minus1", "ue", columns - 1),
        ("pic_height_in_map_units_minus1", "ue", rows - 1),
        ("frame_mbs_only_flag", "1", 1),
        ("direct_8x8_inference_flag", "1", 1),
        ("frame_cropping_flag (every row and column that is coded is shown)", "1", 0),
        ("vui_parameters_present_flag", "1", 1),
        ("aspect_ratio_info_present_flag", "1", 0),
        ("overscan_info_present_flag", "1", 0),
        ("video_signal_type_present_flag", "1", 0),
        ("chroma_loc_info_present_flag", "1", 0),
        ("timing_info_present_flag", "1", 1),
        ("num_units_in_tick", "32", 1),
        ("time_scale", "32", 180_000),
        ("fixed_frame_rate_flag", "1", 0),
        ("nal_hrd_parameters_present_flag", "1", 0),
        ("vcl_hrd_parameters_present_flag", "1", 0),
        ("pic_struct_present_flag", "1", 0),
        ("bitstream_restriction_flag", "1", 1),
        ("motion_vectors_over_pic_boundaries_flag", "1", 1),
        ("max_bytes_per_pic_denom", "ue", 0),
        ("max_bits_per_mb_denom", "ue", 0),
        ("log2_max_mv_length_horizontal", "ue", 11),
        ("log2_max_mv_length_vertical", "ue", 11),
        ("max_num_reorder_frames", "ue", 0),
        ("max_dec_frame_buffering", "ue", 1),
    ]


PPS_FIELDS: list[Field] = [
    ("pic_parameter_set_id", "ue", 0),
    ("seq_parameter_set_id", "ue", 0),
    ("entropy_coding_mode_flag (CAVLC, in which a decoder finds a slice's end)", "1", 0),
    ("bottom_field_pic_order_in_frame_present_flag", "1", 0),
    ("num_slice_groups_minus1", "ue", 0),
    ("num_ref_idx_l0_default_active_minus1", "ue", 0),
    ("num_ref_idx_l1_default_active_minus1", "ue", 0),
    ("weighted_pred_flag", "1", 0),
    ("weighted_bipred_idc", "2", 0),
    # se(v), as the ue(v) that stands for it (9.1.1): 2 |v|, one less if v > 0.
    ("pic_init_qp_minus26, coded", "ue", 2 * (26 - QUANTISER)),
    ("pic_init_qs_minus26, coded", "ue", 0),
    ("chroma_qp_index_offset, coded", "ue", 0),
    ("deblocking_filter_control_present_flag", "1", 1),
    ("constrained_intra_pred_flag", "1", 0),
    ("redundant_pic_cnt_present_flag", "1", 0),
]
