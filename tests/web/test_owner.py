"""Who gets in, and who does not: claim, log-in, sessions, and the abuses of a hostile browser or network."""

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.connection import Connection

from server.dev_processes import PATIENCE_S, free_port, wait_for
from tests.support.doorbell import Doorbell
from tests.web.conftest import QUIET_SCENE
from tests.web.visitor import PASSWORD, Visitor

Make = Callable[..., Doorbell]


@pytest.fixture
def door(doorbell: Make) -> Doorbell:
    return doorbell(QUIET_SCENE, page={"enabled": True, "port": 0}).start(camera=False)


@pytest.fixture
def owner(door: Doorbell) -> Visitor:
    return Visitor(door.page).claim(door)


def hear_out(socket: Connection) -> None:
    """Receive until the other side ends it, with ConnectionClosed."""
    for _ in range(1000):
        socket.recv(timeout=PATIENCE_S)


def test_nothing_is_shown_before_the_page_is_claimed(door: Doorbell) -> None:
    stranger = Visitor(door.page)
    assert stranger.ask("GET", "/api/session").json["claimed"] is False
    for path in ("status", "clips", "log", "snapshot.jpg", "config", "openapi.json", "visits", "sessions"):
        answer = stranger.ask("GET", f"/api/{path}")
        assert (answer.status, answer.json["code"]) == (401, "signed_out"), path


def test_the_code_is_in_the_log_and_in_a_file_for_the_daemon_s_group(door: Doorbell) -> None:
    path = door.state / "run" / "claim-code"
    code = path.read_text().strip()
    assert code == door.claim_code()
    assert f"code={code}" in door.log_path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    Visitor(door.page).claim(door)
    assert not path.exists()
    assert door.run("page", "code").returncode == 1


def test_a_code_may_be_typed_as_people_type(door: Doorbell) -> None:
    typed = door.claim_code().replace("-", " ").lower().replace("0", "o").replace("1", "l")
    assert Visitor(door.page).enter("/api/claim", code=typed, password=PASSWORD).status == 200


def test_there_is_one_owner(door: Doorbell, owner: Visitor) -> None:
    late = Visitor(door.page).enter("/api/claim", code="AAAAA-AAAAA", password=PASSWORD)
    assert (late.status, late.json["code"]) == (409, "claimed")


def test_a_weak_password_is_refused_with_what_would_do(door: Doorbell) -> None:
    for password in ("short", "x" * 257):
        answer = Visitor(door.page).enter("/api/claim", code=door.claim_code(), password=password)
        assert answer.status == 422
        assert "10 to 256 characters" in answer.json["error"]


def test_the_password_is_kept_as_argon2id_and_no_token_is_kept_at_all(door: Doorbell, owner: Visitor) -> None:
    path = door.state / "state" / "page.json"
    stored = path.read_text()
    assert json.loads(stored)["password"].startswith("$argon2id$")
    assert owner.cookie.partition("=")[2] not in stored
    assert PASSWORD not in stored
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_a_session_outlives_a_restart_and_ends_with_log_out(door: Doorbell, owner: Visitor) -> None:
    door.stop()
    door.start()
    wait_for("the page", lambda: owner.ask("GET", "/api/status").status == 200)
    cookie, token = owner.cookie, owner.token
    assert owner.ask("POST", "/api/logout").status == 200
    owner.cookie, owner.token = cookie, token
    assert owner.ask("GET", "/api/status").status == 401


def test_log_out_everywhere_ends_every_browser_and_its_open_sockets(door: Doorbell, owner: Visitor) -> None:
    wait_for("the camera", lambda: door.status()["camera"]["state"] == "live")
    other = Visitor(door.page).login()
    with other.socket("/api/events") as events, other.socket("/api/live") as live:
        assert owner.ask("POST", "/api/logout-everywhere").status == 200
        for stream in (events, live):
            with pytest.raises(ConnectionClosed):
                hear_out(stream)
    assert other.ask("GET", "/api/status").status == 401
    assert owner.ask("GET", "/api/status").status == 401
    Visitor(door.page).login()


