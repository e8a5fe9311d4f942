"""The page's pure rules: how long a guesser waits, when the chime is quiet, where WebRTC may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.policy.login_throttle import FORGIVEN_US, MAX_PEERS, MAX_WAIT_US, Tries
from device.system.clock import within
from device.web.reader_auth import scope_of
from device.web.whep import home_candidates


def test_typing_errors_cost_no_wait_and_guesses_ever_more_up_to_a_bound() -> None:
    tries, now_us, waits = Tries(), 10**9, []
    for _ in range(14):
        waits.append(tries.wait_us("a", now_us))
        now_us += waits[-1]
        tries.failed("a", now_us)
    assert waits[:5] == [0] * 5
    assert waits[5:9] == [1_000_000, 2_000_000, 4_000_000, 8_000_000]
    assert waits[-1] == MAX_WAIT_US
    assert tries.wait_us("b", now_us) == 0


def test_the_right_password_and_a_quarter_of_an_hour_are_forgiven() -> None:
    tries = Tries()
    for _ in range(9):
        tries.failed("a", 0)
    assert tries.wait_us("a", 1) > 0
    assert tries.wait_us("a", FORGIVEN_US + 1) == 0
    tries.passed("a")
    assert tries.wait_us("a", 1) == 0


def test_a_crowd_of_addresses_takes_no_more_memory_than_a_thousand() -> None:
    tries = Tries()
    for number in range(5000):
        tries.failed(str(number), number)
    assert len(tries._failed) == MAX_PEERS  # noqa: SLF001  (there is no other way to see it)


@pytest.mark.parametrize(
    ("hours", "minute", "quiet"),
    [
        ("", 0, False),
        ("22:00-07:00", 21 * 60 + 59, False),
        ("22:00-07:00", 22 * 60, True),
        ("22:00-07:00", 0, True),
        ("22:00-07:00", 7 * 60, False),
        ("13:00-15:00", 14 * 60, True),
        ("13:00-15:00", 15 * 60, False),
        ("00:00-00:00", 123, True),
    ],
)
def test_quiet_hours_may_lie_on_both_sides_of_midnight(hours: str, minute: int, quiet: bool) -> None:  # noqa: FBT001
    assert within(hours, minute) is quiet


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_a_minute_is_in_the_hours_or_in_the_rest_of_the_day(first: int, last: int, minute: int) -> None:
    one, other = (f"{m // 60:02d}:{m % 60:02d}" for m in (first, last))
    if first != last:
        assert within(f"{one}-{other}", minute) != within(f"{other}-{one}", minute)


def test_pictures_go_to_no_address_outside_the_home() -> None:
    candidates = [
        "v=0\r\n",
        "a=candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host\r\n",
        "a=candidate:2 1 udp 2122260223 a1b2.local 50001 typ host\r\n",
        "a=candidate:3 1 udp 2122260223 fe80::1 50002 typ host\r\n",
    ]
    gone = [
        "a=candidate:4 1 udp 1686052607 203.0.113.9 50003 typ srflx raddr 192.168.1.7 rport 50000\r\n",
        "a=candidate:5 1 udp 2122260223 evil.example 50004 typ host\r\n",
        "a=candidate:6 1 udp 2122260223 2001:db8::1 50005 typ host\r\n",
        "a=candidate:7 1 udp\r\n",
    ]
    assert home_candidates("".join([*candidates, *gone])) == "".join(candidates)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("end", ["", "/1.mp4"])
def test_no_read_token_opens_a_preview(method: str, end: str) -> None:
    path = f"/api/requests/paris-example.01KA0000000000000000000001/preview{end}"
    assert scope_of({"type": "http", "method": method, "path": path}) == ""
