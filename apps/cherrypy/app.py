"""A CherryPy service that answers only its gateway."""

import atexit
import json
import os

import cherrypy

from shared_secret import HEADER, SharedSecret

PREFIX = os.environ.get("SCRIPT_NAME", "")
OPEN = {("GET", PREFIX + "/healthz")}  # everything else needs the secret
FIELD = "HTTP_" + HEADER.upper().replace("-", "_")  # its name in a WSGI environment
MALFORMED = cherrypy.HTTPError.handle(Exception, 400, "Malformed request")  # else 500
rule = SharedSecret()


def json_error(status, message, traceback, version):
    cherrypy.response.headers["Content-Type"] = "application/json"
    return json.dumps({"status": status, "message": message})


class GatewayOnly(cherrypy.Application.request_class):
    def process_headers(self):  # before tools, bodies and handlers
        environ = self.wsgi_environ  # once more on an InternalRedirect
        denial = environ.setdefault("app.denial", rule.check(environ.pop(FIELD, None)))
        self.header_list = [h for h in self.header_list if h[0] != HEADER.upper()]
        path = environ.get("RAW_URI", self.script_name + self.path_info)
        if denial and (self.method, path.partition("?")[0]) not in OPEN:
            cherrypy.response.headers.update(denial.headers)
            raise cherrypy.HTTPError(denial.status, denial.message)
        MALFORMED(super().process_headers)()

    def process_query_string(self):  # just before the body is processed
        super().process_query_string()
        self.body.process = MALFORMED(self.body.process)


class Root:
    @cherrypy.expose
    @cherrypy.tools.allow(methods=["GET", "HEAD"])
    @cherrypy.tools.json_out()
    def protected(self, /, **query):
        return {"message": "Access granted"}

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def healthz(self, /, **query):
        return {"status": "ok"}


GatewayOnly.show_tracebacks, GatewayOnly.error_page = False, {"default": json_error}
cherrypy.Application.request_class = GatewayOnly  # of all that is mounted
(app := cherrypy.tree).mount(Root(), PREFIX)
if __name__ != "__main__":  # a WSGI server runs it, and writes the access log
    cherrypy.config.update({"environment": "embedded", "log.screen": True})
    cherrypy.log.access_log.handlers.clear()
    cherrypy.server.unsubscribe()
    cherrypy.engine.start()
    atexit.register(cherrypy.engine.exit)
