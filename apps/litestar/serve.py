"""How uvicorn serves app.py: HOST, PORT and WEB_CONCURRENCY (workers) come from the environment."""

import logging
import os
import socket
import sys

import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter


class PathOnly(AccessFormatter):
    """Keeps the query out of the access log: by a client's mistake it may hold a secret."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.args = tuple(str(part).partition("?")[0] for part in record.args or ())
        return super().formatMessage(record)


if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"Cannot listen on HOST={host} PORT={port}: {error}")
    LOGGING_CONFIG["formatters"]["access"]["()"] = "serve.PathOnly"
    uvicorn.run(
        "app:app",
        host=host,
        port=int(port),
        http="h11",  # httptools takes trailers for headers, and a header of any size
        loop="uvloop",
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", ""),  # trust no proxy that is not named
    )
