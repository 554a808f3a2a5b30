"""A Pyramid service that answers only its gateway."""

import logging
from json import JSONDecodeError

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPError, exception_response

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = "HTTP_" + HEADER.upper().replace("-", "_")  # its name in a WSGI environment
rule = SharedSecret()


def gateway_only(environ, router):  # called before tweens, however many are added
    denial = rule.check(environ.pop(FIELD, None))
    environ.pop("HTTP_X_VHM_ROOT", None)  # it would choose the root of traversal
    if not denial or (environ["REQUEST_METHOD"], environ.get("PATH_INFO")) in OPEN:
        return router.unguarded(environ, router)
    status, message, headers = denial
    return exception_response(status, json_body={"error": message}, headers=headers)


def protected(request):
    return {"message": "Access granted"}


def json_error(error, request):
    if isinstance(error, (JSONDecodeError, UnicodeDecodeError)):
        logging.warning("Answered 400, it cannot be decoded: %s", type(error).__name__)
        error = exception_response(400)
    elif not isinstance(error, HTTPError):
        logging.error("Unhandled error", exc_info=error)
        error = exception_response(500)
    request.response = error
    return {"error": error.title, "detail": error.detail}


def main(global_config, **settings):
    config = Configurator(settings=settings)
    config.add_route("protected", "/protected", request_method="GET")
    config.add_view(protected, route_name="protected", renderer="json")
    config.add_route("healthz", "/healthz", request_method="GET")
    config.add_view(
        lambda request: {"status": "ok"}, route_name="healthz", renderer="json"
    )
    config.add_exception_view(json_error, context=HTTPError, renderer="json")
    config.add_exception_view(json_error, renderer="json")
    router = config.make_wsgi_app()
    router.unguarded, router.execution_policy = router.execution_policy, gateway_only
    return router


app = main({})
