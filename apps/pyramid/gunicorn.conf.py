"""How `gunicorn` serves app.py: HOST, PORT and WEB_CONCURRENCY (workers) come from the environment."""

import os
import socket
import sys
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
wsgi_app = "app:app"
bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
worker_class = "gthread"  # a sync worker waits for a client that does not close its side
threads = 8
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")  # trust no proxy that is not named
forwarder_headers = ""  # and from none take SCRIPT_NAME or PATH_INFO, which would move the app to another path
control_socket_disable = True  # it would be a file in the home directory that nobody asked for
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s bytes %(M)s ms'


class Log(Logger):
    """Keeps out of the log what may hold a secret by a client's mistake."""

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """The access log's fields: the path without its query, and percent-encoded, so that it stays on its line."""
        path = quote(environ.get("PATH_INFO", ""), encoding="latin-1")
        return {**super().atoms(resp, req, environ, request_time), "U": path}

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """A refused request is logged without the line that was refused."""
        if msg.startswith("Invalid request from ip="):
            msg = msg.partition(": ")[0]
        super().warning(msg, *args, **kwargs)


logger_class = Log


def on_starting(server: Any) -> None:
    """Say at once that the address cannot be had, instead of trying again for five seconds."""
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on HOST={host} PORT={port}: {error}")
