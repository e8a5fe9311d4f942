"""The one owner: claim, password, sessions. Stored in one small file; only this module decides who gets in.

A session's token is in the browser's cookie. The file contains only its SHA-256, and the password's Argon2id
hash (RFC 9106; parameters of the OWASP Password Storage Cheat Sheet, sized for 512 MB).
"""

import hashlib
import hmac
import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from device.errors import CommandError
from device.policy.elapsed import ElapsedTime, SavedTime
from device.policy.login_throttle import Tries
from device.system.clock import Clock

log = logging.getLogger(__name__)

MIN_PASSWORD, MAX_PASSWORD = 10, 256
CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no two of these letters look alike."""
CODE_LENGTH = 10
WARN_AT = 20
"""Wrong claim codes or passwords before the log says so; then at each doubling. A claim code does not change because
of them: one of 2**50 is not guessed, and a code that changes could be kept from its owner.
"""
THIS_MACHINE = frozenset({"127.0.0.1", "::1"})
"""Addresses of a browser on the doorbell itself."""
MAX_PEERS_OF_SESSION = 4
IDLE_US = 30 * 86_400_000_000
MAX_US = 180 * 86_400_000_000
SEEN_EVERY_US = 86_400_000_000
SAVE_EVERY_US = 3_600_000_000
"""How much of the time that ages the sessions a power cut may undo."""
STEP_UP_US = 300_000_000
MAX_SESSIONS = 32
MAX_STRANGERS = 2
"""Addresses without a signed-in session whose passwords are being checked, or wait for it. The owner's wait behind two
hashes at most.
"""


class AccessRefused(CommandError):
    """The password or the claim code was refused; `params` may have `wait_s`, the time until the next try."""

    def __init__(self, text: str, *, code: str, status: int, **params: str | float) -> None:
        super().__init__(text, code=code, **params)
        self.status = status


@dataclass(slots=True, kw_only=True)
class LoginSession:
    """One browser that is signed in. `began_us` and `seen_us` are Unix microseconds, and for people.

    `began_elapsed_us` and `seen_elapsed_us` are of the clock that ends sessions (device/policy/elapsed.py).
    """

    digest: str
    agent: str
    began_us: int
    seen_us: int
    began_elapsed_us: int
    seen_elapsed_us: int
    stepped_up_us: int | None = None
    """When the password was last given, on the monotonic clock. Never stored."""
    peers: list[str] = field(default_factory=list)
    """The addresses that it was last used from, newest last; places are kept for them."""


def digest_of(token: str) -> str:
    """Return the hash of a token, which is stored instead of it."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def change_token(token: str) -> str:
    """Return the token that a page sends with every change; it proves that its sender has read that page."""
    return hashlib.sha256(b"doorbelld change " + token.encode(errors="replace")).hexdigest()


