"""The name and contact in a sender's record: what the owner reads before pinning it, so it must look like what it is.

A name is of one script ("single script" of Unicode Technical Standard 39, section 5.2: Japanese, Korean and Han with
Bopomofo count as one script), in normal form C, without invisible characters and stacked accents. In a contact
this holds for each word, because an address or a name of a site may stand beside another script. A name wholly of
look-alikes (Cyrillic for Latin) is of one script too: so whatever is not plain Latin is shown with its code points.

The script is the first word of a letter's Unicode name, which is fixed for ever; only the scripts of everyday use
(Unicode Standard Annex 31, table 5) are allowed. So the standard library is enough.
"""

import unicodedata

_HAN, _LATIN = "CJK", "LATIN"
_SCRIPTS = frozenset(
    [
        "LATIN",
        "GREEK",
        "CYRILLIC",
        "ARMENIAN",
        "HEBREW",
        "ARABIC",
        "THAANA",
        "DEVANAGARI",
        "BENGALI",
        "GURMUKHI",
        "GUJARATI",
        "ORIYA",
        "TAMIL",
        "TELUGU",
        "KANNADA",
        "MALAYALAM",
        "SINHALA",
        "THAI",
        "LAO",
        "TIBETAN",
        "MYANMAR",
        "GEORGIAN",
        "HANGUL",
        "ETHIOPIC",
        "KHMER",
        "HIRAGANA",
        "KATAKANA",
        "BOPOMOFO",
        "CJK",
    ]
)
_TOGETHER = (
    {_HAN, "HIRAGANA", "KATAKANA"},
    {_HAN, "HANGUL"},
    {_HAN, "BOPOMOFO"},
)
_OF_TWO_MARKS = _SCRIPTS - {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN"}
"""Their letters carry a vowel and a tone, as in Thai; of their own marks there may be two."""
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[]_~ ’–—·«»„“”、。・《》「」（）")  # noqa: RUF001
# Default_Ignorable_Code_Point of Unicode 15.1, DerivedCoreProperties.txt; and the Braille blank.
_INVISIBLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)  # fmt: skip
_COMPOSED_VOWELS = "\u0e33\u0eb3"
"""Of Thai and Lao: in use, although Unicode has another form for them."""
_LOOK_ALIKES = frozenset("ıĸŉſ")
"""Letters of the usual Latin blocks that look like others."""


def is_invisible(letter: str) -> bool:
    """Return whether a character leaves no ink."""
    return any(first <= ord(letter) <= last for first, last in _INVISIBLE)


def check_name(name: str) -> str:
    """Return a name. Raises ValueError if it could look like another."""
    _check_letters(name)
    scripts = {script for letter in name if (script := _script(letter))}
    if not _is_one(scripts):
        raise ValueError(f"is of several scripts ({', '.join(sorted(scripts)).lower()}); one is allowed")
    return name


def check_contact(contact: str) -> str:
    """Return a contact, whose words are of one script each. Raises ValueError."""
    _check_letters(contact)
    for word in contact.split(" "):
        if not _is_one({script for letter in word if (script := _script(letter))}):
            raise ValueError("has a word of several scripts; one is allowed")
    return contact


def code_points(name: str) -> str:
    """Return the code points of the letters that are not plain Latin, in their order; "" if there is none."""
    return " ".join(f"U+{ord(letter):04X}" for letter in name if not _is_plain_latin(letter))


def _check_letters(text: str) -> None:
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("is not in Unicode's normal form C")
    if "  " in text or text != text.strip():
        raise ValueError("has two spaces together, or one at an end")
    before, marks = "", 0
    for letter in text:
        category, code = unicodedata.category(letter), f"U+{ord(letter):04X}"
        if is_invisible(letter):
            raise ValueError(f"holds {code}, which cannot be seen")
        if category in ("Mn", "Mc"):
            marks += 1
            if not before or marks > _most_marks(before, letter):
                raise ValueError(f"holds {code}, an accent on no letter, or one too many")
            continue
        before, marks = (letter, 0) if category.startswith("L") else ("", 0)
        if category.startswith("L"):
            is_variant = unicodedata.normalize("NFKC", letter) != letter and letter not in _COMPOSED_VOWELS
            if not _script(letter) or is_variant:
                raise ValueError(f"holds {code}, which is no letter of an everyday script")
        elif not _is_digit(letter) and letter not in _PUNCTUATION:
            raise ValueError(f"holds {code}, which is no letter, digit or usual punctuation")


def _most_marks(letter: str, mark: str) -> int:
    """Return how many marks may follow a letter, the first of which is `mark` or an earlier one."""
    if _script(mark) in _OF_TWO_MARKS:
        return 2
    has_accent = any(unicodedata.category(part) == "Mn" for part in unicodedata.normalize("NFD", letter))
    return 0 if has_accent else 1


def _script(letter: str) -> str:
    """Return the script of a letter, mark or digit; "" for what belongs to no script of its own."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    first = {"IDEOGRAPHIC": _HAN, "KATAKANA-HIRAGANA": "KATAKANA", "ARABIC-INDIC": "ARABIC"}.get(first, first)
    return first if first in _SCRIPTS and unicodedata.category(letter)[0] in "LMN" else ""


def _is_digit(letter: str) -> bool:
    is_digit = unicodedata.category(letter) == "Nd"
    return is_digit and (letter.isascii() or bool(_script(letter)))


def _is_one(scripts: set[str]) -> bool:
    return len(scripts) <= 1 or any(scripts <= together for together in _TOGETHER)


def _is_plain_latin(letter: str) -> bool:
    if letter.isascii() or letter in _PUNCTUATION:
        return True
    usual = ord(letter) <= 0x017F or 0x1E00 <= ord(letter) <= 0x1EFF
    return usual and _script(letter) == _LATIN and letter not in _LOOK_ALIKES