def test_the_terminal_can_sign_out_and_make_the_page_free_again(door: Doorbell, owner: Visitor) -> None:
    assert door.run("page", "logout-everywhere").returncode == 0
    assert owner.ask("GET", "/api/status").status == 401
    assert "new code" in door.run("page", "reset").stdout
    assert Visitor(door.page).enter("/api/login", password=PASSWORD).status == 409
    Visitor(door.page).claim(door)


def test_serious_actions_need_the_password_again(door: Doorbell, owner: Visitor) -> None:
    wait_for("the camera", lambda: door.status()["camera"]["state"] == "live")
    door.ring()
    clip = door.clips(1)[0]["id"]
    for method, path, body in (
        ("DELETE", f"/api/clips/{clip}", None),
        ("PUT", "/api/switches/privacy", {"value": "OFF"}),
        ("POST", "/api/mqtt/test", {"changes": {}}),
        ("POST", "/api/password", {"password": "another good one"}),
    ):
        answer = owner.ask(method, path, body)
        assert (answer.status, answer.json["code"]) == (403, "step_up"), path
    assert owner.ask("PATCH", "/api/config", {"changes": {"motion.sensitivity": 0.4}}).status == 200
    assert owner.ask("POST", "/api/step-up", {"password": "wrong"}).status == 403
    owner.step_up()
    assert owner.ask("DELETE", f"/api/clips/{clip}").status == 200
    # Another browser has not given it.
    assert Visitor(door.page).login().ask("POST", "/api/mqtt/test", {"changes": {}}).status == 403


def test_a_new_password_signs_the_others_out(door: Doorbell, owner: Visitor) -> None:
    other = Visitor(door.page).login()
    assert owner.step_up().ask("POST", "/api/password", {"password": "quite another one"}).status == 200
    assert other.ask("GET", "/api/status").status == 401
    assert owner.ask("GET", "/api/status").status == 200
    assert Visitor(door.page).enter("/api/login", password=PASSWORD).status == 403


def test_guesses_are_slowed_by_address_and_never_locked_out(door: Doorbell, owner: Visitor) -> None:
    guesser = Visitor(door.page)
    statuses = [guesser.enter("/api/login", password=f"guess number {n}").status for n in range(9)]
    assert statuses[:5] == [403] * 5
    assert 429 in statuses[5:]
    waiting = guesser.enter("/api/login", password=PASSWORD)
    assert waiting.status == 429
    assert 1 <= int(waiting.headers["retry-after"]) <= 30
    # Who comes from another address does not wait, and neither does who is signed in.
    elsewhere = Visitor(door.page.replace("127.0.0.1", "[::1]"))
    assert elsewhere.enter("/api/login", password=PASSWORD).status == 200
    assert owner.ask("GET", "/api/status").status == 200


def test_a_change_from_another_site_is_refused(door: Doorbell, owner: Visitor) -> None:
    for origin in ("http://evil.example", "null", "", "http://127.0.0.1:1"):
        answer = owner.ask("POST", "/api/ring", Origin=origin)
        assert (answer.status, answer.json["code"]) == (403, "origin"), origin
        with pytest.raises(InvalidStatus) as caught:
            owner.socket("/api/events", Origin=origin or "http://nowhere.example")
        assert caught.value.response.status_code == 403


def test_a_change_without_the_token_is_refused(door: Doorbell, owner: Visitor) -> None:
    owner.token = ""
    assert owner.ask("POST", "/api/ring").json["code"] == "token"
    owner.token = "0" * 64
    assert owner.ask("POST", "/api/ring").json["code"] == "token"


def test_another_host_name_is_refused(door: Doorbell, owner: Visitor) -> None:
    strange = ("evil.example", "evil.example:8443", "8.8.8.8", "127.0.0.1.evil.example", "x;y *@localhost")
    for host in strange:
        answer = owner.ask("GET", "/api/status", Host=host)
        assert answer.status in (400, 421), host
        assert b"camera" not in answer.body


