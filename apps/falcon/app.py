"""A Falcon service that answers only its gateway."""

import logging

import falcon

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = "HTTP_" + HEADER.upper().replace("-", "_")  # its name in a WSGI environment
rule = SharedSecret()


class GatewayOnly:  # comes before routing: also before sinks, static files, 404 and 405
    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        denial = rule.check(req.env.pop(FIELD, None))
        if denial and (req.method, req.path) not in OPEN:
            status, message, headers = denial
            raise falcon.HTTPError(status, description=message, headers=headers)


class Protected:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"message": "Access granted"}


class Health:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "ok"}


def to_json(req: object, resp: falcon.Response, error: falcon.HTTPError) -> None:
    resp.content_type, resp.data = falcon.MEDIA_JSON, error.to_json()


def unhandled(req: object, resp: object, error: Exception, params: object) -> None:
    logging.error("Unhandled error", exc_info=error)  # Falcon would log the query too
    raise falcon.HTTPInternalServerError


app = falcon.App(middleware=[GatewayOnly()], independent_middleware=False)
app.add_error_handler(Exception, unhandled)
app.set_error_serializer(to_json)
app.add_route("/protected", Protected())
app.add_route("/healthz", Health())
