"""The reference and the models agree, and each mistake is reported with a remedy."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from device.config import Config, MaskConfig, ZoneConfig, config_below, load_config
from device.config.diagnostics import allowed_range
from device.config.toml import key_text, quoted
from device.errors import ConfigError

REFERENCE = Path(__file__).parents[2] / "firmware_config" / "doorbelld.toml"
NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "doorbelld.toml"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def ordinary_user() -> Iterator[int]:
    """Be an ordinary user (gives its id), for root, who may run the tests, can read anything."""
    euid = os.geteuid()
    if euid != 0:
        yield euid
        return
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(euid)


def message_of(file: Path, text: str) -> str:
    """Return the error of a file with this text, with FILE for its name."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return str(caught.value).replace(str(file), "FILE")


# --- the reference ------------------------------------------------------------------------------


def with_example() -> str:
    """Return the reference with the example of a zone uncommented."""
    return re.sub(r"^#(?=\S)", "", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def comments() -> dict[str, str]:
    """Return the comment directly above each key of the reference, on one line."""
    found, table, above = {}, "", ""
    for line in with_example().splitlines():
        if line.startswith("#"):
            above += line.removeprefix("#")
        elif line.startswith("["):
            table, above = line.strip("[]"), ""
        elif line:
            found[f"{table}.{line.partition(' = ')[0]}"] = " ".join(above.split())
            above = ""
        else:
            above = ""
    return found


def fields(table: type[BaseModel] = Config, place: str = "") -> dict[str, FieldInfo]:
    """Return every key of the models that is not itself a table."""
    found = {}
    for name, field in table.model_fields.items():
        here = f"{place}.{name}".removeprefix(".")
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found.update(fields(inner[0], here) if inner else {here: field})
    return found


def test_the_reference_changes_nothing(file: Path) -> None:
    file.write_text("")
    assert load_config(REFERENCE) == load_config(file) == Config()


def test_every_key_is_in_the_reference_with_its_own_comment() -> None:
    assert set(comments()) == set(fields())
    assert [key for key, comment in comments().items() if len(comment) < len("Allowed: 1 to 2.")] == []


def test_every_default_in_the_reference_is_the_default() -> None:
    def flat(values: dict[str, Any], place: str = "") -> dict[str, Any]:
        found = {}
        for key, value in values.items():
            here = f"{place}.{key}".removeprefix(".")
            found.update(flat(value, here) if isinstance(value, dict) else {here: value})
        return found

    written = flat(tomllib.loads(REFERENCE.read_text(encoding="utf-8")))
    defaults = flat(Config().model_dump())
    assert defaults.pop("zones") == []
    assert defaults.pop("masks") == []
    assert defaults.pop("doorbells") == []
    paths = {"device.state_dir", "device.runtime_dir", "neighbourhood.spool_dir", "neighbourhood.lease_dir"}
    assert {k: str(v) if k in paths else v for k, v in defaults.items()} == written


def test_no_folder_of_a_generated_configuration_is_the_system_s(tmp_path: Path) -> None:
    folders = [key for key, field in fields().items() if isinstance(field.default, Path)]
    assert len(folders) > 2
    made = config_below(tmp_path, {"device": {"id": "porch"}})
    assert made["device"]["id"] == "porch"
    for table, name in (key.split(".") for key in folders):
        assert made[table][name].startswith(f"{tmp_path}/"), f"{table}.{name}"


@pytest.mark.parametrize("key", sorted(fields()))
def test_the_reference_gives_the_allowed_values(key: str) -> None:
    field, comment = fields()[key], comments()[key]
    bounds, choices = allowed_range(field), get_args(field.annotation)
    if bounds:
        assert f"Allowed: {bounds}." in comment
    elif choices and all(isinstance(choice, str) for choice in choices):
        assert "Allowed: " + " or ".join(f'"{choice}"' for choice in choices) + "." in comment
    elif field.description and key != "mqtt.host":
        assert f"Allowed: {field.description}." in comment


def test_every_number_has_a_range() -> None:
    numbers = {key: field for key, field in fields().items() if field.annotation in {int, float}}
    assert [key for key, field in numbers.items() if not allowed_range(field)] == []


def test_the_examples_of_a_zone_and_a_mask_work(file: Path) -> None:
    file.write_text(with_example(), encoding="utf-8")
    assert load_config(file).masks == [
        MaskConfig(name="window", points=[(0.7, 0.1), (0.9, 0.1), (0.9, 0.4), (0.7, 0.4)])
    ]
    assert load_config(file).zones == [
        ZoneConfig(
            name="street",
            kind="ignore",
            points=[(0.0, 0.0), (1.0, 0.0), (1.0, 0.25), (0.0, 0.2)],
        )
    ]


def test_the_bell_does_not_wait_for_heavy_imports() -> None:
    heavy = "{'numpy', 'cv2', 'av', 'gpiozero', 'paho'}"
    code = f"import sys, device.config; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REFERENCE.parent.parent, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"[]"


def test_the_daemon_loads_nothing_heavy_before_the_bell_is_live() -> None:
    heavy = {"av", "cv2", "numpy", "fastapi", "uvicorn", "aiortc", "cryptography", "argon2"}
    code = f"import sys, device.daemon.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_configuration_cannot_be_changed_while_the_daemon_runs() -> None:
    with pytest.raises(ValidationError):
        Config().mqtt.port = 1  # type: ignore[misc]


def test_a_stream_s_address_is_not_shown_with_the_configuration(file: Path) -> None:
    file.write_text('[camera.stream]\nurl = "rtsp://me:hunter2@cam/1"')
    assert "hunter2" not in repr(load_config(file))


# --- mistakes of a key --------------------------------------------------------------------------

ZONE = '[[zones]]\nname = "a"\nkind = "include"\npoints = '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # An unknown key.
        (
            "[clips]\npre_rol_s = 5",
            "clips.pre_rol_s in FILE, line 2: unknown key; did you mean pre_roll_s?",
        ),
        ("[motions]\nfps = 3", "motions in FILE, line 1: unknown table; did you mean motion?"),
        (
            "[button]\npin = 3",
            "button.pin in FILE, line 2: unknown key; it belongs in [button.gpio]",
        ),
        (
            "[chime]\nvolume = 3",
            "chime.volume in FILE, line 2: unknown key; known here: kind, quiet_hours",
        ),
        (
            '[chime]\n"a\\nb" = 3',
            'chime."a\\u000ab" in FILE, line 2: unknown key; known here: kind, quiet_hours',
        ),
        (
            '[mqtt]\npassword = "hunter2"',
            (
                "mqtt.password in FILE, line 2: a password must not be in this file; "
                "put it into a file "
                "of its own that only the daemon can read (systemd: LoadCredential=) "
                "and name that in "
                "password_file"
            ),
        ),
        # A wrong type.
        (
            '[button]\n\nbounce_ms = "10"',
            (
                'button.bounce_ms in FILE, line 3: must be a whole number, not the text "10"; '
                "remove the quotes"
            ),
        ),
        (
            '[button]\nbounce_ms = "ten"',
            (
                'button.bounce_ms in FILE, line 2: must be a whole number, not the text "ten"; '
                "write it in digits alone"
            ),
        ),
        (
            "[button]\nbounce_ms = 10.0",
            ("button.bounce_ms in FILE, line 2: must be a whole number, not 10; write it in digits alone"),
        ),
        (
            "[button]\nbounce_ms = true",
            ("button.bounce_ms in FILE, line 2: must be a whole number, not true; write it in digits alone"),
        ),
        (
            '[clips]\npre_roll_s = "2.5"',
            ('clips.pre_roll_s in FILE, line 2: must be a number, not the text "2.5"; remove the quotes'),
        ),
        (
            "[clips]\npre_roll_s = nan",
            ("clips.pre_roll_s in FILE, line 2: must be a finite number, not nan; write it as 12 or 0.5"),
        ),
        (
            '[motion]\nenabled = "true"',
            ('motion.enabled in FILE, line 2: must be true or false, not the text "true"; remove the quotes'),
        ),
        (
            '[motion]\nenabled = "yes"',
            (
                'motion.enabled in FILE, line 2: must be true or false, not the text "yes"; '
                "write one of the two, without quotes"
            ),
        ),
        (
            "[device]\nname = 7",
            "device.name in FILE, line 2: must be a text, not 7; put it in double quotes",
        ),
        (
            "[device]\nstate_dir = []",
            "device.state_dir in FILE, line 2: must be a text, not a list; put it in double quotes",
        ),
        (
            "[device]\nname = 2026-11-24",
            ("device.name in FILE, line 2: must be a text, not a date or time; put it in double quotes"),
        ),
        (
            "motion = true",
            (
                "motion in FILE, line 1: must be a table, not true; "
                "write its name in [ ] on a line alone, its keys below"
            ),
        ),
        (
            '[zones]\nname = "a"',
            (
                "zones in FILE, line 1: must be a list, not a table; "
                "write [[zones]] above each zone, [[masks]] above each mask, and points as [[x, y], …]"
            ),
        ),
        # A value that is not allowed.
        (
            '[button]\nkind = "gpoi"',
            (
                'button.kind in FILE, line 2: must be "gpio" or "simulated", not the text "gpoi"; '
                'did you mean "gpio"?'
            ),
        ),
        (
            "[chime]\nkind = 1",
            'chime.kind in FILE, line 2: must be "simulated" or "none", not 1; choose one of them',
        ),
        (
            "[button]\nbounce_ms = 0",
            "button.bounce_ms in FILE, line 2: 0 is too small; choose 1 to 500 milliseconds",
        ),
        (
            "button.gpio.pin = 40",
            "button.gpio.pin in FILE, line 1: 40 is too large; choose 0 to 27",
        ),
        (
            "[button]\ngpio = { stuck_s = 1 }",
            "button.gpio.stuck_s in FILE, line 2: 1 is too small; choose 5 to 600 seconds",
        ),
        (
            f"[storage]\nlimit_bytes = 0x{'f' * 5000}",
            (
                "storage.limit_bytes in FILE, line 2: a number beyond all bounds is too large; "
                "choose 10_000_000 to 100_000_000_000_000 bytes"
            ),
        ),
        (
            "[camera.pi]\nwidth_px = 641",
            ("camera.pi.width_px in FILE, line 2: must be an even number, not 641; choose 640 or 642"),
        ),
        (
            "[camera.pi]\nwidth_px = 1921",
            ("camera.pi.width_px in FILE, line 2: must be an even number, not 1921; choose 1920"),
        ),
        (
            '[mqtt]\nhost = "8.8.8.8"',
            (
                "mqtt.host in FILE, line 2: 8.8.8.8 is outside the home network: refused; "
                "name a broker at a private address"
            ),
        ),
        (
            '[device]\nid = "Front Door"',
            (
                'device.id in FILE, line 2: the text "Front Door" cannot be used; '
                "write 1 to 32 of the characters a-z 0-9 _ -, the first a letter or digit"
            ),
        ),
        (
            '[device]\nruntime_dir = "run"',
            "device.runtime_dir in FILE, line 2: must be an absolute path; begin it with /",
        ),
        (
            '[mqtt]\nprefix = "home/#"',
            (
                'mqtt.prefix in FILE, line 2: the text "home/#" cannot be used; write 1 to 64 '
                "characters, none of them # or + or a control character, no $ at the beginning (those topics are the "
                "broker's own), no / at either end or beside another"
            ),
        ),
        (
            '[mqtt]\nhost = "mqtt://broker:1883"',
            (
                'mqtt.host in FILE, line 2: the text "mqtt://broker:1883" cannot be '
                "used; write a host "
                "name or an address alone: no mqtt:// before it and no port after it"
            ),
        ),
        (
            '[camera.stream]\nurl = "ftp://me:hunter2@cam/1"',
            (
                "camera.stream.url in FILE, line 2: begins with an unknown scheme; take rtsp://, "
                "rtsps://, http://, https://, or the path of a file or of /dev/videoN"
            ),
        ),
        # Keys that contradict each other.
        (
            '[camera]\nkind = "stream"',
            (
                "camera.stream.url in FILE, line 1: is empty; "
                'camera.kind = "stream" needs the stream\'s address here'
            ),
        ),
        (
            "[clips]\npre_roll_s = 20\nlongest_s = 15",
            (
                "clips.longest_s in FILE, line 3: 15 leaves nothing after the 20 "
                "seconds of pre_roll_s; "
                "choose more than 20, or a smaller pre_roll_s"
            ),
        ),
        (
            "[clips]\npre_roll_s = 30\n[camera.pi]\nbitrate_kbps = 5000",
            (
                "clips.ring_bytes in FILE, line 1: 16_000_000 bytes do not hold "
                "pre_roll_s = 30 and a "
                "keyframe interval at 5000 kbit/s of camera.pi; choose at least "
                "20_000_000, or a smaller "
                "pre_roll_s"
            ),
        ),
        (
            "[camera.pi]\nbitrate_kbps = 25000",
            (
                "clips.ring_bytes in FILE: 16_000_000 bytes do not hold pre_roll_s = 5 "
                "and a keyframe "
                "interval at 25000 kbit/s of camera.pi; choose at least 21_875_000, or a smaller "
                "pre_roll_s"
            ),
        ),
        # Files that the link will need.
        (
            '[mqtt]\nca_file = "/nowhere/ca.pem"',
            (
                "mqtt.ca_file in FILE, line 2: there is no file /nowhere/ca.pem; "
                'create it, or set "" to do without'
            ),
        ),
        (
            '[mqtt]\npassword_file = "hunter2"',
            "mqtt.password_file in FILE, line 2: must be an absolute path; begin it with /",
        ),
        (
            '[mqtt]\npassword_file = "/"',
            ("mqtt.password_file in FILE, line 2: /: cannot be read (Is a directory); name a readable file"),
        ),
        (
            '[mqtt]\ncert_file = "/dev/null"',
            "mqtt.key_file in FILE, line 1: goes together with cert_file; set both, or neither",
        ),
        (
            '[mqtt]\ncert_file = "/dev/null"\nkey_file = "/dev/null"',
            ("mqtt.key_file in FILE, line 3: is of no use without TLS; set ca_file too, for it turns TLS on"),
        ),
        # Zones.
        (
            '[[zones]]\nname = "a"\npoints = [[0, 0], [1, 0], [1, 1]]',
            'zones[0].kind in FILE, line 1: is missing; add it: "include" or "ignore"',
        ),
        (
            ZONE + "[[0, 0], [1, 1]]",
            "zones[0].points in FILE, line 4: 2 points, a polygon needs 3; add the missing",
        ),
        (
            ZONE + str([[0.01 * n, 0.0001 * n * n] for n in range(33)]),
            "zones[0].points in FILE, line 4: 33 points, a polygon has 32 at most; leave some out",
        ),
        (
            ZONE + "[[0, 0], [640, 0], [640, 480]]",
            (
                "zones[0].points in FILE, line 4: point 2, [640, 0], is outside the picture; "
                "write shares of its width and height, 0 to 1, not pixels"
            ),
        ),
        (
            ZONE + "[[0, 0], [1, 1], [1, 0], [0, 1]]",
            (
                "zones[0].points in FILE, line 4: the sides after point 1 and after point 3 cross; "
                "give the corners in the order of a walk around the zone"
            ),
        ),
        (
            ZONE + "[[0, 0], [1, 0], [1, 1], [0, 0]]",
            (
                "zones[0].points in FILE, line 4: the last point repeats the first; leave it out, "
                "the polygon closes by itself"
            ),
        ),
        (
            ZONE + "[[0, 0], [1, 0], [1, 0], [1, 1]]",
            "zones[0].points in FILE, line 4: point 3 repeats point 2; leave one out",
        ),
        (
            ZONE + "[[0, 0], [0.5, 0.5], [1, 1]]",
            (
                "zones[0].points in FILE, line 4: all points lie on one line, so "
                "nothing is inside; "
                "move one of them"
            ),
        ),
        (
            ZONE + "[\n  [0, 0],\n  [1],\n  [1, 1],\n]",
            ("zones[0].points[1] in FILE, line 4: holds 1 of the two numbers of a point; write [x, y]"),
        ),
        (
            ZONE + '[[0, 0], [1, "0.5"], [1, 1]]',
            (
                'zones[0].points[1][1] in FILE, line 4: must be a number, not the text "0.5"; '
                "remove the quotes"
            ),
        ),
        (
            2 * (ZONE + "[[0, 0], [1, 0], [1, 1]]\n"),
            ('zones[1].name in FILE, line 6: "a" is the name of zones[0] too; give each zone its own'),
        ),
    ],
)
def test_a_mistake_is_reported_with_key_line_and_remedy(file: Path, text: str, message: str) -> None:
    assert message_of(file, text) == message


