"""A Falcon service that answers only its gateway."""

import json
import logging

import falcon

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret


class GatewayOnly:
    """Middleware: `process_request` runs before routing, so it also sees requests that no route matches."""

    def __init__(self) -> None:
        self.rule = SharedSecret()

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if (req.method, req.path) in OPEN:
            return
        value = req.get_header(HEADER)
        denial = self.rule.check([] if value is None else [value.encode("latin-1")])
        if denial:  # answered as an HTTPError would be, without raising one
            resp.status = falcon.code_to_http_status(denial.status)
            resp.set_headers(denial.headers)
            resp.text = json.dumps({"title": resp.status, "description": denial.message})
            resp.complete = True


class Protected:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"message": "Access granted"}


class Health:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "ok"}


def json_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Answer every error as JSON, whatever `Accept` says."""
    resp.content_type = falcon.MEDIA_JSON
    resp.data = error.to_json()


def unhandled(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, object]) -> None:
    """Log an unhandled error; Falcon would log the query too, which may hold a secret by a client's mistake."""
    logging.getLogger(__name__).error("Unhandled error", exc_info=error)
    raise falcon.HTTPInternalServerError


app = falcon.App(middleware=[GatewayOnly()])
app.add_error_handler(Exception, unhandled)
app.set_error_serializer(json_error)
app.add_route("/protected", Protected())
app.add_route("/healthz", Health())
