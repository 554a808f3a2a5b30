"""A Pyramid service that answers only its gateway."""

import logging
from json import JSONDecodeError

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPError, exception_response

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
rule = SharedSecret()


def gateway_only(handler, registry):
    def tween(request):
        denial = rule.check(request.headers.pop(HEADER, None))
        request.headers.pop("X-VHM-Root", None)  # it would choose the root of traversal
        if not denial or (request.method, request.environ["PATH_INFO"]) in OPEN:
            return handler(request)
        status, message, headers = denial
        return exception_response(status, json_body={"error": message}, headers=headers)

    return tween


def protected(request):
    return {"message": "Access granted"}


def json_error(error, request):
    if isinstance(error, (JSONDecodeError, UnicodeDecodeError)):
        error = exception_response(400)  # what cannot be decoded came from the client
    elif not isinstance(error, HTTPError):
        logging.error("Unhandled error", exc_info=error)
        error = exception_response(500)
    request.response = error
    return {"error": error.detail or error.title}


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
    config.add_tween(f"{__name__}.gateway_only")  # last, so that it runs first
    return config.make_wsgi_app()


app = main({})