def test_the_names_of_the_doorbell_are_taken(doorbell: Make) -> None:
    page = {"enabled": True, "port": 0, "hosts": ["front.door.example"]}
    door = doorbell(QUIET_SCENE, page=page).start(camera=False)
    for host in ("localhost", "192.168.1.5:8443", "[fe80::1]", "front.door.example"):
        assert Visitor(door.page).ask("GET", "/api/session", Host=host).status == 200, host


def test_no_path_leads_to_another_file(door: Doorbell, owner: Visitor) -> None:
    for path in (
        "/static/../server.py",
        "/static/..%2f..%2fserver.py",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static//etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/clips/..%2f..%2fpage.json/video",
        "/api/clips/%2e%2e/video",
        "/api/clips/%00/video",
    ):
        answer = owner.ask("GET", path)
        assert answer.status in (400, 401, 404, 409), path
        assert b"import" not in answer.body
        assert b"argon2" not in answer.body


def test_every_answer_forbids_scripts_of_others_and_frames(door: Doorbell, owner: Visitor) -> None:
    for path in ("/", "/static/app.js", "/api/status", "/api/nothing", "/sw.js"):
        headers = owner.ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
    assert owner.ask("GET", "/api/status").headers["cache-control"] == "no-store"
    cookie = Visitor(door.page).enter("/api/login", password=PASSWORD).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()


def test_invalid_input_is_reported_and_changes_nothing(door: Doorbell, owner: Visitor) -> None:
    for method, path, body in (
        ("PATCH", "/api/config", {"changes": {"motion.sensitivity": 7}}),
        ("PATCH", "/api/config", {"changes": {"device.id": "other"}}),
        ("PATCH", "/api/config", {"change": {}}),
        ("PATCH", "/api/config", b"{"),
        ("PUT", "/api/switches/privacy", {"value": "MAYBE"}),
        ("PUT", "/api/switches/nothing", {"value": "ON"}),
        ("PUT", "/api/clips/nothing/star", {"on": "yes"}),
        ("POST", "/api/claim", {"code": 5, "password": None}),
    ):
        answer = owner.ask(method, path, body)
        assert 400 <= answer.status < 500, path
        assert answer.json["error"]
    assert owner.ask("GET", "/api/config").json == door.json("config", "show")
    rows = door.json("config", "show")
    assert rows
    assert all(row["source"] != "page" for row in rows)


def test_a_body_without_an_end_is_cut_off(door: Doorbell, owner: Visitor) -> None:
    head = f"POST /api/login HTTP/1.1\r\nHost: {owner.host}\r\nOrigin: {owner.url}\r\n"
    large = b"x" * 400_000
    answer = owner.raw(f"{head}Content-Length: {len(large)}\r\n\r\n".encode() + large)
    assert b" 413 " in answer
    assert owner.ask("GET", "/api/status").status == 200


def test_idle_connections_are_closed(door: Doorbell) -> None:
    assert b"(still open)" not in Visitor(door.page).raw(b"GET / HT")


def test_two_hundred_connections_leave_the_bell_and_others_alone(door: Doorbell, owner: Visitor) -> None:
    import socket

    host, _, port = owner.host.partition(":")
    crowd = []
    try:
        for _ in range(200):
            client = socket.socket()
            client.settimeout(PATIENCE_S)
            client.connect((host, int(port)))
            crowd.append(client)
        door.ring()
        assert Visitor(door.page.replace("127.0.0.1", "[::1]")).ask("GET", "/api/session").status == 200
    finally:
        for client in crowd:
            client.close()


