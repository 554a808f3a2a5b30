"""How `gunicorn` serves app.py: HOST, PORT and WEB_CONCURRENCY (workers) come from the environment."""

import os
import signal
import socket
import sys
import time
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
wsgi_app = "app:app"
bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
worker_class = "gevent"  # serves other clients while one is slow; for an ASGI app the start command names another
graceful_timeout = 20  # seconds a stopping worker has for its last requests; one that hangs is killed then
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")  # trust only the proxies listed there
forwarder_headers = ""  # take SCRIPT_NAME and PATH_INFO from none: they would move the app to another path
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
control_socket_disable = True  # it would create a file in the home directory
accesslog = "-"


class Log(Logger):
    """Keeps out of the log whatever may contain a secret by a client's mistake."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Log a request in one format: without its query, and percent-encoded, so that it stays on one line."""
        if not self.cfg.accesslog:
            return
        client, method, version = (environ.get(name) for name in ("REMOTE_ADDR", "REQUEST_METHOD", "SERVER_PROTOCOL"))
        path = quote(environ.get("RAW_URI", "").partition("?")[0], safe="/:%", encoding="latin-1", errors="replace")
        status, milliseconds = str(resp.status)[:3], request_time.seconds * 1000 + request_time.microseconds // 1000
        line = '%s "%s %s %s" %s %s bytes %d ms'
        self.access_log.info(line, client, method, path, version, status, resp.sent, milliseconds)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log a rejected request without the line that was rejected."""
        if msg.startswith("Invalid request from ip="):
            msg = msg.partition(": ")[0]
        super().warning(msg, *args, **kwargs)


logger_class = Log


def take_turns(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    """Let other clients have a turn after each request: gevent goes on with one that has already sent its next."""
    time.sleep(0)


def post_worker_init(worker: Any) -> None:
    """Set up what only gevent workers need."""
    if worker.cfg.worker_class_str == "gevent":
        worker.cfg.set("post_request", take_turns)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, worker.handle_exit)  # as on SIGTERM; otherwise Ctrl-C prints a traceback of gevent's


def on_starting(server: Any) -> None:
    """Exit at once if the address is not available, instead of retrying for five seconds."""
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on HOST={host} PORT={port}: {error}")
