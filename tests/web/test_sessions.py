"""Sessions end by the time that has passed, not by a wall clock that jumps. Time is a parameter."""

from dataclasses import dataclass, field

import pytest

from device.events import ClockFlag
from device.web.auth_accounts import IDLE_US, MAX_US, SAVE_EVERY_US, Accounts

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
NOW_US = 1_795_000_000_000_000
PEER = "192.168.1.20"
PASSWORD = "correct horse battery"  # noqa: S105  (of a test)


@dataclass
class Clock:
    """A machine's clocks: time passes on both, and the wall clock can be set."""

    wall: int = NOW_US
    mono: int = 5_000_000
    set_by_server: bool = True

    def mono_us(self) -> int:
        return self.mono

    def wall_us(self) -> int:
        return self.wall

    def flag(self) -> ClockFlag:
        return "synchronised" if self.set_by_server else "unsynchronised"

    def passes(self, duration_us: int) -> None:
        self.wall += duration_us
        self.mono += duration_us


@dataclass
class Doorbell:
    """The accounts of a doorbell that is switched off and on."""

    clock: Clock = field(default_factory=Clock)
    file: bytes | None = None

    def __post_init__(self) -> None:
        self.start()
        self.token = self.accounts.claim(self.accounts.code_text or "", PASSWORD, peer=PEER, agent="a phone")

    def start(self) -> None:
        self.accounts = Accounts(
            clock=self.clock, content=self.file, save=self._keep, show_code=lambda _: None
        )

    def _keep(self, content: bytes) -> None:
        self.file = content

    def is_off_for(self, duration_us: int, *, wakes_at_us: int | None = None, is_set: bool = True) -> None:
        """Switch off; without a battery the clock wakes at a time of its own until a server sets it."""
        self.accounts.save_if_needed()
        true_us = self.clock.wall + duration_us
        self.clock = Clock(true_us if wakes_at_us is None else wakes_at_us, 3_000_000, is_set)
        self.start()

    @property
    def is_signed_in(self) -> bool:
        return self.accounts.session(self.token, PEER) is not None


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell()


@pytest.mark.parametrize("jump_us", [5 * YEAR_US, -5 * YEAR_US, -NOW_US])
def test_a_wall_clock_that_jumps_ends_no_session(doorbell: Doorbell, jump_us: int) -> None:
    doorbell.clock.wall += jump_us
    assert doorbell.is_signed_in


@pytest.mark.parametrize("jump_us", [0, 5 * YEAR_US, -5 * YEAR_US])
def test_a_session_that_nobody_uses_ends_after_thirty_days_whatever_the_wall_clock_shows(
    doorbell: Doorbell, jump_us: int
) -> None:
    doorbell.clock.passes(HOUR_US)
    doorbell.clock.wall += jump_us
    doorbell.clock.passes(IDLE_US - 2 * HOUR_US)
    assert doorbell.is_signed_in
    doorbell.clock.wall -= jump_us
    doorbell.clock.passes(IDLE_US + HOUR_US)
    assert not doorbell.is_signed_in


def test_a_session_that_is_used_each_day_ends_after_half_a_year_with_the_clock_set_back_each_day(
    doorbell: Doorbell,
) -> None:
    days = 0
    while doorbell.is_signed_in:
        doorbell.clock.passes(DAY_US)
        doorbell.clock.wall -= DAY_US
        days += 1
        assert days < 400
    assert days == MAX_US // DAY_US + 1


def test_a_sign_in_before_a_time_server_has_set_the_clock_lasts(doorbell: Doorbell) -> None:
    """A board without a battery wakes in the past; minutes later its clock jumps by months."""
    doorbell.is_off_for(HOUR_US, wakes_at_us=NOW_US - YEAR_US, is_set=False)
    doorbell.token = doorbell.accounts.login(PASSWORD, peer=PEER, agent="a phone")
    doorbell.clock.passes(60_000_000)
    doorbell.clock.wall, doorbell.clock.set_by_server = NOW_US + HOUR_US, True
    assert doorbell.is_signed_in


@pytest.mark.parametrize("wakes_in_the_past", [False, True])
def test_the_time_while_the_doorbell_was_off_counts(
    doorbell: Doorbell,
    wakes_in_the_past: bool,  # noqa: FBT001  (a parameter of pytest)
) -> None:
    if wakes_in_the_past:
        doorbell.is_off_for(IDLE_US + DAY_US, wakes_at_us=NOW_US - YEAR_US, is_set=False)
        assert doorbell.is_signed_in, "nobody knows yet how long it was off"
        doorbell.is_off_for(HOUR_US, wakes_at_us=NOW_US - YEAR_US, is_set=False)  # and again
        doorbell.clock.wall, doorbell.clock.set_by_server = NOW_US + IDLE_US + DAY_US, True
    else:
        doorbell.is_off_for(IDLE_US + DAY_US)
    assert not doorbell.is_signed_in


def test_restarts_do_not_keep_a_session_for_ever_where_no_time_server_is(doorbell: Doorbell) -> None:
    doorbell.clock.set_by_server = False
    days = 0
    while doorbell.is_signed_in:
        doorbell.clock.passes(DAY_US)
        doorbell.is_off_for(HOUR_US, wakes_at_us=NOW_US, is_set=False)
        days += 1
        assert days < 400
    assert days == MAX_US // DAY_US + 1


def test_the_passing_time_is_written_each_hour_and_not_more_often(doorbell: Doorbell) -> None:
    before = doorbell.file
    doorbell.clock.passes(SAVE_EVERY_US // 2)
    doorbell.accounts.save_if_needed()
    assert doorbell.file == before
    doorbell.clock.passes(SAVE_EVERY_US)
    doorbell.accounts.save_if_needed()
    assert doorbell.file != before


def test_sessions_of_a_file_without_their_time_are_over_and_its_owner_stays(doorbell: Doorbell) -> None:
    assert doorbell.file
    doorbell.file = doorbell.file.replace(b'"time"', b'"other"')
    doorbell.start()
    assert doorbell.accounts.claimed
    assert not doorbell.is_signed_in