def test_a_crowd_of_guesses_does_not_slow_the_bell(door: Doorbell, owner: Visitor) -> None:
    over = threading.Event()

    def guess() -> None:
        visitor = Visitor(door.page)
        while not over.is_set():
            try:
                visitor.enter("/api/login", password="a guess of many")  # noqa: S106
            except OSError:
                continue

    crowd = [threading.Thread(target=guess) for _ in range(8)]
    for guesser in crowd:
        guesser.start()
    try:
        for _ in range(5):
            door.ring()
    finally:
        over.set()
        for guesser in crowd:
            guesser.join(PATIENCE_S)
    assert door.status()["faults"] == []


def test_wrong_codes_from_many_addresses_do_not_change_the_claim_code(door: Doorbell) -> None:
    code = door.claim_code()
    for number in range(2, 32):
        guesser = Visitor(door.page, source=f"127.0.0.{number}")
        assert guesser.enter("/api/claim", code="AAAAA-AAAAA", password=PASSWORD).json["code"] == "wrong_code"
    assert door.claim_code() == code
    assert "page_wrong_tries count=20" in door.log_path.read_text()
    assert (
        Visitor(door.page, source="127.0.1.2").enter("/api/claim", code=code, password=PASSWORD).status == 200
    )


def test_guesses_from_many_addresses_keep_nobody_from_signing_in(door: Doorbell, owner: Visitor) -> None:
    over, refused = threading.Event(), threading.Event()

    def guess(source: str) -> None:
        guesser = Visitor(door.page, source=source)
        while not over.is_set():
            try:
                if guesser.enter("/api/login", password="a guess of many").status == 429:  # noqa: S106
                    refused.set()
            except OSError:
                continue

    crowd = [threading.Thread(target=guess, args=(f"127.0.0.{number}",)) for number in range(2, 32)]
    for guesser in crowd:
        guesser.start()
    try:
        wait_for("the crowd", refused.is_set)
        owner.step_up()
        Visitor(door.page).login()
        Visitor(door.page, source="127.0.1.30").login()  # at a new address, too
    finally:
        over.set()
        for guesser in crowd:
            guesser.join(PATIENCE_S)


def test_an_unreadable_owner_closes_the_page_and_does_not_make_it_anybody_s(doorbell: Make) -> None:
    door = doorbell(QUIET_SCENE, page={"enabled": True, "port": 0})
    (door.state / "state").mkdir(parents=True)
    (door.state / "state" / "page.json").write_text('{"version": 1, "passw')
    door.start()
    assert [fault["code"] for fault in door.status()["faults"]] == ["page_failed"]
    with pytest.raises(OSError, match=r"refused|timed out|reset"):
        Visitor(door.page).ask("GET", "/api/session")
    door.ring()


def test_a_taken_port_is_a_fault_and_the_bell_rings(doorbell: Make) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        door = doorbell(QUIET_SCENE, page={"enabled": True, "port": 0, "loopback_port": port}).start()
        (fault,) = door.status()["faults"]
        assert fault["code"] == "page_failed"
        assert str(port) in fault["text"]
        door.ring()


def test_the_page_has_a_certificate_of_its_own_that_is_good_for_this_doorbell_alone(
    doorbell: Make, tmp_path: Path
) -> None:
    import ssl
    import urllib.error
    import urllib.request

    from cryptography import x509

    port = free_port()
    door = doorbell(QUIET_SCENE, page={"enabled": True, "port": port}).start()
    visitor = Visitor(door.page)  # over HTTP, which answers before the certificate is made
    wait_for("the authority", lambda: visitor.ask("GET", "/ca.crt").status == 200)
    authority = visitor.ask("GET", "/ca.crt").body
    (tmp_path / "ca.pem").write_bytes(authority)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    for name in ("localhost", "127.0.0.1"):
        with urllib.request.urlopen(f"https://{name}:{port}/api/session", context=trusting) as answer:
            assert answer.status == 200
    found: Any = x509.load_pem_x509_certificate(authority).extensions
    permitted = found.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    assert x509.DNSName("local") in permitted
    key = door.state / "state" / "page-ca-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) & 0o077 == 0
