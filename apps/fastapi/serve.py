"""How uvicorn serves app.py: HOST, PORT and WEB_CONCURRENCY (workers) come from the environment."""

import logging
import os
import socket
import sys

import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol


class PathOnly(logging.Filter):
    """Keeps queries out of the log: by a client's mistake one may hold a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
        return True


class Patient(H11Protocol):
    """Lets a request that is on its way come when the server stops, instead of closing its connection unanswered."""

    def shutdown(self) -> None:
        if self.cycle is None:
            self.loop.call_later(2, super().shutdown)  # seconds
        else:
            super().shutdown()


if __name__ == "__main__":
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    try:
        socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"Cannot listen on HOST={host} PORT={port}: {error}")
    LOGGING_CONFIG["filters"] = {"path_only": {"()": "serve.PathOnly"}}
    for handler in LOGGING_CONFIG["handlers"].values():
        handler["filters"] = ["path_only"]
    uvicorn.run(
        "app:app",
        host=host,
        port=int(port),
        http=Patient,  # on h11: httptools takes trailers for headers, and a header of any size
        loop="uvloop",
        timeout_worker_healthcheck=30,  # seconds; a busy machine needs more than 5 to start a worker in a restart
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", ""),  # trust no proxy that is not named
    )