def test_all_mistakes_are_reported_at_once_in_file_order(file: Path) -> None:
    text = """
[storage]
log_rows = 1

[button]
bounce_ms = "10"

[[zones]]
name = "a"
kind = "include"
points = [[0, 0], [1, 0], [1, 1]]

[[zones]]
name = ""
kind = "ignore"
points = [[0, 0]]

[device]
nam = "x"
"""
    keys = [line.partition(":")[0] for line in message_of(file, text).splitlines()]
    assert keys == [
        "storage.log_rows in FILE, line 3",
        "button.bounce_ms in FILE, line 6",
        "zones[1].name in FILE, line 14",
        "zones[1].points in FILE, line 16",
        "device.nam in FILE, line 19",
    ]


def test_a_key_inside_a_long_text_is_not_taken_for_the_key(file: Path) -> None:
    text = '[device]\nname = """\nid = 5\n"""\nid = 5'
    assert "device.id in FILE, line 5: must be a text" in message_of(file, text)


def test_quoted_and_dotted_names_have_a_line_too(file: Path) -> None:
    text = '"button" . \'gpio\'.pin = 40\r\n["clips"] # how long\r\n"pre_roll_s" = 31\r\n'
    assert [line.partition(":")[0] for line in message_of(file, text).splitlines()] == [
        "button.gpio.pin in FILE, line 1",
        "clips.pre_roll_s in FILE, line 3",
    ]


