"""Claim, sign in, sign out: the routes of the page alone; at the command socket the file system decides."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import Field

from device.system.clock import rfc3339
from device.web.auth_accounts import IDLE_US, Accounts, LoginSession, change_token
from device.web.auth_middleware import cookie_name
from device.web.routes_device import Body

Password = Annotated[str, Field(max_length=1024)]


class Claim(Body):
    """Who knows the code becomes the owner."""

    code: str = Field(max_length=64)
    password: Password


class Login(Body):
    """The owner's password."""

    password: Password


def require_recent_auth(accounts: Accounts) -> Any:
    """Return the dependency that lets pass who gave the password in the last minutes."""

    def check(request: Request) -> None:
        session: LoginSession | None = request.state.session
        if session is None or not accounts.has_recent_auth(session):
            raise HTTPException(403, {"error": "give the password again", "code": "step_up"})

    return check


def peer(request: Request) -> str:
    """Return the address of who asks."""
    return request.client.host if request.client else ""


def require_password(accounts: Accounts) -> Callable[[Request, str | None], None]:
    """Return what raises unless this very request brings the password: a yes is not left over from something
    else.
    """

    def check(request: Request, password: str | None) -> None:
        session: LoginSession | None = request.state.session
        if session is None or not password:
            raise HTTPException(403, {"error": "give the password with it", "code": "step_up"})
        accounts.step_up(session, password, peer=peer(request))

    return check


def router(accounts: Accounts, device_name: str) -> APIRouter:
    """Return the routes."""
    api = APIRouter(prefix="/api", tags=["owner"])

    def signed_in(request: Request, response: Response, token: str) -> dict[str, Any]:
        tls = request.url.scheme == "https"
        response.set_cookie(
            cookie_name(tls=tls),
            token,
            max_age=IDLE_US // 1_000_000,
            secure=tls,
            httponly=True,
            samesite="strict",
        )
        return {"token": change_token(token)}

    def agent(request: Request) -> str:
        return request.headers.get("user-agent", "")

    @api.get("/session")
    def session(request: Request) -> dict[str, Any]:
        """Who is asking: is there an owner, and is it you?"""
        token = request.state.token
        return {
            "name": device_name,
            "claimed": accounts.claimed,
            "signed_in": bool(token),
            "token": change_token(token) if token else None,
        }

    @api.post("/claim")
    def claim(body: Claim, request: Request, response: Response) -> dict[str, Any]:
        """Become the owner, with the code that the doorbell printed."""
        token = accounts.claim(body.code, body.password, peer=peer(request), agent=agent(request))
        return signed_in(request, response, token)

    @api.post("/login")
    def login(body: Login, request: Request, response: Response) -> dict[str, Any]:
        """Sign in."""
        token = accounts.login(body.password, peer=peer(request), agent=agent(request))
        return signed_in(request, response, token)

    @api.post("/step-up")
    def step_up(body: Login, request: Request) -> dict[str, Any]:
        """Give the password again; for five minutes what is grave is allowed."""
        accounts.step_up(request.state.session, body.password, peer=peer(request))
        return {}

    @api.post("/password", dependencies=[Depends(require_recent_auth(accounts))])
    def password(body: Login, request: Request) -> dict[str, Any]:
        """Change the password; every other browser is signed out."""
        accounts.change_password(request.state.session, body.password)
        return {}

    @api.post("/logout")
    def logout(request: Request, response: Response) -> dict[str, Any]:
        """Sign out here."""
        accounts.logout(request.state.session)
        tls = request.url.scheme == "https"
        response.delete_cookie(cookie_name(tls=tls), secure=tls, httponly=True, samesite="strict")
        return {}

    @api.post("/logout-everywhere")
    def logout_everywhere() -> dict[str, Any]:
        """Sign out every browser, this one too."""
        accounts.logout_everywhere()
        return {}

    @api.get("/sessions")
    def sessions(request: Request) -> list[dict[str, Any]]:
        """Who is signed in."""
        own: LoginSession = request.state.session
        return [
            {
                "agent": each.agent,
                "began_at": rfc3339(each.began_us),
                "seen_at": rfc3339(each.seen_us),
                "this": each is own,
            }
            for each in accounts.sessions()
        ]

    return api
