"""Claim, sign in, sign out: routes of the page alone; socket permissions control access to the command socket."""

from collections.abc import Callable

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Request, Response

from device.system.clock import rfc3339
from device.web.auth_accounts import MAX_US, AccessRefused, Accounts, LoginSession, change_token
from device.web.auth_middleware import cookie_name
from device.web.models import Claim, EmptyResponse, Login, SessionResponse, SignedInBrowser, TokenResponse


def require_recent_auth(accounts: Accounts) -> Callable[[Request], None]:
    """Return a dependency that raises unless the password was given in the last minutes."""

    def check(request: Request) -> None:
        session: LoginSession | None = request.state.session
        if session is None or not accounts.has_recent_auth(session):
            raise HTTPException(403, {"error": "give the password again", "code": "step_up"})

    return check


def peer(request: Request) -> str:
    """Return the client's address."""
    return request.client.host if request.client else ""


def require_password(accounts: Accounts) -> Callable[[Request, str | None], None]:
    """Return a check that raises unless this very request has the password: an approval needs its own."""

    def check(request: Request, password: str | None) -> None:
        session: LoginSession | None = request.state.session
        if session is None or not password:
            raise HTTPException(403, {"error": "give the password with it", "code": "step_up"})
        accounts.step_up(session, password)

    return check


class _LoginQueue:
    """Lets strangers' passwords be checked one at a time, in order, on a thread of their own.

    So a crowd of guesses takes no thread that the owner needs, and an owner at a new address gets a turn: each address
    waits at one place, and after four failures it is refused before it queues.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._waiting: set[str] = set()
        self._thread = anyio.CapacityLimiter(1)

    async def run(self, address: str, attempt: Callable[[], str]) -> str:
        """Return what `attempt` returns. Raises AccessRefused."""
        if self._accounts.is_known(address):
            return await anyio.to_thread.run_sync(attempt)
        self._accounts.refuse_early(address)
        if address in self._waiting:
            text = "another try from this address is being checked; wait for it"
            raise AccessRefused(text, code="busy", status=503)
        self._waiting.add(address)
        try:
            return await anyio.to_thread.run_sync(attempt, limiter=self._thread)
        finally:
            self._waiting.discard(address)


def router(accounts: Accounts, device_name: Callable[[], str]) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/api", tags=["owner"])
    queue = _LoginQueue(accounts)

    def signed_in(request: Request, response: Response, token: str) -> TokenResponse:
        tls = request.url.scheme == "https"
        response.set_cookie(
            cookie_name(tls=tls),
            token,
            max_age=MAX_US // 1_000_000,  # the doorbell ends a session before, if nobody uses it
            secure=tls,
            httponly=True,
            samesite="strict",
        )
        return TokenResponse(token=change_token(token))

    def agent(request: Request) -> str:
        return request.headers.get("user-agent", "")

    @api.get("/session")
    def session(request: Request) -> SessionResponse:
        """Whether the doorbell has an owner, and whether the caller is signed in."""
        token = request.state.token
        return SessionResponse(
            name=device_name(),
            claimed=accounts.claimed,
            signed_in=bool(token),
            token=change_token(token) if token else None,
        )

    @api.post("/claim")
    def claim(body: Claim, request: Request, response: Response) -> TokenResponse:
        """Become the owner, with the code that the doorbell printed."""
        token = accounts.claim(body.code, body.password, peer=peer(request), agent=agent(request))
        return signed_in(request, response, token)

    @api.post("/login")
    async def login(body: Login, request: Request, response: Response) -> TokenResponse:
        """Sign in."""
        address = peer(request)
        token = await queue.run(
            address, lambda: accounts.login(body.password, peer=address, agent=agent(request))
        )
        return signed_in(request, response, token)

    @api.post("/step-up")
    def step_up(body: Login, request: Request) -> EmptyResponse:
        """Give the password again: for five minutes, changes that need a recent password are allowed."""
        accounts.step_up(request.state.session, body.password)
        return EmptyResponse()

    @api.post("/password", dependencies=[Depends(require_recent_auth(accounts))])
    def password(body: Login, request: Request) -> EmptyResponse:
        """Change the password; every other browser is signed out."""
        accounts.change_password(request.state.session, body.password)
        return EmptyResponse()

    @api.post("/logout")
    def logout(request: Request, response: Response) -> EmptyResponse:
        """Sign out here."""
        accounts.logout(request.state.session)
        tls = request.url.scheme == "https"
        response.delete_cookie(cookie_name(tls=tls), secure=tls, httponly=True, samesite="strict")
        return EmptyResponse()

    @api.post("/logout-everywhere")
    def logout_everywhere() -> EmptyResponse:
        """Sign out every browser, this one too."""
        accounts.logout_everywhere()
        return EmptyResponse()

    @api.get("/sessions")
    def sessions(request: Request) -> list[SignedInBrowser]:
        """Browsers that are signed in."""
        own: LoginSession = request.state.session
        return [
            SignedInBrowser(
                agent=login.agent,
                began_at=rfc3339(login.began_us),
                seen_at=rfc3339(login.seen_us),
                this=login is own,
            )
            for login in accounts.sessions()
        ]

    return api