def test_a_duration_may_be_an_integer(file: Path) -> None:
    file.write_text("[clips]\npre_roll_s = 3")
    assert load_config(file).clips.pre_roll_s == 3.0


def test_files_of_a_disabled_connection_are_not_read(file: Path) -> None:
    file.write_text('[mqtt]\nenabled = false\nca_file = "/nowhere/ca.pem"')
    assert load_config(file).mqtt.ca_file == "/nowhere/ca.pem"


@pytest.mark.parametrize("host", ["localhost", "192.168.1.2", "fe80::1%eth0", "::1", "broker.lan"])
def test_hosts_that_are_names_or_addresses(file: Path, host: str) -> None:
    file.write_text(tomli_w.dumps({"mqtt": {"host": host}}))
    assert load_config(file).mqtt.host == host


# --- mistakes of the file -----------------------------------------------------------------------


def test_a_missing_file_is_reported_with_the_command_that_creates_it(tmp_path: Path) -> None:
    file = tmp_path / "not here.toml"
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f"{file}: there is no such file; start from the reference: cp firmware_config/doorbelld.toml '{file}'"
    )


def test_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: is a directory; name the file in it, such as {tmp_path}/doorbelld.toml"
    )


def test_a_path_through_a_file_is_reported(file: Path) -> None:
    file.write_text("")
    with pytest.raises(ConfigError, match=r"cannot be read \(Not a directory\); name a readable"):
        load_config(file / "more")


