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
worker_class = "gevent"  # serves others while a client is slow; for an ASGI app the start command names another
graceful_timeout = 20  # seconds that a worker has for its last requests; one that hangs keeps no restart waiting longer
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")  # trust no proxy that is not named
forwarder_headers = ""  # and from none take SCRIPT_NAME or PATH_INFO, which would move the app to another path
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
control_socket_disable = True  # it would be a file in the home directory that nobody asked for
accesslog = "-"


class Log(Logger):
    """Keeps out of the log what may hold a secret by a client's mistake."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """A request is logged in one form, without its query, and percent-encoded, so that it stays on its line."""
        if not self.cfg.accesslog:
            return
        client, method, version = (environ.get(name) for name in ("REMOTE_ADDR", "REQUEST_METHOD", "SERVER_PROTOCOL"))
        path = quote(environ.get("RAW_URI", "").partition("?")[0], safe="/:%", encoding="latin-1", errors="replace")
        status, milliseconds = str(resp.status)[:3], request_time.seconds * 1000 + request_time.microseconds // 1000
        line = '%s "%s %s %s" %s %s bytes %d ms'
        self.access_log.info(line, client, method, path, version, status, resp.sent, milliseconds)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """A refused request is logged without the line that was refused."""
        if msg.startswith("Invalid request from ip="):
            msg = msg.partition(": ")[0]
        super().warning(msg, *args, **kwargs)


logger_class = Log


def take_turns(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    """After each request let others have their turn: gevent goes on with a client whose next one is there already."""
    time.sleep(0)


def post_worker_init(worker: Any) -> None:
    """Do what only gevent needs in its workers only."""
    if worker.cfg.worker_class_str == "gevent":
        worker.cfg.set("post_request", take_turns)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, worker.handle_exit)  # as on SIGTERM; otherwise Ctrl-C shows a traceback of gevent's


def on_starting(server: Any) -> None:
    """Say at once that the address cannot be had, instead of trying again for five seconds."""
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        sys.exit(f"Cannot listen on HOST={host} PORT={port}: {error}")
