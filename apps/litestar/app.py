"""A Litestar service that answers only its gateway."""

import os

import uvicorn
from litestar import Litestar, Request, Response, get, openapi
from litestar.types import Receive, Scope, Send

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = HEADER.lower().encode()  # its name in an ASGI scope
rule = SharedSecret()


async def gateway_only(scope: Scope, receive: Receive, send: Send) -> None:
    denial = rule.check([v for k, v in scope["headers"] if k == FIELD])
    scope["headers"] = [(k, v) for k, v in scope["headers"] if k != FIELD]
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if not denial or (scope.get("method"), path) in OPEN:
        return await unguarded(scope, receive, send)
    if "method" not in scope:  # a WebSocket
        return await send({"type": "websocket.close", "code": 1008, "reason": ""})
    content = {"status_code": denial.status, "detail": denial.message}
    response = Response(content, status_code=denial.status, headers=denial.headers)
    await response.to_asgi_response(None, Request(scope))(scope, receive, send)


@get("/protected")
async def protected() -> dict[str, str]:
    return {"message": "Access granted"}


@get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


def fail(request: Request, error: Exception) -> Response:
    raise error  # for uvicorn to log it, which Litestar would not


scheme = openapi.spec.SecurityScheme("apiKey", name=HEADER, security_scheme_in="header")
parts = openapi.spec.Components(security_schemes={"Secret": scheme})
api = openapi.OpenAPIConfig("Origin", "1", components=parts, security=[{"Secret": []}])
app = Litestar([protected, healthz], openapi_config=api, exception_handlers={500: fail})
unguarded, app.asgi_handler = app.asgi_handler, gateway_only  # all that Litestar does
if __name__ == "__main__":  # h11, because httptools takes trailers for header fields
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or 8000
    uvicorn.run("app:app", host=host, port=int(port), http="h11", timeout_keep_alive=75)
