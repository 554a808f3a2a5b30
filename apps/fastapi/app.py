"""A FastAPI service that answers only its gateway."""

import os

import uvicorn.middleware.proxy_headers
from fastapi import FastAPI, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = HEADER.lower().encode()  # its name in an ASGI scope
rule = SharedSecret()


class Origin(FastAPI):  # called before all that is added to it: middleware, mounts
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await super().__call__(scope, receive, send)
        denial = rule.check([v for k, v in scope["headers"] if k == FIELD])
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k != FIELD]
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not denial or (scope.get("method"), path) in OPEN:
            return await super().__call__(scope, receive, send)
        answer = JSONResponse({"detail": denial.message}, denial.status, denial.headers)
        await answer(scope, receive, send)


app = Origin(dependencies=[Security(APIKeyHeader(name=HEADER, auto_error=False))])
if os.environ.get("HTTPS_REDIRECT") == "1":  # behind the check: trust X-Forwarded-*
    app.add_middleware(HTTPSRedirectMiddleware)
    app.add_middleware(uvicorn.middleware.proxy_headers.ProxyHeadersMiddleware, "*")


@app.get("/protected")
async def protected() -> dict[str, str]:
    return {"message": "Access granted"}


@app.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":  # h11, because httptools takes trailers for header fields
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or 8000
    seconds = {"timeout_keep_alive": 75, "timeout_graceful_shutdown": 20}
    uvicorn.run("app:app", host=host, port=int(port), http="h11", **seconds)
