"""gunicorn's gevent worker, which also takes turns, and stops without waiting for idle connections."""

from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gunicorn.workers.ggevent import GeventWorker

LINGER = 2  # seconds for a request that a client was already sending when the worker began to stop


class Worker(GeventWorker):
    """Serves each connection in a greenlet of its own: `worker_class` in gunicorn.conf.py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: WeakKeyDictionary[gevent.Timeout, gevent.Greenlet] = WeakKeyDictionary()

    def timeout_ctx(self) -> gevent.Timeout:
        """Return the time limit within which the next request on a connection has to come."""
        gevent.sleep()  # let others have a turn: gevent goes on with a client that has already sent its next
        timeout = super().timeout_ctx()
        self.waiting[timeout] = gevent.getcurrent()
        return timeout

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: answer the requests that have come; gevent alone would also wait for idle connections."""
        super().handle_exit(sig, frame)
        gevent.spawn_later(LINGER, self.end_idle)

    handle_quit = handle_exit  # Ctrl-C and SIGQUIT, at which gevent prints a traceback

    def end_idle(self) -> None:
        """End the connections on which no request has come."""
        for timeout, connection in list(self.waiting.items()):
            gevent.get_hub().loop.run_callback(end, timeout, connection)


def end(timeout: gevent.Timeout, connection: gevent.Greenlet) -> None:
    """End the wait of a connection, unless its request has come meanwhile."""
    if timeout.pending:
        connection.throw(timeout)
