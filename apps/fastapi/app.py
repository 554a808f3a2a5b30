"""A FastAPI service that answers only its gateway."""

import logging
import os
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = HEADER.lower().encode()  # its name in the ASGI scope


class GatewayOnly:
    """ASGI middleware: it runs before routing, so it also sees unknown paths, the docs and WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.rule = SharedSecret()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope.get("method"), scope["path"]) in OPEN:
            return await self.app(scope, receive, send)
        denial = self.rule.check([value for name, value in scope["headers"] if name == FIELD])
        if denial:
            answer = JSONResponse({"detail": denial.message}, denial.status, denial.headers)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)


class Origin(FastAPI):
    """Describes the header in the OpenAPI document; a dependency would too, but it would run on every request."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        scheme = {"type": "apiKey", "name": HEADER, "in": "header"}
        document.setdefault("components", {}).setdefault("securitySchemes", {})["SharedSecret"] = scheme
        return document | {"security": [{"SharedSecret": []}]}


app = Origin(title="Origin")
app.add_middleware(GatewayOnly)
if os.environ.get("HTTPS_REDIRECT") == "1":
    app.add_middleware(HTTPSRedirectMiddleware)  # added last, so it runs first


@app.get("/protected")
async def protected() -> dict[str, str]:
    return {"message": "Access granted"}


@app.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.exception_handler(Exception)
async def json_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an unhandled error as JSON, and log it: gunicorn would not."""
    logging.getLogger(__name__).error("Unhandled error", exc_info=error)
    return JSONResponse({"detail": "Internal Server Error"}, 500)