def test_a_file_without_read_permission_is_reported_with_the_remedy(open_folder: Path) -> None:
    file = open_folder / "doorbelld.toml"
    file.write_text("")
    file.chmod(0)
    with ordinary_user() as uid, pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f"{file}: the user with id {uid} may not read it; "
        f"sudo chgrp doorbelld {file} && sudo chmod g+r {file}"
    )


def test_a_password_file_without_read_permission_is_reported_with_the_remedy(open_folder: Path) -> None:
    file, secret = open_folder / "doorbelld.toml", open_folder / "mqtt-password"
    secret.write_text("hunter2")
    secret.chmod(0)
    file.write_text(tomli_w.dumps({"mqtt": {"password_file": str(secret)}}))
    with ordinary_user() as uid, pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f"mqtt.password_file in {file}, line 2: {secret}: the user with id {uid} may not read it; "
        f"sudo chgrp doorbelld {secret} && sudo chmod g+r {secret}"
    )


def test_bytes_that_are_not_utf_8_are_reported_with_their_line(file: Path) -> None:
    file.write_bytes('[device]\nname = "Tür"'.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == (f"{file}, line 2: byte 0xfc is not UTF-8; save the file with that encoding")


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[device]\r\nid = "back"\r\n')
    assert load_config(file).device.id == "back"


@pytest.mark.parametrize(
    ("text", "location", "remedy"),
    [
        ("[device]\nname = Front\n", "FILE, line 2, column 8", "put text in double quotes"),
        ('[device]\nid = "a"\nid = "b"\n', "FILE, line 3, column 9", "this key is in its table twice"),
        (
            "[clips]\n[clips]\n",
            "FILE, line 2, column 7",
            "put all keys of a table below one header",
        ),
        ('name = "Front\n', "FILE, line 1, column 14", "close the text with the quote"),
        ("just words\n", "FILE, line 1, column 6", "write KEY = VALUE, one on a line"),
        ("[clips\n", "FILE, line 1, column 7", "write [TABLE] alone on its line"),
        ("x = [1, 2\n", "FILE, line 1", "close the list with ]"),
        ("x = 1 y = 2\n", "FILE, line 1, column 7", "put one KEY = VALUE on a line"),
        (f"x = {'9' * 5000}\n", "FILE", "write no number that long"),
        (f"x = {'[' * 9999}\n", "FILE", "too deep to read; take some away"),
    ],
)
def test_invalid_toml_is_reported_with_its_location(
    file: Path, text: str, location: str, remedy: str
) -> None:
    message = message_of(file, text)
    assert message.startswith(f"{location}: ")
    assert remedy in message
    assert "\n" not in message


CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False) | CHARACTERS
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(CHARACTERS, v), max_leaves=9)
WORDS = st.sampled_from(
    [
        *"[]{}=.,#'\"\n\\ ",
        "[[zones]]\n",
        "points",
        "camera",
        '"""',
        "\r\n",
        "kind",
        "nan",
        "1e9",
        "\0",
    ]
)
KEYS = [key.split(".") for key in fields() if not key.startswith("zones.")]


