"""The names that an owner reads before pinning: nothing invisible, one script, no stacked accents."""

# ruff: noqa: RUF001  (look-alikes are what is tested)

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.consent.names import check_contact, check_name, code_points


@pytest.mark.parametrize(
    "name",
    [
        "Example Police of Paris",
        "Préfecture de Police – Gentilly",
        "Polizeiinspektion 3 (Süd)",
        "O’Brien & Sons' Courier",
        "Công an thành phố Đà Nẵng",
        "Полиция города Примерска",
        "Αστυνομία Παραδείγματος 12",
        "東京都の警察ニュース",
        "ソウル・ニュース",
        "서울 경찰청 警察廳",
        "警察ㄅㄆ",
        "شرطة المدينة ٣",
        "משטרת הדוגמה",
        "उदाहरण पुलिस",
        "สถานีตำรวจที่หนึ่ง",
    ],
)
def test_names_of_everyday_scripts_are_allowed(name: str) -> None:
    assert check_name(unicodedata.normalize("NFC", name))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Police\u3164", "U+3164"),
        ("Po\u00adlice", "U+00AD"),
        ("Po\u200dlice", "U+200D"),
        ("Po\u034flice", "U+034F"),
        ("Police\u2800", "U+2800"),
        ("Police\ufe0f", "U+FE0F"),
        ("Police\U000e0041", "U+E0041"),
        ("\u202ePolice", "U+202E"),
        ("Police\ue000", "U+E000"),
        ("Police\u0378", "U+0378"),
        ("Police\u00a0Paris", "U+00A0"),
        ("Pоlice", "several scripts"),  # a Cyrillic o
        ("Ροlice", "several scripts"),  # a Greek rho
        ("Police 警察", "several scripts"),
        ("서울 ニュース", "several scripts"),
        ("Polic\u0065\u0301", "normal form"),
        ("Policq\u0323\u0307", "U+0307"),
        ("Polic\u00e9\u0323", "normal form"),
        ("Polic\u00e9\u0334", "U+0334"),
        ("\u0334Police", "U+0334"),
        ("Police 1\u0334", "U+0334"),
        ("Police\u20dd", "U+20DD"),
        ("Ｐｏｌｉｃｅ", "U+FF30"),
        ("𝐏olice", "U+1D40F"),
        ("ﬁre brigade", "U+FB01"),
        ("Police ᎪᏴ", "U+13AA"),  # Cherokee
        ("Police ⓟ", "U+24DF"),
        ("Police 🚓", "U+1F693"),
        ("Police  Paris", "two spaces"),
        (" Police", "two spaces"),
        ("Police ", "two spaces"),
        ("Police⁄Paris", "U+2044"),
        ("Policeʼs", "U+02BC"),
    ],
)
def test_names_that_could_look_like_others_are_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"normal form|U\+|scripts|spaces") as error:
        check_name(name)
    assert why in str(error.value)


def test_a_contact_has_one_script_a_word() -> None:
    assert check_contact("Дежурная часть, duty@police.example, +7 495 000-00-00")
    with pytest.raises(ValueError, match="several scripts"):
        check_contact("duty@pоlice.example")  # a Cyrillic o


def test_look_alikes_of_one_script_are_shown_by_their_code_points() -> None:
    assert code_points("раура") == "U+0440 U+0430 U+0443 U+0440 U+0430"
    assert code_points("Préfecture – Đà Nẵng 3") == ""
    assert code_points("Polıce") == "U+0131"
    assert code_points("Polіce") == "U+0456"
    assert code_points("Pɑris") == "U+0251"


@given(st.text(max_size=30))
def test_an_allowed_name_has_ink_and_one_normal_form(name: str) -> None:
    try:
        check_name(name)
    except ValueError:
        return
    assert unicodedata.normalize("NFC", name) == name
    assert not any(unicodedata.category(letter)[0] == "C" for letter in name)
