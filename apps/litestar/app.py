"""A Litestar service that answers only its gateway."""

from litestar import Litestar, get
from litestar.enums import ScopeType
from litestar.logging import LoggingConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response.base import ASGIResponse
from litestar.serialization import encode_json
from litestar.types import ASGIApp, Receive, Scope, Send

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = HEADER.lower().encode()  # its name in the ASGI scope


class GatewayOnly:
    """ASGI middleware around the whole app: in the list of middleware it would run after routing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.rule = SharedSecret()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope.get("method"), scope["path"]) in OPEN:
            return await self.app(scope, receive, send)
        denial = self.rule.check([value for name, value in scope["headers"] if name == FIELD])
        if denial and scope["type"] == ScopeType.WEBSOCKET:
            return await send({"type": "websocket.close", "code": 1008, "reason": denial.message})
        if denial:
            body = encode_json({"status_code": denial.status, "detail": denial.message})
            answer = ASGIResponse(body=body, status_code=denial.status, headers=denial.headers)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)


@get("/protected")
async def protected() -> dict[str, str]:
    return {"message": "Access granted"}


@get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


scheme = SecurityScheme(type="apiKey", name=HEADER, security_scheme_in="header")
app = Litestar(
    [protected, healthz],
    logging_config=LoggingConfig(log_exceptions="always", disable_stack_trace=set(range(400, 500))),
    openapi_config=OpenAPIConfig(
        title="Origin",
        version="0.1.0",
        components=Components(security_schemes={"SharedSecret": scheme}),
        security=[{"SharedSecret": []}],
    ),
)
# Wrap everything that Litestar built, for which it has no argument: routing, and the responses to errors there.
app.asgi_handler = GatewayOnly(app.asgi_handler)