def load_or_refuse(content: bytes) -> None:
    """Load a file of these bytes; whatever is wrong must be a ConfigError with a line a mistake."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            load_config(Path(file.name))
        except ConfigError as error:
            lines = str(error).splitlines()
            assert lines
            assert all(file.name in line and re.search(r": .+", line) for line in lines), lines


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.lists(WORDS).map("".join))
def test_garbage_is_refused_without_a_crash(text: str) -> None:
    load_or_refuse(text.encode())


@given(st.binary())
def test_random_bytes_are_refused_without_a_crash(content: bytes) -> None:
    load_or_refuse(content)


@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_any_key_is_taken_or_refused(key: list[str], value: object) -> None:
    values: Any = value
    for part in reversed(key):
        values = {part: values}
    load_or_refuse(tomli_w.dumps(values).encode())


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_a_number_too_long_to_print_is_refused(key: list[str]) -> None:
    load_or_refuse(f"{'.'.join(key)} = 0x{'f' * 5000}".encode())


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(ZoneConfig.model_fields, VALUES))))
def test_any_zones_are_taken_or_refused(zones: list[dict[str, object]]) -> None:
    load_or_refuse(tomli_w.dumps({"zones": zones}).encode())


COORDINATES = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(st.lists(COORDINATES, min_size=3, max_size=6))
def test_a_polygon_is_judged_the_same_from_every_corner_and_in_both_directions(
    corners: list[tuple[int, int]],
) -> None:
    def fits(points: list[tuple[int, int]]) -> bool:
        quarters = [(x / 4, y / 4) for x, y in points]
        try:
            ZoneConfig(name="a", kind="ignore", points=quarters)
        except ValidationError:
            return False
        return True

    walks = [corners[n:] + corners[:n] for n in range(len(corners))]
    assert len({fits(walk) for walk in walks + [walk[::-1] for walk in walks]}) == 1


# --- quoting in messages ------------------------------------------------------------------------


@given(CHARACTERS, CHARACTERS)
def test_a_quoted_key_and_text_are_read_back(key: str, text: str) -> None:
    assert tomllib.loads(f"{key_text(key)} = {quoted(text)}") == {key: text}


@pytest.mark.parametrize(
    "text",
    [
        '[mqtt]\nhost = "mqtt://anna:hunter2@broker"',
        '[mqtt]\nhost = "anna:hunter2@broker"',
        '[camera]\nkind = "rtsp://cam/password=hunter2"',
        '[camera.stream]\ntimeout_s = "rtsp://anna:hunter2@cam"',
        '[camera.stream]\nurl = "anna:hunter2@cam/live"',
        '[camera.stream]\nurl = "rtsp:/anna:hunter2@cam/live"',
        '[camera.stream]\nurl = "rtsp://anna:hunt hunter2@cam/live"',
        '[camera.stream]\nurl = "ftp://anna:hunter2@cam/live"',
    ],
)
def test_no_message_shows_a_password_that_was_put_into_an_address(file: Path, text: str) -> None:
    assert "hunter2" not in message_of(file, text)
