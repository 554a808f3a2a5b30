"""A CherryPy service that answers only its gateway."""

import json
import logging

import cherrypy
from cherrypy._cprequest import Request

from shared_secret import HEADER, SharedSecret

OPEN = {("GET", "/healthz")}  # everything else needs the secret
FIELD = "HTTP_" + HEADER.upper().replace("-", "_")  # its name in the WSGI environment
rule = SharedSecret()


def json_error(status: str, message: str, traceback: str, version: str) -> str:
    """Answer every error as JSON, without its traceback."""
    cherrypy.response.headers["Content-Type"] = "application/json"
    return json.dumps({"status": status, "message": message})


class GatewayOnly(Request):
    """Request class: it runs before headers are parsed and paths are normalised; a Tool would run after."""

    show_tracebacks = False
    error_page = {"default": json_error}

    def process_headers(self) -> None:
        environ = self.wsgi_environ
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) not in OPEN:
            value = environ.get(FIELD)
            denial = rule.check([] if value is None else [value.encode("latin-1")])
            if denial:
                cherrypy.response.headers.update(denial.headers)
                raise cherrypy.HTTPError(denial.status, denial.message)
        try:
            super().process_headers()
        except cherrypy.HTTPError:
            raise
        except Exception as error:  # CherryPy decodes RFC 2047 words, and fails on many
            raise cherrypy.HTTPError(400, "Malformed header") from error


class Root:
    @cherrypy.expose
    @cherrypy.tools.allow(methods=["GET", "HEAD"])
    @cherrypy.tools.json_out()
    def protected(self, /, **query: str) -> dict[str, str]:
        return {"message": "Access granted"}

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["GET", "HEAD"])
    @cherrypy.tools.json_out()
    def healthz(self, /, **query: str) -> dict[str, str]:
        return {"status": "ok"}


cherrypy.config.update(
    {
        "log.screen": False,  # gunicorn writes the access log
        "request.process_request_body": False,  # a route that takes a body turns it on for itself
        "tools.log_headers.on": False,  # they would be logged with every unhandled error, the secret among them
    }
)
cherrypy.log.error_log.addHandler(logging.StreamHandler())
app = cherrypy.Application(Root(), "")
app.request_class = GatewayOnly
