"""Everything but scores and health: Swagger, metrics, and paths that are not there; an ASGI application."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scoring_runtime.errors import NotFound
from scoring_runtime.server.call import message_json
from scoring_runtime.server.identity import identify
from scoring_runtime.server.target import wanted_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from scoring_runtime.server.front import FrontServer

__all__ = ["create_app"]

NOT_ALLOWED = "The method is not allowed for the requested URL."


def answer(status: int, message: str, **headers: str) -> Response:
    failed = {"x-ms-run-function-failed": "False", **headers}
    return Response(message_json(message), status, failed, media_type="application/json")


def create_app(front: FrontServer) -> ASGIApp:
    """The one place where paths meet what answers them."""

    async def options(request: Request) -> Response:
        return Response(b"", headers={"Allow": "GET, HEAD, OPTIONS"}, media_type="text/html")

    async def swagger(request: Request) -> Response:
        from scoring_runtime.server.swagger import lookup

        documents = front.dispatcher.documents
        if documents is None:
            return answer(503, "Not ready: init() has not finished yet.", **{"Retry-After": "1"})
        versions = request.query_params.getlist("version")
        status, body = lookup(*documents, versions[0] if versions else None)
        return Response(body, status, {"x-ms-run-function-failed": "False"}, media_type="application/json")

    async def metrics(request: Request) -> Response:
        text = front.metrics.text(front.dispatcher)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def info(request: Request) -> Response:
        from scoring_runtime.server.info import document

        shown = document(front.settings, front.dispatcher, front.not_ready())
        return Response(json.dumps(shown, indent=1) + "\n", media_type="application/json")

    async def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return answer(status, str(NotFound()) if status == 404 else NOT_ALLOWED)

    async def not_allowed(request: Request) -> Response:
        return answer(405, NOT_ALLOWED)

    identified = Identified(front)
    app = Starlette(
        routes=[
            Route("/", identified(options), methods=["OPTIONS"]),  # GET and HEAD of health never come here
            Route("/metrics", metrics),
            Route("/info", info),
            Route("/swagger.json", identified(options), methods=["OPTIONS"]),
            Route("/swagger.json", identified(swagger)),
            Route("/score", not_allowed, methods=["PUT", "DELETE", "PATCH"]),
        ],
        exception_handlers={404: refuse, 405: refuse},
    )
    app.router.redirect_slashes = False
    return Logged(app, front)


Endpoint = Callable[[Request], Awaitable[Response]]


class Identified:
    """Puts the identifiers, TraceId, version and CORS headers on the answers of a route."""

    def __init__(self, front: FrontServer) -> None:
        self.front = front

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        async def with_identity(request: Request) -> Response:
            found = wanted_headers(request.scope["headers"])
            block, error = identify(found, self.front.version_line)
            if error is not None:
                response = answer(error.status, str(error))
            else:
                response = await endpoint(request)
            block += self.front.cors.block(found, request.method)
            for line in block.split(b"\r\n")[:-1]:
                name, _, value = line.partition(b": ")
                response.raw_headers.append((name.lower(), value))
            return response

        return with_identity


class Logged:
    """One access line an answer."""

    def __init__(self, app: ASGIApp, front: FrontServer) -> None:
        self.app = app
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def logged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.front.log_asgi(scope, message)
            await send(message)

        await self.app(scope, receive, logged_send)


def header(pairs: Any, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in pairs if key == name), None)
