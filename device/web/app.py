"""The two web applications: the page's, with the authentication middleware, and the command socket's, without."""

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException as NotThere

from device import __version__
from device.errors import CommandError
from device.web import auth_routes, routes_consent, routes_device, routes_preview, routes_readers
from device.web.auth_accounts import AccessRefused, Accounts
from device.web.auth_middleware import AuthMiddleware, bounded
from device.web.backend import Backend
from device.web.event_stream import Events
from device.web.health_history import History
from device.web.live import Live, stream_mp4
from device.web.mjpeg import MEDIA_TYPE, Mjpeg
from device.web.models import ClaimCodeResponse, EmptyResponse, ErrorResponse
from device.web.open_streams import OpenStreams
from device.web.responses import SDP, file_of
from device.web.static_files import STATIC, CompressedFiles, service_worker
from device.web.whep import Whep

log = logging.getLogger(__name__)

ABOUT = "Everything that the page shows and does. The command socket has the same API, without signing in."


def socket_app(backend: Backend, accounts: Accounts, history: History) -> Callable[..., Awaitable[None]]:
    """Return the application of the command socket; whoever may open the socket may do everything."""
    app = _app()
    app.include_router(
        routes_device.router(
            backend, require_recent_auth=_anybody, require_password=_any_password, history=history
        )
    )
    app.include_router(routes_readers.router(backend, require_recent_auth=_anybody))
    app.include_router(
        routes_consent.router(backend, require_recent_auth=_anybody, require_password=_any_password)
    )

    @app.get("/api/page/code", tags=["owner"])
    def code() -> ClaimCodeResponse:
        """The claim code of the page."""
        return ClaimCodeResponse(code=accounts.code_text)

    @app.post("/api/page/reset", tags=["owner"])
    def reset() -> ClaimCodeResponse:
        """Forget the owner, end every session, and make a new claim code."""
        accounts.reset()
        return ClaimCodeResponse(code=accounts.code_text)

    @app.post("/api/page/logout-everywhere", tags=["owner"])
    def logout_everywhere() -> EmptyResponse:
        """Sign out every browser."""
        accounts.logout_everywhere()
        return EmptyResponse()

    async def with_bounded_body(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, bounded(receive) if scope["type"] == "http" else receive, send)

    return with_bounded_body


def page_app(
    backend: Backend,
    accounts: Accounts,
    *,
    name: Callable[[], str],
    hosts: Iterable[str],
    live: Live,
    whep: Whep,
    mjpeg: Mjpeg,
    streams: OpenStreams,
    events: Events,
    history: History,
    ca_cert: Callable[[], bytes | None],
) -> AuthMiddleware:
    """Return the page's application inside its authentication middleware."""
    app = _app()
    app.include_router(
        routes_device.router(
            backend,
            require_recent_auth=auth_routes.require_recent_auth(accounts),
            require_password=auth_routes.require_password(accounts),
            history=history,
        )
    )
    app.include_router(
        routes_consent.router(
            backend,
            require_recent_auth=auth_routes.require_recent_auth(accounts),
            require_password=auth_routes.require_password(accounts),
        )
    )
    app.include_router(
        routes_readers.router(backend, require_recent_auth=auth_routes.require_recent_auth(accounts))
    )
    app.include_router(routes_preview.router(backend))
    app.include_router(auth_routes.router(accounts, name))
    _add_live(app, live, whep, events)
    _add_mjpeg(app, live, mjpeg, streams)
    _add_files(app, name, ca_cert)
    return AuthMiddleware(app, accounts=accounts, readers=lambda: backend.readers, hosts=hosts)


def _problem(error: CommandError) -> dict[str, object]:
    return {"error": str(error), "code": error.code, "params": error.params}


def _anybody(_: Request) -> None:
    """No-op on the command socket: socket permissions control access."""


def _any_password(_request: Request, _password: str | None) -> None:
    """No-op on the command socket, as above."""


