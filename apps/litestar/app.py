"""A Litestar service that answers only its gateway."""

import os

import uvicorn
from litestar import Litestar, Request, Response, get, openapi

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = HEADER.lower().encode()  # its name in an ASGI scope
rule = SharedSecret()


class Origin(Litestar):  # called before all that is added to it: middleware, hooks
    async def __call__(self, scope, receive, send):  # the lifespan's scope has no path
        denial = rule.check([v for k, v in scope.get("headers", []) if k == FIELD])
        scope["headers"] = [(k, v) for k, v in scope.get("headers", []) if k != FIELD]
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if not denial or "path" not in scope or (scope.get("method"), path) in OPEN:
            return await super().__call__(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008, "reason": ""})
        content = {"status_code": denial.status, "detail": denial.message}
        answer = Response(content, status_code=denial.status, headers=denial.headers)
        await answer.to_asgi_response(None, Request(scope))(scope, receive, send)


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
app = Origin([protected, healthz], openapi_config=api, exception_handlers={500: fail})
if __name__ == "__main__":  # h11, because httptools takes trailers for header fields
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or 8000
    seconds = {"timeout_keep_alive": 75, "timeout_graceful_shutdown": 20}
    uvicorn.run("app:app", host=host, port=int(port), http="h11", **seconds)
