"""Time the rule alone, with pyperf: beside it, in the same run, one bare `hmac.compare_digest` of two equal secrets.

pyperf starts it again for each of its processes, so it imports nothing else of the bench.
"""

import hmac
import secrets
import tempfile
from pathlib import Path

import pyperf

from shared.app.shared_secret import SharedSecret

MODULE = "tests.bench.time_rule"
CURRENT, PREVIOUS = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
WRONG = secrets.token_urlsafe(32)
BARE = "one compare_digest"
ALONE = {"SHARED_SECRET": CURRENT}
CALLS: dict[str, tuple[dict[str, str], str | list[str]]] = {  # the environment, and what the request has in the field
    "allowed": (ALONE, [CURRENT]),
    "wrong": (ALONE, [WRONG]),
    "missing": (ALONE, []),
    "two accepted": (ALONE | {"SHARED_SECRET_PREVIOUS": PREVIOUS}, [PREVIOUS]),
    "as text": (ALONE, CURRENT),  # as WSGI has it; the others as ASGI has it
    "from a file": ({"SHARED_SECRET_FILE": "current"}, [CURRENT]),
}
DENIED = ("wrong", "missing")

if __name__ == "__main__":
    runner = pyperf.Runner(program_args=("-m", MODULE))
    a, b = CURRENT.encode(), bytes(bytearray(CURRENT.encode()))
    runner.timeit(BARE, "compare_digest(a, b)", globals={"compare_digest": hmac.compare_digest, "a": a, "b": b})
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder, "current")).write_text(CURRENT)
        for name, (environ, values) in CALLS.items():
            environ = {key: str(file) if value == "current" else value for key, value in environ.items()}
            check = SharedSecret(environ).check
            sent = values if isinstance(values, str) else [value.encode() for value in values]
            assert (check(sent) is None) == (name not in DENIED), name
            runner.timeit(name, "check(sent)", globals={"check": check, "sent": sent})
