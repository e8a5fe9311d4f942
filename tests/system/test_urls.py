"""What is shown of a URL: never more than scheme, host and port, and never a password in whatever place."""

import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.backup_targets import BackupTarget
from device.cli.backup import add
from device.errors import CommandError
from device.system.logs import _Json, _Plain
from device.system.urls import HIDDEN, endpoint, without_urls

SECRET = "hunter2"  # noqa: S105  (of no camera)
WITH_SECRET = [
    "rtsp://cam/user=admin_password={}",
    "rtsp://cam/user=admin&password={}&channel=1",
    "rtsp://cam/live;password={}",
    "rtsp://cam;password={}/live",
    "rtsp://cam/live?pwd={}",
    "rtsp://cam/live?a=1&token={}#x",
    "rtsp://cam/#{}",
    "rtsp://cam/{}/live",
    "rtsp://:{}@cam/",
    "rtsp://{}@cam/",
    "rtsp://{}:@cam/",
    "rtsp://user:p@{}@cam/",
    "rtsp://user:{}@x@cam/",
    "rtsp://user:p%40{}@cam/",
    "rtsp://user:p/{}@cam/",
    "rtsp://user:p/@{}@cam/",
    "rtsp://user:p#{}@cam/",
    "rtsp://user:p?{}@cam/",
    "rtsp://user:p\\{}@cam/",
    "rtsp://user:{}",
    "rtsp://cam/p@{}",
    "rtsp://cam?p@{}",
    "RTSPS://User:{}@[fd00::1]:322/",
    "rtsp://cam:99999{}/",
    "rtsp://[fd00::1{}/",
    "rtsp://,{}@cam/",
]
TARGETS = [
    "https://:{}@nas/",
    "https://{}@nas/",
    "https://a:{}@nas/x",
    "https://a%3A{}%40nas/",
    "https://a:b/{}@nas/",
]
TARGETS += [
    "https://a:{}@[fd00::1]/",
    "https://@nas/",
    "https://nas/x?password={}",
    "https://nas/#{}",
    "https://na\ts/",
]
TARGETS += ["https://nas/;password={}", "https://nas\\@{}/", "https://[::1/{}", "//a:{}@nas/"]


@pytest.mark.parametrize("url", WITH_SECRET)
def test_no_secret_of_a_url_is_shown(url: str) -> None:
    url = url.format(SECRET)
    assert SECRET not in endpoint(url)
    for text in (url, f"camera {url}: gone", f"({url!r})", f"GET {url}, then {url}.", f'{{"to":"{url}"}}'):
        assert SECRET not in without_urls(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/live", "rtsp://cam"),
        ("RTSP://192.168.1.7:554/live?x=1", "rtsp://192.168.1.7:554"),
        ("https://anna:x@[fd00::1]:8443/y", "https://[fd00::1]:8443"),
        ("rtsp://a/b@c", f"rtsp://{HIDDEN}"),
        ("rtsp://", f"rtsp://{HIDDEN}"),
        ("anna:x@cam/live", HIDDEN),
    ],
)
def test_scheme_host_and_port_are_shown_if_they_are_clear(url: str, shown: str) -> None:
    assert endpoint(url) == shown


def test_the_text_around_a_url_stays() -> None:
    text = "take rtsp:// or http://, as in 'rtsp://cam:554/live', or a path."
    assert without_urls(text) == "take rtsp:// or http://, as in 'rtsp://cam:554', or a path."


word = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), max_size=12)


@given(word, word, word)
def test_what_stands_behind_the_first_at_sign_or_slash_is_never_shown(
    user: str, password: str, path: str
) -> None:
    shown = endpoint(f"rtsp://{user}:{SECRET}{password}@cam/{path}")
    assert SECRET not in shown


@pytest.mark.parametrize("formatter", [_Plain(), _Json()])
def test_no_log_line_has_more_of_a_url(formatter: logging.Formatter) -> None:
    raised = OSError(f"HTTPSConnectionPool: https://anna:{SECRET}@nas/x failed")
    record = logging.LogRecord(
        "device.x",
        logging.WARNING,
        "",
        0,
        "failed error=%r",
        (OSError(f"rtsp://h/{SECRET}"),),
        (type(raised), raised, None),
    )
    line = formatter.format(record)
    assert SECRET not in line
    assert "rtsp://h" in line
    assert "https://nas" in line


@pytest.mark.parametrize("url", TARGETS)
def test_a_backup_target_s_url_holds_no_secret(url: str) -> None:
    url = url.format(SECRET)
    with pytest.raises(ValueError, match=r"user|kind") as refused:
        BackupTarget(kind="webdav", url=url)
    assert SECRET not in str(refused.value)
    if "@" in url:
        assert "--secret-file" in str(refused.value)


def test_a_refused_target_is_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    import argparse

    arguments = argparse.Namespace(url=f"https://:{SECRET}@nas/", secret_file=None)
    with pytest.raises(CommandError, match="--secret-file"):
        add(arguments)
    assert SECRET not in capsys.readouterr().out


def test_ffmpeg_itself_prints_nothing() -> None:
    code = (
        "from device.errors import CameraError\n"
        "from device.media.ffmpeg_input import open_source\n"
        "for url in ('rtsp://127.0.0.1:1/user=a_password=hunter2', 'http://a:hunter2@127.0.0.1:1/', 'rtsp://u:p/hunter2@h'):\n"
        "    try: open_source(url, timeout_s=1, fps=15)\n"
        "    except CameraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("camera ") == 3
    assert SECRET not in done.stdout + done.stderr
