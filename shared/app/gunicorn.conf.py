"""How `gunicorn` serves app.py; HOST, PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS come from the environment."""

import logging
import os
import sys
from typing import Any
from urllib.parse import quote

if int(os.environ.get("WEB_CONCURRENCY", 1)) < 1:  # gunicorn has refused what is not a number
    sys.exit("WEB_CONCURRENCY is the number of worker processes: set it to 1 or more, or not at all.")
wsgi_app = "app:app"
host = os.environ.get("HOST") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host else host}:{os.environ.get('PORT') or 8000}"
worker_class = "worker.Worker"
keepalive, graceful_timeout = 75, 20  # seconds: gateways keep idle connections for 60; for the last requests on a stop
forwarder_headers = ""  # take SCRIPT_NAME and PATH_INFO from none: they would move the app to another path
control_socket_disable = True  # it would create a file in the home directory
accesslog, access_log_format = "-", '%(h)s "%(r)s" %(s)s %(B)s bytes %(M)s ms'


def pre_request(worker: Any, req: Any) -> None:  # no query in the log, where a client may put a secret
    req.uri = quote(req.uri.partition("?")[0], safe="/:%", encoding="latin-1", errors="replace")


def shorten(record: logging.LogRecord) -> bool:  # without what was malformed, which may be a secret too
    record.msg = str(record.msg).split(": ")[0] if "Invalid request from" in str(record.msg) else record.msg
    return True


logging.getLogger("gunicorn.error").addFilter(shorten)
