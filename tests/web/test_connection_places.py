"""Places on the page: a crowd on many addresses leaves those of the owner and of this machine."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from device.system.clock import SystemClock
from device.web.auth_accounts import AccessRefused, Accounts, LoginSession
from device.web.connection_limiter import (
    MAX_CONNECTIONS,
    MAX_OF_ONE_PEER,
    MAX_OF_STRANGERS,
    MAX_ON_UNIX_SOCKET,
    MAX_WITHOUT_THIS_MACHINE,
    RefusalLog,
    refusal,
)

PASSWORD = "correct horse battery"  # noqa: S105  (of no doorbell)
OWNER = "192.168.1.7"
CROWD = [f"127.0.{number // 250}.{number % 250 + 2}" for number in range(300)]


def _fill(open_now: Counter[str], peers: list[str], signed_in: frozenset[str] = frozenset()) -> int:
    """Connect once from each; return how many got a place."""
    before = open_now.total()
    for peer in peers:
        open_now[peer] += not refusal(peer, open_now, signed_in)
    return open_now.total() - before


def test_a_crowd_leaves_places_for_signed_in_addresses_and_for_this_machine() -> None:
    signed_in = frozenset({OWNER, "192.168.1.8", "192.168.1.9"})
    open_now = Counter[str]()
    assert _fill(open_now, CROWD, signed_in) == MAX_OF_STRANGERS
    assert refusal("192.168.1.99", open_now, signed_in) == "too_many"
    assert _fill(open_now, [OWNER] * 100, signed_in) == MAX_OF_ONE_PEER
    assert _fill(open_now, ["192.168.1.8"] * 100, signed_in) == MAX_OF_ONE_PEER
    assert _fill(open_now, ["192.168.1.9"] * 100, signed_in) == 0
    assert MAX_OF_STRANGERS + 2 * MAX_OF_ONE_PEER == MAX_WITHOUT_THIS_MACHINE
    assert MAX_CONNECTIONS - MAX_WITHOUT_THIS_MACHINE == MAX_OF_ONE_PEER
    assert _fill(open_now, ["127.0.0.1"] * 100, signed_in) == MAX_OF_ONE_PEER
    assert _fill(open_now, ["::1"] * 100, signed_in) == 0


def test_the_owner_s_connections_take_no_place_of_others() -> None:
    open_now, signed_in = Counter[str](), frozenset({OWNER, "127.0.0.1"})
    assert _fill(open_now, [OWNER] * 100, signed_in) == MAX_OF_ONE_PEER
    assert _fill(open_now, ["127.0.0.1"] * 100, signed_in) == MAX_OF_ONE_PEER
    assert _fill(open_now, CROWD, signed_in) == MAX_OF_STRANGERS


def test_the_command_socket_has_a_limit_too() -> None:
    assert _fill(Counter(), [""] * 200) == MAX_ON_UNIX_SOCKET


def test_refused_connections_are_reported_together(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusalLog()
    for second in range(121):
        for _ in range(50):
            refusals.add("too_many", float(second))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["page_refused too_many=1", "page_refused too_many=3000", "page_refused too_many=3000"]


# --- passwords and claim codes ------------------------------------------------------------------------


def _accounts() -> Accounts:
    return Accounts(clock=SystemClock(), content=None, save=lambda _: None, show_code=lambda _: None)


def test_wrong_codes_of_many_addresses_leave_the_code_and_its_owner_gets_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    accounts = _accounts()
    code = accounts.code_text
    assert code

    def guess(peer: str) -> None:
        for _ in range(3):
            with pytest.raises(AccessRefused, match="not the code"):
                accounts.claim("AAAAA-AAAAA", PASSWORD, peer=peer, agent="")

    with ThreadPoolExecutor(30) as crowd:
        list(crowd.map(guess, CROWD))
    assert accounts.code_text == code
    counts = [r.getMessage().split(":")[0] for r in caplog.records if "page_wrong_tries" in r.getMessage()]
    assert counts == [f"page_wrong_tries count={20 << step}" for step in range(6)]
    assert accounts.claim(code, PASSWORD, peer=OWNER, agent="")


def test_guesses_of_many_addresses_keep_neither_the_owner_nor_this_machine_waiting() -> None:
    accounts = _accounts()
    token = accounts.claim(accounts.code_text or "", PASSWORD, peer=OWNER, agent="")
    session = accounts.session(token, OWNER)
    assert isinstance(session, LoginSession)
    over = threading.Event()
    busy = threading.Event()

    def guess(peer: str) -> None:
        while not over.is_set():
            try:
                accounts.login("a guess of many", peer=peer, agent="")
            except AccessRefused as error:
                if error.code == "busy":
                    busy.set()
                over.wait(
                    0.02
                )  # as a request over the network takes; a spinning thread would test Python's lock

    crowd = [threading.Thread(target=guess, args=(peer,)) for peer in CROWD[:30]]
    for guesser in crowd:
        guesser.start()
    try:
        assert busy.wait(60)
        for _ in range(5):
            accounts.step_up(session, PASSWORD)
            assert accounts.login(PASSWORD, peer="127.0.0.1", agent="")
            assert accounts.login(PASSWORD, peer=OWNER, agent="")
    finally:
        over.set()
        for guesser in crowd:
            guesser.join()


def test_guesses_behind_the_owner_s_address_do_not_delay_the_signed_in_browser() -> None:
    accounts = _accounts()
    token = accounts.claim(accounts.code_text or "", PASSWORD, peer=OWNER, agent="")
    session = accounts.session(token, OWNER)
    assert session
    for _ in range(5):
        with pytest.raises(AccessRefused, match="not the password"):
            accounts.login("a wrong password", peer=OWNER, agent="")
    with pytest.raises(AccessRefused, match="too many tries"):
        accounts.login(PASSWORD, peer=OWNER, agent="")
    accounts.step_up(session, PASSWORD)


def test_the_addresses_of_signed_in_browsers_outlive_a_restart() -> None:
    kept: list[bytes] = []
    first = Accounts(clock=SystemClock(), content=None, save=kept.append, show_code=lambda _: None)
    token = first.claim(first.code_text or "", PASSWORD, peer=OWNER, agent="")
    for number in range(10):
        first.session(token, f"192.168.1.{100 + number}")
    first.save_if_needed()
    again = Accounts(clock=SystemClock(), content=kept[-1], save=kept.append, show_code=lambda _: None)
    assert again.signed_in_peers() == {f"192.168.1.{number}" for number in range(106, 110)}
    first.logout_everywhere()
    assert first.signed_in_peers() == set()