class Accounts:
    """Safe to be called from many threads.

    Passwords are hashed one at a time, so that a flood costs one core, and outside the lock that `session`
    takes, because the event loop calls `session` for each request. Nothing is written under that lock either.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        content: bytes | None,
        save: Callable[[bytes], None],
        show_code: Callable[[str | None], None],
        usable: bool = True,
    ) -> None:
        """`content`: of the file, None if there is none. `save` replaces it durably or raises CommandError.

        `show_code` gets the claim code, or None once there is an owner. Raises ValueError if the file is not
        one of ours: a page that forgot its owner could be claimed by anybody. Not `usable`: nobody gets in.
        """
        self._clock = clock
        self._save_content = save
        self._show_code = show_code
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._hashing = threading.Lock()
        self._strangers = threading.BoundedSemaphore(MAX_STRANGERS)
        self._unsaved = False
        self._tries = Tries()
        self._hash, self._sessions, saved = _read(content)
        self._elapsed = ElapsedTime(saved, clock.mono_us())
        self._saved_us = saved.elapsed_us if saved else 0
        self._code: str | None = None
        self._wrong = Counter[str]()
        self.usable = usable
        if self._hash is None and usable:
            self._new_code()

    @property
    def claimed(self) -> bool:
        """Whether there is an owner."""
        return self._hash is not None

    def claim(self, code: str, password: str, *, peer: str, agent: str) -> str:
        """Make the caller, who has the claim code, the owner; return a token. Raises AccessRefused, CommandError."""
        self._check_code(
            code, peer
        )  # costs nothing, so that guesses take no place of the owner, who has the code
        with self._hashing:
            self._check_code(code, peer)  # another may have been faster
            self._check_new(password)
            self._replace(self._hasher.hash(password), {})
            self._code = None
            self._show_code(None)
            return self._begin(agent, peer)

    def _check_code(self, code: str, peer: str) -> None:
        with self._lock:
            self.refuse_early(peer)
            if self._code is None:
                raise AccessRefused("this doorbell has an owner; sign in", code="claimed", status=409)
            if hmac.compare_digest(_plain(code).encode(), self._code.encode()):
                return
            self._tries.failed(peer, self._clock.mono_us())
            self._count_wrong("claim codes")
        raise AccessRefused(
            "that is not the code; `doorbell page code` shows it, and so does the log",
            code="wrong_code",
            status=403,
        )

    def _count_wrong(self, what: str) -> None:
        self._wrong[what] += 1
        count = self._wrong[what]
        if count >= WARN_AT and count % WARN_AT == 0 and (count // WARN_AT).bit_count() == 1:
            log.warning(
                "page_wrong_tries count=%d: wrong %s; somebody in the home network guesses", count, what
            )

    def login(self, password: str, *, peer: str, agent: str) -> str:
        """Return a new session's token. Raises AccessRefused."""
        with self._turn(peer, known=self.is_known(peer)):
            self._check(password, peer)
            return self._begin(agent, peer)

    def step_up(self, session: LoginSession, password: str) -> None:
        """Record that the password was given just now. Raises AccessRefused.

        Failures are counted for the session: guesses of others behind its address do not make it wait.
        """
        with self._turn(session.digest, known=True):
            self._check(password, session.digest)
            session.stepped_up_us = self._clock.mono_us()

    def change_password(self, session: LoginSession, password: str) -> None:
        """Change the password and end every other session. Raises AccessRefused, CommandError."""
        self._check_new(password)
        with self._hashing:
            self._replace(self._hasher.hash(password), {session.digest: session})

    def session(self, token: str, peer: str = "") -> LoginSession | None:
        """Return the session of a cookie, if it is still valid. Never waits for hashing or the disk.

        `peer`: the address that uses it, if it is a request.
        """
        if not token:
            return None
        with self._lock:
            session = self._sessions.get(digest_of(token))
            if session is None:
                return None
            now_us = self._now_us()  # not by the wall clock: it jumps, without a battery by years
            if now_us - session.seen_elapsed_us > IDLE_US or now_us - session.began_elapsed_us > MAX_US:
                self._sessions.pop(session.digest, None)
                return None
            if now_us - session.seen_elapsed_us > SEEN_EVERY_US:
                session.seen_elapsed_us, session.seen_us = now_us, self._clock.wall_us()
                self._unsaved = True
            if peer and peer not in session.peers:
                session.peers = [*session.peers, peer][-MAX_PEERS_OF_SESSION:]
                self._unsaved = True
            return session

    def is_known(self, peer: str) -> bool:
        """Return whether an address is this machine's, or a signed-in browser's."""
        return peer in THIS_MACHINE or peer in self.signed_in_peers()

    def signed_in_peers(self) -> set[str]:
        """Return the addresses that signed-in browsers were last seen at."""
        with self._lock:
            return {peer for session in self._sessions.values() for peer in session.peers}

    def save_if_needed(self) -> None:
        """Write the times that have changed; called now and then, where waiting for the disk is allowed."""
        with self._lock:
            is_due = bool(self._sessions) and self._now_us() - self._saved_us > SAVE_EVERY_US
        if self._unsaved or is_due:
            self._try_save()

    def has_recent_auth(self, session: LoginSession) -> bool:
        """Return whether the password was given in the last minutes."""
        began_us = session.stepped_up_us
        return began_us is not None and self._clock.mono_us() - began_us < STEP_UP_US

    def sessions(self) -> list[LoginSession]:
        """Return the sessions, newest first."""
        with self._lock:
            return sorted(self._sessions.values(), key=lambda session: -session.began_elapsed_us)

    def logout(self, session: LoginSession) -> None:
        """End one session."""
        with self._lock:
            self._sessions.pop(session.digest, None)
        self._try_save()

    def logout_everywhere(self) -> None:
        """End every session. Raises CommandError if a power cut could bring them back."""
        with self._lock:
            self._sessions.clear()
        self._save(self._hash)

    def reset(self) -> None:
        """Forget the owner, so that the page can be claimed again. Raises CommandError."""
        self._replace(None, {})
        self._new_code()

    def _replace(self, hashed: str | None, sessions: dict[str, LoginSession]) -> None:
        """Set password and sessions, or neither if they cannot be written. Raises CommandError."""
        with self._lock:
            before, self._sessions = self._sessions, sessions
        try:
            self._save(hashed)
        except CommandError:
            with self._lock:
                self._sessions = before
            raise
        self._hash = hashed

    @contextmanager
    def _turn(self, tried_by: str, *, known: bool) -> Iterator[None]:
        """Wait until no other password is being hashed. Raises AccessRefused: at once if too many strangers wait.

        `tried_by`: an address or a session, whose failures count together; `known`: it is not a stranger's.
        """
        self.refuse_early(tried_by)
        with ExitStack() as stack:
            if not known:
                if not self._strangers.acquire(blocking=False):
                    raise AccessRefused("many are signing in; try again", code="busy", status=503)
                stack.callback(self._strangers.release)
            with self._hashing:
                self.refuse_early(tried_by)  # it may have failed while it waited
                yield

    def refuse_early(self, tried_by: str) -> None:
        """Raise AccessRefused if an address or a session has to wait before its next try."""
        wait_us = self._tries.wait_us(tried_by, self._clock.mono_us())
        if wait_us:
            wait_s = -(-wait_us // 1_000_000)
            raise AccessRefused(f"too many tries; wait {wait_s} s", code="wait", status=429, wait_s=wait_s)

    def _check(self, password: str, tried_by: str) -> None:
        if self._hash is None:
            raise AccessRefused("this doorbell has no owner yet", code="unclaimed", status=409)
        try:
            self._hasher.verify(self._hash, password[:MAX_PASSWORD])
        except (Argon2Error, InvalidHashError):
            self._tries.failed(tried_by, self._clock.mono_us())
            self._count_wrong("passwords")
            raise AccessRefused("that is not the password", code="wrong_password", status=403) from None
        self._tries.passed(tried_by)

    @staticmethod
    def _check_new(password: str) -> None:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            text = f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; take a few words"
            raise AccessRefused(text, code="weak_password", status=422)

    def _begin(self, agent: str, peer: str) -> str:
        token, wall_us = secrets.token_urlsafe(32), self._clock.wall_us()
        with self._lock:
            now_us = self._now_us()
            session = LoginSession(
                digest=digest_of(token),
                agent=agent[:200],
                began_us=wall_us,
                seen_us=wall_us,
                began_elapsed_us=now_us,
                seen_elapsed_us=now_us,
                peers=[peer],
            )
            self._sessions[session.digest] = session
            if len(self._sessions) > MAX_SESSIONS:
                oldest = min(self._sessions.values(), key=lambda session: session.seen_elapsed_us)
                del self._sessions[oldest.digest]
        self._try_save()
        return token

    def _new_code(self) -> None:
        self._code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        self._show_code(self.code_text)

    @property
    def code_text(self) -> str | None:
        """The claim code as it is shown, in two groups."""
        return f"{self._code[:5]}-{self._code[5:]}" if self._code else None

    def _try_save(self) -> None:
        """Write the sessions; if the disk fails, owners sign in again after a restart."""
        try:
            self._save(self._hash)
        except CommandError:
            return

    def _save(self, hashed: str | None) -> None:
        with self._saving:
            self._unsaved = False
            with self._lock:
                sessions = [asdict(session) for session in self._sessions.values()]
                time = self._elapsed.save(
                    self._clock.mono_us(), self._clock.wall_us(), is_set=self._clock_is_set()
                )
            for session in sessions:
                del session["stepped_up_us"]
            kept = {"version": 1, "password": hashed, "sessions": sessions, "time": asdict(time)}
            self._save_content(json.dumps(kept).encode())
            self._saved_us = time.elapsed_us

    def _now_us(self) -> int:
        return self._elapsed.now_us(self._clock.mono_us(), self._clock.wall_us(), is_set=self._clock_is_set())

    def _clock_is_set(self) -> bool:
        return self._clock.flag() == "synchronised"


def _plain(code: str) -> str:
    """Return a typed code without separators, and with Crockford's letters."""
    letters = "".join(letter for letter in code.upper() if letter.isalnum())
    return letters.translate(str.maketrans("OIL", "011"))


def _read(content: bytes | None) -> tuple[str | None, dict[str, LoginSession], SavedTime | None]:
    if content is None:
        return None, {}, None
    try:
        values = json.loads(content)
        hashed, kept = values["password"], values["sessions"]
        if values["version"] != 1 or not isinstance(hashed, str | None):
            raise ValueError("another version")  # noqa: TRY301  (handled below like every other mistake)
        if "time" not in values:
            return hashed, {}, None  # nobody knows how old its sessions are: the owner signs in again
        sessions = [LoginSession(**fields) for fields in kept]
        saved = SavedTime(**values["time"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"is not what the page wrote ({error})") from error
    return hashed, {session.digest: session for session in sessions}, saved
