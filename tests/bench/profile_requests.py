"""Profile requests to the ASGI app in this folder, called without a server; the part `profile` starts it in copies.

Prints JSON, `{function: [µs, calls]}` per request. The µs are the function's own: with those of the built-in functions
that it calls, without those of others. It imports nothing else of the bench.
"""

import asyncio
import cProfile
import json
import os
import pstats
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from app import app  # type: ignore[import-not-found]
from shared_secret import HEADER  # type: ignore[import-not-found]

OUTSIDE = (
    rf".*(site-packages|lib/python[0-9.]+|{re.escape(str(Path.cwd()))})/"  # of the package, or of the app's folder
)
BUILT_IN = "~"  # what the profiler calls the file of a built-in function


def scope() -> dict[str, Any]:
    """Return a request with the right secret, as an ASGI server would (ASGI, "HTTP connection scope")."""
    path = {"path": "/protected", "raw_path": b"/protected", "root_path": "", "query_string": b""}
    fields = [(b"host", b"127.0.0.1"), (HEADER.lower().encode(), os.environb[b"SHARED_SECRET"])]
    of_all = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
    return {**of_all, **path, "headers": fields, "client": None, "server": None}


async def receive() -> dict[str, Any]:
    """Return an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: dict[str, Any]) -> None:
    """Take a part of the response, which has to be a 200."""
    assert message.get("status", 200) == 200, message


async def profiled(requests: int) -> pstats.Stats:
    """Return the profile of so many requests; as many come before it, because the first ones take longer."""
    profile = cProfile.Profile()
    for number in range(2 * requests):
        if number == requests:
            profile.enable()
        await app(scope(), receive, send)
    profile.disable()
    return pstats.Stats(profile)


def functions(stats: pstats.Stats) -> dict[str, tuple[float, int]]:
    """Return the seconds of each function of Python's, and its calls, by its file from the package on and its name."""
    seconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for (file, _, name), (_, count, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if file == BUILT_IN:
            owners = [(where, what, times[2]) for (where, _, what), times in callers.items()]
        else:
            owners = [(file, name, own)]
            calls[label(file, name)] += count
        for where, what, spent in owners:
            seconds[label(where, what)] += spent
    return {name: (spent, calls[name]) for name, spent in seconds.items()}


def label(file: str, function: str) -> str:
    """Return how a function is shown."""
    return f"{re.sub(OUTSIDE, '', file)}: {function}"


if __name__ == "__main__":
    requests = int(sys.argv[1])
    found = functions(asyncio.run(profiled(requests)))
    print(json.dumps({name: [1e6 * spent / requests, calls / requests] for name, (spent, calls) in found.items()}))