def _app() -> FastAPI:
    app = FastAPI(
        title="doorbelld",
        version=__version__,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own load their scripts from another origin
        redoc_url=None,
        responses={"4XX": {"model": ErrorResponse}, "5XX": {"model": ErrorResponse}},
    )

    @app.exception_handler(AccessRefused)
    def refused(_: Request, error: AccessRefused) -> JSONResponse:
        headers = {"retry-after": str(error.params["wait_s"])} if "wait_s" in error.params else {}
        return JSONResponse(_problem(error), error.status, headers)

    @app.exception_handler(CommandError)
    def failed(_: Request, error: CommandError) -> JSONResponse:
        return JSONResponse(_problem(error), 409)

    @app.exception_handler(RequestValidationError)
    def unfit(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": routes_device.text_of(error.errors()), "code": "unfit"}, 422)

    @app.exception_handler(NotThere)
    def not_there(_: Request, error: HTTPException) -> JSONResponse:
        detail: object = error.detail
        content = detail if isinstance(detail, dict) else {"error": detail, "code": "http"}
        return JSONResponse(content, error.status_code)

    @app.exception_handler(Exception)
    def bug(request: Request, error: Exception) -> JSONResponse:
        log.error("page_failed path=%s error=%r", request.url.path, error)
        return JSONResponse({"error": "internal error; see the doorbell's log", "code": "bug"}, 500)

    return app


def _add_live(app: FastAPI, live: Live, whep: Whep, events: Events) -> None:
    @app.websocket("/api/live")
    async def watch(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the viewer is gone
            await stream_mp4(live, socket, socket.state.may_watch)
            await socket.close(1008)

    @app.websocket("/api/events")
    async def hear(socket: WebSocket) -> None:
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await events.serve(socket, socket.state.may_watch)
            await socket.close(1008)

    @app.post(
        "/api/live/whep",
        tags=["live"],
        status_code=201,
        response_class=Response,
        responses=file_of(SDP, status=201),
        openapi_extra={"requestBody": {"content": {SDP: {}}, "required": True}},
    )
    async def offer(request: Request) -> Response:
        """WebRTC (WHEP, draft-ietf-wish-whep): takes an SDP offer, returns the answer; H.264 only."""
        offered = (await request.body()).decode(errors="replace")
        reader = getattr(request.state, "reader", None)
        number, answer = await whep.answer(offered, request.state.may_watch, reader=reader)
        return Response(answer, 201, {"location": f"/api/live/whep/{number}"}, media_type=SDP)

    @app.delete("/api/live/whep/{number}", tags=["live"])
    async def leave(number: int, request: Request) -> EmptyResponse:
        """End a WebRTC view; a reader can end its own ones alone."""
        if whep.is_of(number, getattr(request.state, "reader", None)):
            await whep.end(number)
        return EmptyResponse()


def _add_mjpeg(app: FastAPI, live: Live, mjpeg: Mjpeg, streams: OpenStreams) -> None:
    @app.get(
        "/api/live.mjpeg",
        tags=["live"],
        response_class=StreamingResponse,
        responses=file_of("multipart/x-mixed-replace"),
    )
    async def watch(request: Request) -> StreamingResponse:
        """The live view as MJPEG, five pictures a second at most; ends with privacy and without pictures."""
        may_watch, reset = request.state.may_watch, request.state.reset
        if live.private:
            raise CommandError("privacy is on: nothing is seen", code="private")
        admitted = contextlib.ExitStack()
        if not admitted.enter_context(live.admit(reset)):
            admitted.close()
            raise CommandError("too many viewers; close another page", code="too_many_viewers")

        async def parts() -> AsyncIterator[bytes]:
            with admitted, streams.watch(may_watch, reset):
                async for part in mjpeg.parts(may_watch):
                    yield part
                reset()  # what it has not taken yet may not be shown any more

        return StreamingResponse(parts(), media_type=MEDIA_TYPE, headers={"cache-control": "no-store"})


def _add_files(app: FastAPI, name: Callable[[], str], ca_cert: Callable[[], bytes | None]) -> None:
    app.mount("/static", CompressedFiles(directory=STATIC))

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "api.html", headers={"cache-control": "no-cache"})

    @app.get("/sw.js", include_in_schema=False)
    def worker() -> Response:
        return Response(service_worker(), media_type="text/javascript")

    @app.get("/manifest.webmanifest", include_in_schema=False)
    def manifest() -> Response:
        content = json.loads((STATIC / "manifest.json").read_text())
        content |= {"name": name(), "short_name": name()[:12]}
        return Response(json.dumps(content), media_type="application/manifest+json")

    @app.get("/ca.crt", include_in_schema=False)
    def authority() -> Response:
        found = ca_cert()
        if found is None:
            raise HTTPException(
                404, "this page has no certificate authority of its own, or has not created it yet"
            )
        return Response(found, media_type="application/x-x509-ca-cert")


def limit_threads(count: int) -> None:
    """Let at most `count` plain functions run at once in the running loop; its default of 40 is too many here."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = count
