"""A Pyramid service that answers only its gateway."""

import logging
from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPBadRequest, HTTPException, HTTPInternalServerError
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.response import Response

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret


def gateway_only(handler: Callable[[Request], Response], registry: Registry) -> Callable[[Request], Response]:
    """Tween: it runs before routing, so it also sees requests that no route matches."""
    rule = SharedSecret()

    def tween(request: Request) -> Response:
        request.environ.pop("HTTP_X_VHM_ROOT", None)  # traversal would let a client choose the app's root
        if (request.method, request.environ["PATH_INFO"]) in OPEN:
            return handler(request)
        value = request.headers.get(HEADER)
        denial = rule.check([] if value is None else [value.encode("latin-1")])
        if denial:
            response = Response(json_body={"error": denial.message}, status=denial.status)
            response.headers.update(denial.headers)
            return response
        return handler(request)

    return tween


def protected(request: Request) -> dict[str, str]:
    return {"message": "Access granted"}


def healthz(request: Request) -> dict[str, str]:
    return {"status": "ok"}


def json_error(error: Exception, request: Request) -> Response:
    """Answer every error as JSON, whatever `Accept` says."""
    if isinstance(error, HTTPException):
        answer = error
    elif isinstance(error, URLDecodeError):
        answer = HTTPBadRequest()
    else:
        logging.getLogger(__name__).error("Unhandled error", exc_info=error)
        answer = HTTPInternalServerError()
    answer.content_type = "application/json"
    answer.json_body = {"error": answer.title}
    return answer


with Configurator() as config:
    config.add_tween(f"{__name__}.gateway_only")
    config.add_route("protected", "/protected")
    config.add_view(protected, route_name="protected", request_method="GET", renderer="json")
    config.add_route("healthz", "/healthz")
    config.add_view(healthz, route_name="healthz", request_method="GET", renderer="json")
    for kind in (HTTPException, URLDecodeError, Exception):
        config.add_exception_view(json_error, context=kind)
    app = config.make_wsgi_app()
