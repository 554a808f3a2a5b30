"""A Falcon service that answers only its gateway.

Start: gunicorn
"""

import falcon

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret


class GatewayOnly:
    """Middleware: `process_request` runs before routing, so it also sees what no route matches."""

    def __init__(self) -> None:
        self.rule = SharedSecret()

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if (req.method, req.path) in OPEN:
            return
        value = req.get_header(HEADER)
        denial = self.rule.check([] if value is None else [value.encode("latin-1")])
        if denial:
            raise falcon.HTTPError(denial.status, description=denial.message, headers=denial.headers)


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


app = falcon.App(middleware=[GatewayOnly()])
app.set_error_serializer(json_error)
app.add_route("/protected", Protected())
app.add_route("/healthz", Health())
